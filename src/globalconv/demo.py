"""The main job end to end on built-in data: train Baseline and GCN + BR, score both, show what they see."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from globalconv.api import evaluate
from globalconv.data.sources import Source, open_source
from globalconv.errors import InputError
from globalconv.evaluation.score import Score
from globalconv.files import write_atomic
from globalconv.infer.predictor import Predictor, load
from globalconv.show import page
from globalconv.show.legend import entries
from globalconv.show.overlay import error_map, overlay
from globalconv.show.panel import Column, panel
from globalconv.stopping import StopRequest
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.training.recipes import RECIPES
from globalconv.training.start import run_training

Say = Callable[[str], None]

SHOWN = 6
"""Validation scenes in the pictures: the first ones, not the best ones."""


@dataclass(frozen=True)
class Contender:
    """One of the networks compared, and how it differs from the recipe's network."""

    name: str
    folder: str
    change: Callable[[ModelSettings], ModelSettings]


@dataclass(frozen=True)
class Result:
    """A contender after its training."""

    name: str
    predictor: Predictor
    score: Score

    @property
    def column(self) -> Column:
        return Column(self.name, f"mIoU {self.score.miou:.3f}")


CONTENDERS = (
    Contender("Baseline", "baseline", lambda m: dataclasses.replace(m, head=("pointwise",), boundary_refinement=False)),
    Contender("GCN + BR", "gcn-br", lambda m: m),
)
"""Figure 2A with 1 x 1 heads and without refinement, and the whole of it; all other settings equal."""


def run_demo(out: Path, steps: int | None, stop: StopRequest, say: Say) -> Path:
    """Train, score and compare the contenders on generated scenes; return the page. A stopped demo goes on."""
    recipe = RECIPES["scenes"]()
    if steps is not None:
        recipe = dataclasses.replace(recipe, steps=steps)
    _check_folder(out)
    results = []
    for number, contender in enumerate(CONTENDERS, start=1):
        say(f"\n== {number} of {len(CONTENDERS)}: {contender.name}, trained on generated scenes")
        results.append(_train_and_score(contender, recipe, out, stop, say))
    source = open_source(None, recipe.data.val_split, "scenes")
    return write_comparison(out, source, results)


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything in it that the demo did not make."""
    ours = {contender.folder for contender in CONTENDERS} | {"index.html", "scenes.png"}
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    if out.is_dir() and (others := sorted(path.name for path in out.iterdir() if path.name not in ours)):
        raise InputError(f"--out {out}: holds other things ({', '.join(others[:3])}); name a new folder")


def _train_and_score(contender: Contender, recipe: Recipe, out: Path, stop: StopRequest, say: Say) -> Result:
    changed = dataclasses.replace(recipe, model=contender.change(recipe.model))
    run = out / contender.folder
    run_training(changed, None, run, (run / "recipe.json").exists(), None, stop, say)
    predictor = load(run, precision="float32")
    score = evaluate(predictor, layout="scenes", split=recipe.data.val_split)
    say(score.table())
    return Result(contender.name, predictor, score)


def write_comparison(out: Path, source: Source, results: list[Result]) -> Path:
    """Write `scenes.png`, rows of image, truth and predictions, and `index.html` around it; return the page."""
    labels = source.labels
    columns = [Column("Image"), Column("Truth"), *(result.column for result in results)]
    rows, errors = [], []
    for index in range(min(SHOWN, len(source))):
        image, truth = source.image(index), source.label_map(index)
        maps = [result.predictor.class_map(image) for result in results]
        shown = [overlay(image, class_map, labels, legend=False) for class_map in (truth, *maps)]
        rows.append([Image.fromarray(image), *shown])
        errors.append([error_map(image, class_map, truth) for class_map in maps])
    legend = entries(range(labels.num_classes), labels)
    sheet = panel(columns, rows, legend, title="Generated scenes the networks have not seen")
    write_atomic(out / "scenes.png", lambda file: sheet.save(file, format="PNG"))
    embedded = [[page.embedded(picture, quality=90) for picture in row] for row in rows]
    wrong = [[page.embedded(picture, quality=85) for picture in row] for row in errors]
    parts = [
        page.heading("Scores on the validation scenes"),
        page.scores({result.name: _rows(result.score) for result in results}, strong=["mIoU"]),
        page.heading("What they see"),
        page.gallery(columns, embedded, legend),
        page.heading("Where they are wrong"),
        page.gallery([result.column for result in results], wrong),
    ]
    lead = (
        "Two networks with the same backbone and the same training: Baseline reads every cell of the feature maps by"
        " itself (1 x 1 heads); GCN + BR sees a large window of cells (k x k, separable) and refines boundaries."
    )
    page.write_page(out / "index.html", "globalconv demo: Baseline against GCN + BR", lead, parts)
    return out / "index.html"


def _rows(score: Score) -> dict[str, float | None]:
    fields = score.to_json()
    return {"mIoU": fields["miou"], **fields["iou"], "pixel accuracy": fields["pixel_accuracy"]}
