"""Image in, class map out: every kind of image, its own size and orientation, equal results, files on disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.infer import LABELS, Brightest, noise, write_image
from PIL import Image
from torch import Tensor, nn

import globalconv
from globalconv.arrays import Uint8Array
from globalconv.errors import InputError, InputWarning
from globalconv.geometry import Geometry
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.prediction import MARK
from globalconv.infer.predictor import Predictor
from globalconv.model.fast.convolutions import FusedConvolution, is_available
from globalconv.model.network import GlobalConvNet
from globalconv.weights import load_weights, save_weights

ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network whose class maps are not all one class."""
    torch.manual_seed(1)
    network = GlobalConvNet(3, backbone="test_resnet", kernel_size=3)
    network.train()(torch.rand(4, 3, 64, 64))
    folder = tmp_path_factory.mktemp("run")
    save_weights(folder, network.eval(), LABELS, {})
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        lambda image, path: image,
        lambda image, path: image[::-1, ::-1][::-1, ::-1],
        lambda image, path: np.asfortranarray(image),
        lambda image, path: Image.fromarray(image),
        lambda image, path: path,
        lambda image, path: str(path),
    ],
)
def test_arrays_pillow_images_and_paths_give_the_same_prediction(
    brightest: Predictor, tmp_path: Path, kind: Callable[[Uint8Array, Path], Any]
) -> None:
    image = noise(5, 7)
    path = write_image(tmp_path / "a.png", 5, 7)
    prediction = brightest(kind(image, path))
    assert prediction.class_map.dtype == np.uint8 and prediction.class_map.shape == (5, 7)
    assert (prediction.class_map == image.argmax(2)).all()
    assert prediction.class_names == brightest.class_names == ("red", "green", "blue")
    assert prediction.probabilities is None


def test_read_only_arrays_are_taken_and_no_input_is_changed(brightest: Predictor) -> None:
    image = noise(5, 7)
    before = image.copy()
    image.flags.writeable = False
    assert (brightest(image).class_map == brightest.class_map(before)).all()
    assert (image == before).all()


