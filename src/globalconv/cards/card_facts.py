"""All that a model card says, gathered from a network, its run folder and, where one was made, a score of its own.

Everything is plain text without anything private; the template escapes it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from globalconv.cards.card_limits import limits_of
from globalconv.cards.card_scores import CardScores, logged_scores
from globalconv.cards.public_run import PublicRun, check_class_names
from globalconv.cost.count import network_cost
from globalconv.errors import InputError, InputWarning
from globalconv.hub.address import parse_address
from globalconv.infer.predictor import Predictor
from globalconv.model.wrapped import custom_class
from globalconv.reports.history import History
from globalconv.reports.sentences import describe_network
from globalconv.runtime.progress import duration

Row = tuple[str, str]
"""What a fact is about, and the fact."""

TYPICAL_SIZE = [512, 512]


@dataclass(frozen=True)
class Publication:
    """What the author says about the network: nothing in a run folder tells it."""

    title: str
    repository: str | None = None
    """Where it lies on the hub, USER/NAME; None where that is not known yet."""
    license: str | None = None
    """The hub's identifier of a licence, such as apache-2.0; None: not stated."""
    images: Sequence[str] = ()
    """Places of overlay images, relative to the card."""
    revision: str | None = None
    """The branch of the repository that it lies on; None is the default one."""

    def __post_init__(self) -> None:
        if self.repository is not None:
            parse_address(f"hf://{self.repository}" + ("" if self.revision is None else f"@{self.revision}"))
        if self.license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.license):
            raise InputError(
                f"`license` {self.license!r}: is none of the hub's identifiers for licences, in small letters, such as"
                " apache-2.0, mit or cc-by-nc-4.0; other is for one that it does not know"
            )


@dataclass(frozen=True)
class CardFacts:
    """All that a card is written from."""

    publication: Publication
    described: str
    custom_class: str
    """The class of a network of somebody else's, which only Python can build; "" for one of globalconv's own."""
    class_names: Sequence[str]
    backbone: str
    dataset_name: str
    network: Sequence[Row]
    data: Sequence[Row]
    training: Sequence[Row]
    settings: Sequence[Row]
    limits: Sequence[str]
    scores: CardScores | None
    told: Sequence[InputWarning]
    """What the author has to know before it is published."""


def gather_facts(
    publication: Publication,
    predictor: Predictor,
    history: History,
    scores: CardScores | None = None,
) -> CardFacts:
    """Return the facts of a network that was loaded, of its `history`, and its `scores`, by default those in its log.

    `InputError` for a class that is named like a path.
    """
    start: dict[str, Any] = next(reversed(history.events_of("start")), {})
    run = PublicRun(info=predictor.info, dataset=history.dataset, settings=history.settings, start=start)
    told = check_class_names(predictor.labels, run.names)
    if scores is None:
        scores = logged_scores(predictor.info, history, predictor.labels, str(predictor.info.get("val_split") or "val"))
    scores = None if scores is None else replace(scores, split=run.public(scores.split))
    settings = getattr(predictor.network, "settings", {})
    custom = custom_class(predictor.network) or ""
    # The recipe's model settings describe another network than one that the author's own code built.
    listed = [row for row in run.setting_rows() if not (custom and row[0].startswith("model."))]
    return CardFacts(
        publication=publication,
        custom_class=run.public(custom),
        described=run.public(describe_network(predictor.network)),
        class_names=predictor.class_names,
        backbone=run.public(str(settings.get("backbone") or "")),
        dataset_name=run.dataset_name(),
        network=[row for row in _network_rows(predictor, run) if row[1]],
        data=[row for row in _data_rows(predictor, run) if row[1]],
        training=[row for row in _training_rows(history, run) if row[1]],
        settings=listed,
        limits=limits_of(run, scores),
        scores=scores,
        told=told,
    )


def _network_rows(predictor: Predictor, run: PublicRun) -> list[Row]:
    network = predictor.network
    crop = run.get("settings", "data.augmentation.crop")
    height, width = crop if isinstance(crop, list) and len(crop) == 2 else TYPICAL_SIZE
    work = ""
    try:
        cost = network_cost(network, int(height), int(width))
        work = f"{cost.multiply_adds / 1e9:.3g} G for an image of {height} x {width}"
    except (InputError, TypeError, ValueError):  # a network of somebody else's that does not run on shapes alone
        pass
    weights = sum(parameter.numel() for parameter in network.parameters())
    pad_to = predictor.geometry.pad_to
    return [
        ("form", run.public(describe_network(network))),
        ("parameters", f"{weights:,}"),
        ("multiply-adds", work),
        ("input", "RGB images of any size, 8 bits a channel; normalised, padded and cropped inside"),
        ("smaller images", f"padded to {pad_to[0]} x {pad_to[1]} (height x width), as in training" if pad_to else ""),
        ("output", f"a class of {predictor.labels.num_classes} for every pixel, at the size of the image"),
    ]


def _data_rows(predictor: Predictor, run: PublicRun) -> list[Row]:
    def split_of(part: str) -> str:
        name = run.text("dataset", part, "split") or run.text("info", f"{part}_split")
        images = run.count("dataset", part, "images")
        if images is None and part == "train":
            images = run.count("info", "train_images")
        return name if images is None else f"{name}: {images} images" if name else f"{images} images"

    held_out = run.get("dataset", "val", "held_out") or run.get("info", "held_out")
    white = run.text("info", "images", "white_level")
    return [
        ("data set", run.dataset_name()),
        ("layout", run.text("settings", "data.layout")),
        ("trained on", split_of("train")),
        ("validated on", split_of("val") + (", held out of the images by globalconv" if held_out else "")),
        ("white", f"{white} in images of more than 8 bits" if white else ""),
        ("classes", str(predictor.labels.num_classes)),
    ]


def _training_rows(history: History, run: PublicRun) -> list[Row]:
    seconds, peak = history.training_seconds, history.peak_memory
    versions = run.get("start", "versions")
    rate, schedule = run.text("settings", "optim.lr"), run.text("settings", "optim.schedule")
    algorithm = run.text("settings", "optim.algorithm")
    return [
        ("started from", run.text("dataset", "init_from") or run.text("dataset", "backbone_weights") or _origin(run)),
        ("steps", _steps(run)),
        ("images per step", _product(run, "data.batch_size", "optim.accumulate")),
        ("optimiser", f"{algorithm}, rate {rate}, {schedule}" if algorithm else ""),
        ("hardware", run.text("start", "hardware")),
        ("machine", run.text("start", "machine")),
        ("time", f"{duration(seconds)}, evaluations left out" if seconds else ""),
        ("peak memory", f"{peak / 2**30:.2f} GiB" if peak else ""),
        ("began", run.text("start", "date")[:10]),
        (
            "versions",
            ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else "",
        ),
    ]


def _origin(run: PublicRun) -> str:
    """Return what the recipe says that the backbone started from; "" where no recipe is known."""
    if run.get("settings", "optim.lr") is None:
        return ""
    return run.text("settings", "model.backbone_weights") or "random weights"


def _steps(run: PublicRun) -> str:
    step, steps = run.count("info", "step"), run.count("start", "steps")
    if step is None:
        return "" if steps is None else str(steps)
    return f"{step}, the best" + (f" of {steps}" if steps is not None else "")


def _product(run: PublicRun, *names: str) -> str:
    factors = [run.count("settings", name) for name in names]
    product = 1
    for factor in factors:
        product *= 1 if factor is None else factor
    return "" if factors[0] is None else str(product)
