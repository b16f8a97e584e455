"""What run folders say about their trainings: settings, data, curves, where they ran. Every part may be absent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from globalconv.data.roots import Root, as_root
from globalconv.errors import InputError
from globalconv.runtime.text import one_line
from globalconv.training.recipe import flatten, stage_folders
from globalconv.weights import MODEL_FILE

NUMBERS = {
    "start": ("steps",), "step": ("step", "loss", "seconds"), "evaluation": ("step", "miou"), "end": ("seconds",),
}  # fmt: skip
"""Kind of an event -> fields of it that are read here, each a number."""

MAX_NUMBER = 1e300


@dataclass(frozen=True)
class History:
    """The files of a run folder; of a folder with weights only, what was saved beside these."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The recipe: dotted name -> value."""
    dataset: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind: start, step, evaluation, end."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def losses(self) -> list[tuple[float, float]]:
        """Step and training loss, of every logged step."""
        return [(event["step"], event["loss"]) for event in self.events_of("step")]

    @property
    def mious(self) -> list[tuple[float, float]]:
        """Step and mIoU on the validation split, of every evaluation."""
        return [(event["step"], event["miou"]) for event in self.events_of("evaluation")]

    @property
    def seconds_per_step(self) -> float | None:
        """Mean time of a logged step, evaluations left out."""
        steps = self.events_of("step")
        return sum(event["seconds"] for event in steps) / len(steps) if steps else None

    @property
    def training_seconds(self) -> float | None:
        """Time spent in steps: as logged at the end, else estimated from the logged steps."""
        if ends := self.events_of("end"):
            return float(ends[-1]["seconds"])
        mean = self.seconds_per_step
        return None if mean is None else mean * self.events_of("step")[-1]["step"]

    @property
    def peak_memory(self) -> int | None:
        """Bytes, as logged at the end."""
        ends = self.events_of("end")
        peak: int | None = ends[-1].get("peak_memory") if ends else None
        return peak

    @property
    def finished(self) -> bool:
        """Whether the log reaches the last step; True where that is not known."""
        starts, steps = self.events_of("start"), self.events_of("step")
        total = starts[-1].get("steps") if starts else None
        return total is None or not steps or int(steps[-1]["step"]) >= total


def read_history(folder: Path, recipe: Mapping[str, Any] | None = None) -> History:
    """Return the history in `folder`, of a staged run that of its last stage.

    `recipe` stands in for a recipe.json that is not there. Raises `InputError` for a damaged file.
    """
    settings = _read_json(folder / "recipe.json") or recipe or {}
    if stages := _stages(settings, folder):
        return read_history(list(stage_folders(folder, stages).values())[-1], recipe)
    return History(flatten(settings), _read_json(folder / "dataset.json"), _read_events(folder / "metrics.jsonl"))


def _read_events(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; `InputError` names one that no training writes. A last one that a kill cut is left
    out."""
    if not log.is_file():
        return []
    lines, events = log.read_bytes().split(b"\n"), []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            wrong = [name for name in NUMBERS.get(event["event"], ()) if not _is_number(name, event.get(name))]
            if (
                event["event"] == "end"
                and event.get("peak_memory") is not None
                and not _is_number("peak_memory", event["peak_memory"])
            ):
                wrong.append("peak_memory")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if number == len(lines):  # empty, or cut short
                break
            raise InputError(
                f"{log}: line {number} is damaged ({one_line(error)}); restore the file, or report on a copy of the"
                " folder without it"
            ) from error
        if wrong:
            raise InputError(
                f"{log}: line {number}: {', '.join(wrong)} of the event {event['event']!r} should be a number; restore"
                " the file, or report on a copy of the folder without it"
            )
        events.append(event)
    return events


def _is_number(name: str, value: object) -> bool:
    """Return whether a value from JSON is a number that a float can hold; a step is a whole one."""
    kinds = (int,) if name in ("step", "steps") else (int, float)
    return type(value) in kinds and not abs(value) > MAX_NUMBER  # type: ignore[arg-type]


def stage_runs(folder: Path) -> dict[str, Path]:
    """Return the run folders of a staged run by the names of their stages, as far as there are networks in them."""
    stages = _stages(_read_json(folder / "recipe.json"), folder)
    return {name: run for name, run in stage_folders(folder, stages).items() if (run / MODEL_FILE).exists()}


def _stages(settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    stages = settings.get("stages") or {}
    if not isinstance(stages, dict):
        raise InputError(f"{folder / 'recipe.json'}: its stages are no JSON object; restore it")
    return stages


def _read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is no file."""
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: damaged ({one_line(error)}); restore it, or report on a copy of the folder without it"
        ) from error
    return value


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: the names of their folders, or as much of their paths as tells them apart."""
    paths = [folder.resolve() for folder in folders]
    for folder, path in zip(folders, paths, strict=True):
        if paths.count(path) > 1:
            raise InputError(f"{folder}: named twice; a comparison needs different runs")
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = [Path(*path.parts[-length:]).as_posix() for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def recorded_data(folders: Sequence[Path]) -> Root | None:
    """Return the place of the data that all runs were trained on, as they recorded it; None for generated scenes.

    Raises `InputError` where the runs differ in it or where the data are gone.
    """
    places = [read_history(folder).dataset.get("data") for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if place != places[0]:
            raise InputError(
                f"{folder}: was trained on {place or 'other data'}, {folders[0]} on {places[0] or 'other data'};"
                " say with `data` what to score both on"
            )
    root = as_root(places[0])
    for path in root.values() if isinstance(root, Mapping) else [] if root is None else [root]:
        try:
            is_there = path.exists()
        except OSError:  # a name too long
            is_there = False
        if not is_there:
            raise InputError(f"{folders[0]}: its data are not at {path} any more; say with `data` where they are")
    return root
