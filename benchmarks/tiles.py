"""What tiles cost in memory: the peak of segmenting large images, as arrays and from TIFF to TIFF.

And what one pass of a network takes without them, which says from what size on images are tiled unasked.

python benchmarks/tiles.py
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import print_rows, write_results
from torch import nn

import globalconv
from globalconv.arrays import Uint8Array
from globalconv.infer.geotiff import segment_tiff
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.labels import LabelSpace
from globalconv.runtime.memory import keep_freed_memory

SIDES = (4000, 8000, 16000)
TILE = 512
CLASSES = 11
BACKBONES = ("resnet18", "hrnet_w18_small", "resnet152")
PASS = 1024
"""Side of the image that goes through a network at once."""


def main() -> None:
    options = _options()
    if options.one:
        way, what = options.one
        print(json.dumps(one_pass(what) if way == "pass" else one_memory(way, int(what), options.file)))
        return
    rows, passes = memory(options.sides), [alone("pass", backbone) for backbone in BACKBONES]
    print_rows("memory, MB", rows)
    print_rows("one pass", passes)
    settings = {"network": f"one 1x1 convolution, {CLASSES} classes", "tile": TILE, "overlap": TILE // 4}
    write_results("tiles", "cpu", settings, {"memory of tiles, MB": rows, f"memory of one pass, {PASS}x{PASS}": passes})


def memory(sides: list[int]) -> list[dict[str, Any]]:
    """Return a row per size and way: peak memory, split, each measured in a process of its own."""
    rows = []
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image.tif"
            write_noise(file, side)
            rows += [alone(way, str(side), "--file", str(file)) for way in ("memory", "tiff")]
    return rows


def alone(*what: str) -> dict[str, Any]:
    """Return the row that a process of its own makes."""
    command = [sys.executable, __file__, "--one", *what]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return row


def one_pass(backbone: str) -> dict[str, Any]:
    """Return the bytes a pixel that an image takes in a network at once, in float32."""
    keep_freed_memory()  # as the command line does
    network = globalconv.GlobalConvNet(CLASSES, backbone).to(memory_format=torch.channels_last)
    predictor = Predictor(network, labels(), "cpu", "float32")
    predictor.class_map(np.zeros((64, 64, 3), np.uint8))  # libraries load
    before = resident()
    predictor.class_map(np.zeros((PASS, PASS, 3), np.uint8))
    taken = peak() - before
    return {"backbone": backbone, "MB": round(taken), "bytes a pixel": round(taken * 2**20 / PASS**2)}


def one_memory(way: str, side: int, file: Path) -> dict[str, Any]:
    """Segment one image and return what the peak of this process consists of."""
    predictor = small_network()
    predictor.class_map(np.zeros((64, 64, 3), np.uint8))  # libraries load
    held = 0.0
    before = resident()
    if way == "memory":
        # Read by windows as well: Pillow would hold the file's decoded strips a second time for a moment.
        image, class_map = read_noise(file, side), np.zeros((side, side), np.uint8)
        held = (image.nbytes + class_map.nbytes) / 2**20
        predictor.segment(image, class_map)
    else:
        segment_tiff(predictor, file, file.with_name("map.tif"))
    most = peak()
    return {
        "image": f"{side}x{side}",
        "in and out": "arrays" if way == "memory" else "TIFF",
        "peak": round(most),
        "program and network": round(before),
        "decoded input": round(held * 3 / 4),
        "class map": round(held / 4),
        "the rest": round(most - before - held),
    }


def small_network() -> Predictor:
    """Return a network that costs next to nothing: what is measured is what lies around it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(32, ceil_mode=True), nn.Conv2d(3, CLASSES, 1), nn.Upsample(scale_factor=32))
    settings = InferenceSettings(tile=TILE, max_pixels=max(SIDES) ** 2)
    return Predictor(Floating(network), labels(), "cpu", "float32", settings=settings)


def labels() -> LabelSpace:
    return LabelSpace(tuple(f"class {index}" for index in range(CLASSES)))


class Floating(nn.Module):
    """Gives a network images in [0, 1], and takes back their size."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        height, width = images_N3HW.shape[2:]
        logits_NKPQ: torch.Tensor = self.network(images_N3HW.float() / 255)
        return logits_NKPQ[..., :height, :width]


def resident() -> float:
    """Return the memory that this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_noise(path: Path, side: int) -> None:
    """Write a tiled TIFF of blocks of noise, row by row of blocks."""
    import rasterio

    rng, block = np.random.default_rng(0), 256
    row = rng.integers(0, 256, (3, block, side), np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 3, "width": side, "height": side, "tiled": True}
    with (
        rasterio.Env(GDAL_CACHEMAX=64),
        rasterio.open(path, "w", **profile, blockxsize=block, blockysize=block) as file,
    ):
        for top in range(0, side, block):
            bottom = min(top + block, side)
            file.write(row[:, : bottom - top], window=((top, bottom), (0, side)))


def read_noise(path: Path, side: int) -> Uint8Array:
    """Return the image as one array; what it takes beside that stays small."""
    import rasterio

    image = np.empty((side, side, 3), np.uint8)
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path) as file:
        for top in range(0, side, 256):
            bottom = min(top + 256, side)
            image[top:bottom] = file.read(window=((top, bottom), (0, side))).transpose(1, 2, 0)
    return image


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=list(SIDES))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
