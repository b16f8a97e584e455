"""Train 12 = train s, be killed, resume: the same bits, for every s; logs are cut back; a changed run is refused."""

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import (
    final_state,
    log_without_clock,
    same_bits,
    signal_after,
    small_recipe,
    train,
    train_until_killed,
    write_blobs,
)

from globalconv.errors import InputError, StoppedError
from globalconv.runtime.signals import StopRequest
from globalconv.training.checkpoint import checkpoints
from globalconv.training.recipe import OptimSettings, Recipe
from globalconv.training.run_folder import RunFolder

STEPS = 12


@pytest.fixture(scope="module")
def some_camvid(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine real training images and two validation images, as list files."""
    root, camvid = tmp_path_factory.mktemp("camvid"), real_data / "CamVid"
    for split, count in (("train", 9), ("val", 2)):
        lines = (camvid / f"{split}.txt").read_text().splitlines()[:count]
        (root / f"{split}.txt").write_text("\n".join(lines))
        for name in " ".join(lines).split():
            (root / name).parent.mkdir(exist_ok=True)
            shutil.copy(camvid / name, root / name)
    return root


CASES = {
    "no workers": small_recipe(),
    "two workers": small_recipe(workers=2),
    "accumulation": small_recipe(accumulate=2),
    "adamw, two workers, accumulation": small_recipe(workers=2, accumulate=2, algorithm="adamw", lr=1e-3),
}


def test_killed_and_resumed_with_another_number_of_workers(blobs: Path, tmp_path: Path) -> None:
    """Also from a checkpoint of some steps ago, and on generated images, which every machine has."""
    recipe = dataclasses.replace(small_recipe(class_weights="sqrt-median"), checkpoint_every=4)
    train(recipe, blobs, tmp_path / "whole")
    for steps in (3, 5, 11):
        out = tmp_path / f"killed-{steps}"
        train_until_killed(recipe, blobs, out, steps)
        two = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, workers=2), checkpoint_every=5)
        train(two, blobs, out, resume=True)
        assert same_bits(final_state(out), final_state(tmp_path / "whole"))
        assert log_without_clock(out) == log_without_clock(tmp_path / "whole")


def test_a_run_that_started_from_weights_resumes_without_naming_them(blobs: Path, tmp_path: Path) -> None:
    """Before its first checkpoint the recorded weights start it again; after it, the checkpoint has everything."""
    train(small_recipe(), blobs, tmp_path / "start")
    model = dataclasses.replace(small_recipe().model, backbone_norm="frozen")
    recipe = dataclasses.replace(small_recipe(), model=model, checkpoint_every=4)
    train(recipe, blobs, tmp_path / "whole", init_from=tmp_path / "start")
    for steps in (2, 6):
        out = tmp_path / f"killed-{steps}"
        train_until_killed(recipe, blobs, out, steps, init_from=tmp_path / "start")
        train(recipe, blobs, out, resume=True)
        assert same_bits(final_state(out), final_state(tmp_path / "whole"))


def test_a_signal_during_a_save_waits_for_it(blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(state: Any, file: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        real_save(state, file)

    real_save = torch.save
    monkeypatch.setattr("globalconv.training.checkpoint.torch.save", save)
    recipe = dataclasses.replace(small_recipe(), checkpoint_every=3)
    with StopRequest().listening() as stop, pytest.raises(StoppedError, match="stopped by SIGTERM after step 3") as end:
        train(recipe, blobs, tmp_path / "run", stop=stop)
    assert end.value.exit_code == 143
    assert final_state(tmp_path / "run")["state"]["step"] == 3


def test_a_signal_between_two_steps_saves_as_well(blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come after a step has looked for one and before the next has begun."""
    stop = signal_after(3, monkeypatch)
    recipe = dataclasses.replace(small_recipe(), checkpoint_every=100)
    with pytest.raises(StoppedError, match="after step 3"):
        train(recipe, blobs, tmp_path / "run", stop=stop)
    assert final_state(tmp_path / "run")["state"]["step"] == 3


def test_a_sample_that_cannot_be_read_stops_with_the_state_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalconv.training.assemble.quick_check", lambda *_: [])  # as if it broke after the start
    data = write_blobs(tmp_path / "data")
    recipe = dataclasses.replace(small_recipe(), checkpoint_every=100, evaluate_every=100)
    train(recipe, data, tmp_path / "whole")
    broken = data / "images" / "train" / "3.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    with pytest.raises(InputError, match=r"3\.png"):
        train(recipe, data, tmp_path / "run")
    assert final_state(tmp_path / "run")["state"]["step"] > 0
    broken.write_bytes(whole)
    train(recipe, data, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


def test_two_processes_do_not_train_one_run(blobs: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), blobs, tmp_path / "run", 1)
    other = RunFolder.reopen(tmp_path / "run", small_recipe())
    other.open(small_recipe().to_json())
    with pytest.raises(InputError, match="another process trains there"):
        train(small_recipe(), blobs, tmp_path / "run", resume=True)
    other.close()
    train(small_recipe(), blobs, tmp_path / "run", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_killed_after_any_step_and_resumed_is_bit_exact(case: str, some_camvid: Path, tmp_path: Path) -> None:
    recipe = CASES[case]
    train(recipe, some_camvid, tmp_path / "whole")
    expected, log = final_state(tmp_path / "whole"), log_without_clock(tmp_path / "whole")
    assert [line["step"] for line in log if line["event"] == "step"] == list(range(1, STEPS + 1))
    assert [line["step"] for line in log if line["event"] == "evaluation"] == [5, 10, 12]
    for steps in range(STEPS):
        out = tmp_path / f"killed-{steps}"
        train_until_killed(recipe, some_camvid, out, steps)
        train(recipe, some_camvid, out, resume=True)
        assert same_bits(final_state(out), expected), f"killed after step {steps}"
        assert log_without_clock(out) == log, f"killed after step {steps}"
        shutil.rmtree(out)


def test_state_with_poisoned_settings_is_restored(blobs: Path, tmp_path: Path) -> None:
    """An optimiser built with a wrong learning rate must take the right one from checkpoint and schedule."""
    recipe = small_recipe()
    train(recipe, blobs, tmp_path / "whole")
    train_until_killed(recipe, blobs, tmp_path / "run", 6)
    build = "globalconv.training.assemble.build_optimizer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, lambda network, _: torch.optim.SGD(
            [{"params": [p for p in network.parameters() if p.ndim > 1]},
             {"params": [p for p in network.parameters() if p.ndim <= 1]}], lr=999.0, momentum=0.123))  # fmt: skip
        train(recipe, blobs, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


def test_log_written_past_the_checkpoint_is_cut_back(blobs: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(small_recipe(), checkpoint_every=4)
    train(recipe, blobs, tmp_path / "whole")
    train_until_killed(recipe, blobs, tmp_path / "run", 7)
    assert [line["step"] for line in log_without_clock(tmp_path / "run")][-1] == 7
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"event": "step", "st')  # the kill struck in the middle of a line
    train(recipe, blobs, tmp_path / "run", resume=True)
    assert log_without_clock(tmp_path / "run") == log_without_clock(tmp_path / "whole")


def test_a_damaged_newest_checkpoint_costs_a_step_not_the_run(blobs: Path, tmp_path: Path) -> None:
    recipe = small_recipe()
    train(recipe, blobs, tmp_path / "whole")
    train_until_killed(recipe, blobs, tmp_path / "run", 6)
    newest = checkpoints(tmp_path / "run" / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="damaged checkpoint, skipped"):
        train(recipe, blobs, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


def test_resuming_a_finished_run_changes_nothing(blobs: Path, tmp_path: Path) -> None:
    train(small_recipe(), blobs, tmp_path / "run")
    before = final_state(tmp_path / "run"), log_without_clock(tmp_path / "run")
    train(small_recipe(), blobs, tmp_path / "run", resume=True)
    assert same_bits((final_state(tmp_path / "run"), log_without_clock(tmp_path / "run")), before)


def test_an_existing_run_is_not_overwritten(blobs: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), blobs, tmp_path / "run", 1)
    with pytest.raises(InputError, match="holds a run already; add `resume`"):
        train(small_recipe(), blobs, tmp_path / "run")


def test_a_changed_recipe_is_refused_naming_the_field(blobs: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), blobs, tmp_path / "run", 1)
    with pytest.raises(InputError, match=r"optim\.lr \(0\.05, now 0\.5\)"):
        train(small_recipe(lr=0.5), blobs, tmp_path / "run", resume=True)


def test_changed_data_is_refused(blobs: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), blobs, tmp_path / "run", 1)
    other = write_blobs(tmp_path / "other")
    for folder in ("images", "labels"):
        (other / folder / "train" / "6.png").unlink()
    with pytest.raises(InputError, match=r"the train split has changed .* \(7 images then, 6 now\)"):
        train(small_recipe(), other, tmp_path / "run", resume=True)


