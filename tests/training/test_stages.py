"""Stages: each starts from the weights of the one before, is resumed by itself, and is skipped when it is done."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.training import Killed, final_state, same_bits, small_recipe

import globalconv
from globalconv.errors import InputError
from globalconv.training import loop
from globalconv.training.assemble import Execution
from globalconv.training.loop import Session
from globalconv.training.recipe import Recipe, StagedRecipe, differences, stage_folders
from globalconv.training.stages import run_stages
from globalconv.weights import load_weights


def stage(steps: int, **changes: object) -> Recipe:
    return replace(small_recipe(), steps=steps, evaluate_every=steps, checkpoint_every=2, **changes)  # type: ignore[arg-type]


TWO = StagedRecipe({"first": stage(4), "second": stage(6, seed=1)})


def run(recipe: StagedRecipe, data: Path, out: Path, resume: bool = False) -> list[str]:
    """Train the stages and return the lines of the log."""
    lines: list[str] = []
    run_stages(recipe, data, out, Execution(log=lines.append), resume, None)
    return lines


def run_until_killed(recipe: StagedRecipe, data: Path, out: Path, stage: str, step: int, resume: bool) -> None:
    """Be killed in `stage` when step number `step` has been taken and the next one begins."""
    real_step = loop.train_step

    def train_step(session: Session, parts: object) -> object:
        if session.run.path.name.endswith(stage) and session.state.step == step:
            raise Killed
        return real_step(session, parts)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "train_step", train_step)
        run(recipe, data, out, resume)


@pytest.fixture(scope="module")
def whole(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("staged") / "whole"
    run(TWO, blobs, out)
    return out


def test_killed_in_each_stage_and_resumed_it_ends_the_same(whole: Path, blobs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_until_killed(TWO, blobs, out, "first", 3, resume=False)
    assert not (out / "weights.safetensors").exists()
    run_until_killed(TWO, blobs, out, "second", 1, resume=True)  # before its first checkpoint
    with pytest.raises(InputError, match=r"no weights\.safetensors .* \(in it: 1-first\)"):
        load_weights(out)
    lines = run(TWO, blobs, out, resume=True)
    assert any("stage 1 of 2: first is done" in line for line in lines)
    assert not any("stage 1 of 2: first, " in line for line in lines)
    for name, folder in stage_folders(out, TWO.stages).items():
        assert same_bits(final_state(folder), final_state(stage_folders(whole, TWO.stages)[name]))


def test_the_second_starts_from_the_first(whole: Path) -> None:
    first, second = stage_folders(whole, TWO.stages).values()
    assert json.loads((second / "dataset.json").read_text())["init_from"] == str(first.resolve())


def test_the_run_has_the_network_of_the_last_stage(whole: Path, blobs: Path) -> None:
    out, last = load_weights(whole), load_weights(whole / "2-second")
    for name, tensor in last.network.state_dict().items():
        assert torch.equal(out.network.state_dict()[name], tensor)
    assert globalconv.evaluate(whole, blobs).miou == globalconv.evaluate(whole / "2-second", blobs).miou


def test_finished_stages_are_not_trained_again(whole: Path, blobs: Path) -> None:
    files = {path: path.stat().st_mtime_ns for folder in ("1-first", "2-second") for path in (whole / folder).iterdir()}
    lines = run(TWO, blobs, whole, resume=True)
    assert [line.split(",")[0] for line in lines] == ["stage 1 of 2: first is done", "stage 2 of 2: second is done"]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_the_log_has_images_crop_and_kernel(whole: Path) -> None:
    start = json.loads((whole / "2-second" / "metrics.jsonl").read_text().splitlines()[0])
    assert (start["images"], start["crop"], start["network"]["kernel_size"]) == (7, [48, 64], [3] * 4)


def test_the_report_compares_the_stages(whole: Path, blobs: Path) -> None:
    page = globalconv.report([whole])
    assert page == whole / "report.html"
    assert "<title>first, then second</title>" in page.read_text()


def test_another_run_is_compared_with_the_last_stage(whole: Path, blobs: Path, tmp_path: Path) -> None:
    page = globalconv.report([whole, whole / "1-first"], out=tmp_path / "page.html").read_text()
    assert "whole against 1-first" in page and "seed" in page


def test_an_existing_run_is_not_overwritten(whole: Path, blobs: Path) -> None:
    with pytest.raises(InputError, match="holds a run already; add `resume`"):
        run(TWO, blobs, whole)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (StagedRecipe({**TWO.stages, "second": stage(8, seed=1)}), r"second\.steps \(6, now 8\)"),
        (StagedRecipe({"first": stage(4)}), r"stages \(of first, second, now of first\)"),
    ],
)
def test_changed_stages_are_refused(changed: StagedRecipe, message: str, whole: Path, blobs: Path) -> None:
    with pytest.raises(InputError, match=message):
        run(changed, blobs, whole, resume=True)


def test_a_single_run_is_not_resumed_as_stages(whole: Path, blobs: Path) -> None:
    with pytest.raises(InputError, match=r"not a recipe of globalconv train of this version"):
        globalconv.train(stage(4), blobs, whole, resume=True)


def test_what_a_resumed_run_may_change_it_may_change_in_a_stage() -> None:
    data = replace(TWO.stages["first"].data, workers=2)
    assert differences(TWO, StagedRecipe({**TWO.stages, "first": stage(4, data=data)})) == []


def test_missing_data_of_a_later_stage_are_refused_before_the_first_one_trains(blobs: Path, tmp_path: Path) -> None:
    later = replace(TWO.stages["second"], data=replace(TWO.stages["second"].data, train_split="nowhere"))
    with pytest.raises(InputError, match="nowhere"):
        run(StagedRecipe({**TWO.stages, "second": later}), blobs, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_that_is_refused_can_be_repeated_with_other_settings(blobs: Path, tmp_path: Path) -> None:
    first = TWO.stages["first"]
    wrong = replace(first, model=replace(first.model, backbone_weights="nowhere.pth"))
    with pytest.raises(InputError, match=r"nowhere\.pth: no such file"):
        run(StagedRecipe({**TWO.stages, "first": wrong}), blobs, tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.json").exists()
    run_until_killed(TWO, blobs, tmp_path / "run", "first", 1, resume=False)
    assert (tmp_path / "run" / "recipe.json").exists()


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def test_a_stage_is_not_trained_again_under_what_started_from_it(copied: Path, blobs: Path) -> None:
    shutil.rmtree(copied / "1-first")
    with pytest.raises(
        InputError, match=r"1-first: the stage 'first' is not there, .* 'second', which started from it"
    ):
        run(TWO, blobs, copied, resume=True)
    assert not (copied / "1-first").exists()


@pytest.mark.parametrize("file", ["model.json", "weights.safetensors"])
def test_a_damaged_stage_is_named(file: str, copied: Path, blobs: Path) -> None:
    (copied / "1-first" / file).write_text("{")
    with pytest.raises(InputError, match=rf"1-first/{file}: .*copy it again"):
        run(TWO, blobs, copied, resume=True)


def test_stages_of_different_networks_are_refused() -> None:
    model = replace(TWO.stages["second"].model, kernel_size=(5,))
    with pytest.raises(InputError, match=r"`second\.model\.kernel_size` \(5,\): first has \(3,\)"):
        StagedRecipe({**TWO.stages, "second": stage(6, model=model)})


def test_survives_json() -> None:
    assert StagedRecipe.from_json(json.loads(json.dumps(TWO.to_json()))) == TWO


def test_resuming_from_other_initial_weights_is_refused(whole: Path, blobs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was started from fresh weights"):
        globalconv.train(TWO, blobs, whole, resume=True, init_from=tmp_path)
    begun = tmp_path / "run"
    globalconv.train(stage(2), blobs, begun, init_from=whole)
    globalconv.train(stage(2), blobs, begun, resume=True, init_from=whole)
