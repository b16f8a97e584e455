"""A run folder is read as far as it goes: whole, stopped, resumed, killed in the middle of a line, or weights only."""

import json
from pathlib import Path
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.reports.history import read_history, recorded_data, run_names
from globalconv.training.recipe import flatten

RECIPE = {"steps": None, "epochs": 2, "data": {"batch_size": 4}, "optim": {"accumulate": 2, "lr": 0.1}}

START = {"event": "start", "steps": 3}


def write(folder: Path, events: list[dict[str, Any]], torn: str = "") -> Path:
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    (folder / "dataset.json").write_text(json.dumps({"data": "there", "train": {"images": 10}}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events) + torn)
    return folder


def step(number: int, seconds: float = 2.0) -> dict[str, Any]:
    return {"event": "step", "step": number, "loss": 1 / number, "seconds": seconds}


def test_a_whole_run(tmp_path: Path) -> None:
    end = {"event": "end", "seconds": 7.5, "peak_memory": 1 << 30}
    evaluation = {"event": "evaluation", "step": 3, "miou": 0.5}
    history = read_history(write(tmp_path, [START, step(1), step(2), step(3), evaluation, end]))
    assert history.losses == [(1, 1.0), (2, 0.5), (3, 1 / 3)] and history.mious == [(3, 0.5)]
    assert (history.training_seconds, history.seconds_per_step, history.peak_memory) == (7.5, 2.0, 1 << 30)
    assert history.finished
    assert history.settings["optim.lr"] == 0.1 and history.dataset["data"] == "there"


def test_a_stopped_run_whose_last_line_was_cut(tmp_path: Path) -> None:
    history = read_history(write(tmp_path, [START, step(1), step(2)], torn='{"event": "st'))
    assert not history.finished and history.losses == [(1, 1.0), (2, 0.5)]
    assert history.training_seconds == 4.0 and history.peak_memory is None


def test_a_folder_with_weights_only(tmp_path: Path) -> None:
    history = read_history(tmp_path, RECIPE)
    assert history.settings["data.batch_size"] == 4 and history.finished
    assert (
        not history.losses
        and not history.mious
        and history.training_seconds is None
        and history.seconds_per_step is None
    )
    assert read_history(tmp_path / "nowhere").settings == {}


def test_a_damaged_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(InputError, match=r"recipe\.json: damaged"):
        read_history(tmp_path)


def test_flat_names_are_dotted() -> None:
    assert flatten({"a": 1, "b": {"c": {"d": [2]}}}) == {"a": 1, "b.c.d": [2]}


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    assert run_names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert run_names([tmp_path / "monday" / "run", tmp_path / "tuesday" / "run"]) == ["monday/run", "tuesday/run"]
    with pytest.raises(InputError, match="named twice"):
        run_names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_runs_that_recorded_nothing_have_no_data(tmp_path: Path) -> None:
    assert recorded_data([tmp_path, tmp_path]) is None
