"""The main job end to end on built-in data: draw scenes, train Baseline and GCN + BR, compare both in a report."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.scenes.writing import SceneSet, write_scenes
from globalconv.data.source import Source
from globalconv.errors import InputError, Log
from globalconv.infer.predictor import load
from globalconv.jobs.report import report
from globalconv.jobs.train import train
from globalconv.reports.page import check_page
from globalconv.runtime.files import write_atomic
from globalconv.runtime.progress import Progress
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import ModelSettings
from globalconv.training.recipes.index import RECIPES
from globalconv.visual.overlay import legend_entries, overlay
from globalconv.visual.panel import Column, panel

SHOWN = 6
"""Validation scenes in the images: the first ones, not the best ones."""

DATA, VAL = "data", 100
"""Folder of the scenes, and how many of them the networks are scored on."""


@dataclass(frozen=True)
class Contender:
    """One of the networks compared, and how it differs from the recipe's network."""

    name: str
    folder: str
    change: Callable[[ModelSettings], ModelSettings]


CONTENDERS = (
    Contender("Baseline", "baseline", lambda m: dataclasses.replace(m, head=("pointwise",), boundary_refinement=False)),
    Contender("GCN + BR", "gcn-br", lambda m: m),
)
"""Figure 2A with 1 x 1 heads and without refinement, and the whole of it; all other settings equal."""


def run_demo(out: Path, scenes: int, steps: int | None, stop: StopRequest, log: Log) -> Path:
    """Draw scenes, train the contenders on them, compare both; return the report. A stopped demo goes on.

    The scenes are written as a folder data set, because both networks see each of them several times.
    """
    if scenes < 1:
        raise InputError(f"`scenes` {scenes}: give at least 1")
    recipe = RECIPES["scenes"]()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, layout="folder"))
    if steps is not None:
        recipe = dataclasses.replace(recipe, steps=steps)
    _check_folder(out)
    data = out / DATA
    drawn = SceneSet(train=scenes, val=VAL)
    with Progress("drawn", len(drawn.jobs()), "scenes") as progress:
        write_scenes(data, drawn, on_progress=lambda done, total: progress.update(done))
    for number, contender in enumerate(CONTENDERS, start=1):
        log(f"\n== {number} of {len(CONTENDERS)}: {contender.name}, trained on generated scenes")
        changed = dataclasses.replace(recipe, model=contender.change(recipe.model))
        run = out / contender.folder
        train(changed, data, run, resume=(run / "recipe.json").exists(), stop=stop)
    write_images(out, open_source(data, recipe.data.val_split, "folder"))
    log(f"\n== {len(CONTENDERS)} networks on the same scenes")
    names = [contender.name for contender in CONTENDERS]
    return report([out / contender.folder for contender in CONTENDERS], out=out / "index.html", names=names)


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it that the demo did not make."""
    ours = {contender.folder for contender in CONTENDERS} | {DATA, "index.html", "scenes.png"}
    if out.exists() and not out.is_dir():
        raise InputError(f"`out` {out}: is a file; name a folder")
    if out.is_dir() and (others := sorted(path.name for path in out.iterdir() if path.name not in ours)):
        raise InputError(f"`out` {out}: holds other things ({', '.join(others[:3])}); name a new folder")
    check_page(out / "index.html")


def write_images(out: Path, source: Source) -> None:
    """Write `scenes.png`: rows of a scene, its true classes, and what each contender sees in it."""
    labels = source.labels
    predictors = [load(out / contender.folder, precision="float32") for contender in CONTENDERS]
    scores = [predictor.info["miou"] for predictor in predictors]
    notes = [Column(c.name, f"mIoU {score:.3f}") for c, score in zip(CONTENDERS, scores, strict=True)]
    rows = []
    for index in range(min(SHOWN, len(source))):
        image = source.image(index)
        maps = [source.label_map(index), *(predictor.class_map(image) for predictor in predictors)]
        rows.append([Image.fromarray(image), *(overlay(image, shown, labels, legend=False) for shown in maps)])
    legend = legend_entries(range(labels.num_classes), labels)
    title = "Generated scenes the networks have not seen"
    sheet = panel([Column("Image"), Column("Truth"), *notes], rows, legend, title=title)
    write_atomic(out / "scenes.png", lambda file: sheet.save(file, format="PNG"))