def test_resuming_nothing_is_refused(blobs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run to `resume`"):
        train(small_recipe(), blobs, tmp_path / "run", resume=True)


def test_a_folder_that_is_not_ours_is_not_written_into(blobs: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(InputError, match="is not empty"):
        train(small_recipe(), blobs, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_files_of_a_failed_start_are_no_obstacle(blobs: Path, tmp_path: Path) -> None:
    """A full disk or a kill after the lock and before the recipe: neither a run to resume nor somebody's folder."""
    out = tmp_path / "run"
    out.mkdir()
    for name in (".lock", ".recipe.json.abc.partial"):
        (out / name).touch()
    train(small_recipe(), blobs, out)
    assert not list(out.glob(".*.partial"))


@pytest.mark.parametrize("text", ["{}", "[]", '{"labels": 1, "train": 2}', "{", "\xff", "[" * 200_000])
def test_a_damaged_dataset_json_is_refused(text: str, blobs: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), blobs, tmp_path / "run", 0)
    (tmp_path / "run" / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"dataset\.json: damaged"):
        train(small_recipe(), blobs, tmp_path / "run", resume=True)


def test_recipe_json_rebuilds_the_recipe(blobs: Path, tmp_path: Path) -> None:
    recipe = small_recipe()
    train_until_killed(recipe, blobs, tmp_path / "run", 0)
    assert Recipe.from_json(json.loads((tmp_path / "run" / "recipe.json").read_text())) == recipe
    assert recipe.optim == OptimSettings(ema_decay=0.9, clip_norm=1.0, warmup_steps=3)
