"""Crops for classification: windows as asked, centres where they belong, samples a function of (seed, epoch, index)."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pretraining import write_colours
from hypothesis import given
from hypothesis import strategies as st

from globalconv.data.classification import (
    ImageFolder,
    augmented_batches,
    centre_crop,
    centre_crop_batches,
    draw_resized_crop,
    open_image_folder,
)
from globalconv.data.loader import Batch
from globalconv.data.transform_settings import ClassificationAugmentation
from globalconv.errors import InputError

SMALL = ClassificationAugmentation(crop=32)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return open_image_folder(write_colours(tmp_path_factory.mktemp("colours")), "train")


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_windows_lie_inside(height: int, width: int, seed: int) -> None:
    window = draw_resized_crop(height, width, ClassificationAugmentation(area=(0.2, 0.9)), np.random.default_rng(seed))
    assert window.size == (224, 224)
    assert window.height >= 1 and window.top >= 0 and window.top + window.height <= height
    assert window.width >= 1 and window.left >= 0 and window.left + window.width <= width


def test_areas_and_shapes_spread_over_their_ranges() -> None:
    rng, settings = np.random.default_rng(0), ClassificationAugmentation()
    windows = [draw_resized_crop(400, 400, settings, rng) for _ in range(2000)]
    areas = np.array([w.height * w.width / 400**2 for w in windows])
    aspects = np.log([w.width / w.height for w in windows])
    assert 0.079 < areas.min() < 0.1 and areas.max() > 0.9
    assert areas.mean() == pytest.approx(0.5, abs=0.05)  # a little below the middle: large windows fit less often
    assert aspects.mean() == pytest.approx(0, abs=0.02)
    assert abs(aspects).max() < np.log(4 / 3) + 0.03


def test_a_image_too_long_for_any_window_gives_its_middle() -> None:
    window = draw_resized_crop(10, 1000, ClassificationAugmentation(area=(1, 1)), np.random.default_rng(0))
    assert (window.top, window.height, window.width) == (0, 10, 13)
    assert window.left == (1000 - 13) // 2


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_is_224_of_256(turned: bool) -> None:
    """A ramp along the longer side, three times as long as the other; scaled by 2, the crop is its middle 112."""
    ramp = np.broadcast_to(np.arange(384)[None, :, None] // 2, (128, 384, 3)).astype(np.uint8)
    image = ramp.transpose(1, 0, 2) if turned else ramp
    centre = centre_crop(np.ascontiguousarray(image), 224)
    assert (centre.shape, centre.dtype) == ((3, 224, 224), torch.uint8)
    line = (centre[0, :, 100] if turned else centre[0, 100]).tolist()
    assert line[0] == pytest.approx((192 - 56) / 2, abs=1)
    assert line[-1] == pytest.approx((192 + 56) / 2, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2)])
def test_the_centre_of_the_smallest_images(size: tuple[int, int]) -> None:
    assert centre_crop(np.full((*size, 3), 9, np.uint8), 224).unique().tolist() == [9]


def take(source: ImageFolder, count: int, start: int = 0, workers: int = 0, seed: int = 1) -> list[Batch]:
    return list(islice(augmented_batches(source, SMALL, 4, seed, start, workers), count))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return all(
        a.names == b.names and torch.equal(a.images_N3HW, b.images_N3HW) and torch.equal(a.targets, b.targets)
        for a, b in zip(one, two, strict=True)
    )


def test_a_stream_that_starts_later_is_the_same_stream(colours: ImageFolder) -> None:
    whole = take(colours, 9)
    assert same(whole[5:], take(colours, 4, start=5))
    assert same(whole, take(colours, 9, workers=2))
    assert not same(whole[:2], take(colours, 2, seed=2))


def test_an_epoch_is_every_image_once_each_time_cut_anew(colours: ImageFolder) -> None:
    batches = list(islice(augmented_batches(colours, SMALL, 5, 0, 0, 0), 6))
    names = [name for batch in batches for name in batch.names]
    assert sorted(names[:15]) == sorted(names[15:]) == sorted(map(str, colours.files))
    crops = dict(zip(names[:15], torch.cat([b.images_N3HW for b in batches[:3]]), strict=True))
    again = dict(zip(names[15:], torch.cat([b.images_N3HW for b in batches[3:]]), strict=True))
    assert not any(torch.equal(crops[name], again[name]) for name in crops)


def test_targets_are_the_classes_and_survive_the_order(colours: ImageFolder) -> None:
    for batch in take(colours, 4):
        assert batch.targets.dtype == torch.int64
        assert [f"colour {n}" for n in batch.targets.tolist()] == [Path(name).parent.name for name in batch.names]


@pytest.mark.parametrize("workers", [0, 2])
def test_centres_come_once_in_order_and_the_last_batch_is_smaller(colours: ImageFolder, workers: int) -> None:
    batches = list(centre_crop_batches(colours, 32, 4, workers))
    assert [len(batch.targets) for batch in batches] == [4, 4, 4, 3]
    assert [name for batch in batches for name in batch.names] == list(map(str, colours.files))


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"crop": 31}, "`data.augmentation.crop` 31: must be at least 32"),
        ({"area": (0.0, 1.0)}, "`data.augmentation.area`"),
        ({"area": (0.5, 0.2)}, "`data.augmentation.area`"),
        ({"aspect": (0.0, 1.0)}, "`data.augmentation.aspect`"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], option: str) -> None:
    with pytest.raises(InputError, match=option):
        ClassificationAugmentation(**settings)  # type: ignore[arg-type]
