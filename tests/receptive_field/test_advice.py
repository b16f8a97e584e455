"""Objects of hand-made label maps, and the kernel size that they ask for."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.training import small_recipe, train, write_blobs

from globalconv.cli.main import main
from globalconv.receptive_field.advice import KernelAdvice, MeasuredNetwork, ObjectSizes, object_areas


def objects(*sides: float) -> ObjectSizes:
    return ObjectSizes(np.array(sides, np.float64), 213, 320)


def advice(*networks: tuple[str, float, float, int], held: ObjectSizes, k: int = 15) -> KernelAdvice:
    measured = tuple(MeasuredNetwork(name, (k,) * 4, side, share, 1, cost) for name, side, share, cost in networks)
    return KernelAdvice("made", 1, 1, held, measured, trained=False)


def test_shares_are_of_pixels_not_of_objects() -> None:
    """Ten objects of 10 x 10 are 1,000 pixels, one of 30 x 30 is 900."""
    sizes = objects(*[10.0] * 10, 30.0)
    assert sizes.held_by(9.9) == 0 and sizes.held_by(30) == 1
    assert sizes.held_by(10) == sizes.held_by(29) == pytest.approx(1000 / 1900)
    assert [sizes.percentile(percent) for percent in (10, 50, 90)] == [10, 10, 30]


def test_the_cheapest_that_holds_nearly_as_much_is_advised() -> None:
    result = advice(("a", 10, 0.2, 1), ("b", 50, 0.90, 5), ("c", 99, 0.94, 20), held=objects(40.0))
    assert result.best.name == "b"
    assert result.sentence() == (
        "advice: b, whose field holds the objects of 90% of the pixels; c would hold 94% for 4.00 times its"
        " multiply-adds"
    )
    small = advice(("a", 10, 0.2, 1), ("b", 20, 0.4, 5), held=objects(40.0))
    assert "larger than every field here" in small.sentence()
    none = advice(("a", 10, 0.0, 1), ("b", 20, 0.02, 5), held=objects(40.0))
    assert none.sentence().startswith("advice: none of these") and "b, the largest" in none.sentence()


@pytest.mark.parametrize(("k", "levels"), [(7, ""), (11, "res-5 (10x7)"), (25, "res-4 (20x14) and res-5 (10x7)")])
def test_kernels_that_see_padding_are_named(k: int, levels: str) -> None:
    text = advice(("a", 10, 0.2, 1), held=objects(40.0), k=k).text()
    assert ("sees padding" in text) == bool(levels)
    assert levels in text


def test_the_verb_measures_untrained_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_blobs(tmp_path)
    command = ["advise", "--data", str(tmp_path), "--backbone", "test_resnet", "--kernel-sizes", "5", "1"]
    assert main([*command, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [network["name"] for network in values["networks"]] == ["pointwise", "gcn 5"]
    small, large = values["networks"]
    assert small["side"] < large["side"] and small["multiply_adds"] < large["multiply_adds"]
    assert small["held"] <= large["held"] and values["label_maps"] == 7
    assert (values["height"], values["width"], values["maps"][-1]) == (56, 72, [2, 3])
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "untrained" in text and text.splitlines()[-1].startswith("advice: ")


def test_the_verb_measures_run_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_blobs(tmp_path / "data")
    train(replace(small_recipe(), steps=1), tmp_path / "data", tmp_path / "mine")
    capsys.readouterr()
    assert main(["advise", str(tmp_path / "mine"), "--data", str(tmp_path / "data"), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert [network["name"] for network in values["networks"]] == ["mine"] and values["trained"]


def test_objects_touch_along_an_edge_and_void_is_none() -> None:
    """Two regions of class 1 that meet at a corner only are two; so is the third, behind the void."""
    label_map = np.array([[1, 1, 0, 255, 2], [1, 0, 0, 255, 2], [0, 1, 0, 255, 1]], np.uint8)
    assert sorted(object_areas(label_map)) == [1, 1, 1, 2, 3, 4]
    assert object_areas(np.full((3, 3), 255, np.uint8)).size == 0
