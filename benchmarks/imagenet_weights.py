"""Top-1 of the ImageNet weights in packages on real photographs: were they read right?

    GLOBALCONV_DATA=... python benchmarks/imagenet_weights.py

Every backbone that `globalconv.model.weights_packages` knows a package for, as timm's whole model, over all 1,000
classes, on the first 40 photographs by name of each folder in imagenette/val, at 224 x 224. The photographs are of ten
classes only and small, so that this is a check and no measure of the networks: the larger two are made for larger ones.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from common import RESULTS, hardware, print_rows, write_report
from PIL import Image
from torch import Tensor, nn

from globalconv.data.images import read_image
from globalconv.model.pretrained import load_pretrained
from globalconv.model.weights_packages import PACKAGES

CLASSES = {
    "n01440764": 0, "n02102040": 217, "n02979186": 482, "n03000684": 491, "n03028079": 497, "n03394916": 566,
    "n03417042": 569, "n03425413": 571, "n03445777": 574, "n03888257": 701,
}  # fmt: skip
"""Folder of imagenette -> the class of ImageNet's 1,000."""
SIDE = 224
IMAGES_PER_CLASS = 40
REFERENCE = {"tf_efficientnet_lite0": 0.755}
"""Top-1 of the same file on the same photographs that was measured apart from this project."""


def photographs(folder: Path, count: int) -> list[Path]:
    """Return the first `count` photographs of `folder` by name."""
    return sorted(folder.glob("*.JPEG"))[:count]


def read_batch(paths: Sequence[Path], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return images_N3HW, resized to SIDE whatever their shape, and normalised."""
    images = [np.asarray(Image.fromarray(read_image(path)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
              for path in paths]  # fmt: skip
    images_N3HW = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (images_N3HW - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def load_whole(architecture: str) -> tuple[nn.Module, Any]:
    """Return timm's whole model with its ImageNet weights, and where these were found."""
    model: nn.Module = timm.create_model(architecture, pretrained=False).eval()
    return model, load_pretrained(model, architecture, "imagenet")


def top1(model: nn.Module, config: Any, val: Path, count: int) -> float:
    """Return the share of the first `count` photographs of each class whose best of 1,000 classes is the right one."""
    right = total = 0
    with torch.inference_mode():
        for name, label in CLASSES.items():
            images_N3HW = read_batch(photographs(val / name, count), config.mean, config.std)
            right += int((model(images_N3HW).argmax(1) == label).sum())
            total += len(images_N3HW)
    return right / total


def main() -> None:
    val = Path(os.environ["GLOBALCONV_DATA"]) / "imagenette" / "val"
    rows: list[dict[str, Any]] = []
    for package in PACKAGES:
        model, found = load_whole(package.architecture)
        score = top1(model, found.config, val, IMAGES_PER_CLASS)
        wanted = REFERENCE.get(package.architecture)
        row = {"backbone": package.architecture, "top1": round(score, 4), "reference": wanted, "weights": found.origin}
        rows.append(row)
    print_rows("top-1 over 1,000 classes", rows)
    report = {
        "command": "python benchmarks/imagenet_weights.py",
        "hardware": hardware(),
        "settings": {"images": IMAGES_PER_CLASS * len(CLASSES), "classes": 1000, "side": SIDE},
        "tables": {"top-1 of the ImageNet weights in packages, on photographs of imagenette": rows},
    }
    write_report(RESULTS / "imagenet_weights.json", report)


if __name__ == "__main__":
    main()
