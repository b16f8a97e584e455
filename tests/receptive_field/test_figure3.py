"""Figure 3: fields of known networks, the pixel and the object that are chosen, the image, the table, the JSON."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fields import wide
from helpers.infer import LABELS, noise, write_image
from PIL import Image
from torch import Tensor, nn

from globalconv.arrays import Uint8Array
from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.geometry import Geometry
from globalconv.infer.predictor import Predictor
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.receptive_field.figure3 import deepest_pixel, draw_field, measure_fields, object_at
from globalconv.weights import save_weights

PIXELWISE = {"occluder": 1, "occluders": 64 * 64, "threshold": 1e-9, "batch_size": 64}


class Window(nn.Module):
    """Three classes, each the sum over a k x k window of an 8-bit image."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.conv = wide(k, 1.0)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        scores_NKHW: Tensor = self.conv(images_N3HW.float())
        return scores_NKHW


@pytest.mark.parametrize("method", ["occlusion", "gradient"])
@pytest.mark.parametrize("geometry", [Geometry(), Geometry((64, 64), (9, 9, 9))])
def test_fields_of_two_networks_at_two_scales(method: str, geometry: Geometry) -> None:
    """A k x k window has k^2 pixels at every scale: of an object of twice the size it holds a quarter."""
    predictors = {f"k{k}": Predictor(Window(k), LABELS, "cpu", "float32", geometry=geometry) for k in (3, 5)}
    mask = np.zeros((15, 20), np.uint8)
    mask[4:9, 7:12] = 1
    settings = FieldSettings(method, scales=(1, 2), **PIXELWISE)  # type: ignore[arg-type]
    fields = measure_fields(predictors, noise(15, 20), (6, 9), settings, "green", mask)
    assert [(field.name, field.scale, field.pixels, field.class_name) for field in fields] == [
        ("k3", 1, 9, "green"), ("k5", 1, 25, "green"), ("k3", 2, 9, "green"), ("k5", 2, 25, "green")
    ]  # fmt: skip
    assert [field.held for field in fields] == [9 / 25, 1, 9 / 100, 25 / 100]
    assert [field.at for field in fields] == [(6, 9), (6, 9), (13, 19), (13, 19)]
    assert fields[3].region.shape == (30, 40) and fields[3].region[11:16, 17:22].all()


def test_the_class_is_what_the_network_sees_there() -> None:
    network = Window(1)
    network.conv.bias = nn.Parameter(torch.tensor([0.0, 0.0, 1e4]))
    (field,) = measure_fields(
        {"one": Predictor(network, LABELS, "cpu")}, noise(5, 5), (2, 2), FieldSettings("gradient")
    )
    assert field.class_name == "blue"


def test_a_class_that_one_network_lacks_is_refused_before_any_is_measured() -> None:
    network, others = Window(1), LabelSpace(("cow", "sky", "sea"))
    predictors = {"one": Predictor(network, LABELS, "cpu"), "two": Predictor(Window(1), others, "cpu")}
    seen: list[object] = []
    network.register_forward_hook(lambda *_: seen.append(1))
    with pytest.raises(InputError, match="`class` green: known: cow, sea, sky"):
        measure_fields(predictors, noise(5, 5), (2, 2), FieldSettings("gradient"), "green")
    assert not seen


def test_the_image_is_dimmed_outside_and_marked() -> None:
    region = np.zeros((40, 60), bool)
    region[10:30, 10:50] = True
    shown = np.asarray(draw_field(np.full((40, 60, 3), 200, np.uint8), region, (20, 30), 120))
    assert shown.shape == (80, 120, 3)
    assert (shown[5, 5] < 80).all() and (shown[30, 30] == 200).all()
    assert shown[41, 61, 0] > 200 > shown[41, 61, 1], "red where the pixel is"


def test_the_verb_writes_image_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, k in (("small", 1), ("large", 3)):
        save_weights(tmp_path / name, GlobalConvNet(3, backbone="test_resnet", kernel_size=k), LABELS, {})
    image = write_image(tmp_path / "photo.png", 40, 60)
    Image.fromarray(np.repeat([[0, 1, 0]], 20, 1).repeat(40, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    command = [
        "vrf", str(tmp_path / "small"), str(tmp_path / "large"), str(image), "--at", "25,20", "--occluders", "90",
        "--out", str(tmp_path / "figure.jpg"), "--label-map", str(tmp_path / "mask.png"), "--scales", "1", "2",
    ]  # fmt: skip
    assert main([*command, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert [(row["network"], row["width"]) for row in first["fields"]] == [
        ("small", 60), ("large", 60), ("small", 120), ("large", 120)
    ]  # fmt: skip
    assert first["at"] == {"x": 25, "y": 20} and first["occluders"] == 90
    assert all(0 < row["share"] <= 1 and 0 <= row["object_held"] <= 1 for row in first["fields"])
    with Image.open(tmp_path / "figure.jpg") as photo:
        assert photo.width > 3 * 400 and photo.height > 2 * 200
    assert main(command) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[-1].startswith("written: ")
    for row in first["fields"]:
        assert f"{row['pixels']:,}" in table


def test_the_object_around_a_pixel() -> None:
    label_map = np.array([[1, 1, 0, 255, 2], [1, 0, 0, 255, 2], [0, 1, 0, 255, 1]], np.uint8)
    assert np.array_equal(np.argwhere(object_at(label_map, 1, 0)), [[0, 0], [0, 1], [1, 0]])
    colours = np.stack([label_map, label_map * 0, 255 - label_map], 2)
    assert np.array_equal(object_at(colours, 1, 0), object_at(label_map, 1, 0))


def test_the_deepest_pixel_is_in_the_largest_object_that_the_edge_does_not_cut() -> None:
    label_map = np.zeros((20, 30), np.uint8)
    label_map[2:7, 2:7] = 1
    label_map[9:18, 4:13] = 1
    label_map[9:18, 13] = 255
    label_map[0:19, 15:30] = 2  # larger, but cut
    assert deepest_pixel(label_map) == (13, 8)
    label_map[10, 20] = 3  # a hole of another class is an object as well, and smaller
    assert deepest_pixel(label_map) == (13, 8)
    label_map[9:18, 0:4] = 1  # now this one is cut, too
    assert deepest_pixel(label_map) == (4, 4)


@pytest.mark.parametrize("label_map", [np.zeros((4, 5), np.uint8), np.full((4, 5), 255, np.uint8)])
def test_there_may_be_no_such_object(label_map: Uint8Array) -> None:
    assert deepest_pixel(label_map) is None