def test_probabilities_are_the_softmax_in_float32(brightest: Predictor) -> None:
    image = noise(4, 6)
    shares = brightest(image, probabilities=True).probabilities
    assert shares is not None and shares.dtype == np.float32 and shares.shape == (3, 4, 6)
    exp = np.exp(image.transpose(2, 0, 1) / 255)
    np.testing.assert_allclose(shares, exp / exp.sum(0), rtol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_result_is_upright_as_exif_says(brightest: Predictor, tmp_path: Path, orientation: int) -> None:
    image = Image.fromarray(noise(5, 8))
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    turned = {1: 0, 6: 3, 3: 2, 8: 1}.get(orientation)
    with Image.open(tmp_path / "turned.png") as opened:
        from_file, from_pillow = brightest(tmp_path / "turned.png"), brightest(opened)
    assert (from_file.class_map == from_pillow.class_map).all()
    assert from_file.class_map.shape == ((8, 5) if orientation >= 5 else (5, 8))
    if turned is not None:
        assert (from_file.class_map == np.rot90(np.asarray(image).argmax(2), turned)).all()
    saved, _ = from_file.save(tmp_path / "out")
    with Image.open(saved) as opened:
        assert opened.size == from_file.class_map.shape[::-1] and ORIENTATION not in opened.getexif()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"image array uint8 \(4, 4\): give uint8 RGB"),
        (np.zeros((4, 4, 4), np.uint8), "give uint8 RGB"),
        (np.zeros((4, 4, 3), np.float32), "image array float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        ([[1, 2]], "image of type list"),
        ("nowhere.png", "nowhere.png"),
    ],
)
def test_what_is_no_image_is_refused(brightest: Predictor, image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        brightest(image)


def test_a_pillow_image_of_a_cut_file_is_refused(brightest: Predictor, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 50, 50)
    path.write_bytes(path.read_bytes()[:200])
    with Image.open(path) as image, pytest.raises(InputError, match="image: cannot be decoded"):
        brightest(image)


def test_a_loaded_network_predicts_what_the_saved_one_does(run: Path) -> None:
    predictor = globalconv.load(run, device="cpu", precision="float32")
    image = noise(45, 70)
    with torch.inference_mode():
        logits_NKHW = predictor.network(torch.from_numpy(image).permute(2, 0, 1)[None])
    prediction = predictor(image, probabilities=True)
    assert (prediction.class_map == logits_NKHW[0].argmax(0).numpy()).all()
    assert len(np.unique(prediction.class_map)) > 1
    assert isinstance(predictor.network, GlobalConvNet) and not predictor.network.training
    assert predictor.class_names == LABELS.class_names


def test_optimise_changes_nothing_but_rounding(run: Path) -> None:
    fast = globalconv.load(run, "cpu", "float32", optimise=True)
    plain = globalconv.load(run, "cpu", "float32", optimise=False)
    image = noise(50, 61)
    torch.testing.assert_close(fast.logits(image), plain.logits(image), rtol=1e-4, atol=1e-5)
    convolutions = {type(layer) for layer in plain.network.modules() if isinstance(layer, nn.Conv2d)}
    assert {type(layer) for layer in fast.network.modules() if isinstance(layer, nn.Conv2d)} == convolutions


@pytest.mark.skipif(not is_available(torch.float32), reason="no x86 CPU, or a torch without oneDNN")
def test_only_an_optimised_predictor_computes_with_fused_convolutions(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[bool] = []
    forward = FusedConvolution.forward

    def counted(*arguments: Any) -> torch.Tensor:
        called.append(True)
        return forward(*arguments)

    monkeypatch.setattr(FusedConvolution, "forward", counted)
    image = noise(50, 61)
    globalconv.load(run, "cpu", optimise=False).class_map(image)
    assert not called
    globalconv.load(run, "cpu").class_map(image)
    assert called


def test_bfloat16_is_close_and_recorded(run: Path) -> None:
    low, full = (globalconv.load(run, "cpu", precision) for precision in ("bfloat16", "float32"))
    assert (low.precision, full.precision) == ("bfloat16", "float32")
    image = noise(64, 64)
    ours, theirs = low(image, probabilities=True).probabilities, full(image, probabilities=True).probabilities
    assert ours is not None and theirs is not None and ours.dtype == np.float32
    np.testing.assert_allclose(ours.sum(0), 1, atol=1e-5)
    assert 0 < abs(ours - theirs).max() < 0.05


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_equal_images_give_equal_results(run: Path, precision: str) -> None:
    image = noise(70, 40)
    results = [globalconv.load(run, "cpu", precision)(image, probabilities=True) for _ in range(2)]
    first, second = (result.probabilities for result in results)
    assert first is not None and second is not None and (first == second).all()
    assert (results[0].class_map == results[1].class_map).all()


def test_predicting_keeps_no_graph_and_leaves_the_weights_alone() -> None:
    network = Brightest().train()
    predictor = Predictor(network, LABELS, torch.device("cpu"), "float32")
    assert not predictor.logits(noise(3, 3)).requires_grad
    assert network.scale.requires_grad and network.scale.item() == np.float32(1 / 255)


class Hungry(nn.Module):
    def forward(self, images_N3HW: Tensor) -> Tensor:
        return torch.empty(10**16)


class Broken(nn.Module):
    def forward(self, images_N3HW: Tensor) -> Tensor:
        raise RuntimeError("a bug")


def test_too_little_memory_is_a_refusal_and_a_bug_is_not() -> None:
    with pytest.raises(InputError, match="image of 9x6: not enough memory on cpu; reduce the image"):
        Predictor(Hungry(), LABELS, "cpu", "float32")(noise(6, 9))
    with pytest.raises(RuntimeError, match="a bug"):
        Predictor(Broken(), LABELS, "cpu", "float32")(noise(6, 9))


@pytest.mark.parametrize("size", [(1, 1), (6, 9), (300, 200)])
def test_save_writes_the_indices_and_an_overlay(brightest: Predictor, tmp_path: Path, size: tuple[int, int]) -> None:
    prediction = brightest(noise(*size))
    class_map, drawn = prediction.save(tmp_path / "new" / "folder")
    assert (class_map.name, drawn.name) == ("prediction.png", "prediction.overlay.jpg")
    with Image.open(class_map) as image:
        assert image.mode == "P" and image.size == (size[1], size[0])
        assert (np.asarray(image) == prediction.class_map).all()
        palette = image.getpalette()
        assert palette is not None and palette[3:6] == [0, 250, 0] and palette[-3:] == [224, 224, 192]
    with Image.open(drawn) as image:
        assert image.mode == "RGB" and image.width >= size[1] and image.height > size[0]
    assert prediction.save(tmp_path / "new" / "folder") == (class_map, drawn)  # ours, so replaced


def test_save_takes_its_name_from_the_file_or_the_caller(brightest: Predictor, tmp_path: Path) -> None:
    prediction = brightest(write_image(tmp_path / "straße 1.v2.png"))
    assert prediction.save(tmp_path / "out")[0].name == "straße 1.v2.png"
    assert prediction.save(tmp_path / "out", "a/b")[1] == tmp_path / "out" / "a" / "b.overlay.jpg"
    for name in ("../a", "/a", "a/../../b", "."):
        with pytest.raises(InputError, match="name="):
            prediction.save(tmp_path / "out", name)


def test_other_programs_images_are_never_replaced(brightest: Predictor, tmp_path: Path) -> None:
    path = write_image(tmp_path / "photo.png")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"photo\.png exists and was not written by globalconv"):
        brightest(path).save(tmp_path)
    (tmp_path / "notes.overlay.jpg").write_text("not an image")
    with pytest.raises(InputError, match=r"notes\.overlay\.jpg exists"):
        brightest(path).save(tmp_path, "notes")
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == [
        "notes.overlay.jpg",
        "photo.png",
    ]


def test_what_is_saved_is_marked(brightest: Predictor, tmp_path: Path) -> None:
    class_map, drawn = brightest(noise(4, 4)).save(tmp_path)
    with Image.open(class_map) as first, Image.open(drawn) as second:
        assert first.info["Software"] == MARK and second.info["comment"] == MARK.encode()


def test_float32_is_float32_inside_and_nothing_is_changed_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation in the middle of a training must not change the arithmetic of the steps that follow."""

    class Spy(Brightest):
        def forward(self, images_N3HW: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().forward(images_N3HW)

    seen: list[bool] = []
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    Predictor(Spy(), LABELS, "cpu", "float32")(noise(5, 7))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32


def test_images_are_padded_as_in_training(run: Path, tmp_path: Path) -> None:
    model = load_weights(run)
    save_weights(tmp_path, model.network, LABELS, {}, Geometry((96, 128), (10, 20, 30)))
    predictor, image = globalconv.load(tmp_path, "cpu", "float32"), noise(45, 70)
    padded = np.empty((96, 128, 3), np.uint8)
    padded[:] = (10, 20, 30)
    padded[:45, :70] = image
    expected = globalconv.load(run, "cpu", "float32").logits(padded)[..., :45, :70]
    assert (predictor.logits(image) == expected).all()
    tall = noise(100, 50)
    assert predictor.logits(tall).shape[2:] == (100, 50)
    plain = globalconv.load(run, "cpu", "float32")
    assert (predictor.class_map(noise(96, 128)) == plain.class_map(noise(96, 128))).all()
    # Tiles are no images: they are not padded.
    tiles = InferenceSettings(tile=64, overlap=32)
    ours, theirs = (globalconv.load(folder, "cpu", "float32", settings=tiles) for folder in (tmp_path, run))
    assert (ours.class_map(tall) == theirs.class_map(tall)).all()


def test_images_of_equal_size_go_together(run: Path) -> None:
    predictor = globalconv.load(run, "cpu", "float32")
    images = [noise(40, 50, seed) for seed in range(3)]
    together = predictor.class_maps(images)
    assert all((one == predictor.class_map(image)).mean() > 0.999 for one, image in zip(together, images, strict=True))


def test_a_refinement_sees_the_image_and_the_fused_probabilities() -> None:
    seen: list[tuple[Uint8Array, npt.NDArray[np.float32]]] = []

    def refine(image: Uint8Array, shares_KHW: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        seen.append((image, shares_KHW.copy()))
        return shares_KHW[[2, 0, 1]]

    settings = InferenceSettings(tile=32, flip=True)
    image = noise(50, 60)
    prediction = Predictor(Brightest(), LABELS, "cpu", "float32", settings=settings, refine=refine)(image)
    assert prediction.probabilities is None and (seen[0][0] == image).all()
    assert (seen[0][1].argmax(0) == image.argmax(2)).all()
    assert (prediction.class_map == seen[0][1][[2, 0, 1]].argmax(0)).all()


def test_a_crf_is_named_in_the_settings_and_smooths() -> None:
    settings = InferenceSettings(crf="example")
    image = noise(40, 50)
    image[:, :25, 0] |= 128
    rough, smooth = (
        Predictor(Brightest(), LABELS, "cpu", "float32", settings=asked).class_map(image) for asked in (PLAIN, settings)
    )
    changes = [int((class_map[:, 1:] != class_map[:, :-1]).sum()) for class_map in (rough, smooth)]
    assert changes[1] < changes[0]
    with pytest.raises(InputError, match=r"`crf` exmple: .*did you mean 'example'"):
        Predictor(Brightest(), LABELS, "cpu", "float32", settings=InferenceSettings(crf="exmple"))


def test_large_probabilities_lie_in_a_file(brightest: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(30, 40)
    in_memory = brightest(image, probabilities=True).probabilities
    monkeypatch.setattr("globalconv.infer.predictor.MAPPED_BYTES", 100)
    mapped = brightest(image, probabilities=True).probabilities
    assert isinstance(mapped, np.memmap) and not isinstance(in_memory, np.memmap)
    assert in_memory is not None and (mapped == in_memory).all()


def test_larger_images_than_allowed_are_refused(brightest: Predictor, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 10, 20)
    few = Predictor(Brightest(), LABELS, "cpu", "float32", settings=InferenceSettings(max_pixels=199))
    with pytest.raises(InputError, match=r"a\.png: .* above the limit of .* `max_pixels` 200"):
        few(path)
    enough = Predictor(Brightest(), LABELS, "cpu", "float32", settings=InferenceSettings(max_pixels=200))
    assert (enough(path).class_map == brightest(path).class_map).all()
    assert Image.MAX_IMAGE_PIXELS == 89478485  # as it was


def test_an_image_without_pixels_is_refused(brightest: Predictor) -> None:
    with pytest.raises(InputError, match="image of 0x5: there is no pixel in it"):
        brightest(Image.new("RGB", (0, 5)))


def test_too_little_memory_for_a_batch_names_the_batch() -> None:
    with pytest.raises(InputError, match="2 times 9x6 pixels: not enough memory on cpu; give a `batch_size` below 2"):
        Predictor(Hungry(), LABELS, "cpu", "float32").class_maps([noise(6, 9)] * 2)


def test_no_room_for_probabilities_is_a_refusal(brightest: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while a mapped file is written kills the process with SIGBUS."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("globalconv.infer.predictor.MAPPED_BYTES", 100)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match=r"GB of probabilities: no room in .* let TMPDIR name"):
        brightest(noise(30, 40), probabilities=True)


@pytest.mark.parametrize(
    ("fields", "held"),
    [({}, 8), ({"tile": 64}, 1), ({"flip": True}, 1), ({"scales": [0.5]}, 1), ({"crf": "example"}, 1)],
)
def test_images_are_held_for_a_batch_only_where_they_go_together(fields: dict[str, Any], held: int) -> None:
    settings = InferenceSettings(batch_size=8, **fields)
    assert Predictor(Brightest(), LABELS, "cpu", "float32", settings=settings).images_at_once == held


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("settings", [PLAIN, InferenceSettings(flip=True)])
def test_scores_that_are_not_finite_are_told(value: float, settings: InferenceSettings) -> None:
    network = Brightest()
    with torch.no_grad():
        network.scale.fill_(value)
    predictor = Predictor(network, LABELS, "cpu", "float32", settings=settings)
    with pytest.warns(InputWarning, match="scores that are no finite numbers"):
        predictor(np.maximum(noise(4, 5), np.uint8(1)))
