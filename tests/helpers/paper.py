"""Results of trainings that never were."""

import dataclasses
from typing import Any

from globalconv.paper.results import RunResult


def a_result(key: str, **fields: Any) -> RunResult:
    """Return a result of two images and two classes, with these fields."""
    result = RunResult(
        key=key,
        recipe={"model": {"head": ["gcn"]}},
        data={"name": "blobs", "train_split": "train", "val_split": "val", "train_images": 7, "val_images": 2,
              "fingerprint": "0", "class_names": ["grey", "red"]},
        seed=0,
        scores={"miou": 0.5, "pixel_accuracy": 0.75, "mean_accuracy": 0.7, "boundary_accuracy": None,
                "internal_accuracy": 0.8},
        region={"width": 7.0, "metric": "euclidean"},
        images=["a", "b"],
        hits=[[3, 1], [2, 0]],
        unions=[[4, 2], [3, 1]],
        regions=[[0, 0, 4, 5], [0, 0, 2, 4]],
        final_loss=0.25, steps=12, parameters=100, head_parameters=10, multiply_adds=1000, crop=[48, 64], minutes=0.1,
        machine="none", precision="float32", versions={}, date="2026-11-28T00:00:00+00:00",
    )  # fmt: skip
    return dataclasses.replace(result, **fields)
