"""Archives for the test servers, made of miniature official trees by small networks with random weights."""

import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.official import CITIES, VOC_TEST, VOC_VAL, cityscapes_tree, voc_tree
from numpy.typing import NDArray
from PIL import Image

import globalconv
from globalconv.cli.main import main
from globalconv.data.images import read_image
from globalconv.errors import InputError, StoppedError
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.submission.servers import BENCHMARKS, check_classes
from globalconv.submission.submission_folder import SubmissionFolder, prediction_settings
from globalconv.weights import save_weights

Files = dict[str, bytes]


def network(folder: Path, labels: LabelSpace, seed: int = 0) -> Path:
    """Write a small network with random weights whose scores differ from place to place."""
    torch.manual_seed(seed)
    net = GlobalConvNet(labels.num_classes, backbone="test_resnet", kernel_size=3)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_weights(folder, net, labels, {})
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `VOCdevkit`, `cityscapes`, and a network for each: `voc` and `streets`."""
    root = tmp_path_factory.mktemp("submission")
    voc_tree(root)
    cityscapes_tree(root, size=(128, 64))
    network(root / "voc", VOC)
    network(root / "streets", CITYSCAPES)
    return root


def tar_members(archive: Path) -> Files:
    """Return the plain files of a tar file."""
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        assert all(member.isreg() and member.mode == 0o644 for member in members)
        return {member.name: opened.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def zip_members(archive: Path) -> Files:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def decoded(content: bytes) -> tuple[str, NDArray[np.uint8], list[int] | None]:
    """Return mode, values and palette of a PNG."""
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return image.mode, np.asarray(image), image.getpalette()


def submit(place: Path, out: Path, benchmark: str = "voc", **options: Any) -> int:
    weights = options.pop("weights", place / ("voc" if benchmark == "voc" else "streets"))
    data = place / "VOCdevkit" if benchmark == "voc" else place
    return globalconv.submit(benchmark, weights, data, out, device="cpu", **{"trial": True, **options})


@pytest.mark.parametrize("file", ["voc.tgz", "voc.tar.gz", "voc.tar"])
def test_voc_is_the_servers_tree(place: Path, tmp_path: Path, file: str) -> None:
    assert submit(place, tmp_path / "new" / file) == 2
    files = tar_members(tmp_path / "new" / file)
    assert list(files) == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in VOC_TEST]
    assert ((tmp_path / "new" / file).read_bytes()[:2] == b"\x1f\x8b") == (file != "voc.tar")
    predictor = globalconv.load(place / "voc", "cpu", "float32")
    for name, content in zip(VOC_TEST, files.values(), strict=True):
        mode, values, palette = decoded(content)
        image = read_image(place / f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg")
        assert mode == "P" and values.shape == image.shape[:2] and len(np.unique(values)) > 1
        np.testing.assert_array_equal(values, predictor.class_map(image))
        assert palette is not None and palette[: 3 * 21] == [channel for colour in VOC.palette for channel in colour]
        assert palette[-3:] == [224, 224, 192]


def test_data_are_named_as_for_a_training(place: Path, tmp_path: Path) -> None:
    """By names, of which others may stand beside, or by a folder in which everything lies; masks are not needed."""
    base = voc_tree(tmp_path / "below") / "VOC2012"
    shutil.rmtree(base / "SegmentationClass")
    places: list[Any] = [{"voc": base, "sbd": tmp_path}, tmp_path / "below", tmp_path]
    for number, data in enumerate(places):
        assert globalconv.submit("voc", place / "voc", data, tmp_path / f"{number}.tgz", device="cpu", trial=True) == 2
    streets, out = {"cityscapes": place / "cityscapes"}, tmp_path / "a.zip"
    assert globalconv.submit("cityscapes", place / "streets", streets, out, device="cpu", trial=True) == 2
    wrong: list[Any] = [{"sbd": base}, None, tmp_path / "x"]
    for data, message in zip(wrong, ["add voc=PATH", "`data` is missing", "no such folder"], strict=True):
        with pytest.raises(InputError, match=message):
            globalconv.submit("voc", place / "voc", data, tmp_path / "b.tgz", device="cpu")


def test_voc_val_and_comp5(place: Path, tmp_path: Path) -> None:
    submit(place, tmp_path / "voc.tgz", split="val", competition="comp5")
    assert list(tar_members(tmp_path / "voc.tgz")) == [
        f"results/VOC2012/Segmentation/comp5_val_cls/{name}.png" for name in VOC_VAL
    ]


def test_cityscapes_holds_label_ids(place: Path, tmp_path: Path) -> None:
    assert submit(place, tmp_path / "streets.zip", "cityscapes") == 2
    files = zip_members(tmp_path / "streets.zip")
    assert list(files) == [f"{name}_pred_labelIds.png" for name in CITIES["test"]]
    predictor = globalconv.load(place / "streets", "cpu", "float32")
    for name, content in zip(CITIES["test"], files.values(), strict=True):
        mode, values, _ = decoded(content)
        image = read_image(place / f"cityscapes/leftImg8bit/test/{name.split('_')[0]}/{name}_leftImg8bit.png")
        expected = np.array(CITYSCAPES_LABEL_IDS)[predictor.class_map(image)]
        assert mode == "L" and set(np.unique(values)) <= set(CITYSCAPES_LABEL_IDS) and len(np.unique(values)) > 1
        np.testing.assert_array_equal(values, expected)


def test_cityscapes_label_ids_are_the_official_ones() -> None:
    labels = pytest.importorskip("cityscapesscripts.helpers.labels", reason="cityscapesscripts is not installed")
    official = {label.trainId: (label.name, label.id) for label in labels.labels if 0 <= label.trainId < 255}
    ours = dict(enumerate(zip(CITYSCAPES.class_names, CITYSCAPES_LABEL_IDS, strict=True)))
    assert ours == official


def test_the_official_evaluator_finds_and_scores_every_prediction(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cityscapes' own script, with which its server works, on the val split: the same IoU as ours."""
    monkeypatch.setenv("CITYSCAPES_RESULTS", str(tmp_path / "results"))
    name = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    official = pytest.importorskip(name, reason="cityscapesscripts is not installed")
    submit(place, tmp_path / "val.zip", "cityscapes", split="val")
    with zipfile.ZipFile(tmp_path / "val.zip") as archive:
        archive.extractall(tmp_path / "results")
    arguments = official.args
    arguments.evalInstLevelScore, arguments.quiet, arguments.JSONOutput = False, True, False
    arguments.predictionPath = arguments.predictionWalk = None
    truths = sorted(map(str, (place / "cityscapes/gtFine/val").glob("*/*_labelIds.png")))
    predictions = [official.getPrediction(arguments, truth) for truth in truths]
    assert len(set(predictions)) == len(truths) == len(CITIES["val"])
    scores = official.evaluateImgLists(predictions, truths, arguments)
    matrix = globalconv.ConfusionMatrix(19)
    trains = np.full(256, 255, np.uint8)
    trains[list(CITYSCAPES_LABEL_IDS)] = range(19)
    for prediction, truth in zip(predictions, truths, strict=True):
        with Image.open(prediction) as predicted, Image.open(truth) as drawn:
            matrix.update(trains[np.asarray(predicted)], trains[np.asarray(drawn)])
    official_iou = np.array([scores["classScores"][name] for name in CITYSCAPES.class_names])
    np.testing.assert_allclose(matrix.iou(), official_iou, rtol=0, atol=1e-12)


