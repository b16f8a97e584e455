"""Figure 6: pictures with their truth and what the networks of Table 5 make of them, for the page."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.data.roots import Root
from globalconv.data.sources import open_source
from globalconv.data.sources.source import Source
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor, load
from globalconv.paper.comparison import Comparison, stages
from globalconv.paper.keys import data_name
from globalconv.paper.parts import Heading, Part, Pictures, Text
from globalconv.paper.report import Dataset
from globalconv.paper.results import RunResult
from globalconv.show.gallery import Row
from globalconv.show.legend import entries
from globalconv.show.overlay import overlay
from globalconv.training.run import RunFolder

SHOWN = 4
"""Pictures, evenly spread over the split, so that none is chosen by how well it comes out."""


def figure_6(datasets: Sequence[Dataset], runs: Path, root: Root | None) -> dict[str, list[Part]]:
    """Return the pictures of the data set at `root`, by its name; `runs` is the folder of the trainings."""
    for dataset in datasets:
        table = dataset.chosen.get("table5")
        if table and table.every_result[0].data["name"] == data_name(root):
            return {dataset.name: _pictures(table, runs, root)}
    raise InputError(f"--data: no results of Table 5 on {data_name(root)} are there to show pictures of")


def _pictures(table: Comparison, runs: Path, root: Root | None) -> list[Part]:
    results = _of_one_seed(table)
    predictors = {name: _last_weights(runs, result) for name, result in results.items()}
    result = next(iter(results.values()))
    layout = stages(result)[-1]["data"]["layout"]
    source = open_source(root, result.data["val_split"], layout, next(iter(predictors.values())).labels)
    places = np.unique(np.linspace(0, len(source) - 1, SHOWN).round().astype(int)).tolist()
    rows: list[Row] = []
    seen: set[int] = set()
    for index in places:
        row, classes = _row(source, index, predictors)
        rows.append(row)
        seen |= classes
    words = f"Evenly spread over the split, not chosen by result; seed {result.seed}, the last weights."
    columns = ["Image", "Truth", *predictors]
    legend = entries(sorted(seen), source.labels)
    return [Heading("As Figure 6", 3), Text(words), Pictures(columns, rows, legend)]


def _of_one_seed(table: Comparison) -> dict[str, RunResult]:
    """Return name -> result of the first seed that the most rows have, on the first fold."""
    rows = table.measured
    seeds = [seed for row in rows for seed in row.seeds]
    if not seeds:
        raise InputError("--runs: no training of Table 5 is finished; leave it out for a report without pictures")
    seed = max(sorted(set(seeds)), key=seeds.count)
    return {row.variant.name: row.results[seed][row.folds[0]] for row in rows if seed in row.seeds}


def _last_weights(runs: Path, result: RunResult) -> Predictor:
    folder = RunFolder(runs / result.key / "run").last
    if not folder.is_dir():
        raise InputError(f"{folder}: the weights of a result are not there; name the --runs folder of its grid")
    return load(folder, precision="float32")


def _row(source: Source, index: int, predictors: dict[str, Predictor]) -> tuple[Row, set[int]]:
    """Return the pictures of one sample, and the classes in them."""
    image = source.image(index)
    maps = [source.label_map(index), *(predictor.class_map(image) for predictor in predictors.values())]
    shown = [Image.fromarray(image), *(overlay(image, found, source.labels, legend=False) for found in maps)]
    classes = {int(value) for found in maps for value in np.unique(found)}
    return Row(source.sample_name(index), "", shown), classes
