"""Exported files agree with their network, take its place everywhere, and are refused when anything is wrong."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.infer import noise
from helpers.saved_weights import INFO, LABELS, network_of
from PIL import Image
from torch import Tensor, nn

from globalconv.arrays import Uint8Array
from globalconv.cli.main import main
from globalconv.errors import InputError, InputWarning
from globalconv.exporting.file_formats import write_program
from globalconv.exporting.program import export_program
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.infer.exported import open_backend
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import load
from globalconv.jobs.evaluate import evaluate
from globalconv.jobs.export import export
from globalconv.model.blocks import GlobalConv
from globalconv.model.wrapped import WrappedNetwork
from globalconv.weights import save_weights

SUFFIXES = (".onnx", ".xml", ".pt2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved network (run/), data for it (data/), and what it is exported to (net.onnx, ...)."""
    home = tmp_path_factory.mktemp("exported")
    network = network_of(0, kernel_size=3)
    level = network.heads[0]
    assert isinstance(level, GlobalConv)
    last = level.left[1]
    with torch.no_grad():  # every class wins somewhere
        logits_NKHW = network.eval()(torch.from_numpy(noise(96, 96)[None]).permute(0, 3, 1, 2))
        last.bias -= logits_NKHW.mean((0, 2, 3))
    info = INFO | {"recipe": {"data": {"train_split": "train", "val_split": "val", "layout": "folder"}}, "secret": 1}
    save_weights(home / "run", network, LABELS, info)
    for split, count in (("train", 6), ("val", 21)):
        for number in range(count):
            image = noise(44, 52, seed=number + 100 * (split == "val")) // 4 + np.uint8(8 * number)
            for folder, values in (("images", image), ("labels", image[..., 0] % 3)):
                (home / "data" / split / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(home / "data" / split / folder / f"{number:02}-{split}.png")
    assert len(np.unique(load(home / "run").class_map(noise(44, 52)))) == 3
    for suffix in SUFFIXES:
        export(home / "run", home / f"net{suffix}", data=home / "data")
    return home


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_agrees_with_its_network_and_says_so(home: Path, suffix: str) -> None:
    report = json.loads((home / f"net{suffix}.parity.json").read_text())
    assert report["images"] == 21
    assert report["equal_pixels"] >= 0.9999
    assert report["largest_difference"] < 1e-4
    assert report["miou_file"] == pytest.approx(report["miou_network"], abs=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "settings",
    [
        InferenceSettings(), InferenceSettings(tile=64, overlap=32), InferenceSettings(scales=(0.5, 1.0), flip=True),
        InferenceSettings(tile=64, fuse="logits", batch_size=3), InferenceSettings(crf="example"),
    ],
    ids=["whole", "tiles", "views", "logits", "crf"],
)  # fmt: skip
def test_a_file_takes_the_place_of_its_run(home: Path, suffix: str, settings: InferenceSettings) -> None:
    image = noise(101, 143)
    expected = load(home / "run", precision="float32", settings=settings)(image, probabilities=True)
    found = load(home / f"net{suffix}", settings=settings)(image, probabilities=True)
    assert found.labels == expected.labels
    assert np.mean(found.class_map == expected.class_map) > 0.999
    assert expected.probabilities is not None
    assert found.probabilities is not None
    assert np.allclose(found.probabilities, expected.probabilities, atol=1e-3)


def test_the_verbs_take_a_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = evaluate(home / "net.onnx", home / "data")
    assert score.miou == pytest.approx(evaluate(home / "run", home / "data").miou, abs=1e-4)
    assert score.precision == "float32"
    images = str(home / "data" / "val" / "images")
    assert main(["predict", str(home / "net.xml"), images, "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.overlay.jpg"))) == 21
    assert main(["export", str(home / "run"), "--out", str(tmp_path / "m.onnx"), "--data", str(home / "data")]) == 0
    assert "100.0000% equal pixels" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.parity.json", "out"]


