"""Overlay images for a card: a few images of the scored split beside their label maps and predictions."""

from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.data.source import Source, spread_evenly
from globalconv.reports.findings import Result
from globalconv.visual.image_file import check_image_file, write_image_file
from globalconv.visual.overlay import legend_entries, overlay
from globalconv.visual.panel import panel

EXAMPLES = 4
FOLDER = "images"


def example_names(source: Source) -> list[str]:
    """Return the places of the images of a card, relative to it: they tell nothing of the names of the data."""
    return [f"{FOLDER}/example-{number}.jpg" for number in range(1, min(EXAMPLES, len(source)) + 1)]


def write_examples(folder: Path, source: Source, result: Result) -> list[str]:
    """Write images that are evenly spaced in `source` to `folder`; return their places, relative to it.

    They are encoded anew from pixels, so nothing that the photographs' files say goes with them. An image there that
    globalconv did not write is refused.
    """
    names = example_names(source)
    for name in names:
        check_image_file("images", folder / name, ".jpg")
    for name, index in zip(names, spread_evenly(len(source), len(names)), strict=True):
        image, truth = source.image(index), source.label_map(index)
        predicted = result.subject.predictions.class_map(index)
        cells = [
            Image.fromarray(image),
            *(overlay(image, class_map, source.labels, legend=False) for class_map in (truth, predicted)),
        ]
        present = sorted({int(value) for value in np.unique([truth, predicted])})
        sheet = panel(["image", "label map", "prediction"], [cells], legend_entries(present, source.labels))
        write_image_file(folder / name, sheet)
    return names
