"""TIFF files by windows: the class map of the whole image, where it lies on Earth, and what is refused."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.infer import LABELS, Narrow, noise
from PIL import Image

from globalconv.data.image_format import ImageFormat
from globalconv.data.images import read_image
from globalconv.errors import InputError
from globalconv.infer.geotiff import is_large_tiff, segment_tiff
from globalconv.infer.image_files import predict_files
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor

rasterio = pytest.importorskip("rasterio")
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.infer.geotiff.WHOLE_PIXELS", 100)


@pytest.fixture
def predictor() -> Predictor:
    torch.manual_seed(0)
    settings = InferenceSettings(tile=192, overlap=128)
    return Predictor(Narrow(), LABELS, "cpu", "float32", settings=settings)


def write_tiff(path: Path, image: np.ndarray, **profile: Any) -> Path:
    planes = image if image.ndim == 3 else image[..., None]
    height, width, count = planes.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", dtype=image.dtype, count=count, width=width, height=height, **profile
    ) as file:
        file.write(planes.transpose(2, 0, 1))
    return path


def read_tiff(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))


UTM = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 300, 0, -0.5, 900)}


@pytest.mark.parametrize("profile", [{"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}, {}])
def test_a_class_map_by_windows_is_that_of_the_image(
    predictor: Predictor, tmp_path: Path, profile: dict[str, Any]
) -> None:
    image = noise(401, 530)
    path = write_tiff(tmp_path / "a.tif", image, **profile, **UTM)
    segment_tiff(predictor, path, tmp_path / "map.tif")
    assert (read_tiff(tmp_path / "map.tif") == predictor.class_map(image)).all()
    with rasterio.open(tmp_path / "map.tif") as result:
        assert (result.crs, result.transform) == (UTM["crs"], UTM["transform"])
        assert result.colormap(1)[1] == (0, 250, 0, 255)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["a.tif", "map.tif"]


def test_scales_and_flips_work_by_windows_too(tmp_path: Path) -> None:
    settings = InferenceSettings(tile=192, overlap=128, scales=(0.5, 1.0), flip=True)
    several = Predictor(Narrow(), LABELS, "cpu", "float32", settings=settings)
    image = noise(150, 333)
    segment_tiff(several, write_tiff(tmp_path / "a.tif", image), tmp_path / "map.tif")
    assert (read_tiff(tmp_path / "map.tif") == several.class_map(image)).all()


def test_the_limit_on_pixels_is_the_predictors(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    path = write_tiff(tmp_path / "a.tif", noise(40, 60))
    with pytest.raises(InputError, match="`max_pixels` 2400"):
        segment_tiff(predictor, path, tmp_path / "map.tif")
    settings = InferenceSettings(tile=64, max_pixels=2400)
    segment_tiff(Predictor(Narrow(), LABELS, "cpu", "float32", settings=settings), path, tmp_path / "map.tif")
    assert read_tiff(tmp_path / "map.tif").shape == (40, 60)


def test_grey_becomes_rgb_and_transparent_pixels_white(predictor: Predictor, tmp_path: Path) -> None:
    image = noise(40, 50)
    alpha = np.where(np.arange(50) < 25, 255, 0).astype(np.uint8) * np.ones((40, 1), np.uint8)
    on_white = np.where(alpha[..., None] > 0, image, 255).astype(np.uint8)
    grey = image[..., 0]
    for name, stored, seen in (
        ("rgba", np.dstack([image, alpha]), on_white),
        ("grey", grey, np.repeat(grey[..., None], 3, axis=2)),
    ):
        options = {"photometric": "rgb", "alpha": "yes"} if name == "rgba" else {}
        path = write_tiff(tmp_path / f"{name}.tif", stored, **options)
        assert is_large_tiff(path)
        segment_tiff(predictor, path, tmp_path / "map.tif")
        assert (read_tiff(tmp_path / "map.tif") == predictor.class_map(seen)).all()


def test_a_large_tiff_gives_a_tiff_which_replaces_only_its_own_kind(predictor: Predictor, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "in" / "sub" / "a.tif", noise(60, 70))
    Image.fromarray(noise(60, 70)).save(tmp_path / "in" / "b.png")
    out = tmp_path / "out"
    for _ in range(2):
        assert predict_files(predictor, [str(tmp_path / "in")], out) == []
        names = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
        assert names == ["b.overlay.jpg", "b.png", "sub/a.tif"]
    before = path.read_bytes()
    (failure,) = predict_files(predictor, [str(path)], path.parent)
    assert "is one of the images to predict" in failure.error and path.read_bytes() == before
    write_tiff(tmp_path / "a.tif", noise(5, 5))
    (failure,) = predict_files(predictor, [str(path)], tmp_path)
    assert "a.tif exists and was not written by globalconv" in failure.error


def test_what_cannot_be_read_by_windows_is_decoded_whole(tmp_path: Path) -> None:
    turned, exif = tmp_path / "turned.tif", Image.Exif()
    exif[274] = 6
    Image.fromarray(noise(20, 30)).save(turned, exif=exif)
    assert not is_large_tiff(turned)
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
    assert not is_large_tiff(tmp_path / "a.png")


def test_damage_leaves_no_class_map(predictor: Predictor, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(300, 300), compress="deflate", tiled=True, blockxsize=64, blockysize=64)
    content = bytearray(path.read_bytes())
    content[60_000:90_000] = bytes(30_000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif: cannot be decoded"):
        segment_tiff(predictor, path, tmp_path / "map.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_crf_is_refused_because_it_needs_the_whole_image(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", noise(30, 30))
    refined = Predictor(Narrow(), LABELS, "cpu", "float32", refine=lambda image, shares_KHW: shares_KHW)
    (failure,) = predict_files(refined, [str(path)], tmp_path / "out")
    assert "leave out `crf`" in failure.error


def odd_tiff(image: np.ndarray, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return planes and profile of a TIFF of a kind that is not plain RGB, made of an image with five bands."""
    kinds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "infrared": (image[..., :4], {"photometric": "rgb", "alpha": "no"}),
        "five bands": (image, {"photometric": "rgb"}),
        "grey and alpha": (image[..., :2] // 200 * 255, {"photometric": "minisblack", "alpha": "yes"}),
        "16 bits": (image[..., :3].astype(np.uint16) * 16, {"photometric": "rgb"}),
        "16 bits, 0 is white": (image[..., :1].astype(np.uint16) * 16, {"photometric": "miniswhite"}),
        "reflectance": (image[..., :4].astype(np.float32) / 300, {}),
        "0 is white": (image[..., :1], {"photometric": "miniswhite"}),
        "multiplied": (image[..., :4], {"photometric": "rgb", "alpha": "premultiplied"}),
        "4 bits": (image[..., :1] // 16, {"nbits": 4}),
        "signed": (image[..., :1].astype(np.int16), {}),
    }
    return kinds[name]


@pytest.mark.parametrize(
    ("name", "by_windows"),
    [
        ("infrared", True), ("five bands", True), ("grey and alpha", True), ("0 is white", True), ("16 bits", True),
        ("16 bits, 0 is white", True), ("reflectance", True), ("signed", True), ("multiplied", False),
        ("4 bits", False),
    ],
)  # fmt: skip
def test_a_window_is_the_image_that_would_be_decoded(
    predictor: Predictor, tmp_path: Path, name: str, by_windows: bool
) -> None:
    bands = np.random.default_rng(0).integers(0, 256, (40, 50, 5), np.uint8)
    planes, profile = odd_tiff(bands, name)
    path = write_tiff(tmp_path / "a.tif", np.ascontiguousarray(planes), **profile)
    assert is_large_tiff(path) == by_windows
    image_format = ImageFormat(1.0 if name == "reflectance" else 4095.0, "transparency")
    if by_windows:
        segment_tiff(predictor, path, tmp_path / "map.tif", image_format)
        assert (read_tiff(tmp_path / "map.tif") == predictor.class_map(read_image(path, image_format))).all()


@pytest.mark.parametrize("blocks", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_coarse_colours_are_those_of_the_image_that_would_be_decoded(
    predictor: Predictor, tmp_path: Path, blocks: dict[str, Any]
) -> None:
    """GDAL repeats the colours of a JPEG where Pillow interpolates them."""
    path = write_tiff(tmp_path / "a.tif", noise(100, 130), photometric="ycbcr", compress="jpeg", **blocks, **UTM)
    assert is_large_tiff(path)
    with rasterio.open(path) as file:
        assert (file.read().transpose(1, 2, 0) != read_image(path)).any(), "they are read alike: no exception is needed"
    with pytest.warns(UserWarning, match=r"a\.tif: stores one colour for several pixels .* as a whole: 0 MB; stored"):
        segment_tiff(predictor, path, tmp_path / "map.tif")
    assert (read_tiff(tmp_path / "map.tif") == predictor.class_map(read_image(path))).all()
    with rasterio.open(tmp_path / "map.tif") as result:
        assert result.crs == UTM["crs"] and result.transform == UTM["transform"]


def test_colours_as_fine_as_the_pixels_are_read_by_windows(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(noise(60, 70)).convert("YCbCr").save(tmp_path / "a.tif", compression="tiff_lzw")
    assert is_large_tiff(tmp_path / "a.tif")
    with warnings.catch_warnings(action="error", category=UserWarning):
        segment_tiff(predictor, tmp_path / "a.tif", tmp_path / "map.tif")
    assert (read_tiff(tmp_path / "map.tif") == predictor.class_map(read_image(tmp_path / "a.tif"))).all()


def test_a_name_with_a_colon_is_a_file_and_the_cache_fits_the_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(noise(30, 40)).save("s3:a.tif")
    huge = Predictor(Narrow(), LABELS, "cpu", "float32", settings=InferenceSettings(tile=32 * 10**20))
    segment_tiff(huge, Path("s3:a.tif"), tmp_path / "map.tif")
    assert (read_tiff(tmp_path / "map.tif") == huge.class_map(noise(30, 40))).all()


@pytest.mark.parametrize(
    ("free", "error", "message"), [(0, OSError, "No space left"), (2**30, InputError, "map.tif: can")]
)
def test_a_class_map_that_cannot_be_written_is_not_blamed_on_the_image(
    predictor: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    error: type[Exception],
    message: str,
) -> None:
    def fails(*_: object) -> None:
        raise rasterio.errors.RasterioIOError("Write failed.")

    path = write_tiff(tmp_path / "a.tif", noise(40, 50))
    monkeypatch.setattr("globalconv.infer.geotiff.TiffClassMap.__setitem__", fails)
    monkeypatch.setattr("globalconv.infer.geotiff.shutil.disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(error, match=message):
        segment_tiff(predictor, path, tmp_path / "map.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