def test_a_file_says_what_it_is_and_nothing_private(home: Path) -> None:
    metadata = open_backend(home / "net.onnx").metadata
    assert metadata.labels == LABELS
    assert metadata.digest == json.loads((home / "run" / "model.json").read_text())["digest"]
    assert metadata.network["kernel_size"] == [3, 3, 3, 3]
    assert dict(metadata.info) == {"recipe": {"data": {"layout": "folder", "val_split": "val"}}}
    assert str(home).encode() not in (home / "net.onnx").read_bytes()


def test_without_probabilities_a_file_gives_classes_alone(home: Path, tmp_path: Path) -> None:
    report = export(home / "run", tmp_path / "small.xml", data=home / "data", probabilities=False)
    assert report.largest_difference is None
    predictor = load(tmp_path / "small.xml")
    image = noise(40, 50)
    assert np.array_equal(predictor.class_map(image), load(home / "net.xml").class_map(image))
    with pytest.raises(InputError, match="was exported without probabilities"):
        load(tmp_path / "small.xml", settings=InferenceSettings(flip=True)).class_map(image)


def test_bfloat16_is_a_file_of_openvino(home: Path, tmp_path: Path) -> None:
    report = export(home / "run", tmp_path / "half.xml", precision="bfloat16", data=home / "data", max_drop=100)
    assert report.precision == "bfloat16"
    assert load(tmp_path / "half.xml").precision == "bfloat16"
    assert load(home / "net.xml", precision="bfloat16").precision == "bfloat16"
    assert (tmp_path / "half.bin").stat().st_size < 0.6 * (home / "net.bin").stat().st_size


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of the 20 images:globalconv.errors.InputWarning")
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_int8_is_calibrated_on_training_images(home: Path, tmp_path: Path, suffix: str) -> None:
    report = export(home / "run", tmp_path / f"q{suffix}", precision="int8", data=home / "data", max_drop=100)
    assert report.precision == "int8"
    assert report.float32_layers is not None
    kept, _, convolutions = report.float32_layers.partition(" of ")
    assert int(kept) < int(convolutions)
    assert report.bytes < 0.6 * sum(
        path.stat().st_size for path in home.glob("net.*") if path.suffix in (suffix, ".bin")
    )
    assert load(tmp_path / f"q{suffix}").precision == "int8"
    assert 0.5 < report.equal_pixels < 1


