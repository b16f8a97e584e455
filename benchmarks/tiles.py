"""What tiles cost in memory: the peak of segmenting large images, as arrays and from TIFF to TIFF.

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
import numpy.typing as npt
import torch
from common import print_rows, write_results
from torch import nn

from globalconv.infer.predictor import Predictor
from globalconv.infer.settings import InferenceSettings
from globalconv.infer.tiff import segment_tiff
from globalconv.labels import LabelSpace

SIDES = (4000, 8000, 16000)
TILE = 512
CLASSES = 11

Array = npt.NDArray[np.uint8]


def main() -> None:
    options = _options()
    if options.one:
        print(json.dumps(one_memory(options.one[0], int(options.one[1]), options.file)))
        return
    rows = memory(options.sides)
    print_rows("memory, MB", rows)
    settings = {"network": f"one 1x1 convolution, {CLASSES} classes", "tile": TILE, "overlap": TILE // 4}
    write_results("tiles", "cpu", settings, {"memory of tiles, MB": rows})


def memory(sides: list[int]) -> list[dict[str, Any]]:
    """Return a row per size and way: peak memory, split, each measured in a process of its own."""
    rows = []
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image.tif"
            write_noise(file, side)
            for way in ("memory", "tiff"):
                command = [sys.executable, __file__, "--one", way, str(side), "--file", str(file)]
                run = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(run.stdout.splitlines()[-1]))
    return rows


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "image": f"{side}x{side}",
        "in and out": "arrays" if way == "memory" else "TIFF",
        "peak": round(peak),
        "program and network": round(before),
        "decoded input": round(held * 3 / 4),
        "class map": round(held / 4),
        "the rest": round(peak - before - held),
    }


def small_network() -> Predictor:
    """Return a network that costs next to nothing: what is measured is what lies around it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.AvgPool2d(32, ceil_mode=True), nn.Conv2d(3, CLASSES, 1), nn.Upsample(scale_factor=32))
    labels = LabelSpace(tuple(f"class {index}" for index in range(CLASSES)))
    return Predictor(Floating(network), labels, "cpu", "float32", settings=InferenceSettings(tile=TILE))


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


def read_noise(path: Path, side: int) -> Array:
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
