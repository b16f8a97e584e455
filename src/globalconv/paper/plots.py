"""Figures 6 and 3 of the networks of Table 5, for the page: what they make of images, and what a pixel rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.roots import Root
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor, load
from globalconv.paper.comparison import Comparison, stages
from globalconv.paper.keys import data_name
from globalconv.paper.paper_report import Dataset
from globalconv.paper.parts import Grid, Heading, Images, Part, Text
from globalconv.paper.results import RunResult
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.receptive_field.figure3 import ReceptiveField, deepest_pixel, draw_fields, measure_fields
from globalconv.reports.page import GalleryRow, embed
from globalconv.training.run_folder import RunFolder
from globalconv.visual.overlay import legend_entries, overlay

SHOWN = 4
"""Images, evenly spread over the split, so that none is chosen by how well it comes out."""

SCALES = (1.0, 2.0)
"""Sizes at which Figure 3 shows one object."""


@dataclass(frozen=True)
class Shown:
    """The last weights of one seed of each row of Table 5, and the images they are shown on."""

    predictors: dict[str, Predictor]
    source: Source
    places: Sequence[int]
    seed: int


def figures(datasets: Sequence[Dataset], runs: Path, root: Root | None, occluders: int | None) -> dict[str, list[Part]]:
    """Return the figures of the data set at `root`, by its name; `runs` is the folder of the trainings.

    Figure 6, and with a number of `occluders` Figure 3.
    """
    for dataset in datasets:
        table = dataset.chosen.get("table5")
        if table and table.every_result[0].data["name"] == data_name(root):
            shown = _shown(table, runs, root)
            return {dataset.name: figure_6(shown) + (figure_3(shown, occluders) if occluders else [])}
    raise InputError(f"`data`: no results of Table 5 on {data_name(root)} are there to show images of")


def _shown(table: Comparison, runs: Path, root: Root | None) -> Shown:
    results = _of_one_seed(table)
    predictors = {name: _last_weights(runs, result) for name, result in results.items()}
    result = next(iter(results.values()))
    layout = stages(result)[-1]["data"]["layout"]
    source = open_source(root, result.data["val_split"], layout, next(iter(predictors.values())).labels)
    places = np.unique(np.linspace(0, len(source) - 1, SHOWN).round().astype(int)).tolist()
    return Shown(predictors, source, places, result.seed)


def _of_one_seed(table: Comparison) -> dict[str, RunResult]:
    """Return name -> result of the first seed that the most rows have, on the first fold."""
    rows = table.measured
    seeds = [seed for row in rows for seed in row.seeds]
    if not seeds:
        raise InputError("`runs`: no training of Table 5 is finished; leave it out for a report without images")
    seed = max(sorted(set(seeds)), key=seeds.count)
    return {row.variant.name: row.results[seed][row.folds[0]] for row in rows if seed in row.seeds}


def _last_weights(runs: Path, result: RunResult) -> Predictor:
    folder = RunFolder(runs / result.key / "run").last
    if not folder.is_dir():
        raise InputError(f"{folder}: the weights of a result are not there; name the `runs` folder of its grid")
    return load(folder, precision="float32")


def figure_6(shown: Shown) -> list[Part]:
    """Return images with their truth and what each network makes of them."""
    rows: list[GalleryRow] = []
    seen: set[int] = set()
    for index in shown.places:
        row, classes = _row(shown.source, index, shown.predictors)
        rows.append(row)
        seen |= classes
    words = f"Evenly spread over the split, not chosen by result; seed {shown.seed}, the last weights."
    columns = ["Image", "Truth", *shown.predictors]
    legend = legend_entries(sorted(seen), shown.source.labels)
    return [Heading("As Figure 6", 3), Text(words), Images(columns, rows, legend)]


def _row(source: Source, index: int, predictors: dict[str, Predictor]) -> tuple[GalleryRow, set[int]]:
    """Return the images of one sample, and the classes in them."""
    image = source.image(index)
    maps = [source.label_map(index), *(predictor.class_map(image) for predictor in predictors.values())]
    images = [Image.fromarray(image), *(overlay(image, found, source.labels, legend=False) for found in maps)]
    classes = {int(value) for found in maps for value in np.unique(found)}
    return GalleryRow(source.sample_name(index), "", list(map(embed, images))), classes


def figure_3(shown: Shown, occluders: int) -> list[Part]:
    """Return the valid receptive fields at the deepest pixel of an object, shown at two sizes, and their areas.

    The object is the largest one that lies wholly inside its image, in the first of the images that has such a one.
    """
    settings = FieldSettings(scales=SCALES, occluders=occluders)
    for index in shown.places:
        label_map = shown.source.label_map(index)
        if (at := deepest_pixel(label_map)) is None:
            continue
        fields = measure_fields(shown.predictors, shown.source.image(index), at, settings, None, label_map)
        return _fields(shown, index, fields, settings)
    return [Heading("As Figure 3", 3), Text("None of the images above has an object that lies wholly inside it.")]


def _fields(shown: Shown, index: int, fields: Sequence[ReceptiveField], settings: FieldSettings) -> list[Part]:
    words = (
        "What the score of the marked pixel rests on, for the class that each network sees there: where an occluder of"
        f" {settings.occluder} x {settings.occluder} pixels changes it by at least {settings.least:.0%} of the largest"
        f" change; about {settings.occluders:,} places. The object is the largest of this image that lies wholly"
        f" inside it. Seed {shown.seed}, the last weights."
    )
    by_scale = [[field for field in fields if field.scale == scale] for scale in settings.scales]
    name = shown.source.sample_name(index)
    rows = [
        GalleryRow(name, f"scale {of_one[0].scale:g}", list(map(embed, draw_fields(of_one)))) for of_one in by_scale
    ]
    areas = {
        f"{one.name}, scale {one.scale:g}": [
            one.class_name, f"{one.pixels:,}", f"{one.pixels / one.region.size:.1%}",
            "–" if one.held is None else f"{one.held:.1%}",
        ]
        for one in fields
    }  # fmt: skip
    table = Grid(["score of", "pixels", "of the image", "of the object"], areas)
    return [Heading("As Figure 3", 3), Text(words), Images(["Image", *shown.predictors], rows, ()), table]
