"""The rule by which a training read its images goes with its network: into every later reading."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.training import small_recipe, write_blobs
from PIL import Image

import globalconv
from globalconv.data.image_format import ImageFormat
from globalconv.errors import InputError, InputWarning
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.training.recipe import Recipe

TOLD = r"images of 16 bits hold values up to \d{4}: 4095 becomes white in all of them; `white_level`"


def deepen(root: Path, factor: float, dtype: Any = np.uint16) -> Path:
    """Make the images of a data set grey TIFFs of more than 8 bits: their red channel times `factor`."""
    for path in (root / "images").rglob("*.png"):
        values = np.asarray(Image.open(path))[..., 0].astype(float) * factor
        Image.fromarray(values.astype(dtype)).save(path.with_suffix(".tif"))
        path.unlink()
    return root


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, images of 12 bits in 16, and a network trained on them, `run`."""
    root = tmp_path_factory.mktemp("deep")
    deepen(write_blobs(root / "data"), 16)
    with pytest.warns(InputWarning, match=TOLD):
        globalconv.train(short_recipe(), root / "data", root / "run")
    return root


def short_recipe(**data: Any) -> Recipe:
    return Recipe.from_json(
        {**small_recipe().to_json(), "steps": 2, "data": {**small_recipe().to_json()["data"], **data}}
    )


def an_image(root: Path) -> Path:
    return min((root / "data" / "images" / "val").iterdir())


def test_the_rule_is_recorded_and_read_again(deep: Path) -> None:
    rule = {"white_level": 4095, "alpha": None, "is_declared": False}
    assert json.loads((deep / "run" / "dataset.json").read_text())["images"] == rule
    assert json.loads((deep / "run" / "model.json").read_text())["info"]["images"] == rule
    predictor = globalconv.load(deep / "run", "cpu")
    assert predictor.image_format == ImageFormat(4095)
    stored = np.asarray(Image.open(an_image(deep)))
    expected = np.rint(stored * np.float32(255 / 4095)).astype(np.uint8)
    assert (predictor(an_image(deep)).image == expected[..., None]).all()
    assert (predictor(Image.open(an_image(deep))).image == expected[..., None]).all()
    said = globalconv.load(deep / "run", "cpu", settings=InferenceSettings(white_level=10_000))
    assert said(an_image(deep)).image.max() == round(int(stored.max()) * 255 / 10_000)


def test_predict_and_evaluate_read_by_the_rule_of_the_run(deep: Path, tmp_path: Path) -> None:
    """No warning: whatever is told here is an error of the test."""
    predictor = globalconv.load(deep / "run", "cpu", "float32")
    images = sorted((deep / "data" / "images" / "val").iterdir())
    assert globalconv.predict(predictor, [deep / "data" / "images" / "val"], tmp_path / "out") == []
    for path in images:
        class_map = np.asarray(Image.open(tmp_path / "out" / f"{path.stem}.png"))
        assert (class_map == predictor(path).class_map).all()
    assert globalconv.evaluate(predictor, deep / "data").miou > 0


def test_a_file_beyond_the_rule_fails_with_its_line_and_the_others_are_predicted(deep: Path, tmp_path: Path) -> None:
    for name, value in (("bright", 60_000), ("fine", 4000)):
        Image.fromarray(np.full((40, 40), value, np.uint16)).save(tmp_path / f"{name}.tif")
    with pytest.warns(InputWarning, match="hold values up to 60000, above the white level 4095, and are refused"):
        (failure,) = globalconv.predict(deep / "run", [tmp_path], tmp_path / "out", "cpu")
    assert failure.path.endswith("bright.tif")
    assert "holds values up to 60000, above the white level 4095; say with `white_level`" in failure.error
    assert (tmp_path / "out" / "fine.png").is_file()
    Image.fromarray(np.full((40, 40), 250, np.uint16)).save(tmp_path / "bright.tif")
    with pytest.warns(
        InputWarning, match="1 of 2 images hold values up to 250 where 4095 is white, so are nearly black"
    ):
        globalconv.predict(deep / "run", [tmp_path / "bright.tif", tmp_path / "fine.tif"], tmp_path / "out", "cpu")


def test_a_run_on_eight_bits_decides_from_the_images_that_come_together(
    trained: Path, deep: Path, tmp_path: Path
) -> None:
    with pytest.warns(InputWarning, match=TOLD):
        assert globalconv.predict(trained / "run", [deep / "data" / "images"], tmp_path, "cpu") == []
    with pytest.warns(InputWarning, match=TOLD):
        globalconv.evaluate(trained / "run", deep / "data", device="cpu")
    predictor = globalconv.load(trained / "run", "cpu")
    with pytest.raises(InputError, match=r"which of them is white is unknown; say with `white_level`"):
        predictor(an_image(deep))
    settings = InferenceSettings(white_level=4095.0)
    assert globalconv.load(trained / "run", "cpu", settings=settings)(an_image(deep)).image.max() > 200


def test_a_level_that_is_said_needs_no_word_and_one_that_is_none_is_refused(deep: Path, tmp_path: Path) -> None:
    globalconv.train(short_recipe(white_level=5000.0), deep / "data", tmp_path / "run")
    assert globalconv.load(tmp_path / "run", "cpu").image_format == ImageFormat(5000.0, is_declared=True)
    for level in (0, -1, float("nan"), float("inf"), True):
        with pytest.raises(InputError, match=r"`data.white_level` .*: is the value of white"):
            short_recipe(white_level=level)
        with pytest.raises(InputError, match=r"`white_level` .*: is the value of white"):
            InferenceSettings(white_level=level)


def test_a_run_is_not_resumed_by_another_rule(deep: Path, tmp_path: Path) -> None:
    root = deepen(write_blobs(tmp_path / "data"), 16)
    with pytest.warns(InputWarning, match=TOLD):
        globalconv.train(short_recipe(), root, tmp_path / "run")
    first = min((root / "images" / "train").iterdir())
    Image.fromarray(np.asarray(Image.open(first)) * 3).save(first)
    with (
        pytest.warns(InputWarning, match="16383 becomes white"),
        pytest.raises(InputError, match=r"would be read by another rule than when the run .* began"),
    ):
        globalconv.train(short_recipe(), root, tmp_path / "run", resume=True)


def test_a_rule_that_is_none_is_refused_by_its_file(trained: Path) -> None:
    for value in ("black", {"white_level": -1}, {"alpha": "green"}):
        with pytest.raises(InputError):
            ImageFormat.from_json(value)
    assert ImageFormat.from_json(None) == ImageFormat()


def test_runs_that_read_images_by_different_rules_are_not_compared(trained: Path, deep: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="read images by another rule"):
        globalconv.report([trained / "run", deep / "run"], deep / "data", tmp_path / "page.html", device="cpu")
