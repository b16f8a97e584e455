"""The rule of a data set's images: which value is white and what alpha is, decided once, told, and kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.image_format import ImageFormat, declare_format
from globalconv.data.image_rule import decide_format
from globalconv.data.images import read_image
from globalconv.data.source import image_format_of
from globalconv.errors import InputError, InputWarning

SIZE = (20, 30)


def ramp(highest: float, dtype: Any = np.uint16) -> np.ndarray:
    """Return grey values from 0 to `highest` (H, W)."""
    return np.linspace(0, highest, SIZE[0] * SIZE[1]).reshape(SIZE).astype(dtype)


def write(folder: Path, images: Sequence[np.ndarray], suffix: str = "tif") -> list[tuple[str, Path]]:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.{suffix}")
    return [(f"{number}", folder / f"{number}.{suffix}") for number in range(len(images))]


def rgba(alpha: int | np.ndarray, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 4), np.uint8)
    pixels[..., 3] = alpha
    return pixels


@pytest.mark.parametrize(
    ("highest", "dtype", "level"),
    [
        (250, np.uint16, 255), (1000, np.uint16, 1023), (3813, np.uint16, 4095), (10_000, np.uint16, 16383),
        (65_535, np.uint16, 65535), (238, np.int32, 255), (0.8, np.float32, 1), (1.3, np.float32, 2),
        (100, np.float32, 255), (3000, np.float32, 4095),
    ],
)  # fmt: skip
def test_white_is_the_largest_value_of_the_smallest_depth_that_holds_all(
    highest: float, dtype: Any, level: float, tmp_path: Path
) -> None:
    images = write(tmp_path, [ramp(highest / 3, dtype), ramp(highest, dtype)])
    image_format, told = decide_format(images)
    assert image_format == ImageFormat(level)
    assert [(warning.kind, warning.severity, warning.samples) for warning in told] == [("depth", "note", ("0", "1"))]
    assert f"{level:g} becomes white in all of them" in str(told[0])
    assert read_image(images[1][1], image_format).max() == round(255 * float(ramp(highest, dtype).max()) / level)
    assert read_image(images[0][1], image_format).max() < 90, "not stretched by itself"


def test_eight_bits_have_no_rule_and_no_word(tmp_path: Path) -> None:
    images = write(tmp_path, [ramp(255, np.uint8), rgba(255)], "png")
    assert decide_format(images) == (ImageFormat(), [])
    assert read_image(images[0][1], ImageFormat(4095)).max() == 255


@pytest.mark.parametrize(
    ("images", "given", "words"),
    [
        ([ramp(5000)], 4095.0, "values up to 5000, above the white level 4095, and are refused"),
        ([ramp(200)], 65535.0, "1 of 1 images hold values up to 200 where 65535 is white, so are nearly black"),
        ([ramp(200), ramp(4000)], None, "1 of 2 images hold values up to 200 where 4095 is white"),
        ([ramp(4000), ramp(250, np.uint8)], None, "1 of 2 images have 8 bits"),
        ([ramp(1e6, np.int32)], None, "values up to 1e.06, and which of them is white is unknown"),
        ([ramp(0.9, np.float32), ramp(4000)], None, "1 of 2 images hold values up to 0.9 where 4095 is white"),
    ],
)
def test_what_one_level_does_not_fit_is_warned_of(
    images: list[np.ndarray], given: float | None, words: str, tmp_path: Path
) -> None:
    _, told = decide_format(write(tmp_path, images), ImageFormat(given))
    assert [warning for warning in told if warning.severity == "warning" and words.replace("e.", "e+") in str(warning)]


def test_values_that_the_rule_does_not_cover_are_refused_by_file_value_and_remedy(tmp_path: Path) -> None:
    (_, above), (_, negative), (_, nan) = write(
        tmp_path, [ramp(5000), ramp(-9999, np.float32), np.full(SIZE, np.nan, np.float32)]
    )
    for path, message in (
        (above, r"up to 5000, above the white level 4095; say with `white_level` .*, such as 16383"),
        (negative, "negative values, down to -9999, .*; store these as 0"),
        (nan, r"no finite numbers \(NaN\)"),
    ):
        with pytest.raises(InputError, match=f"{path}: holds .*{message}") as refusal:
            read_image(path, ImageFormat(4095))
        assert refusal.value.kind == "depth"
    assert read_image(above, declare_format(2500)).max() == 255  # a level of the user's, above which all is white
    _, (told,) = decide_format([("a", above)], declare_format(2500))
    assert told.severity == "note" and "up to 5000, and all from 2500 on become white" in str(told)
    with pytest.raises(InputError, match="which of them is white is unknown; say with `white_level`"):
        read_image(above)


CUT_OUT = np.where(np.arange(SIZE[1]) < 10, 0, 255)


@pytest.mark.parametrize(
    ("alphas", "alpha", "words"),
    [
        ([0, 0], "ignored", "all 2 images have one value of alpha everywhere"),
        ([0, 255], "ignored", "1 of 2 images have one value of alpha everywhere"),
        ([128, 128], "ignored", "one value of alpha"),
        ([np.arange(SIZE[1]) + 20] * 2, "ignored", "like an infrared band's: alpha is left out"),
        ([CUT_OUT, 255], "transparency", "1 of 2 images have transparent pixels: white is there"),
    ],
)
def test_alpha_that_is_no_transparency_is_left_out(
    alphas: list[int | np.ndarray], alpha: str, words: str, tmp_path: Path
) -> None:
    pixels = [rgba(values, seed) for seed, values in enumerate(alphas)]
    images = write(tmp_path, pixels, "png")
    image_format, told = decide_format(images)
    assert image_format.alpha == alpha
    assert [warning.kind for warning in told] == ["alpha"] and words in str(told[0])
    seen = read_image(images[0][1], image_format)
    assert (
        seen == (np.where(CUT_OUT[:, None] > 0, pixels[0], 255) if alpha == "transparency" else pixels[0])[..., :3]
    ).all()


def test_an_empty_tile_is_transparent_and_an_image_that_alpha_hides_is_refused_beside_real_transparency(
    tmp_path: Path,
) -> None:
    empty = rgba(0)
    empty[...] = 0
    images = write(tmp_path, [rgba(CUT_OUT), empty, rgba(0)], "png")
    image_format, _ = decide_format(images)
    assert image_format.alpha == "transparency"
    assert (read_image(images[1][1], image_format) == 255).all()
    with pytest.raises(InputError, match=r"2\.png: has one value of alpha everywhere, which would hide the image"):
        read_image(images[2][1], image_format)
    infrared = write(tmp_path / "more", [rgba(np.arange(SIZE[1]) + 20)], "png")[0][1]
    with pytest.raises(InputError, match="holds values like an infrared band's; save it without that band"):
        read_image(infrared)


def dataset(root: Path, train: Sequence[np.ndarray], val: Sequence[np.ndarray]) -> Path:
    for split, images in (("train", train), ("val", val)):
        for _, path in write(root / split / "images", images):
            mask = root / split / "labels" / f"{path.stem}.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((np.indices(SIZE).sum(0) % 2).astype(np.uint8)).save(mask)
    return root


def test_all_splits_have_one_rule(tmp_path: Path) -> None:
    root = dataset(tmp_path, [ramp(3000)] * 2, [ramp(9000)])
    for split in ("train", "val"):
        with pytest.warns(InputWarning, match="hold values up to 9000: 16383 becomes white in all of them"):
            source = open_source(root, split)
        assert image_format_of(source) == ImageFormat(16383)
    source = open_source(root, "train", image_format=ImageFormat(10_000))
    assert source.image(0).max() == round(255 * 3000 / 10_000)
