"""What the recipes reach on real data: the official CamVid split, its five folds, MSRC21, the paper's own setting.

    python benchmarks/accuracy.py camvid|folds|msrc21|paper [--epochs N] [--out runs/accuracy]

Reads CamVid and MSRC21 under GLOBALCONV_DATA. Runs land in --out, one folder each; started again, finished runs are
only scored, and a stopped one goes on. Scores are of the best weights by the validation split, in float32, at the
label maps' own size.
"""

import json
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from common import print_rows, write_results

import globalconv
from globalconv.data.augment import PAPER
from globalconv.errors import DivergedError
from globalconv.hardware import choose_device
from globalconv.stopping import StopRequest
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.training.recipes import RECIPES


@dataclass(frozen=True)
class Settings:
    experiment: Annotated[str, tyro.conf.Positional]
    """camvid, folds, msrc21 or paper."""
    out: Path = Path("runs/accuracy")
    epochs: float | None = None
    """Instead of the recipe's own."""
    initial: Path = Path("runs/camvid-step642")
    """Network that the paper's setting starts from: one of our own, trained with live batch norm for a while."""


@dataclass(frozen=True)
class Case:
    """One training and the split it is scored on."""

    name: str
    recipe: Recipe
    data: Path
    initial: Path | None = None


def camvid(settings: Settings) -> list[Case]:
    return [Case("camvid", RECIPES["camvid"](), data("CamVid"))]


def folds(settings: Settings) -> list[Case]:
    """Return the five folds by clip and time: no frame of a validation fold is near one of its training frames."""
    root, recipe = data("CamVid"), RECIPES["camvid"]()
    names = sorted(path.name.removesuffix(".val.txt") for path in (root / "folds").glob("*.val.txt"))
    fold = {n: replace(recipe.data, train_split=f"folds/{n}.train", val_split=f"folds/{n}.val") for n in names}
    return [Case(name, replace(recipe, data=fold[name]), root) for name in names]


def msrc21(settings: Settings) -> list[Case]:
    """Return Baseline, GCN and GCN + BR at the same budget."""
    recipe = RECIPES["msrc21"]()
    baseline = replace(recipe.model, head=("pointwise",), boundary_refinement=False)
    models: dict[str, ModelSettings] = {"Baseline": baseline, "GCN + BR": recipe.model}
    return [Case(name, replace(recipe, model=model), data("MSRC21")) for name, model in models.items()]


def paper(settings: Settings) -> list[Case]:
    """Return the paper's optimiser (batch 1, momentum 0.99, frozen batch norm) from our weights, at several rates."""
    recipe, ours = RECIPES["paper-ablation"](), RECIPES["camvid"]()
    model = replace(ours.model, backbone_norm="frozen")
    samples = replace(recipe.data, layout="camvid", augmentation=replace(PAPER, crop=(360, 480)))
    set_up = replace(recipe, model=model, steps=2000, evaluate_every=1000, data=samples)
    # Classes weigh what they weighed before: a change of weights would hide what the optimiser does.
    optim = replace(recipe.optim, class_weights=ours.optim.class_weights)
    rates = (2.6e-5,)
    return [
        Case(f"lr {rate:g}", replace(set_up, optim=replace(optim, lr=rate)), data("CamVid"), settings.initial)
        for rate in rates
    ]


EXPERIMENTS: dict[str, Callable[[Settings], list[Case]]] = {
    "camvid": camvid,
    "folds": folds,
    "msrc21": msrc21,
    "paper": paper,
}


COLUMNS = ("miou", "pixel_accuracy", "images", "steps", "best_step", "wall_minutes")


def data(name: str) -> Path:
    return Path(os.environ["GLOBALCONV_DATA"]) / name


def run(case: Case, settings: Settings, stop: StopRequest) -> dict[str, Any]:
    """Train (or go on with, or only score) one case; return its row."""
    recipe = case.recipe if settings.epochs is None else replace(case.recipe, epochs=settings.epochs, steps=None)
    out = settings.out / settings.experiment / case.name.replace(" ", "-")
    try:
        globalconv.train(recipe, case.data, out, resume=out.exists(), init_from=case.initial, stop=stop)
    except DivergedError as error:
        return {"case": case.name, **dict.fromkeys(COLUMNS), "note": str(error)}
    return row(case.name, out, case)


def row(name: str, weights: Path, case: Case) -> dict[str, Any]:
    """Score saved weights, in float32, on the case's validation split; add what the run's log says."""
    settings = case.recipe.data
    fields = globalconv.evaluate(weights, case.data, settings.val_split, settings.layout).to_json()
    log = weights / "metrics.jsonl"
    events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    scores = {"miou": round(fields["miou"], 4), "pixel_accuracy": round(fields["pixel_accuracy"], 4)}
    steps = {"steps": None, "best_step": None}
    if evaluated := [event for event in events if event["event"] == "evaluation"]:
        steps = {"steps": evaluated[-1]["step"], "best_step": evaluated[-1]["best_step"]}
    whole = sum(event["event"] == "start" for event in events) == 1
    wall = wall_minutes(weights) if whole else None
    return {"case": name, **scores, "images": fields["images"], **steps, "wall_minutes": wall, "note": ""}


def wall_minutes(out: Path) -> float:
    """Return the minutes from start to end of a run that was never stopped, evaluations included."""
    newest = max((out / "checkpoints").glob("*.ckpt"))
    return round((newest.stat().st_mtime - (out / "dataset.json").stat().st_mtime) / 60, 1)


def main(settings: Settings) -> None:
    if settings.experiment not in EXPERIMENTS:
        raise SystemExit(f"experiment {settings.experiment!r}: one of {', '.join(EXPERIMENTS)}")
    cases = EXPERIMENTS[settings.experiment](settings)
    with StopRequest().listening() as stop:
        rows = [row("before", cases[0].initial, cases[0])] if cases[0].initial else []
        rows += [run(case, settings, stop) for case in cases]
    scores = [found["miou"] for found in rows if found["miou"] is not None]
    if settings.experiment == "folds" and len(scores) > 1:
        mean = {"case": "mean", "miou": round(statistics.mean(scores), 4)}
        spread = f"standard deviation between folds {statistics.stdev(scores):.4f}"
        rows.append({**dict.fromkeys(rows[0]), **mean, "note": spread})
    print_rows(settings.experiment, rows)
    facts = {name: str(value) for name, value in asdict(settings).items() if value is not None}
    write_results(
        f"accuracy-{settings.experiment}", str(choose_device()), facts, {f"mIoU: {settings.experiment}": rows}
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
