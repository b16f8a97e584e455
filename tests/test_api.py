"""Training, evaluation and comparison leave their pages; what goes wrong with a page never costs a training."""

import shutil
from pathlib import Path

import pytest
from helpers.html import check_self_contained
from helpers.training import small_recipe, train_until_killed, write_blobs

import globalconv
from globalconv.cli import evaluate
from globalconv.errors import InputError, StoppedError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.jobs import evaluate as evaluate_job
from globalconv.jobs import train as train_job
from globalconv.reports.history import read_history
from globalconv.runtime.signals import StopRequest


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data `blobs` and a network trained on them, `run`."""
    root = tmp_path_factory.mktemp("api")
    globalconv.train(small_recipe(), write_blobs(root / "blobs"), root / "run")
    return root


def test_a_training_leaves_its_report(place: Path) -> None:
    page = (place / "run" / "report.html").read_text(encoding="utf-8")
    check_self_contained(page)
    history = read_history(place / "run")
    best = max(miou for _, miou in history.mious)
    assert f"<b>{best:.3f}</b>" in page  # the saved network, in the training's precision
    assert history.finished and history.training_seconds and history.events_of("start")[0]["versions"]["torch"]
    assert all(words in page for words in ("torch", "peak memory", "folder", "optim.lr", "Training loss"))


def test_a_resumed_training_has_one_too(place: Path, tmp_path: Path) -> None:
    train_until_killed(small_recipe(), place / "blobs", tmp_path / "run", 7)
    assert not (tmp_path / "run" / "report.html").exists()
    globalconv.train(small_recipe(), place / "blobs", tmp_path / "run", resume=True)
    whole, resumed = (folder / "run" / "report.html" for folder in (place, tmp_path))
    score = [page.read_text(encoding="utf-8").split("<b>")[1][:5] for page in (whole, resumed)]
    assert score[0] == score[1]


def test_a_report_that_fails_is_a_warning(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    shutil.copytree(place / "run", tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    monkeypatch.setattr(train_job, "write_report", fail)
    with pytest.warns(UserWarning, match=r"no report.html: disk full; the training is complete; globalconv report"):
        assert globalconv.train(small_recipe(), place / "blobs", tmp_path / "run", resume=True) == tmp_path / "run"


def test_a_stop_during_the_report_says_that_the_training_is_complete(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise StoppedError("stopped by SIGINT", 2)

    shutil.copytree(place / "run", tmp_path / "run")
    monkeypatch.setattr(train_job, "write_report", stop)
    with pytest.raises(StoppedError, match="the training is complete") as stopped:
        globalconv.train(small_recipe(), place / "blobs", tmp_path / "run", resume=True)
    assert stopped.value.exit_code == 130


def test_an_evaluation_writes_what_it_returns(place: Path, tmp_path: Path) -> None:
    plain = globalconv.evaluate(place / "run", place / "blobs")
    told = globalconv.evaluate(place / "run", place / "blobs", report=tmp_path / "network.html")
    assert (told.matrix.counts == plain.matrix.counts).all()
    assert f"<b>{plain.miou:.3f}</b>" in (tmp_path / "network.html").read_text(encoding="utf-8")
    globalconv.predict(place / "run", [f"{place}/blobs/images/val"], tmp_path / "maps", precision="float32")
    maps = evaluate_job.evaluate_predictions(tmp_path / "maps", place / "blobs", report=tmp_path / "maps.html")
    assert (maps.matrix.counts == plain.matrix.counts).all()
    page = (tmp_path / "maps.html").read_text(encoding="utf-8")
    assert "class maps made elsewhere" in page and f"<b>{plain.miou:.3f}</b>" in page


def test_runs_are_compared_on_the_data_they_noted(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "run", tmp_path / "other")
    page = globalconv.report([place / "run", tmp_path / "other"])
    assert page == place / "comparison.html" and "run against other" in page.read_text(encoding="utf-8")
    named = globalconv.report([place / "run"], out=tmp_path / "new" / "page.html", names=["mine"])
    assert "Report: mine" in named.read_text(encoding="utf-8")
    assert globalconv.report([tmp_path / "other"], place / "blobs") == tmp_path / "other" / "report.html"
    with pytest.raises(InputError, match="no run given"):
        globalconv.report([])


def test_a_page_says_what_was_done_beyond_one_pass_and_does_it(place: Path, tmp_path: Path) -> None:
    settings = InferenceSettings(scales=(0.5, 1.0), flip=True)
    plain = globalconv.evaluate(place / "run", place / "blobs", settings=settings)
    told = globalconv.evaluate(place / "run", place / "blobs", report=tmp_path / "page.html", settings=settings)
    assert (told.matrix.counts == plain.matrix.counts).all() and told.inference == plain.inference
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "run, scales (0.5, 1.0), flip True" in page and "inference.flip" in page


def test_one_image_may_be_named_without_a_list(place: Path, tmp_path: Path) -> None:
    image = next((place / "blobs" / "images" / "val").iterdir())
    either: tuple[Path | str, ...] = (image, str(image))
    for number, one in enumerate(either):
        assert globalconv.predict(place / "run", one, tmp_path / str(number)) == []


def test_class_maps_have_a_limit_that_can_be_raised_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    globalconv.predict(place / "run", [f"{place}/blobs/images/val"], tmp_path / "maps")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    given = [f"--predictions={tmp_path / 'maps'}", f"--data={place / 'blobs'}"]
    with pytest.raises(InputError, match="with `max_pixels`"):
        evaluate.run(given, StopRequest())
    assert evaluate.run([*given, "--max-pixels", "1000000"], StopRequest()) == 0
