"""A run folder is read as far as it goes: whole, stopped, resumed, killed in the middle of a line, or weights only."""

import json
from pathlib import Path
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.reports.history import read_history, recorded_data, run_names, stage_runs
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


LINES = {
    "no JSON": ('{"event": "step", "step": 3', r"metrics\.jsonl: line 2 is damaged"),
    "deep JSON": ("[" * 200_000, r"metrics\.jsonl: line 2 is damaged"),
    "not text": ("\udcff", r"metrics\.jsonl: line 2 is damaged"),
    "a list": ("[1]", r"metrics\.jsonl: line 2 is damaged"),
    "no event": ('{"step": 3}', r"metrics\.jsonl: line 2 is damaged"),
    "no loss": ('{"event": "step", "step": 3, "seconds": 1.0}', "line 2: loss of the event 'step' should be a number"),
    "text": (
        '{"event": "evaluation", "step": "3", "miou": "x"}',
        "line 2: step, miou of the event 'evaluation' should",
    ),
    "NaN as a step": ('{"event": "step", "step": NaN, "loss": 1.0, "seconds": 1.0}', "line 2: step of the event"),
    "truth": ('{"event": "end", "seconds": true}', "line 2: seconds of the event 'end' should be a number"),
    "huge": (
        '{"event": "end", "seconds": 1' + "0" * 400 + "}",
        "line 2: seconds of the event 'end' should be a number",
    ),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_line_that_no_training_writes_is_refused(kind: str, tmp_path: Path) -> None:
    line, message = LINES[kind]
    log = f'{{"event": "start", "steps": 9}}\n{line}\n{{"event": "end", "seconds": 1.0, "peak_memory": null}}\n'
    (tmp_path / "metrics.jsonl").write_bytes(log.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        read_history(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "null", "[" * 200_000, '{"stages": [1]}', '{"stages": "many"}'])
def test_settings_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InputError, match=r"recipe\.json: "):
        read_history(tmp_path)
    with pytest.raises(InputError, match=r"recipe\.json: "):
        stage_runs(tmp_path)
