"""`globalconv card`: the model card of a run, as the hub shows it."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from globalconv.cards.card_facts import CardFacts, Publication, gather_facts
from globalconv.cards.card_scores import scores_of
from globalconv.cards.examples import write_examples
from globalconv.cards.kept_scores import kept_scores
from globalconv.cards.model_card import render_card
from globalconv.cards.privacy import private_names, public_name
from globalconv.data.images import pixel_limit
from globalconv.data.roots import Data
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.hub.address import is_address, parse_address
from globalconv.infer.predictor import Predictor, load_network
from globalconv.jobs.evaluate import open_scored
from globalconv.reports.findings import gather, network_subject
from globalconv.reports.history import read_history
from globalconv.runtime.files import as_path, check_output, write_text
from globalconv.runtime.progress import Progress

if TYPE_CHECKING:
    from torch import nn

MARK = "This card was written by globalconv"
"""In every card, so that only our own cards are ever replaced."""


@dataclass(frozen=True)
class CardScoring:
    """What to score for a card, which has intervals and images then; by default it says what the training found.

    The data are `data`, or, where `layout` is "scenes", the built-in scenes.
    """

    data: Data = None
    split: str | None = None
    layout: str | None = None
    device: str = "auto"
    images: bool = False

    @property
    def asked_for(self) -> bool:
        return self.data is not None or self.layout == "scenes"

    def __post_init__(self) -> None:
        if not self.asked_for and (self.images or self.split is not None):
            name = "images" if self.images else "split"
            raise InputError(f"`{name}`: is of images that are scored for the card; give `data` PATH, which has them")


def card(
    run: str | Path,
    out: str | Path | None = None,
    scoring: CardScoring | None = None,
    license: str | None = None,  # noqa: A002 (what everybody calls it)
    repository: str | None = None,
    network: "nn.Module | None" = None,
) -> str:
    """Return the model card of `run` (a run folder, or a folder with weights), and write it to `out`, a .md file.

    With `scoring` of some data the scores have intervals of 95 %, class by class, and overlay images where it asks for
    them, which are written to `images/` beside `out`; without, the card says what the training found. `license` is the
    hub's identifier of a licence; None: the card says that none is stated. `repository` is where the network lies on
    the hub, USER/NAME. `network` is needed where the training was given one. No path of this machine, and no name of it
    or of its user, is in the card.
    """
    scoring = scoring or CardScoring()
    if repository is None and is_address(run):
        repository = parse_address(run).repository
    path = None if out is None else as_path("out", out)
    if path is not None:
        check_card(path)
    elif scoring.images:
        raise InputError("`images`: are written beside the card; say with `out` where that is")
    run = as_path("run", run)
    title = title_of(run, repository)
    facts = card_facts(
        run, Publication(title, repository, license), scoring, None if path is None else path.parent, network
    )
    text = render_card(facts)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return text


def title_of(run: Path, repository: str | None) -> str:
    """Return what to call a network: its repository's name, else that of its folder."""
    if repository is not None:
        return repository.rpartition("/")[2]
    return public_name(str(run.resolve()), private_names(str(run.resolve())))


def card_facts(
    run: Path,
    publication: Publication,
    scoring: CardScoring,
    images_to: Path | None,
    network: "nn.Module | None" = None,
) -> CardFacts:
    """Return the facts for a card of `run`; write images, where they are asked for, to the folder `images_to`."""
    predictor = load_network(run, scoring.device, "float32", network)
    history = read_history(run, predictor.info.get("recipe"))
    if not scoring.asked_for:
        facts = gather_facts(publication, predictor, history, kept_scores(run, predictor.labels))
    else:
        facts = _scored_facts(run, publication, predictor, scoring, images_to)
    for warning in facts.told:
        warnings.warn(warning, stacklevel=2)
    return facts


def _scored_facts(
    run: Path, publication: Publication, predictor: Predictor, scoring: CardScoring, images_to: Path | None
) -> CardFacts:
    with pixel_limit(predictor.settings.max_pixels):
        source = open_scored(predictor, scoring.data, scoring.split, scoring.layout)
        subject = network_subject(publication.title, predictor, source, run)
        with Progress("scored for the card", len(source), "images") as progress:

            def on_image(done: int, matrix: ConfusionMatrix) -> None:
                progress.update(done, {"mIoU": f"{matrix.miou():.4f}"})

            result = gather([subject], source, on_image).results[0]
        if scoring.images:
            assert images_to is not None
            publication = replace(publication, images=write_examples(images_to, source, result))
    split = scoring.split or str(predictor.info.get("recipe", {}).get("data", {}).get("val_split", "val"))
    return gather_facts(publication, predictor, subject.history, scores_of(result, split))


def check_card(path: Path) -> None:
    """Raise `InputError` if no card can be written to `path`, or a file is there that is none of ours."""
    check_output("out", path, ".md")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"`out` {path}: is there and was not written by globalconv; move it or name another file")
