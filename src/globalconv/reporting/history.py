"""What a run folder tells of its training: settings, data, curves, where it ran. Every part may be absent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.training.recipe import flat, stage_folders

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class History:
    """The files of a run folder, read; of a folder with weights only, what was noted beside these."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The recipe: dotted name -> value."""
    dataset: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind: start, step, evaluation, end."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def losses(self) -> Points:
        return [(event["step"], event["loss"]) for event in self.of("step")]

    @property
    def mious(self) -> Points:
        return [(event["step"], event["miou"]) for event in self.of("evaluation")]

    @property
    def seconds_per_step(self) -> float | None:
        """Mean time of a logged step; evaluations are not in it."""
        steps = self.of("step")
        return sum(event["seconds"] for event in steps) / len(steps) if steps else None

    @property
    def training_seconds(self) -> float | None:
        """Time spent in steps: as noted at the end, else from the logged steps."""
        if ends := self.of("end"):
            return float(ends[-1]["seconds"])
        each = self.seconds_per_step
        return None if each is None else each * self.of("step")[-1]["step"]

    @property
    def peak_memory(self) -> int | None:
        """Bytes, as noted at the end."""
        ends = self.of("end")
        peak: int | None = ends[-1]["peak_memory"] if ends else None
        return peak

    @property
    def finished(self) -> bool:
        """Whether the log reaches the last step; True where that is not known."""
        starts, steps = self.of("start"), self.of("step")
        total = starts[-1].get("steps") if starts else None
        return total is None or not steps or int(steps[-1]["step"]) >= total


def read_history(folder: Path, recipe: Mapping[str, Any] | None = None) -> History:
    """Return what lies in `folder`, of a staged run that of its last stage.

    `recipe` stands in for a recipe.json that is not there.
    """
    settings = read_recipe(folder) or recipe or {}
    if stages := settings.get("stages"):
        return read_history(list(stage_folders(folder, stages).values())[-1], recipe)
    return History(flat(settings), _json(folder / "dataset.json") or {}, _events(folder / "metrics.jsonl"))


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the settings in `folder`, as they are; nothing where there are none."""
    return _json(folder / "recipe.json") or {}


def _json(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{file}: damaged ({error}); restore it, or report on a copy of the folder without it"
        ) from error
    return found if isinstance(found, dict) else None


def _events(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a line that a kill cut short is left out."""
    events = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]
