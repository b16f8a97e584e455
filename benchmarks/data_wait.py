"""How much of a training step is spent waiting for samples, with the recipe's workers and without any.

    python benchmarks/data_wait.py [--recipe camvid-scratch] [--steps 14] [--repeats 2]

Trains on CamVid's images of 480 x 360 (GLOBALCONV_DATA or --data) with a crop of 480 x 352, by the command's own
loop, in turns. The first steps of each training are left out: they wait for the workers to start.
"""

import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from common import print_rows, write_results

from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.recipes.index import RECIPES

CASES = {"the recipe's own": None, "none: decoded in the training process": 0}
LEFT_OUT = 4


@dataclass(frozen=True)
class Settings:
    recipe: str = "camvid-scratch"
    steps: int = 14
    repeats: int = 2
    """Trainings of each case."""
    crop: tuple[int, int] = (352, 480)
    data: Path | None = None
    """Folder that holds CamVid; by default GLOBALCONV_DATA."""


def main(settings: Settings) -> None:
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
    for turn in range(settings.repeats):
        for name, workers in CASES.items():
            with tempfile.TemporaryDirectory() as folder:
                seen[name] += steps_of(settings, workers, Path(folder) / str(turn))[LEFT_OUT:]
    rows = [row(name, steps) for name, steps in seen.items()]
    print_rows("data wait", rows)
    facts = {name: value for name, value in asdict(settings).items() if name != "data"}
    write_results("data_wait", "cpu", facts, {"data wait": rows})


def steps_of(settings: Settings, workers: int | None, out: Path) -> list[dict[str, float]]:
    """Return what the log of a training says of each step."""
    base = RECIPES[settings.recipe]()
    augmentation = replace(base.data.augmentation, crop=settings.crop)
    data = replace(base.data, workers=workers, augmentation=augmentation)
    recipe = replace(base, data=data, steps=settings.steps, evaluate_every=settings.steps, log_every=1)
    root = (settings.data or Path(os.environ["GLOBALCONV_DATA"])) / "CamVid"
    with StopRequest().listening() as stop:
        run_training(recipe, root, out, Execution(stop, lambda line: None))
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [event for event in events if event["event"] == "step"]


def row(name: str, steps: list[dict[str, float]]) -> dict[str, Any]:
    whole, waited = (sum(step[key] for step in steps) for key in ("seconds", "data_seconds"))
    return {
        "workers": name,
        "step_ms": round(1e3 * statistics.median(step["seconds"] for step in steps)),
        "wait_ms": round(1e3 * statistics.median(step["data_seconds"] for step in steps)),
        "share_of_time": round(waited / whole, 4),
        "steps": len(steps),
    }


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
