"""Class weights: label pixels are counted as they are, and balanced by median frequency."""

import numpy as np
import pytest

from globalconv.data.class_weights import ClassPixels, compute_class_weights, count_class_pixels
from globalconv.errors import InputError
from globalconv.labels import IGNORE, LabelSpace


class Labelled:
    """A source of these label maps; notes which are read."""

    name = "labelled"
    labels = LabelSpace(("a", "b", "c"))

    def __init__(self, *label_maps: list[list[int]]) -> None:
        self.label_maps = label_maps
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.label_maps)

    def sample_name(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> np.ndarray:
        raise AssertionError("no image is needed")

    def label_map(self, index: int) -> np.ndarray:
        self.read.append(index)
        return np.asarray(self.label_maps[index], np.uint8)


def test_class_pixels_of_many_samples_are_those_of_some_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.data.class_weights.MAX_COUNTED", 3)
    source = Labelled(*([[index % 2] * 4] for index in range(101)))
    pixels = count_class_pixels(source)
    assert source.read == [0, 50, 100]
    assert pixels.pixels_K[:2].tolist() == [12, 0]


def test_class_pixels_count_labels_and_the_maps_that_hold_them() -> None:
    source = Labelled(*([[value] * 600] for value in (0, 1, 2, 0, 1)))  # classes 0 1 2 0 1, 600 pixels each
    seen: list[tuple[int, int]] = []
    pixels = count_class_pixels(source, lambda done, total: seen.append((done, total)))
    assert pixels.pixels_K.tolist() == pixels.reach_K.tolist() == [1200, 1200, 600]
    assert seen == [(number, 5) for number in range(1, 6)]


def test_class_weights_by_hand() -> None:
    pixels = count_class_pixels(Labelled([[0] * 6 + [1] * 2 + [IGNORE] * 2], [[0] * 10]))
    assert (pixels.pixels_K.tolist(), pixels.reach_K.tolist()) == ([16, 2, 0], [18, 8, 0])
    frequency = [16 / 18, 2 / 8]
    median = sum(frequency) / 2
    expected = [median / frequency[0], median / frequency[1], 1.0]
    assert compute_class_weights(pixels, "median").tolist() == pytest.approx(expected)
    assert compute_class_weights(pixels, "sqrt-median").tolist() == pytest.approx([value**0.5 for value in expected])
    assert compute_class_weights(pixels, "none").tolist() == [1, 1, 1]
    with pytest.raises(InputError, match=r"`optim\.class_weights` 'mdian': did you mean 'median'"):
        compute_class_weights(pixels, "mdian")


def test_class_weights_of_nothing_but_void_are_one() -> None:
    assert compute_class_weights(ClassPixels(3), "median").tolist() == [1, 1, 1]
