"""Training leaves its report; an error while the report is written never costs the training."""

import shutil
from pathlib import Path

import pytest
from helpers.html import check_self_contained
from helpers.training import small_recipe, train_until_killed

import globalconv
from globalconv.errors import StoppedError
from globalconv.jobs import train as train_job
from globalconv.reports.history import read_history


def test_a_training_leaves_its_report(trained: Path) -> None:
    page = (trained / "run" / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")
    check_self_contained(page)
    history = read_history(trained / "run")
    best = max(miou for _, miou in history.mious)
    assert f"<b>{best:.3f}</b>" in page  # the saved network, in the training's precision
    assert history.finished and history.training_seconds and history.events_of("start")[0]["versions"]["torch"]
    assert all(words in page for words in ("torch", "peak memory", "folder", "optim.lr", "Training loss"))


def test_a_resumed_training_leaves_the_same_report(trained: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), trained / "blobs", tmp_path / "run", 7)
    assert not (tmp_path / "run" / "report.html").exists()
    globalconv.train(small_recipe(), trained / "blobs", tmp_path / "run", resume=True)
    whole, resumed = (folder / "run" / "report.html" for folder in (trained, tmp_path))
    score = [page.read_text(encoding="utf-8").split("<b>")[1][:5] for page in (whole, resumed)]
    assert score[0] == score[1]


def test_a_report_that_fails_is_a_warning(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    monkeypatch.setattr(train_job, "write_report", fail)
    with pytest.warns(UserWarning, match=r"no report.html: disk full; the training is complete; globalconv report"):
        assert globalconv.train(small_recipe(), trained / "blobs", tmp_path / "run", resume=True) == tmp_path / "run"


def test_a_stop_during_the_report_says_that_the_training_is_complete(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError("stopped by SIGINT", 2)

    shutil.copytree(trained / "run", tmp_path / "run")
    monkeypatch.setattr(train_job, "write_report", stop)
    with pytest.raises(StoppedError, match="the training is complete") as stopped:
        globalconv.train(small_recipe(), trained / "blobs", tmp_path / "run", resume=True)
    assert stopped.value.exit_code == 130