def test_equal_calls_write_equal_archives(place: Path, tmp_path: Path) -> None:
    for benchmark, suffix in (("voc", "tgz"), ("cityscapes", "zip")):
        for folder in ("one", "two"):
            submit(place, tmp_path / folder / f"a.{suffix}", benchmark)
        assert (tmp_path / f"one/a.{suffix}").read_bytes() == (tmp_path / f"two/a.{suffix}").read_bytes()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is predicted, as it is written; "STOP" in it stops after the next one."""
    names: list[str] = []
    real = SubmissionFolder.write

    def write(self: SubmissionFolder, image: Any, png: Any) -> None:
        real(self, image, png)
        names.append(image.file)
        if names[0] == "STOP":
            names.clear()
            raise StoppedError("stopped by SIGINT", 2)

    monkeypatch.setattr(SubmissionFolder, "write", write)
    return names


def test_a_stop_keeps_what_is_predicted(place: Path, tmp_path: Path, written: list[str]) -> None:
    written.append("STOP")
    with pytest.raises(StoppedError, match="the same command keeps what is predicted and goes on") as error:
        submit(place, tmp_path / "voc.tgz")
    assert error.value.exit_code == 130 and not (tmp_path / "voc.tgz").exists()
    (tmp_path / "voc.tgz.predictions/.a.png.x.partial").touch()  # as a kill leaves it
    submit(place, tmp_path / "voc.tgz")
    assert written == [f"{VOC_TEST[1]}.png"] and not list((tmp_path / "voc.tgz.predictions").glob(".*.partial"))
    submit(place, tmp_path / "other.tgz")
    assert (tmp_path / "voc.tgz").read_bytes() == (tmp_path / "other.tgz").read_bytes()
    written.clear()
    submit(place, tmp_path / "voc.tgz", competition="comp5")  # the predictions are the same
    assert not written and all("comp5" in name for name in tar_members(tmp_path / "voc.tgz"))


def test_a_damaged_prediction_is_predicted_again(place: Path, tmp_path: Path, written: list[str]) -> None:
    submit(place, tmp_path / "voc.tgz")
    folder = tmp_path / "voc.tgz.predictions"
    (folder / f"{VOC_TEST[0]}.png").write_bytes(b"")
    Image.new("P", (5, 5)).save(folder / f"{VOC_TEST[1]}.png")
    written.clear()
    submit(place, tmp_path / "voc.tgz")
    assert written == [f"{name}.png" for name in VOC_TEST]


def test_a_prediction_with_other_values_is_refused(place: Path, tmp_path: Path) -> None:
    submit(place, tmp_path / "streets.zip", "cityscapes")
    before = (tmp_path / "streets.zip").read_bytes()
    file = tmp_path / f"streets.zip.predictions/{CITIES['test'][0]}_pred_labelIds.png"
    Image.fromarray(np.full((64, 128), 18, np.uint8)).save(file)
    with pytest.raises(InputError, match=r"_pred_labelIds\.png: holds 18, which stands for no class of Cityscapes"):
        submit(place, tmp_path / "streets.zip", "cityscapes")
    assert (tmp_path / "streets.zip").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"settings": InferenceSettings(scales=(0.5, 1.0), flip=True)},
            r"scales \(null, now \[0\.5, 1\.0\]\), flip \(null, now true\)",
        ),
        ({"precision": "bfloat16"}, r'precision \("float32", now "bfloat16"\)'),
        ({"split": "val"}, r'split \("test", now "val"\)'),
    ],
)
def test_predictions_of_other_settings_are_not_mixed(
    place: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    submit(place, tmp_path / "voc.tgz")
    with pytest.raises(
        InputError, match=rf"voc\.tgz\.predictions: holds predictions that were made otherwise \({message}"
    ):
        submit(place, tmp_path / "voc.tgz", **options)


def test_predictions_of_other_weights_are_not_mixed(place: Path, tmp_path: Path) -> None:
    submit(place, tmp_path / "voc.tgz")
    other = network(tmp_path / "other", VOC, seed=1)
    with pytest.raises(InputError, match=r"made otherwise \(other weights\)"):
        submit(place, tmp_path / "voc.tgz", weights=other)


def test_a_crf_counts_by_what_its_file_holds(place: Path, tmp_path: Path) -> None:
    parameters = {
        "iterations": 1, "appearance_weight": 4.0, "appearance_xy": 67.0, "appearance_rgb": 3.0,
        "smoothness_weight": 3.0, "smoothness_xy": 1.0,
    }  # fmt: skip
    file = tmp_path / "crf.json"
    notes = []
    for weight in (4.0, 4.0, 5.0):
        file.write_text(json.dumps({"parameters": {**parameters, "appearance_weight": weight}, "verdict": "use it"}))
        predictor = globalconv.load(place / "voc", "cpu", settings=InferenceSettings(crf=str(file)))
        notes.append(prediction_settings("voc", "test", place / "voc", predictor))
    assert notes[0] == notes[1] != notes[2]


def test_batches_and_settings_give_what_the_predictor_gives(place: Path, tmp_path: Path) -> None:
    settings = InferenceSettings(tile=64, overlap=32, flip=True)
    submit(place, tmp_path / "val.zip", "cityscapes", split="val", settings=settings)
    predictor = globalconv.load(place / "streets", "cpu", "float32", settings=settings)
    for name, content in zip(CITIES["val"], zip_members(tmp_path / "val.zip").values(), strict=True):
        image = read_image(place / f"cityscapes/leftImg8bit/val/{name.split('_')[0]}/{name}_leftImg8bit.png")
        np.testing.assert_array_equal(decoded(content)[1], np.array(CITYSCAPES_LABEL_IDS)[predictor.class_map(image)])
    submit(place, tmp_path / "batch.zip", "cityscapes", split="val", settings=InferenceSettings(batch_size=2))
    assert len(zip_members(tmp_path / "batch.zip")) == 3


def test_an_incomplete_split_is_refused_before_anything(place: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"`split` test: found 2 of the 1456 images that PASCAL VOC 2012 has there.*`trial`"
    ):
        submit(place, tmp_path / "voc.tgz", trial=False)
    assert not any(tmp_path.iterdir())


def test_images_of_another_size_are_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.jobs.submit.BENCHMARKS", {"cityscapes": _with_count(2)})
    with pytest.raises(InputError, match=r"is 128x64, images of Cityscapes are 2048x1024; unpack"):
        submit(place, tmp_path / "streets.zip", "cityscapes", trial=False)


def _with_count(count: int) -> Any:
    return replace(BENCHMARKS["cityscapes"], counts={"test": count, "val": count})


def test_a_complete_split_of_full_size_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (2048, 1024)).save(path)
    monkeypatch.setattr("globalconv.jobs.submit.BENCHMARKS", {"cityscapes": _with_count(1)})
    weights = network(tmp_path / "weights", CITYSCAPES)
    globalconv.submit("cityscapes", weights, tmp_path, tmp_path / "streets.zip", device="cpu")
    assert [decoded(c)[1].shape for c in zip_members(tmp_path / "streets.zip").values()] == [(1024, 2048)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LabelSpace(("a", "b")), "it has 2, PASCAL VOC 2012 has 21"),
        (
            LabelSpace((*VOC.class_names[:5], "bus", "bottle", *VOC.class_names[7:])),
            "class 5 is 'bus', in PASCAL VOC 2012 it is 'bottle'",
        ),
    ],
)
def test_other_classes_are_refused(labels: LabelSpace, message: str) -> None:
    with pytest.raises(InputError, match=rf"weights: its classes are not those of PASCAL VOC 2012 \({message}\)"):
        check_classes(BENCHMARKS["voc"], labels, Path("weights"))


def test_existing_files_are_never_overwritten(place: Path, tmp_path: Path) -> None:
    (tmp_path / "voc.tgz").write_text("mine")
    with pytest.raises(InputError, match=r"`out` .*voc\.tgz: is there already and was not written here"):
        submit(place, tmp_path / "voc.tgz")
    (tmp_path / "a.tgz.predictions").mkdir()
    (tmp_path / "a.tgz.predictions" / "mine.txt").touch()
    with pytest.raises(InputError, match=r"a\.tgz\.predictions: is there and is no folder of a submission"):
        submit(place, tmp_path / "a.tgz")
    assert (tmp_path / "voc.tgz").read_text() == "mine"


def test_lists_and_images_that_are_missing(place: Path, tmp_path: Path) -> None:
    base = voc_tree(tmp_path) / "VOC2012"
    (base / f"JPEGImages/{VOC_TEST[1]}.jpg").unlink()
    with pytest.raises(InputError, match=rf"{VOC_TEST[1]}\.jpg: is not there, and .*test\.txt lists it"):
        globalconv.submit("voc", place / "voc", base, tmp_path / "a.tgz", trial=True)
    (base / "ImageSets/Segmentation/test.txt").write_text("../../../secret\n")
    with pytest.raises(InputError, match=r"test\.txt: '\.\./\.\./\.\./secret' is no name of an image"):
        globalconv.submit("voc", place / "voc", base, tmp_path / "a.tgz", trial=True)
    (base / "ImageSets/Segmentation/test.txt").unlink()
    with pytest.raises(InputError, match=r"test\.txt: there is no such list; it comes with VOC2012test\.tar"):
        globalconv.submit("voc", place / "voc", base, tmp_path / "a.tgz", trial=True)
    with pytest.raises(InputError, match="holds no cityscapes; looked for leftImg8bit/, there"):
        globalconv.submit("cityscapes", place / "streets", base, tmp_path / "a.zip", trial=True)
    (tmp_path / "leftImg8bit/test/berlin").mkdir(parents=True)
    with pytest.raises(InputError, match=r"leftImg8bit/test: holds no CITY/"):
        globalconv.submit("cityscapes", place / "streets", tmp_path, tmp_path / "a.zip", trial=True)


def test_a_damaged_image_is_named(place: Path, tmp_path: Path) -> None:
    base = voc_tree(tmp_path) / "VOC2012"
    image = base / f"JPEGImages/{VOC_TEST[1]}.jpg"
    image.write_bytes(image.read_bytes()[:400])
    with pytest.raises(InputError, match=rf"{VOC_TEST[1]}\.jpg: cannot be decoded"):
        globalconv.submit("voc", place / "voc", base, tmp_path / "a.tgz", trial=True)
    assert not (tmp_path / "a.tgz").exists()


def test_the_command_line(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", f"voc={place}/VOCdevkit", f"sbd={place}"]
    command = ["submit", "voc", f"{place}/voc", *data, "--out", f"{tmp_path}/voc.tgz"]
    assert main([*command, "--trial", "--scales", "0.5", "1", "--flip"]) == 0
    output = capsys.readouterr()
    assert "voc.tgz with 2 predictions" in output.out and "1456 images" in output.out.splitlines()[-1]
    assert "2 images in" in output.err and "of the time: decode" in output.err
    note = json.loads((tmp_path / "voc.tgz.predictions/submission.json").read_text())
    assert note["inference"] == {"scales": [0.5, 1.0], "flip": True} and len(note["weights"]) == 64
