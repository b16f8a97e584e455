"""What the recipes reach on real data: the official CamVid split, its five folds, MSRC21, the paper's own setting.

    python benchmarks/accuracy.py EXPERIMENT [--only CASE] [--epochs N] [--out runs/accuracy]

EXPERIMENT is camvid, folds or msrc21, of the recipes that start from pre-trained weights; folder-msrc21, the recipe
`folder` on MSRC21; camvid-scratch, folds-scratch or msrc21-scratch, of those from scratch; or paper.

Reads CamVid and MSRC21 under GLOBALCONV_DATA. Runs land in --out, one folder each; started again, finished runs are
only scored, and a stopped one goes on. Scores are of the best weights by the validation split, in float32, at the
label maps' own size. Rows are written as they are made; those of other cases with today's recipe stay, so that an
experiment can be spread over processes (`--only`) or days.
"""

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from common import RESULTS, print_rows, write_report
from trainings import Case, run, still_valid

from globalconv.data.transform_settings import PAPER_AUGMENTATION
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.training.recipes.index import RECIPES


@dataclass(frozen=True)
class Settings:
    experiment: Annotated[str, tyro.conf.Positional]
    """One of `EXPERIMENTS`."""
    only: str | None = None
    """One case of the experiment, by its name; the others' rows stay as they are."""
    out: Path = Path("runs/accuracy")
    epochs: float | None = None
    """Instead of the recipe's own."""


def official(recipe: str) -> list[Case]:
    """Return CamVid's official split, of the recipe of this name."""
    return [Case(recipe, RECIPES[recipe](), data("CamVid"))]


def folds(recipe_name: str) -> list[Case]:
    """Return the five folds by clip and time: no frame of a validation fold is near one of its training frames."""
    root, recipe = data("CamVid"), RECIPES[recipe_name]()
    names = sorted(path.name.removesuffix(".val.txt") for path in (root / "folds").glob("*.val.txt"))
    fold = {n: replace(recipe.data, train_split=f"folds/{n}.train", val_split=f"folds/{n}.val") for n in names}
    return [Case(name, replace(recipe, data=fold[name]), root) for name in names]


def own_folder() -> list[Case]:
    """Return MSRC21 as a folder of one's own, whose recipe knows nothing of it, from ImageNet weights and without."""
    recipe = RECIPES["folder"]()
    starts = {"folder": recipe, "folder from scratch": recipe.from_scratch()}
    return [Case(name, its_recipe, data("MSRC21")) for name, its_recipe in starts.items()]


def with_baseline(recipe_name: str) -> list[Case]:
    """Return Baseline and GCN + BR on MSRC21, at the same budget."""
    recipe = RECIPES[recipe_name]()
    baseline = replace(recipe.model, head=("pointwise",), boundary_refinement=False)
    models: dict[str, ModelSettings] = {"Baseline": baseline, "GCN + BR": recipe.model}
    return [Case(name, replace(recipe, model=model), data("MSRC21")) for name, model in models.items()]


def paper() -> list[Case]:
    """Return the paper's optimiser (batch 1, momentum 0.99, frozen batch norm) at several rates, and what they start
    from: a network of our own, trained for a short while with live batch norm.
    """
    recipe, ours = RECIPES["paper-ablation"](), RECIPES["camvid-scratch"]()
    ours = replace(ours, model=replace(ours.model, backbone="resnet18"))
    start = Case("start", replace(ours, epochs=14), data("CamVid"))
    model = replace(ours.model, backbone_norm="frozen")
    samples = replace(recipe.data, layout="camvid", augmentation=replace(PAPER_AUGMENTATION, crop=(360, 480)))
    set_up = replace(recipe, model=model, steps=2000, evaluate_every=1000, data=samples)
    # Classes weigh what they weighed before: a change of weights would hide what the optimiser does.
    optim = replace(recipe.optim, class_weights=ours.optim.class_weights)
    return [
        start,
        *(
            Case(f"lr {rate:g}", replace(set_up, optim=replace(optim, lr=rate)), data("CamVid"), start.name)
            for rate in PAPER_RATES
        ),
    ]


PAPER_RATES = (2.6e-6, 2.6e-5, 1e-4, 2.6e-4)
"""FCN's rate for a mean over 512 x 512 pixels is 2.6e-5; a tenth of it, about four times, and ten times."""


EXPERIMENTS: dict[str, Callable[[], list[Case]]] = {
    "camvid": partial(official, "camvid"),
    "camvid-scratch": partial(official, "camvid-scratch"),
    "folder-msrc21": own_folder,
    "folds": partial(folds, "camvid"),
    "folds-scratch": partial(folds, "camvid-scratch"),
    "msrc21": partial(with_baseline, "msrc21"),
    "msrc21-scratch": partial(with_baseline, "msrc21-scratch"),
    "paper": paper,
}


def data(name: str) -> Path:
    return Path(os.environ["GLOBALCONV_DATA"]) / name


def shortened(case: Case, epochs: float) -> Case:
    assert isinstance(case.recipe, Recipe)
    return replace(case, recipe=replace(case.recipe, epochs=epochs, steps=None))


def write(settings: Settings, cases: list[Case], made: dict[str, Any]) -> None:
    """Write the row `made` among those of the other cases, made before or elsewhere, of the same recipe."""
    path, title = RESULTS / f"accuracy-{settings.experiment}.json", f"mIoU: {settings.experiment}"
    old = json.loads(path.read_text())["tables"].get(title, []) if path.exists() else []
    kept = still_valid(cases, [*old, made])
    rows = [*kept, *mean_row(settings, cases, kept)]
    print_rows(settings.experiment, rows)
    command = f"accuracy.py {settings.experiment}" + (f" --epochs {settings.epochs:g}" if settings.epochs else "")
    write_report(path, {"command": f"python benchmarks/{command}", "settings": {}, "tables": {title: rows}})


def mean_row(settings: Settings, cases: list[Case], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the row of the mean over all folds, once they are all there."""
    scores = [found["miou"] for found in rows if found["miou"] is not None]
    if not settings.experiment.startswith("folds") or len(scores) < len(cases):
        return []
    mean = {"case": "mean", "miou": round(statistics.mean(scores), 4)}
    return [{**dict.fromkeys(rows[0]), **mean, "note": f"standard deviation {statistics.stdev(scores):.4f}"}]


def main(settings: Settings) -> None:
    if settings.experiment not in EXPERIMENTS:
        raise SystemExit(f"experiment {settings.experiment!r}: one of {', '.join(EXPERIMENTS)}")
    cases = EXPERIMENTS[settings.experiment]()
    if settings.epochs is not None:
        cases = [shortened(case, settings.epochs) for case in cases]
    chosen = [case for case in cases if settings.only in (None, case.name)]
    if not chosen:
        raise SystemExit(f"--only {settings.only!r}: one of {', '.join(case.name for case in cases)}")
    with StopRequest().listening() as stop:
        for case in chosen:
            write(settings, cases, run(case, settings.out / settings.experiment, stop))


if __name__ == "__main__":
    main(tyro.cli(Settings))
