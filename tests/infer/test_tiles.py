"""Tiles: where they lie, what they weigh, that together they are the whole image, and that they hold one band only."""

import itertools

import numpy as np
import pytest
import torch
from helpers.infer import LABELS, Brightest, Narrow, noise
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.geometry import STRIDE, Geometry
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.infer.tiles import CITYSCAPES_COLUMNS, TileSpan, place_tiles, predict_tiles, tile_starts

sides = st.integers(1, 8).map(lambda cells: cells * STRIDE)


def whole_length(length: int) -> int:
    return -(-length // STRIDE) * STRIDE


@given(length=st.integers(1, 2000), side=sides, data=st.data())
def test_tiles_start_at_cells_overlap_enough_and_end_where_the_network_pads(
    length: int, side: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, side // STRIDE - 1)) * STRIDE
    starts = tile_starts(length, side, overlap)
    assert starts[0] == 0 and all(start % STRIDE == 0 for start in starts)
    assert starts[-1] + side >= whole_length(length)
    assert len(starts) == 1 or starts[-1] + side == whole_length(length)
    assert all(overlap <= a + side - b < side for a, b in itertools.pairwise(starts))
    fewest = 1 + -(-max(0, whole_length(length) - side) // (side - overlap))
    assert len(starts) == fewest


def total(spans: tuple[TileSpan, ...], length: int) -> np.ndarray:
    shares = np.zeros(length)
    for tile in spans:
        assert tile.start <= tile.first and tile.counted.stop <= tile.stop <= length
        assert (tile.weights >= 0).all()
        shares[tile.counted] += tile.weights
    return shares


@given(height=st.integers(1, 900), width=st.integers(1, 900), side=sides, data=st.data())
def test_weights_are_a_partition_of_unity(height: int, width: int, side: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, side // STRIDE - 1)) * STRIDE
    tiles = place_tiles(height, width, InferenceSettings(tile=side, overlap=overlap))
    for along, length in ((tiles.rows, height), (tiles.columns, width)):
        np.testing.assert_allclose(total(along, length), 1, atol=1e-6)


def test_a_tile_does_not_count_near_its_edges_inside_the_image() -> None:
    """So what its receptive field misses, within 3/8 of the overlap, never shows."""
    first, middle, last = place_tiles(10, 640, InferenceSettings(tile=256, overlap=64)).columns
    assert (first.counted.start, last.counted.stop) == (0, 640)
    for tile in (first, middle):
        assert tile.stop - tile.counted.stop >= 3 / 8 * 64 - 1
    for tile in (middle, last):
        assert tile.counted.start - tile.start >= 3 / 8 * 64 - 1


def test_cityscapes_is_four_crops_and_their_plain_mean() -> None:
    tiles = place_tiles(1024, 2048, InferenceSettings(tile="cityscapes"))
    assert [(tile.start, tile.stop) for tile in tiles.rows] == [(0, 1024)]
    assert tuple(tile.start for tile in tiles.columns) == CITYSCAPES_COLUMNS == (0, 341, 683, 1024)
    shares = total(tiles.columns, 2048)
    np.testing.assert_allclose(shares, 1, atol=1e-6)
    assert tiles.columns[0].weights[[0, 340, 341, 682, 683, 1023]].tolist() == pytest.approx(
        [1, 1, 1 / 2, 1 / 2, 1 / 3, 1 / 3]
    )
    with pytest.raises(InputError, match="`tile` cityscapes: is for images of 2048x1024, not 480x360; give `tile`"):
        place_tiles(360, 480, InferenceSettings(tile="cityscapes"))


@pytest.mark.parametrize("fuse", ["probabilities", "logits"])
@pytest.mark.parametrize("size", [(1, 1), (31, 33), (96, 96), (97, 200), (200, 333), (64, 700)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_are_the_whole_image_where_the_receptive_field_fits(
    size: tuple[int, int], fuse: str, batch_size: int
) -> None:
    """`Narrow` has a stride of 32, so tiles off the cells would not do; its receptive field fits the overlap."""
    torch.manual_seed(0)
    small = Narrow()
    image = noise(*size)
    whole = Predictor(small, LABELS, "cpu", "float32")(image, probabilities=True)
    settings = InferenceSettings(tile=192, overlap=128, fuse=fuse, batch_size=batch_size)  # type: ignore[arg-type]
    parts = Predictor(small, LABELS, "cpu", "float32", settings=settings)(image, probabilities=True)
    assert whole.probabilities is not None and parts.probabilities is not None
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-5)
    assert (parts.class_map == whole.class_map).mean() > 0.9999


def test_tiles_off_the_cells_would_show() -> None:
    """The test above has teeth: the same tiles eight pixels off give something else."""
    torch.manual_seed(0)
    predictor = Predictor(Narrow(), LABELS, "cpu", "float32")
    image = noise(128, 256)
    ours = predictor.logits(image[:, 8:])
    assert (ours - predictor.logits(image)[..., 8:]).abs()[..., 64:-64].max() > 0.1


def test_bands_come_in_order_and_hold_no_more_than_a_tile_is_high() -> None:
    image, seen, most = noise(700, 90), [], 0

    def score(tiles_NhwC: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(tiles_NhwC).permute(0, 3, 1, 2).float()

    for band_KhW in predict_tiles(score, image, place_tiles(700, 90, InferenceSettings(tile=96, overlap=32))):
        most = max(most, band_KhW.untyped_storage().nbytes() // (3 * 90 * 4))
        seen.append(band_KhW.clone())
    assert most <= 96
    np.testing.assert_allclose(torch.cat(seen, 1).permute(1, 2, 0).numpy(), image, atol=1e-3)


def test_large_images_are_tiled_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.infer.predictor.WHOLE_PIXELS", 100 * 100)
    predictor = Predictor(Brightest(), LABELS, "cpu", "float32")
    assert predictor.is_one_pass((100, 100, 3)) and not predictor.is_one_pass((1500, 1500, 3))
    with pytest.warns(
        UserWarning, match="above 25 megapixels, and long ones .*, go through the network in tiles of 1024"
    ):
        prediction = predictor(noise(40, 1500))
    assert (prediction.class_map == noise(40, 1500).argmax(2)).all()


def test_an_image_that_fits_a_tile_goes_through_the_network_at_once() -> None:
    predictor = Predictor(Brightest(), LABELS, "cpu", "float32", settings=InferenceSettings(tile=64))
    assert predictor.is_one_pass((64, 64, 3)) and predictor.is_one_pass((1, 33, 3))
    assert not predictor.is_one_pass((64, 65, 3)) and not predictor.is_one_pass((65, 1, 3))


def test_long_images_of_few_pixels_width_are_tiled_because_their_padding_is_not_small() -> None:
    plain = Predictor(Brightest(), LABELS, "cpu", "float32")
    padded = Predictor(Brightest(), LABELS, "cpu", "float32", geometry=Geometry((512, 512)))
    for height, width, channels in ((1, 400_000, 3), (400_000, 1, 3), (7, 300_000, 3)):
        assert not plain.is_one_pass((height, width, channels))
        assert not padded.is_one_pass((height, width, channels))
    for height, width in ((1, 1), (3, 3), (1, 65_535), (32, 400_000), (4999, 5001), (17, 33)):
        assert plain.is_one_pass((height, width, 3))
    assert padded.is_one_pass((1, 1, 3)) and padded.is_one_pass((500, 4000, 3))
    assert not padded.is_one_pass((1, 65_535, 3))  # 512 rows of them
    frames = Predictor(Brightest(), LABELS, "cpu", "float32", geometry=Geometry((4096, 4096)))
    assert frames.is_one_pass((300, 200, 3))  # padded as in training


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (5, 2500)])
def test_the_tiles_of_a_thin_image_are_the_whole(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    predictor, image = Predictor(Narrow(), LABELS, "cpu", "float32"), noise(*size)
    whole = predictor(image, probabilities=True)
    monkeypatch.setattr("globalconv.infer.predictor.THIN_PIXELS", 2**12)
    assert not predictor.is_one_pass((*size, 3))
    with pytest.warns(UserWarning, match="long ones of few pixels' width"):
        parts = predictor(image, probabilities=True)
    assert whole.probabilities is not None and parts.probabilities is not None
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-5)


def test_the_network_never_sees_a_thin_image_many_times_its_size() -> None:
    seen = []

    class Watched(Narrow):
        def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
            seen.append(images_N3HW.shape[-2:].numel())
            return super().forward(images_N3HW)

    predictor = Predictor(Watched(), LABELS, "cpu", "float32", geometry=Geometry((512, 512)))
    with pytest.warns(UserWarning, match="long ones of few pixels' width"):
        predictor(noise(1, 20_000))
    assert max(seen) <= 1024
