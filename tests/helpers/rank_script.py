"""Trains as `--devices` says, in float64: what a process of a test of several processes runs.

python -m helpers.rank_script DATA OUT DEVICES STEPS FREEZE [START]
"""

import dataclasses
import sys
from pathlib import Path

from helpers.training import small_recipe

import globalconv
from globalconv.training import distributed
from globalconv.training.recipe import ModelSettings, Recipe


def recipe(steps: int, frozen: bool, freeze_steps: int = 0) -> Recipe:
    small = small_recipe(ema_decay=None, algorithm="sgd", lr=0.01, freeze_steps=freeze_steps)
    model = ModelSettings(backbone="test_resnet", kernel_size=(3,), backbone_norm="frozen" if frozen else "train")
    data = dataclasses.replace(small.data, batch_size=4)
    return dataclasses.replace(small, model=model, data=data, steps=steps, evaluate_every=steps, device="cpu")


if __name__ == "__main__":
    place, out, devices, steps, freeze, *start = sys.argv[1:]
    distributed.FABRIC_PRECISION["float32"] = "64-true"
    globalconv.train(
        recipe(int(steps), bool(start), int(freeze)), Path(place), Path(out), init_from=start[0] if start else None,
        devices=int(devices),
    )  # fmt: skip
