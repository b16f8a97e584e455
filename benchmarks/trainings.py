"""What benchmarks that train share: a case, its run folder, its row, and rows that outlive their process."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import globalconv
from globalconv.errors import DivergedError
from globalconv.paper import keys
from globalconv.runtime.devices import processor_name
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe, flatten, stage_folders

SCORES = ("miou", "pixel_accuracy")
FACTS = ("images", "steps", "best_step", "wall_minutes")


@dataclass(frozen=True)
class Case:
    """One training and the split it is scored on."""

    name: str
    recipe: Recipe | StagedRecipe
    data: Path
    starts_from: str | None = None
    """Case of the same experiment whose network this one starts from."""
    network: Callable[[], nn.Module] | None = None
    """Makes the network that is trained in place of the recipe's."""
    columns: tuple[str, ...] = ()
    """Scores that the row has besides: boundary_accuracy and the like."""

    def fingerprint(self) -> str:
        """Return what tells this case's recipe from an older one of the same name, whatever the order of its fields."""
        settings = {
            name: value for name, value in flatten(self.recipe.to_json()).items() if not _came_later(name, value)
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]

    def parts(self, out: Path) -> list[tuple[Recipe, Path]]:
        """Return the trainings that this is made of, and the run folder of each in `out`."""
        if isinstance(self.recipe, Recipe):
            return [(self.recipe, out)]
        return list(zip(self.recipe.stages.values(), stage_folders(out, self.recipe.stages).values(), strict=True))


LATER = {
    "data.white_level": None,
    "optim.hardest": None,
    **{f"model.{name}": value for name, value in keys.LATER_FIELDS.items()},
    **{f"optim.{name}": value for name, value in keys.LATER_OPTIM_FIELDS.items()},
}
"""Fields that recipes did not have when the first rows were made -> what they did then: no reason to drop a row."""


def _came_later(name: str, value: object) -> bool:
    return any(name.endswith(field) and value == then for field, then in LATER.items())


def run(case: Case, runs: Path, stop: StopRequest) -> dict[str, Any]:
    """Train (or go on with, or only score) one case in its folder under `runs`; return its row."""
    out = folder(case.name, runs)
    initial = None if case.starts_from is None else folder(case.starts_from, runs)
    try:
        network = case.network and case.network()
        globalconv.train(case.recipe, case.data, out, out.exists(), initial, stop, network=network)
    except DivergedError as error:
        return {
            "case": case.name,
            **dict.fromkeys((*SCORES, *case.columns, *FACTS)),
            "note": str(error),
            **provenance(case, out),
        }
    return row(case, out)


def folder(name: str, runs: Path) -> Path:
    return runs / name.replace(" ", "-")


def row(case: Case, weights: Path) -> dict[str, Any]:
    """Score saved weights, in float32, on the case's validation split; add what the run's log says."""
    parts = case.parts(weights)
    settings = parts[-1][0].data
    predictor = globalconv.load(weights, precision="float32", network=case.network and case.network())
    fields = globalconv.evaluate(predictor, case.data, settings.val_split, settings.layout).to_json()
    scores = {name: round(fields[name], 4) for name in (*SCORES, *case.columns)}
    trained = [_last_evaluation(folder) for _, folder in parts]
    steps = {"steps": sum(last["step"] for last in trained), "best_step": trained[-1]["best_step"]}
    walls = [wall_minutes(folder) for _, folder in parts if _in_one_go(folder)]
    wall = round(sum(walls), 1) if len(walls) == len(parts) else None
    course = [
        f"{event['miou']:.3f} after {event['training_seconds'] / 60:.1f} min"
        for event in _events(parts[-1][1], "evaluation")
        if "training_seconds" in event
    ]
    found = {"images": fields["images"], **steps, "wall_minutes": wall, "note": ", ".join(course)}
    return {"case": case.name, **scores, **found, **provenance(case, weights)}


def _last_evaluation(run: Path) -> dict[str, Any]:
    return _events(run, "evaluation")[-1]


def _in_one_go(run: Path) -> bool:
    """Return whether later starts only came to be scored."""
    return all(start["step"] == _last_evaluation(run)["step"] for start in _events(run, "start")[1:])


def _events(run: Path, kind: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == kind]


def provenance(case: Case, out: Path) -> dict[str, str]:
    """Return which recipe was trained, and where, as the run itself noted it."""
    first = case.parts(out)[0][1]
    trained_on = _events(first, "start")[0]["hardware"]
    return {"recipe": case.fingerprint(), "machine": f"{processor_name()}: {trained_on}"}


def wall_minutes(out: Path) -> float:
    """Return the minutes from start to end of a run that was never stopped, evaluations included."""
    newest = max((out / "checkpoints").glob("*.ckpt"))
    return round((newest.stat().st_mtime - (out / "dataset.json").stat().st_mtime) / 60, 1)


def still_valid(cases: Sequence[Case], rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest row of every case that was made with the case's recipe of today, in the order of the cases."""
    known = {row["case"]: row for row in rows}
    return [known[case.name] for case in cases if known.get(case.name, {}).get("recipe") == case.fingerprint()]
