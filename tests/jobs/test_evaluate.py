"""Evaluations of networks and of folders of class maps: score, page, limits."""

from pathlib import Path

import pytest
from helpers.nearest_colour import NearestColour

import globalconv
from globalconv.cli import evaluate
from globalconv.errors import InputError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.jobs import evaluate as evaluate_job
from globalconv.runtime.signals import StopRequest


def test_the_page_of_an_evaluation_has_the_score_that_is_returned(trained: Path, tmp_path: Path) -> None:
    plain = globalconv.evaluate(trained / "run", trained / "blobs")
    reported = globalconv.evaluate(trained / "run", trained / "blobs", report=tmp_path / "network.html")
    assert (reported.matrix.counts == plain.matrix.counts).all()
    assert f"<b>{plain.miou:.3f}</b>" in (tmp_path / "network.html").read_text(encoding="utf-8")
    globalconv.predict(trained / "run", [f"{trained}/blobs/images/val"], tmp_path / "maps", precision="float32")
    maps = evaluate_job.evaluate_predictions(tmp_path / "maps", trained / "blobs", report=tmp_path / "maps.html")
    assert (maps.matrix.counts == plain.matrix.counts).all()
    page = (tmp_path / "maps.html").read_text(encoding="utf-8")
    assert "class maps made elsewhere" in page and f"<b>{plain.miou:.3f}</b>" in page


def test_a_page_names_the_inference_settings_and_they_are_used(trained: Path, tmp_path: Path) -> None:
    settings = InferenceSettings(scales=(0.5, 1.0), flip=True)
    plain = globalconv.evaluate(trained / "run", trained / "blobs", settings=settings)
    reported = globalconv.evaluate(trained / "run", trained / "blobs", report=tmp_path / "page.html", settings=settings)
    assert (reported.matrix.counts == plain.matrix.counts).all() and reported.inference == plain.inference
    page = (tmp_path / "page.html").read_text(encoding="utf-8").replace("<wbr>", "")
    assert "run, scales (0.5, 1.0), flip True" in page and "inference.flip" in page


def test_what_is_no_torch_network_is_scored_and_reported(trained: Path, tmp_path: Path) -> None:
    labels = globalconv.load(trained / "run").labels
    predictor = Predictor(NearestColour(), labels)
    plain = globalconv.evaluate(predictor, trained / "blobs")
    reported = globalconv.evaluate(predictor, trained / "blobs", report=tmp_path / "page.html")
    assert (reported.matrix.counts == plain.matrix.counts).all() and plain.precision == "float32"
    assert "network: computed by NumPy" in (tmp_path / "page.html").read_text(encoding="utf-8").replace("<wbr>", "")


def test_the_pixel_limit_of_class_maps_can_be_raised(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    globalconv.predict(trained / "run", [f"{trained}/blobs/images/val"], tmp_path / "maps")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    arguments = [f"--predictions={tmp_path / 'maps'}", f"--data={trained / 'blobs'}"]
    with pytest.raises(InputError, match="with `max_pixels`"):
        evaluate.run(arguments, StopRequest())
    assert evaluate.run([*arguments, "--max-pixels", "1000000"], StopRequest()) == 0