@pytest.mark.filterwarnings("ignore:.*of the 20 images:globalconv.errors.InputWarning")
def test_int8_is_refused_where_every_training_image_is_compared_on(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image to calibrate int8 on"):
        export(home / "run", tmp_path / "q.xml", precision="int8", data=home / "data", split="train")


@pytest.mark.parametrize(("out", "there"), [("m.onnx", "m.onnx"), ("m.xml", "m.bin")])
def test_files_of_others_are_not_replaced(home: Path, tmp_path: Path, out: str, there: str) -> None:
    (tmp_path / there).write_bytes(b"years of work")
    with pytest.raises(InputError, match=rf"`out` .*{there}: is there"):
        export(home / "run", tmp_path / out, data=home / "data")
    assert (tmp_path / there).read_bytes() == b"years of work"


class Drifting(nn.Module):
    """Answers differently each time that its classes are asked for, as a file that does not agree."""

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        return images_N3PQ + torch.rand_like(images_N3PQ)


def test_a_file_that_does_not_agree_is_not_kept(home: Path, tmp_path: Path) -> None:
    save_weights(tmp_path / "run", WrappedNetwork(Drifting(), 3), LABELS, {})
    with pytest.raises(InputError, match=r"(does not agree|cannot follow|other probabilities)"):
        export(tmp_path / "run", tmp_path / "x" / "m.onnx", data=home / "data", network=Drifting())
    assert not list(tmp_path.rglob("m.onnx*"))


def test_a_file_of_other_classes_is_refused_and_names_images(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = export_program(network_of(1, kernel_size=3).eval(), AS_THEY_ARE)
    monkeypatch.setattr(
        "globalconv.jobs.export.write_program", lambda _, path, metadata: write_program(other, path, metadata)
    )
    message = r"m\.onnx: is not kept, it does not agree with .*run: .*% of the pixels .*\(least alike: val/\d\d-val, "
    with pytest.raises(InputError, match=message):
        export(home / "run", tmp_path / "m.onnx", data=home / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["card", "cost", "push", "train", "vrf"])
def test_verbs_that_look_into_a_network_refuse_a_file(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    file, image = str(home / "net.onnx"), str(next((home / "data" / "val" / "images").iterdir()))
    arguments = {
        "card": [file], "cost": [file], "push": [file, "user/name"], "vrf": [file, image, "--at", "3,3"],
        "train": ["scenes", "--init-from", file, "--out", str(tmp_path / "run")],
    }[verb]  # fmt: skip
    assert main([verb, *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "net.onnx: is a" in lines[-1]
    assert "the run" in lines[-1]


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".onnx", ".bin", ".xml", ".pt2"])
@pytest.mark.parametrize("change", ["flipped", "cut", "empty", "foreign"])
def test_damage_is_found(home: Path, tmp_path: Path, suffix: str, change: str) -> None:
    for path in home.glob("net.*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / f"net{suffix}"
    content = path.read_bytes()
    if change == "flipped":
        flip_byte(path)
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "foreign": b"not a network\n" * 9}[change])
    with pytest.raises(InputError, match=r"net\.\w+: .*(damaged|edited)") as caught:
        load(path.with_suffix(".xml") if suffix == ".bin" else path)
    assert "\n" not in str(caught.value)


def test_an_archive_that_could_run_code_is_refused(home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "net.pt2", tmp_path / "evil.pt2")
    class_of_code = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    with zipfile.ZipFile(tmp_path / "evil.pt2", "a") as archive:
        archive.writestr("evil/data/constants/model.pt", class_of_code)
    with pytest.raises(InputError, match="could run code"):
        load(tmp_path / "evil.pt2")
    assert not (tmp_path / "ran").exists()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"out": "m.tflite"}, r"`out` .*m\.tflite: is written as \.onnx or \.xml or \.pt2"),
    ({"out": "m.XML"}, r"`out` .*m\.XML: call it m\.xml"),
    ({"out": "m.onnx", "format": "openvino"}, r"`format` openvino, .*call the file m\.xml"),
    ({"out": "m.onnx", "format": "tensorrt"}, r"`format` tensorrt, .*known: onnx, openvino, torch"),
    ({"out": "m.onnx", "precision": "float16"}, r"`precision` float16: .*known: "),
    ({"out": "m.onnx", "precision": "bfloat16"}, r"`precision` bfloat16, `format` onnx: .*give `format` openvino"),
    ({"out": "m.pt2", "precision": "int8"}, r"`precision` int8, `format` torch: give"),
    ({"out": "m.onnx", "precision": "int8"}, r"`precision` int8: needs the data of the training"),
    ({"out": "m.onnx", "weights": "net.onnx"}, r"net\.onnx: is exported already"),
    ({"out": "m.onnx", "weights": "nowhere"}, r"nowhere: no such folder"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message[:24] for _, message in REFUSED])
