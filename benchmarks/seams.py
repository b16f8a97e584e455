"""What tiles change in the result of trained weights: labels and mIoU against the whole image, over the overlap.

python benchmarks/seams.py --weights RUN --data PATH --split val
... --mosaic FOLDER        also a mosaic of 8000 x 8000 pixels to look for seams in
"""

import argparse
import os
from collections.abc import Iterator
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from common import print_rows, write_results
from PIL import Image

import globalconv
from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.data.source import Source, spread_evenly
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.tiles import tile_starts
from globalconv.visual.overlay import overlay

OVERLAPS = (0, 32, 64, 96, 128, 160)
TILE = 256


def main() -> None:
    options = _options()
    source = open_source(options.data, options.split, options.layout)
    if options.mosaic:
        draw_mosaic(options.weights, source, options.mosaic, options.side)
        return
    rows = agreement(options.weights, source, options.images)
    print_rows("tiles against the whole image", rows)
    network = globalconv.load(options.weights).info["recipe"]["model"]["backbone"]
    settings = {"network": network, "weights": options.weights.name, "split": options.split, "tile": TILE}
    write_results("seams", "cpu", settings, {"tiles against the whole image": rows})


def agreement(weights: Path, source: Source, count: int) -> list[dict[str, Any]]:
    """Return a row per overlap: how many labels are those of the whole image, and the mIoU."""
    whole = globalconv.load(weights, precision="float32")
    cases = {"whole": whole}
    for overlap in OVERLAPS:
        settings = InferenceSettings(tile=TILE, overlap=overlap)
        cases[f"{TILE}, overlap {overlap}"] = globalconv.load(weights, precision="float32", settings=settings)
    matrices = {name: ConfusionMatrix(source.labels.num_classes) for name in cases}
    equal = dict.fromkeys(cases, 0)
    pixels = 0
    chosen = spread_evenly(len(source), count)
    for index in chosen:
        image, label_map = source.image(index), source.label_map(index)
        class_maps = {name: predictor.class_map(image) for name, predictor in cases.items()}
        pixels += label_map.size
        for name, class_map in class_maps.items():
            matrices[name].update(class_map, label_map)
            equal[name] += int((class_map == class_maps["whole"]).sum())
    return [
        {
            "tile": name,
            "labels as whole": round(equal[name] / pixels, 5),
            "miou": round(matrix.miou(), 4),
            "images": len(chosen),
        }
        for name, matrix in matrices.items()
    ]


def draw_mosaic(weights: Path, source: Source, folder: Path, side: int = 8000) -> None:
    """Write a mosaic of the source's images, its class map and its overlay, to look for seams in."""
    mosaic = np.zeros((side, side, 3), np.uint8)
    for (top, left), image in zip(_places(source, side), _images(source), strict=False):
        cut = image[: side - top, : side - left]
        mosaic[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    settings = InferenceSettings(tile=1024)
    predictor = globalconv.load(weights, precision="auto", settings=settings)
    prediction = predictor(mosaic)
    folder.mkdir(parents=True, exist_ok=True)
    prediction.save(folder, "mosaic")
    for top, left in _corners(side, settings):
        part = (slice(top, top + 400), slice(left, left + 400))
        crop = overlay(mosaic[part], prediction.class_map[part], predictor.labels, legend=False)
        beside = Image.new("RGB", (800, 400))
        beside.paste(Image.fromarray(mosaic[part]), (0, 0))
        beside.paste(crop, (400, 0))
        beside.save(folder / f"crop-{top}-{left}.png")
    print(f"written: {folder}")


def _corners(side: int, settings: InferenceSettings) -> list[tuple[int, int]]:
    """Return the corners of two crops of 400 pixels around places where four tiles meet."""
    firsts = tile_starts(side, settings.tile_side, settings.tile_overlap)
    seams = [(before + settings.tile_side + after) // 2 for before, after in pairwise(firsts)]
    return [(top - 200, seams[0] - 200) for top in seams[:2]]


def _places(source: Source, side: int) -> Iterator[tuple[int, int]]:
    height, width = source.image(0).shape[:2]
    return ((top, left) for top in range(0, side, height) for left in range(0, side, width))


def _images(source: Source) -> Iterator[Uint8Array]:
    return (source.image(index) for index in islice(cycle(range(len(source))), 10_000))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GLOBALCONV_DATA", "."), "CamVid"))
    parser.add_argument("--split", default="val")
    parser.add_argument("--layout")
    parser.add_argument("--images", type=int, default=100, help="how many of them, evenly spread")
    parser.add_argument("--mosaic", type=Path, help="draw this instead")
    parser.add_argument("--side", type=int, default=8000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
