"""The trainings of `decoders.py`: the decoders, the data of its parts, and the file that each training leaves."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import segmentation_models_pytorch as smp
import torch
import tyro
from common import RESULTS
from torch import nn
from trainings import Case

from globalconv.data.roots import Root
from globalconv.data.transform_settings import Augmentation
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.labels import VOC
from globalconv.model.backbone import Backbone, batch_norms
from globalconv.model.depthwise import learn_depthwise_in_float32
from globalconv.model.wrapped import WrappedNetwork
from globalconv.paper.grid import score_last_weights
from globalconv.runtime.devices import processor_name
from globalconv.runtime.files import as_path, write_text
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe
from globalconv.training.run_folder import RunFolder
from globalconv.training.training_splits import open_splits

BACKBONE, CROP, BATCH, FROZEN = "tf_efficientnet_lite0", (256, 256), 8, 1
STEPS = {"tune": 200, "voc": 600, "msrc21": 400, "folds": 400}
RATES = (3e-4, 1e-3, 3e-3, 9e-3, 27e-3)
"""Of the decoder: `tune` tries the three in the middle, and one beyond them if the best lies at their end."""
BACKBONE_RATE = 3e-4
"""Of the backbone's layers that learn, whatever the decoder's."""

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
    """Steps of a training, in place of the part's own; rates and tables are of the part's own."""
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


def case(settings: Settings, decoder: str, lr: float, data: DataSettings, seed: int = 0) -> Case:
    """Return the training of one decoder; its data are found by `root`."""
    part = settings.part
    steps = settings.steps or STEPS[part]
    recipe = Recipe(
        model=FORMS.get(decoder, BASE),
        data=data,
        optim=OptimSettings(
            algorithm="adamw", lr=lr, weight_decay=0.05, warmup_steps=60, clip_norm=1.0, ema_decay=0.995,
            class_weights="sqrt-median", backbone_lr_scale=BACKBONE_RATE / lr,
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
            yield from (tuning(settings, decoder, lr) for lr in RATES[1:-1])
            tried = rates_tried(decoder)
            if tried and chosen_rate(decoder) in (RATES[1], RATES[-2]):
                yield tuning(settings, decoder, RATES[0 if chosen_rate(decoder) == RATES[1] else -1])
            continue
        lr = chosen_rate(decoder)
        splits = {
            "voc": {"": samples("sbd:train+sbd:val+voc:train", "voc:val", None)},
            "msrc21": {"": samples("train", "val", "folder")},
            "folds": {f: samples(f"folds/{f}.train", f"folds/{f}.val", "camvid") for f in fold_names(settings)},
        }[settings.part]
        for fold, data in splits.items():
            for seed in (0,) if fold else settings.seeds:
                made = case(settings, decoder, lr, data, seed)
                yield replace(made, name=f"{made.name} {fold or seed}")


def tuning(settings: Settings, decoder: str, lr: float) -> Case:
    """Return a training of a part of the training images, scored on the rest of them."""
    made = case(settings, decoder, lr, samples("sbd:train+sbd:val+voc:fit", "voc:held", None))
    return replace(made, name=f"{made.name} {lr:g}")


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
        # SBD leaves out what VOC lists as val, so that list has to be there.
        shutil.copy(voc / "ImageSets" / "Segmentation" / "val.txt", lists)
        names = (voc / "ImageSets" / "Segmentation" / "train.txt").read_text().split()
        write_text(lists / "fit.txt", "\n".join(names[0::2]) + "\n")
        write_text(lists / "held.txt", "\n".join(names[1::2]) + "\n")
    return home


def carry_out(settings: Settings, one: Case, stop: StopRequest) -> None:
    """Train what is not trained, score it, and write its file."""
    assert isinstance(one.recipe, Recipe)
    run, data = RunFolder(settings.out / result_file(one).stem), root(settings)
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
    return FOLDER / f"{re.sub(r'[^a-z0-9.]+', '-', one.name.lower()).strip('-')}.json"


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


def chosen_rate(decoder: str) -> float:
    """Return the learning rate with the best score of `tune`."""
    tried = rates_tried(decoder)
    if not tried:
        raise SystemExit(f"{decoder}: no rate has been tried; run: decoders.py tune --only '{decoder}'")
    return max(tried, key=lambda lr: tried[lr])


def rates_tried(decoder: str) -> dict[float, float]:
    """Return learning rate -> the score that it reached in `tune`."""
    results = {lr: result(tuning(Settings("tune"), decoder, lr)) for lr in RATES}
    return {lr: headline(content)["miou"] for lr, content in results.items() if content is not None}