def test_what_cannot_be_exported_is_refused(
    home: Path, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    values = {"weights": "run"} | arguments
    with pytest.raises(InputError, match=message) as caught:
        export(**values | {"weights": home / values["weights"], "out": tmp_path / values["out"]})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_refuses_what_it_cannot_do(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no such file"):
        load(tmp_path / "gone.onnx")
    with pytest.raises(InputError, match=r"device='cuda'"):
        load(home / "net.xml", device="cuda")
    with pytest.raises(InputError, match=r"leave out `precision` bfloat16"):
        load(home / "net.onnx", precision="bfloat16")
    with pytest.raises(InputError, match=r"leave out network="):
        load(home / "net.onnx", network=Drifting())
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(
        InputError, match=r"needs onnxruntime, which is not installed; pip install 'globalconv\[runtime\]'"
    ):
        load(home / "net.onnx")


def test_tiles_that_a_file_would_pad_are_refused(home: Path, tmp_path: Path) -> None:
    """A run pads whole images as in training and leaves tiles as they are; a file pads all that is smaller."""
    save_weights(tmp_path / "run", network_of(0, kernel_size=3), LABELS, INFO, Geometry((90, 120), (7, 8, 200)))
    export(tmp_path / "run", tmp_path / "m.onnx", data=home / "data")
    tiles, views = InferenceSettings(tile=128, overlap=32), InferenceSettings(scales=(0.5, 1.5), flip=True)

    def both(image: Uint8Array, settings: InferenceSettings) -> list[Any]:
        paths = (tmp_path / "m.onnx", tmp_path / "run")
        return [load(path, "cpu", "float32", settings=settings)(image, probabilities=True) for path in paths]

    for size, settings in (((1, 1), tiles), ((40, 50), views), ((91, 300), InferenceSettings()), ((256, 248), tiles)):
        found, expected = both(noise(*size), settings)
        assert np.allclose(found.probabilities, expected.probabilities, atol=1e-5), size
    for size in ((40, 500), (300, 500)):  # the last tiles are smaller than the padding
        with pytest.raises(InputError, match=r"tile of \d+x\d+: .*m\.onnx pads all it sees to 120x90 pixels"):
            load(tmp_path / "m.onnx", settings=tiles).class_map(noise(*size))


@pytest.mark.parametrize(
    ("there", "called"), [("net.onnx", "net.xml"), ("net.xml", "net.pt2"), ("net.pt2", "net.onnx")]
)
def test_a_file_under_the_suffix_of_another_format_is_told(home: Path, tmp_path: Path, there: str, called: str) -> None:
    shutil.copy(home / there, tmp_path / called)
    suffix = Path(there).suffix
    with pytest.raises(InputError, match=rf"{called}: was written as \{suffix}; call it net\{suffix}"):
        load(tmp_path / called)


def test_an_export_of_others_that_names_the_package_is_not_replaced(home: Path, tmp_path: Path) -> None:
    """As torch's own export of a network does, in the names of its modules."""
    (tmp_path / "m.onnx").write_bytes(b"\x08\x0aglobalconv.model.network.GlobalConvNet" * 9)
    with pytest.raises(InputError, match=r"`out` .*m\.onnx: is there"):
        export(home / "run", tmp_path / "m.onnx", data=home / "data")


def write_few(folder: Path, value: int | None = None) -> Path:
    """Write two images to train on and one to validate on, labelled with `value` or with three classes."""
    for split, count in (("train", 2), ("val", 1)):
        for number in range(count):
            image = noise(44, 52, seed=number + 100 * (split == "val"))
            labels = image[..., 0] % 3 if value is None else np.full((44, 52), value, np.uint8)
            for kind, values in (("images", image), ("labels", labels)):
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(folder / split / kind / f"{number}-{split}.png")
    return folder


def test_few_images_are_told(home: Path, tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match=r"few \(val\): 1 of the 20 images"):
        report = export(home / "run", tmp_path / "m.onnx", data=write_few(tmp_path / "few"))
    assert report.lines()[0].startswith("parity on 1 image of ")


@pytest.mark.filterwarnings("ignore:.*of the 20 images:globalconv.errors.InputWarning")
def test_int8_wants_labels_that_count(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"void \(val\): none of its pixels .* has a class"):
        export(home / "run", tmp_path / "q.onnx", precision="int8", data=write_few(tmp_path / "void", 255))
    assert [path.name for path in tmp_path.iterdir()] == ["void"]


def test_a_run_whose_folder_is_called_as_a_file_is_exported(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "run", tmp_path / "run.pt2")
    assert export(tmp_path / "run.pt2", tmp_path / "m.onnx", data=home / "data").equal_pixels == 1
