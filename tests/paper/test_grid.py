"""A grid from the command line on tiny data: its files, the runs that tables share, and that nothing is done twice."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.official import cityscapes_tree
from helpers.training import write_blobs

from globalconv.cli.main import main
from globalconv.data.loader import Batch
from globalconv.errors import DivergedError
from globalconv.evaluation.confusion import mean_iou
from globalconv.paper import grid
from globalconv.paper.grid import final_loss
from globalconv.paper.results import RunResult, read_results
from globalconv.runtime.files import FolderLock
from globalconv.training import loop
from globalconv.training.loop import Session

TINY = """
    --recipe folder --model.backbone test_resnet --model.backbone-weights none --model.frozen-stages 0
    --optim.backbone-lr-scale 1 --data.augmentation.crop 48 64 --data.batch-size 2 --data.workers 0
    --optim.class-weights none --optim.warmup-steps 0 --precision float32 --log-every 1 --budget 2
""".split()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and Table 5 made of them."""
    place = tmp_path_factory.mktemp("finished")
    write_blobs(place / "blobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert paper("table5") == 0
    return place


@pytest.fixture
def table5(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to work in."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "blobs"


@pytest.fixture
def blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_blobs(tmp_path / "blobs")


def paper(*words: str, data: str | None = "blobs") -> int:
    return main(["paper", *words, *(["--data", data] if data else []), *TINY])


def results() -> dict[str, RunResult]:
    return read_results(Path("results/paper"))


def by_head() -> dict[tuple[str, int, bool], RunResult]:
    models = {key: result.recipe["model"] for key, result in results().items()}
    return {
        (model["head"][0], model["kernel_size"][0], model["boundary_refinement"]): results()[key]
        for key, model in models.items()
    }


def test_a_table_is_trained_scored_and_printed(table5: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper("table5") == 0
    out = capsys.readouterr().out
    assert "(71.3)" in out and "(95.0)" in out and "(74.7)" in out
    assert len(results()) == 3
    result = by_head()["gcn", 15, True]
    assert len(result.images) == len(result.hits) == len(result.unions) == len(result.regions) == 3
    hits_NK, unions_NK = np.array(result.hits), np.array(result.unions)
    assert math.isclose(result.scores["miou"] or 0, mean_iou(hits_NK.sum(0), unions_NK.sum(0)))
    right, near, inside_right, inside = np.sum(result.regions, 0)
    assert math.isclose(result.scores["pixel_accuracy"] or 0, (right + inside_right) / (near + inside))
    assert math.isclose(result.scores["boundary_accuracy"] or 0, right / near)
    assert (result.data["train_images"], result.data["val_images"], result.data["name"]) == (7, 3, "blobs")
    assert (result.steps, result.crop, result.diverged, result.precision) == (2, [48, 64], False, "float32")
    assert str(table5.parent) not in "".join(file.read_text() for file in Path("results/paper").iterdir())
    assert not list(Path("runs/paper").rglob("*.ckpt"))


def test_the_scores_are_of_the_last_weights_not_of_the_best(table5: Path) -> None:
    for folder in Path("runs/paper").iterdir():
        events = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
        evaluated = [event for event in events if event["event"] == "evaluation"]
        assert [event["step"] for event in evaluated] == [2]
        result = results()[folder.name]
        assert evaluated[0]["miou"] == pytest.approx(result.scores["miou"], abs=1e-6)
        assert result.final_loss == next(e["loss"] for e in reversed(events) if e["event"] == "step")


def test_tables_share_runs_and_a_finished_one_needs_neither_data_nor_training(
    table5: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = {file: file.stat().st_mtime_ns for file in Path("results/paper").iterdir()}
    assert paper("table1", "--first") == 0
    assert len(results()) == 5
    assert all(file.stat().st_mtime_ns == time for file, time in trained.items())
    before = capsys.readouterr().out
    shutil.rmtree(table5)
    monkeypatch.setattr(grid, "run_training", None)
    assert paper("table1", "--first") == 0
    assert capsys.readouterr() == (before, "")


def test_other_data_of_the_same_name_are_other_runs(table5: Path) -> None:
    for folder in ("images", "labels"):
        (table5 / folder / "train/6.png").unlink()
    assert paper("table5") == 0
    images = sorted(result.data["train_images"] for result in results().values())
    assert images == [6] * 3 + [7] * 3


def test_a_training_that_diverges_is_a_result(
    blobs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_step = loop.train_step

    def step(session: Session, parts: list[Batch]) -> loop.StepResult:
        if session.recipe.model.head == ("pointwise",) and session.state.step == 1:
            raise DivergedError("the loss is no number")
        return real_step(session, parts)

    monkeypatch.setattr(loop, "train_step", step)
    assert paper("table5") == 0
    assert "1/1, 1 diverged" in capsys.readouterr().out
    diverged = by_head()["pointwise", 15, False]
    assert (diverged.diverged, diverged.steps, set(diverged.scores.values())) == (True, 1, {None})
    assert [result.diverged for result in results().values()].count(True) == 1


def test_runs_of_another_process_are_left_to_it(table5: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = by_head()["gcn", 15, False].key
    Path(f"results/paper/{key}.json").unlink()
    lock = FolderLock(Path("runs/paper") / key)
    lock.take("trains")
    assert paper("table5") == 0
    assert "1 of 3 runs are not done" in capsys.readouterr().err
    assert key not in results()
    lock.release()
    assert paper("table5") == 0
    assert key in results()


def test_folds_are_runs_of_one_table(blobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = blobs.parent / "listed"
    shutil.copytree(blobs, listed / "all")
    for fold, held_out in (("a", (0, 1)), ("b", (2, 3))):
        for split in ("train", "val"):
            chosen = [index for index in range(7) if (index in held_out) == (split == "val")]
            pairs = [f"all/images/train/{index}.png all/labels/train/{index}.png" for index in chosen]
            (listed / f"{fold}.{split}.txt").write_text("\n".join(pairs))
    assert paper("table5", "--folds", "a", "b", data="listed") == 0
    assert sorted(result.data["val_split"] for result in results().values()) == ["a.val"] * 3 + ["b.val"] * 3
    out = capsys.readouterr().out
    assert "2/2" in out and " ± " in out


@pytest.mark.slow
def test_stages_go_on_from_each_other_and_are_trained_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = cityscapes_tree(tmp_path)
    small = [word for word in TINY if word not in ("--recipe", "folder")]
    frozen = ["--model.backbone-weights", "None", "--model.backbone-norm", "train", "--model.kernel-size", "5"]
    assert main(["paper", "table9", "--data", str(root), *small, *frozen]) == 0
    out = capsys.readouterr().out
    assert "(77.4)" in out
    logs = list(Path("runs/paper").rglob("metrics.jsonl"))
    assert len(logs) == 2
    assert len(results()) == 4
    assert sorted(len(result.recipe["stages"]) for result in results().values()) == [1, 2, 2, 2]
    second = next(log.parent for log in logs if log.parent.name != "run")
    assert Path(json.loads((second / "dataset.json").read_text())["init_from"]).name == "run"


def test_tables_of_servers_say_how_to_get_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "table8", "table10", "table8"]) == 0
    out = capsys.readouterr().out
    assert out.count("Table 8:") == out.count("Table 10:") == 1
    assert "globalconv submit voc RUN" in out and "globalconv submit cityscapes RUN" in out
    assert "82.2" in out and "71.8" in out


def test_the_final_loss_is_that_of_the_last_tenth() -> None:
    assert final_loss([]) is None
    assert final_loss([5.0, 1.0]) == 1.0
    assert final_loss([9.0] * 18 + [1.0, 2.0]) == 1.5
