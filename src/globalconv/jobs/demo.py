"""`globalconv demo`: the main job end to end, on built-in data.

Draws scenes, trains the Baseline and the GCN with Boundary Refinement on them, and compares both in a report.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from globalconv.training.recipes.index import RECIPES
from globalconv.visual.overlay import legend_entries, overlay
from globalconv.visual.panel import Column, panel

DATA, IMAGES, PAGE = "data", "scenes.png", "index.html"
"""What the demo's folder holds beside a run folder for each network."""
VAL_SCENES = 100
"""Scenes that the networks are scored on."""
DRAWN = 6
"""Validation scenes in `scenes.png`: the first ones, not the best ones."""


@dataclass(frozen=True)
class DemoNetwork:
    """One of the networks compared, and the model settings in which it differs from the recipe's network."""

    name: str
    folder: str
    changes: dict[str, Any] = field(default_factory=dict)


NETWORKS = (
    DemoNetwork("Baseline", "baseline", {"head": ("pointwise",), "boundary_refinement": False}),
    DemoNetwork("GCN + BR", "gcn-br"),
)
"""Figure 2A with 1 x 1 heads and without refinement, and the whole of it; all other settings equal."""


def run_demo(out: Path, scenes: int, steps: int | None, stop: StopRequest, log: Log) -> Path:
    """Draw scenes, train the networks on them, compare both; return the report. A stopped demo goes on.

    The scenes are written as a folder data set, because both networks see each of them several times.
    """
    if scenes < 1:
        raise InputError(f"`scenes` {scenes}: give at least 1")
    recipe = RECIPES["scenes"]()
    recipe = replace(recipe, data=replace(recipe.data, layout="folder"))
    if steps is not None:
        recipe = replace(recipe, steps=steps)

    # Nothing is mixed with what the demo did not make.
    own = {DATA, IMAGES, PAGE, *(network.folder for network in NETWORKS)}
    if out.exists() and not out.is_dir():
        raise InputError(f"`out` {out}: is a file; name a folder")
    if out.is_dir() and (others := sorted(path.name for path in out.iterdir() if path.name not in own)):
        raise InputError(f"`out` {out}: holds other things ({', '.join(others[:3])}); name a new folder")
    check_page(out / PAGE)

    scene_set = SceneSet(train=scenes, val=VAL_SCENES)
    with Progress("drawn", len(scene_set), "scenes") as progress:
        write_scenes(out / DATA, scene_set, on_progress=lambda done, total: progress.update(done))

    for number, network in enumerate(NETWORKS, start=1):
        log("")
        log(f"== {number} of {len(NETWORKS)}: {network.name}, trained on generated scenes")
        run = out / network.folder
        its_recipe = replace(recipe, model=replace(recipe.model, **network.changes))
        train(its_recipe, out / DATA, run, resume=(run / "recipe.json").exists(), stop=stop)

    write_scene_images(out, open_source(out / DATA, recipe.data.val_split, "folder"))
    log("")
    log(f"== {len(NETWORKS)} networks on the same scenes")
    runs, names = [out / network.folder for network in NETWORKS], [network.name for network in NETWORKS]
    return report(runs, out=out / PAGE, names=names)


def write_scene_images(out: Path, source: Source) -> None:
    """Write `scenes.png`: a row per scene, with its true classes and those that each network predicts."""
    labels = source.labels
    predictors = [load(out / network.folder, precision="float32") for network in NETWORKS]
    columns = [Column("Image"), Column("Truth")]
    for network, predictor in zip(NETWORKS, predictors, strict=True):
        columns.append(Column(network.name, f"mIoU {predictor.info['miou']:.3f}"))
    rows = []
    for index in range(min(DRAWN, len(source))):
        image = source.image(index)
        maps = [source.label_map(index), *(predictor.class_map(image) for predictor in predictors)]
        overlays = [overlay(image, class_map, labels, legend=False) for class_map in maps]
        rows.append([Image.fromarray(image), *overlays])
    legend = legend_entries(range(labels.num_classes), labels)
    sheet = panel(columns, rows, legend, title="Generated scenes the networks have not seen")
    write_atomic(out / IMAGES, lambda file: sheet.save(file, format="PNG"))
