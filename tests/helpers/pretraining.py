"""A small pre-training: images of one colour a class, a tiny backbone, a few steps."""

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from globalconv.data.transform_settings import ClassificationAugmentation
from globalconv.training.recipe import ClassifierSettings, ImageSettings, PretrainOptim, PretrainRecipe


def small_pretraining(workers: int = 0, backbone: str = "test_resnet", **optim: Any) -> PretrainRecipe:
    """Return eight steps with all that has a memory: momentum, average, warm-up, clipping, accumulation."""
    settings = {"lr": 0.05, "ema_decay": 0.5, "clip_norm": 1.0, "warmup_steps": 2, "accumulate": 2, **optim}
    return PretrainRecipe(
        model=ClassifierSettings(backbone),
        data=ImageSettings(augmentation=ClassificationAugmentation(crop=32), batch_size=3, workers=workers),
        optim=PretrainOptim(**settings),
        steps=8,
        precision="float32",
        evaluate_every=4,
        checkpoint_every=1,
        log_every=1,
    )


def write_colours(root: Path, classes: int = 3, train: int = 5, val: int = 2) -> Path:
    """Write images of various sizes whose hue is their class, as an image folder."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(classes):
            folder = root / split / f"colour {number}"
            folder.mkdir(parents=True)
            colour = 255 * np.array(colorsys.hsv_to_rgb(number / classes, 0.9, 0.8))
            for index in range(count):
                height, width = rng.integers(30, 60, 2)
                noisy = colour + rng.normal(0, 20, (height, width, 3))
                Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return root
