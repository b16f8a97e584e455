"""Is a backbone that `globalconv pretrain` made taken up by a segmentation network? Plumbing, shown in minutes.

    python benchmarks/pretraining.py [--out runs/pretraining]

ResNet50-GCN is pre-trained on crops of 64 x 64 of the generated scenes' objects, cut into an image folder, and then is
the backbone of a network trained on those scenes, beside the same network from scratch. One thread. It says nothing
about Table 6 of the paper: that takes ImageNet.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from common import print_rows, write_results
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from trainings import wall_minutes

import globalconv
from globalconv.data.datasets import open_source
from globalconv.data.scenes.scene import SCENES
from globalconv.data.scenes.writing import SceneSet, write_scenes
from globalconv.data.transform_settings import Augmentation, ClassificationAugmentation
from globalconv.training.recipe import (
    ClassifierSettings,
    DataSettings,
    ImageSettings,
    ModelSettings,
    OptimSettings,
    PretrainOptim,
    PretrainRecipe,
    Recipe,
)

BACKBONE, CROP, BATCH = "resnet50_gcn", 64, 16
TRAIN, VAL = 240, 40
"""Scenes of each split."""
PRETRAIN_STEPS, STEPS = 80, 40
SMALLEST = 300
"""Pixels of an object that is cut out."""
MARGIN = 4
"""Pixels around it that are cut out with it."""


@dataclass(frozen=True)
class Settings:
    out: Path = Path("runs/pretraining")


def pretraining() -> PretrainRecipe:
    """Return the recipe of the backbone: AdamW, which gets somewhere in so few steps."""
    return PretrainRecipe(
        model=ClassifierSettings(BACKBONE),
        data=ImageSettings(augmentation=ClassificationAugmentation(CROP, area=(0.3, 1.0)), batch_size=BATCH, workers=0),
        optim=PretrainOptim(algorithm="adamw", lr=1e-3, weight_decay=0.05, warmup_steps=20),
        steps=PRETRAIN_STEPS,
        evaluate_every=40,
        checkpoint_every=100_000,
    )


def segmentation(weights: Path | None) -> Recipe:
    """Return the recipe of the network, from a backbone or from scratch."""
    return Recipe(
        model=ModelSettings(BACKBONE, kernel_size=(7,), backbone_weights=None if weights is None else str(weights)),
        data=DataSettings(layout="folder", augmentation=Augmentation(crop=(96, 96)), batch_size=8, workers=0),
        optim=OptimSettings(algorithm="adamw", lr=1e-3, weight_decay=0.01, warmup_steps=10, clip_norm=1.0),
        steps=STEPS,
        evaluate_every=STEPS,
        checkpoint_every=100_000,
    )


def cut(scenes: Path, out: Path) -> Path:
    """Cut the objects of a set of scenes out, into an image folder; return it."""
    for split in ("train", "val"):
        source = open_source(scenes, split, "folder")
        for index in range(len(source)):
            for number, (name, crop) in enumerate(_objects(source.image(index), source.label_map(index))):
                path = out / split / name / f"{Path(source.sample_name(index)).name}-{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(crop).save(path)
    return out


def _objects(image: NDArray[np.uint8], label_map: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield name and image of every object that is large enough, a book with what lies on it."""
    for kind, name in enumerate(SCENES.class_names[1:], start=1):
        regions, _ = ndimage.label(label_map == kind)
        sizes = np.bincount(regions.ravel())
        for region, (rows, columns) in enumerate(ndimage.find_objects(regions), start=1):
            if sizes[region] >= SMALLEST:
                top, left = max(0, rows.start - MARGIN), max(0, columns.start - MARGIN)
                yield name, image[top : rows.stop + MARGIN, left : columns.stop + MARGIN]


def evaluations(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "evaluation"]


def main() -> None:
    """Do what has not been done yet, and write down what came of it."""
    torch.set_num_threads(1)
    out = tyro.cli(Settings).out
    write_scenes(out / "scenes", SceneSet(TRAIN, VAL), workers=1)
    images = out / "objects"
    if not images.exists():
        cut(out / "scenes", images)
    run = out / "backbone"
    weights = globalconv.pretrain(pretraining(), images, run, resume=run.exists())
    found = [{key: line[key] for key in ("step", "top1", "top5", "loss", "images")} for line in evaluations(run)]
    found = [{key: round(value, 4) for key, value in row.items()} for row in found]
    rows = [{"case": "pre-training", "steps": PRETRAIN_STEPS, "miou": None, "wall_minutes": wall_minutes(run)}]
    for name, start in (("from the backbone", weights), ("from scratch", None)):
        folder = out / name.replace(" ", "-")
        globalconv.train(segmentation(start), out / "scenes", folder, resume=folder.exists())
        miou = round(evaluations(folder)[-1]["miou"], 4)
        rows.append({"case": name, "steps": STEPS, "miou": miou, "wall_minutes": wall_minutes(folder)})
    print_rows("pre-training", found)
    print_rows("trainings", rows)
    counts = {split: len(list((images / split).rglob("*.png"))) for split in ("train", "val")}
    settings = {"backbone": BACKBONE, "crop": CROP, "batch": BATCH, "objects": counts, "scenes": [TRAIN, VAL]}
    write_results("pretraining", "cpu", settings, {"pre-training": found, "trainings": rows})


if __name__ == "__main__":
    main()
