"""Augmentation: image and label map stay aligned, no label is invented, the generator handed in decides everything."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.data.transform_settings import PAPER_AUGMENTATION, Augmentation
from globalconv.data.transforms import augment, draw_crop_window
from globalconv.errors import InputError
from globalconv.labels import IGNORE, Colour

FILL: Colour = (7, 8, 9)


def sample(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return image, rng.choice(np.asarray([0, 3, 5, IGNORE], np.uint8), (height, width))


def encoded(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image whose red and green are 2 x column and 2 x row, and a label map that is the column."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.uint8)
    return np.stack([2 * columns, 2 * rows, np.zeros_like(rows)], axis=2), columns


settings_of_all_kinds = st.builds(
    Augmentation,
    crop=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    scale=st.tuples(st.floats(0.05, 1), st.floats(1, 3)),
    flip=st.booleans(),
    brightness=st.sampled_from([0, 0.4]),
    contrast=st.sampled_from([0, 0.4]),
    saturation=st.sampled_from([0, 1.0]),
)


@given(settings_of_all_kinds, st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_any_settings_give_the_crop_and_no_new_labels(
    settings: Augmentation, height: int, width: int, seed: int
) -> None:
    image, label_map = sample(height, width)
    before = image.copy()
    image_3hw, labels_hw = augment(image, label_map, settings, FILL, np.random.default_rng(seed))
    assert (image_3hw.shape, labels_hw.shape) == ((3, *settings.crop), settings.crop)
    assert image_3hw.dtype == labels_hw.dtype == torch.uint8
    assert set(labels_hw.unique().tolist()) <= {*np.unique(label_map).tolist(), IGNORE}
    assert (image == before).all(), "the source's array is not changed"


@given(st.floats(0.3, 2.5), st.integers(0, 999))
def test_image_and_labels_stay_aligned_within_a_pixel(factor: float, seed: int) -> None:
    image, label_map = encoded(80, 100)
    settings = Augmentation(crop=(48, 48), scale=(factor, factor))
    image_3hw, labels_hw = augment(image, label_map, settings, FILL, np.random.default_rng(seed))
    inside = labels_hw != IGNORE
    column = image_3hw[0].float() / 2
    error = (column - labels_hw.float())[inside].abs()
    assert error.max() <= max(1.0, 1.0 / factor)
    assert (column - labels_hw.float())[inside].mean().abs() < 0.3, "no systematic shift (half-pixel centres)"


@given(st.integers(0, 999))
def test_the_paper_set_flips_and_pads_and_changes_no_pixel(seed: int) -> None:
    image, label_map = encoded(40, 50)
    image_3hw, labels_hw = augment(image, label_map, PAPER_AUGMENTATION, FILL, np.random.default_rng(seed))
    inner = image_3hw[:, :40, :50].permute(1, 2, 0).numpy()
    flipped = not (inner == image).all()
    assert (inner == (image[:, ::-1] if flipped else image)).all()
    assert (labels_hw[:40, :50].numpy() == (label_map[:, ::-1] if flipped else label_map)).all()
    assert (labels_hw[40:] == IGNORE).all()
    assert (labels_hw[:, 50:] == IGNORE).all()
    assert (image_3hw[:, 40:] == torch.tensor(FILL)[:, None, None]).all()


def test_half_of_the_images_are_flipped_and_scales_and_places_spread() -> None:
    image, label_map = encoded(40, 50)
    draws = [np.random.default_rng(seed) for seed in range(400)]
    corners = [int(augment(image, label_map, PAPER_AUGMENTATION, FILL, rng)[1][0, 0]) for rng in draws]
    assert set(corners) == {0, 49}
    assert 160 < corners.count(0) < 240
    settings = Augmentation(crop=(20, 20), scale=(0.5, 2))
    windows = [draw_crop_window(40, 50, settings, np.random.default_rng(seed)) for seed in range(400)]
    assert {window.height for window in windows} >= {10, 40}
    assert min(window.top for window in windows) == min(window.left for window in windows) == 0
    assert max(window.left + window.width for window in windows) == 50
    assert max(window.top + window.height for window in windows) == 40


def test_colour_strengths_do_what_they_say() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    image[..., 0] = 160
    label_map = np.zeros((4, 4), np.uint8)

    def red_and_green(rng: int, **strengths: float) -> tuple[float, float]:
        settings = Augmentation(crop=(4, 4), flip=False, **strengths)  # type: ignore[arg-type]
        out_3hw, _ = augment(image, label_map, settings, FILL, np.random.default_rng(rng))
        return float(out_3hw[0].float().mean()), float(out_3hw[1].float().mean())

    assert red_and_green(0) == (160, 100)
    reds, greens = zip(*(red_and_green(seed, brightness=0.5) for seed in range(50)), strict=True)
    assert np.allclose(np.divide(reds, greens), 1.6, atol=0.03), "brightness scales all channels alike"
    assert min(greens) < 60
    assert max(greens) > 140
    gaps = [red - green for red, green in (red_and_green(seed, saturation=1.0) for seed in range(50))]
    assert min(gaps) < 10, "saturation 0 is grey"
    assert max(gaps) > 100
    grey = 0.299 * 160 + 0.701 * 100
    for seed in range(20):
        red, green = red_and_green(seed, contrast=1.0)
        assert abs(0.299 * red + 0.701 * green - grey) < 1, "contrast keeps the mean"


def test_same_generator_same_result_and_global_randomness_untouched() -> None:
    image, label_map = sample(60, 80)
    settings = Augmentation((32, 32), (0.5, 2), True, 0.3, 0.3, 0.3)
    torch_state, numpy_state = torch.random.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    one, two, other = (augment(image, label_map, settings, FILL, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert numpy_state == repr(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    image, label_map = sample(200, 300)
    settings = Augmentation((240, 320), (1.1, 1.1), True, 0.3, 0.3, 0.3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = augment(image, label_map, settings, FILL, np.random.default_rng(1))
        torch.set_num_threads(threads)
        many = augment(image, label_map, settings, FILL, np.random.default_rng(1))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one[0], many[0])
    assert torch.equal(one[1], many[1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop": (0, 5)}, "crop"), ({"scale": (0.0, 1.0)}, "scale"), ({"scale": (2.0, 1.0)}, "scale"),
        ({"scale": (1.0, float("inf"))}, "scale"), ({"scale": (float("nan"), 1.0)}, "scale"),
        ({"brightness": 1.5}, "brightness"), ({"contrast": -0.1}, "contrast"),
        ({"saturation": float("nan")}, "saturation"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"`data.augmentation.{message}`"):
        Augmentation(**wrong)  # type: ignore[arg-type]
