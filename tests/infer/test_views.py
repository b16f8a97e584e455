"""Scales and mirror images: resizing as torch does it, by windows; the mean; and everything at once."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.infer import LABELS, Brightest, Narrow, noise
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.infer.views import (
    ResizedImage,
    ViewScores,
    average_views,
    resample,
    resampling_weights,
    scaled_size,
    view_image,
)

scales = st.floats(0.1, 3)


def with_settings(network: torch.nn.Module, **fields: object) -> Predictor:
    return Predictor(network, LABELS, "cpu", "float32", settings=InferenceSettings(**fields))  # type: ignore[arg-type]


def stretched(values: torch.Tensor, width: int) -> torch.Tensor:
    """Resize the last axis. Along the other, torch 2.15 repeats the first value where the image is one pixel wide."""
    size, shrinks = (values.shape[1], width), width < values.shape[2]
    return F.interpolate(values[None].contiguous(), size, mode="bilinear", antialias=shrinks)[0]


@given(before=st.integers(1, 60), after=st.integers(1, 90))
def test_resampling_equals_that_of_torch(before: int, after: int) -> None:
    line_11L = torch.rand(1, 1, 1, before)
    ours = resample(line_11L, 3, *resampling_weights(before, after, slice(0, after)))
    theirs = F.interpolate(line_11L, (1, after), mode="bilinear", antialias=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@given(height=st.integers(1, 70), width=st.integers(1, 70), scale=scales, data=st.data())
def test_a_window_of_a_resized_image_is_that_of_the_whole(
    height: int, width: int, scale: float, data: st.DataObject
) -> None:
    size = scaled_size(height, width, scale)
    image = ResizedImage(noise(height, width), size)
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, length), min_size=2, max_size=2, unique=True))) for length in size
    )
    whole, part = image[0 : size[0], 0 : size[1]], image[top:bottom, left:right]
    assert np.abs(part.astype(int) - whole[top:bottom, left:right]).max() <= 1  # rounding of equal sums


@given(height=st.integers(1, 50), width=st.integers(1, 50), scale=scales, step=st.integers(1, 60), data=st.data())
def test_scores_come_back_to_the_size_of_the_image_whatever_the_bands(
    height: int, width: int, scale: float, step: int, data: st.DataObject
) -> None:
    size = scaled_size(height, width, scale)
    scores_Khw = torch.rand(2, *size)
    cuts = sorted(data.draw(st.sets(st.integers(1, size[0]), max_size=4)) | {0, size[0]})
    bands = iter([scores_Khw[:, a:b] for a, b in pairwise(cuts)])
    pieces = list(average_views([ViewScores(bands, size, (height, width), flipped=False)], height, step))
    assert pieces[0][0].start == 0 and pieces[-1][0].stop == height
    ours = torch.cat([piece_KhW for _, piece_KhW in pieces], 1)
    theirs = stretched(stretched(scores_Khw, width).mT, height).mT
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_flipped_view_is_read_by_windows() -> None:
    image = noise(4, 9)
    assert (view_image(image, 1.0, flipped=True)[1:3, 2:7] == image[1:3, ::-1][:, 2:7]).all()


def test_flipping_changes_nothing_for_a_network_that_sees_single_pixels() -> None:
    image = noise(21, 34)
    assert (with_settings(Brightest(), flip=True).class_map(image) == image.argmax(2)).all()


def test_scales_and_flips_are_the_mean_of_probabilities_or_of_scores() -> None:
    torch.manual_seed(1)
    network, image = Narrow(), noise(40, 64)
    plain = Predictor(network, LABELS, "cpu", "float32")
    logits, mirrored = plain.logits(image), plain.logits(np.ascontiguousarray(image[:, ::-1])).flip(3)
    softmax = partial(torch.softmax, dim=1)
    expected = {"probabilities": (softmax(logits) + softmax(mirrored)) / 2, "logits": softmax((logits + mirrored) / 2)}
    for fuse, shares_NKHW in expected.items():
        prediction = with_settings(network, flip=True, fuse=fuse)(image, probabilities=True)
        assert prediction.probabilities is not None
        np.testing.assert_allclose(prediction.probabilities, shares_NKHW[0].numpy(), atol=1e-5)
        assert (prediction.class_map == shares_NKHW[0].argmax(0).numpy()).all()


def test_a_scale_is_the_network_on_the_resized_image() -> None:
    torch.manual_seed(1)
    network, image = Narrow(), noise(41, 64)
    image_13HW = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(image_13HW, (20, 32), mode="bilinear", antialias=True)
    small = resized.round().to(torch.uint8)[0].permute(1, 2, 0).contiguous().numpy()
    shares = Predictor(network, LABELS, "cpu", "float32").logits(small).softmax(1)
    expected = F.interpolate(shares, (41, 64), mode="bilinear")[0]
    actual = with_settings(network, scales=(0.5,))(image, probabilities=True).probabilities
    assert actual is not None
    np.testing.assert_allclose(actual, expected.numpy(), atol=2e-3)  # a pixel may be rounded the other way


@pytest.mark.parametrize("size", [(150, 330), (33, 400)])
def test_each_scale_is_tiled_and_the_result_is_that_without_tiles(size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    network, image = Narrow(), noise(*size)
    settings = {"scales": (0.5, 1.0, 1.25), "flip": True}
    whole = with_settings(network, **settings)(image, probabilities=True).probabilities
    tiles = with_settings(network, **settings, tile=192, overlap=128)(image, probabilities=True).probabilities
    assert whole is not None and tiles is not None
    np.testing.assert_allclose(tiles, whole, atol=2e-3)
    np.testing.assert_allclose(tiles.sum(0), 1, atol=1e-5)
    assert np.abs(tiles - whole).mean() < 1e-5


def test_pixels_become_floats_as_they_are_taken() -> None:
    """At a small scale a window is made of a whole large image, which must not be held as floats."""
    line_L = torch.arange(60, dtype=torch.uint8)
    index_hT, weight_hT = resampling_weights(60, 7, slice(2, 5))
    small_h = resample(line_L, 0, index_hT, weight_hT)
    assert small_h.dtype == torch.float32
    torch.testing.assert_close(small_h, resample(line_L.float(), 0, index_hT, weight_hT))
