"""What the recipes reach on real data: the official CamVid split, its five folds, MSRC21, the paper's own setting.

    python benchmarks/accuracy.py camvid|folds|msrc21|paper [--only CASE] [--epochs N] [--out runs/accuracy]

Reads CamVid and MSRC21 under GLOBALCONV_DATA. Runs land in --out, one folder each; started again, finished runs are
only scored, and a stopped one goes on. Scores are of the best weights by the validation split, in float32, at the
label maps' own size. Rows are written as they are made; those of other cases with today's recipe stay, so that an
experiment can be spread over processes (`--only`) or days.
"""

import hashlib
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from common import RESULTS, cpu_model, print_rows, write_report

import globalconv
from globalconv.data.augment import PAPER
from globalconv.errors import DivergedError
from globalconv.stopping import StopRequest
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.training.recipes import RECIPES


@dataclass(frozen=True)
class Settings:
    experiment: Annotated[str, tyro.conf.Positional]
    """camvid, folds, msrc21 or paper."""
    only: str | None = None
    """One case of the experiment, by its name; the others' rows stay as they are."""
    out: Path = Path("runs/accuracy")
    epochs: float | None = None
    """Instead of the recipe's own."""


@dataclass(frozen=True)
class Case:
    """One training and the split it is scored on."""

    name: str
    recipe: Recipe
    data: Path
    starts_from: str | None = None
    """Case of the same experiment whose network this one starts from."""

    def fingerprint(self) -> str:
        """Return what tells this case's recipe from an older one of the same name."""
        return hashlib.sha256(json.dumps(self.recipe.to_json()).encode()).hexdigest()[:8]


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
    """Return the paper's optimiser (batch 1, momentum 0.99, frozen batch norm) at several rates, and what they start
    from: a network of our own, trained for a short while with live batch norm.
    """
    recipe, ours = RECIPES["paper-ablation"](), RECIPES["camvid"]()
    ours = replace(ours, model=replace(ours.model, backbone="resnet18"))
    start = Case("start", replace(ours, epochs=14), data("CamVid"))
    model = replace(ours.model, backbone_norm="frozen")
    samples = replace(recipe.data, layout="camvid", augmentation=replace(PAPER, crop=(360, 480)))
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
    out = folder(case.name, settings)
    initial = None if case.starts_from is None else folder(case.starts_from, settings)
    try:
        globalconv.train(case.recipe, case.data, out, resume=out.exists(), init_from=initial, stop=stop)
    except DivergedError as error:
        return {"case": case.name, **dict.fromkeys(COLUMNS), "note": str(error), **provenance(case, out)}
    return row(case, out)


def folder(name: str, settings: Settings) -> Path:
    return settings.out / settings.experiment / name.replace(" ", "-")


def row(case: Case, weights: Path) -> dict[str, Any]:
    """Score saved weights, in float32, on the case's validation split; add what the run's log says."""
    settings = case.recipe.data
    fields = globalconv.evaluate(weights, case.data, settings.val_split, settings.layout).to_json()
    events = [json.loads(line) for line in (weights / "metrics.jsonl").read_text().splitlines()]
    scores = {"miou": round(fields["miou"], 4), "pixel_accuracy": round(fields["pixel_accuracy"], 4)}
    evaluated = [event for event in events if event["event"] == "evaluation"]
    steps = {"steps": evaluated[-1]["step"], "best_step": evaluated[-1]["best_step"]}
    starts = [event["step"] for event in events if event["event"] == "start"]
    in_one_go = all(step == steps["steps"] for step in starts[1:])  # later starts only came to be scored
    wall = wall_minutes(weights) if in_one_go else None
    found = {"images": fields["images"], **steps, "wall_minutes": wall, "note": ""}
    return {"case": case.name, **scores, **found, **provenance(case, weights)}


def provenance(case: Case, out: Path) -> dict[str, str]:
    """Return which recipe was trained, and where, as the run itself noted it."""
    with (out / "metrics.jsonl").open() as log:
        trained_on = json.loads(log.readline())["hardware"]
    return {"recipe": case.fingerprint(), "machine": f"{cpu_model()}: {trained_on}"}


def wall_minutes(out: Path) -> float:
    """Return the minutes from start to end of a run that was never stopped, evaluations included."""
    newest = max((out / "checkpoints").glob("*.ckpt"))
    return round((newest.stat().st_mtime - (out / "dataset.json").stat().st_mtime) / 60, 1)


def write(settings: Settings, cases: list[Case], made: dict[str, Any]) -> None:
    """Write the row `made` among those of the other cases, made before or elsewhere, of the same recipe."""
    path, title = RESULTS / f"accuracy-{settings.experiment}.json", f"mIoU: {settings.experiment}"
    old = json.loads(path.read_text())["tables"].get(title, []) if path.exists() else []
    known = {found["case"]: found for found in [*old, made]}
    kept = [known[case.name] for case in cases if known.get(case.name, {}).get("recipe") == case.fingerprint()]
    rows = [*kept, *mean_row(settings, cases, kept)]
    print_rows(settings.experiment, rows)
    command = f"accuracy.py {settings.experiment}" + (f" --epochs {settings.epochs:g}" if settings.epochs else "")
    write_report(path, {"command": f"python benchmarks/{command}", "settings": {}, "tables": {title: rows}})


def mean_row(settings: Settings, cases: list[Case], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the row of the mean over all folds, once they are all there."""
    scores = [found["miou"] for found in rows if found["miou"] is not None]
    if settings.experiment != "folds" or len(scores) < len(cases):
        return []
    mean = {"case": "mean", "miou": round(statistics.mean(scores), 4)}
    return [{**dict.fromkeys(rows[0]), **mean, "note": f"standard deviation {statistics.stdev(scores):.4f}"}]


def main(settings: Settings) -> None:
    if settings.experiment not in EXPERIMENTS:
        raise SystemExit(f"experiment {settings.experiment!r}: one of {', '.join(EXPERIMENTS)}")
    cases = EXPERIMENTS[settings.experiment](settings)
    if settings.epochs is not None:
        cases = [replace(case, recipe=replace(case.recipe, epochs=settings.epochs, steps=None)) for case in cases]
    chosen = [case for case in cases if settings.only in (None, case.name)]
    if not chosen:
        raise SystemExit(f"--only {settings.only!r}: one of {', '.join(case.name for case in cases)}")
    with StopRequest().listening() as stop:
        for case in chosen:
            write(settings, cases, run(case, settings, stop))


if __name__ == "__main__":
    main(tyro.cli(Settings))
