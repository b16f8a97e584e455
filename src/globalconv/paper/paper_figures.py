"""Figures 6 and 3 of the paper for the networks of Table 5: class maps of images, and valid receptive fields."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.roots import Root
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor, load
from globalconv.paper.keys import data_name
from globalconv.paper.measured_tables import MeasuredTable, stages_of_result
from globalconv.paper.paper_report import DatasetResults
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.receptive_field.figure3 import deepest_pixel, draw_fields, measure_fields
from globalconv.reports.page import (
    Block,
    ClassLegend,
    Gallery,
    GalleryRow,
    Note,
    Subheading,
    Table,
    TableRow,
    embed,
)
from globalconv.training.run_folder import RunFolder
from globalconv.visual.overlay import classes_present, legend_entries, overlay

IMAGES = 4
"""Images, evenly spread over the split, so that none is chosen by how well it comes out."""

SCALES = (1.0, 2.0)
"""Sizes at which Figure 3 shows one object."""


def paper_figures(
    datasets: Sequence[DatasetResults], runs: Path, data: Root | None, occluders: int | None
) -> dict[str, list[Block]]:
    """Return the figures of the data set `data`, under its name; `runs` is the folder of its trainings.

    The networks are the last weights of one seed of each row of Table 5. Figure 6 shows their class maps, and Figure 3,
    with a number of `occluders`, their valid receptive fields.
    """
    for dataset in datasets:
        table = dataset.main_tables.get("table5")
        if table is None or table.all_results[0].data["name"] != data_name(data):
            continue
        seed, predictors = _load_networks(table, runs)
        result = table.all_results[0]
        layout = stages_of_result(result)[-1]["data"]["layout"]
        split = table.rows[0].folds[0]
        first = next(iter(predictors.values()))
        source = open_source(data, split, layout, first.labels, image_format=first.image_format)
        indices = np.unique(np.linspace(0, len(source) - 1, IMAGES).round().astype(int)).tolist()
        blocks = figure_6(predictors, source, indices, seed)
        if occluders:
            blocks += figure_3(predictors, source, indices, seed, occluders)
        return {dataset.name: blocks}
    raise InputError(f"`data`: no results of Table 5 on {data_name(data)} are there to show images of")


def _load_networks(table: MeasuredTable, runs: Path) -> tuple[int, dict[str, Predictor]]:
    """Return the first seed that the most rows have, and by row the last weights of its training on the first fold."""
    seeds = [seed for row in table.complete_rows for seed in row.seeds]
    if not seeds:
        raise InputError("`runs`: no training of Table 5 is finished; leave it out for a report without images")
    seed = max(sorted(set(seeds)), key=seeds.count)
    predictors = {}
    for row in table.complete_rows:
        if seed not in row.seeds:
            continue
        weights = RunFolder(runs / row.results[seed][row.folds[0]].key / "run").last
        if not weights.is_dir():
            raise InputError(f"{weights}: the weights of a result are not there; name the `runs` folder of its grid")
        predictors[row.variant.name] = load(weights, precision="float32")
    return seed, predictors


def figure_6(predictors: dict[str, Predictor], source: Source, indices: Sequence[int], seed: int) -> list[Block]:
    """Return images beside their label map and the class map of each network."""
    rows = []
    classes: set[int] = set()
    for index in indices:
        image = source.image(index)
        maps = [source.label_map(index), *(predictor.class_map(image) for predictor in predictors.values())]
        overlays = [overlay(image, class_map, source.labels, legend=False) for class_map in maps]
        images = [embed(shown) for shown in (Image.fromarray(image), *overlays)]
        rows.append(GalleryRow(source.sample_name(index), "", images))
        classes |= {value for class_map in maps for value in classes_present(class_map)}
    words = f"Evenly spread over the split, not chosen by result; seed {seed}, the last weights."
    gallery = Gallery(["Image", "Truth", *predictors], rows)
    legend = ClassLegend(legend_entries(sorted(classes), source.labels))
    return [Subheading("As Figure 6"), Note(words), gallery, legend]


def figure_3(
    predictors: dict[str, Predictor], source: Source, indices: Sequence[int], seed: int, occluders: int
) -> list[Block]:
    """Return the valid receptive fields at the deepest pixel of an object, shown at two sizes, and their areas.

    The object is the largest one that lies wholly inside its image, in the first of the images that has such a one.
    """
    objects = ((index, deepest_pixel(source.label_map(index))) for index in indices)
    index, at = next(((index, pixel) for index, pixel in objects if pixel is not None), (0, None))
    if at is None:
        return [Subheading("As Figure 3"), Note("None of the images above has an object that lies wholly inside it.")]
    settings = FieldSettings(scales=SCALES, occluders=occluders)
    fields = measure_fields(predictors, source.image(index), at, settings, None, source.label_map(index))
    words = (
        "The valid receptive field of the score of the marked pixel, for the class that each network predicts there:"
        f" where an occluder of {settings.occluder} x {settings.occluder} pixels changes the score by at least"
        f" {settings.least:.0%} of the largest change; about {settings.occluders:,} places. The object is the largest"
        f" one of this image that lies wholly inside it. Seed {seed}, the last weights."
    )
    rows = []
    for scale in settings.scales:
        images = draw_fields([field for field in fields if field.scale == scale])
        rows.append(GalleryRow(source.sample_name(index), f"scale {scale:g}", list(map(embed, images))))
    areas = []
    for field in fields:
        share_of_image = f"{field.pixels / field.region.size:.1%}"
        share_of_object = "–" if field.held is None else f"{field.held:.1%}"
        cells = [field.class_name, f"{field.pixels:,}", share_of_image, share_of_object]
        areas.append(TableRow(f"{field.name}, scale {field.scale:g}", cells))
    table = Table(["score of", "pixels", "of the image", "of the object"], areas, "whole")
    return [Subheading("As Figure 3"), Note(words), Gallery(["Image", *predictors], rows), table]
