"""What counting by regions costs per 1024 x 2048 map of 19 classes, beside the confusion matrix and the usual way.

python benchmarks/regions.py
... --image docs/images/regions.png      only draws the regions of a generated scene

The usual way takes binary masks one class after another: a distance transform of each class for the distance to the
boundary, a labelling of each for the sizes of objects, and the published formula of Boundary IoU, two erosions of each.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import compare, measure, print_rows, write_results
from PIL import Image
from scipy import ndimage

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.region_curves import WIDEST, RegionScores
from globalconv.evaluation.regions import (
    band_width,
    boundary_overlap,
    boundary_region,
    boundary_squares,
    region_counts,
)
from globalconv.visual.overlay import colourise

HEIGHT, WIDTH, CLASSES, AREAS = 1024, 2048, 19, 400
TITLES = ("Regions: per map", "Regions: beside the usual way")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--image", type=Path)
    options = parser.parse_args()
    if options.image:
        image().save(options.image, optimize=True)
        return
    truth, prediction = maps()
    matrix, region_scores = ConfusionMatrix(CLASSES), RegionScores(CLASSES)
    ours = {
        "confusion matrix alone": lambda: matrix.update(prediction, truth),
        "near and internal, 7 pixels": lambda: region_counts(prediction, truth),
        "everything": lambda: region_scores.update(prediction, truth),
    }
    parts = {
        "distance to the boundary": lambda: boundary_squares(truth, WIDEST),
        "distance, a transform per class": lambda: distances_per_class(truth),
        "Boundary IoU": lambda: boundary_overlap(prediction, truth, CLASSES),
        "Boundary IoU, erosions per class": lambda: erosions_per_class(prediction, truth),
    }
    whole = compare(measure(ours, options.repeats), "confusion matrix alone")
    beside = compare(measure(parts, options.repeats), "distance to the boundary")
    print_rows(TITLES[0], whole)
    print_rows(TITLES[1], beside)
    processor_ms = processor_time(ours["everything"], options.repeats)
    print(f"\neverything: {processor_ms:.0f} ms of the processor per map, whatever else it did meanwhile")
    settings = {
        "map": f"{WIDTH}x{HEIGHT}",
        "classes": CLASSES,
        "repeats": options.repeats,
        "processor time of everything": f"{processor_ms:.0f} ms",
    }
    write_results("regions", "cpu", settings, {TITLES[0]: whole, TITLES[1]: beside})


def processor_time(work: Callable[[], object], repeats: int) -> float:
    """Return the milliseconds of this process's own time that a call takes."""
    start = time.process_time()
    for _ in range(repeats):
        work()
    return 1e3 * (time.process_time() - start) / repeats


def maps() -> tuple[Uint8Array, Uint8Array]:
    """Return a map of areas with void strips of 5 pixels between them and a void foot, and one shifted by 3 pixels."""
    random = np.random.default_rng(0)
    seeds = np.ones((HEIGHT, WIDTH), bool)
    ys, xs = random.integers(0, HEIGHT, AREAS), random.integers(0, WIDTH, AREAS)
    seeds[ys, xs] = False
    places = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes[ys, xs] = random.integers(0, CLASSES, AREAS)
    classes = classes[places[0], places[1]]
    truth = with_void_strips(classes)
    truth[-100:] = 255
    return truth, np.roll(classes, 3, 1)


def with_void_strips(classes: Uint8Array) -> Uint8Array:
    """Return a map with about 5 pixels of void along every boundary."""
    edge = ndimage.maximum_filter(classes, 5) != ndimage.minimum_filter(classes, 5)
    return np.where(edge, np.uint8(255), classes)


def distances_per_class(truth: Uint8Array) -> npt.NDArray[np.float64]:
    """Return the distance to the nearest pixel of another class, by scipy; void takes the nearest class first."""
    places = ndimage.distance_transform_edt(truth == 255, return_distances=False, return_indices=True)
    filled = truth[places[0], places[1]]
    distance = np.zeros(truth.shape)
    for k in np.unique(filled):
        distance += ndimage.distance_transform_edt(filled == k)
    return distance


def erosions_per_class(prediction: Uint8Array, truth: Uint8Array) -> list[float]:
    """Return Boundary IoU of each class by the published formula on its binary masks, void left out of both."""
    ious, counted, steps = [], truth != 255, band_width(*truth.shape)
    square = np.ones((3, 3), bool)
    for k in range(CLASSES):
        masks = [class_indices == k for class_indices in (prediction, truth)]
        predicted_band, true_band = (mask & ~ndimage.binary_erosion(mask, square, steps) & counted for mask in masks)
        ious.append(float((predicted_band & true_band).sum() / max(1, (predicted_band | true_band).sum())))
    return ious


def image() -> Image.Image:
    """Return a scene, its truth with a void strip of 5 pixels between classes as VOC has, and its boundary region."""
    source = open_source(None, "val", "scenes")
    scene, classes = source.image(0), source.label_map(0)
    truth = with_void_strips(classes)
    painted = colourise(truth, source.labels)
    painted[truth == 0], painted[truth == 255] = 190, 255  # the background is black, which cannot be darkened
    region = painted.copy()
    region[~boundary_region(truth) & (truth != 255)] //= 4
    gap = np.full((len(scene), 6, 3), 255, np.uint8)
    return Image.fromarray(np.concatenate([scene, gap, painted, gap, region], 1))


if __name__ == "__main__":
    main()
