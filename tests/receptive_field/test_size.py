"""The size of fields that can be computed by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from globalconv.errors import InputError
from globalconv.receptive_field.size import field_size


def gaussian(sigma: float, size: int = 101, centre: tuple[int, int] = (50, 50)) -> npt.NDArray[np.float64]:
    rows, columns = np.indices((size, size))
    return np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("sigma", [1.5, 4.0, 9.0])
def test_a_gaussian_gives_back_its_deviation(sigma: float) -> None:
    size = field_size(1e-20 * gaussian(sigma, centre=(44, 53)))
    assert size.sigma == pytest.approx(sigma, rel=1e-4)
    assert size.fit == pytest.approx(1)
    # exp(-r^2 / 2 sigma^2) > 0.0455 is a disc of r = 2.486 sigma, whose area has the root 4.406 sigma.
    assert size.side == pytest.approx(4.406 * sigma, rel=0.03)


def test_squares_hold_their_share_and_no_smaller_one_does() -> None:
    field = np.random.default_rng(0).random((31, 31)) * gaussian(5, 31, (15, 15))
    middle = [int(np.searchsorted(np.cumsum(field.sum(axis)), field.sum() / 2)) for axis in (1, 0)]
    for share, side in field_size(field).squares.items():

        def held(width: int) -> float:
            half = width // 2
            window = tuple(slice(max(0, place - half), place + half + 1) for place in middle)
            return float(field[window].sum() / field.sum())

        assert held(side) >= share * (1 - 1e-12)
        assert side == 1 or held(side - 2) < share


def test_sizes_are_of_raw_values_not_of_logarithms() -> None:
    """A point of 1 on a plateau of 1 / 1000: a logarithm with an offset would make the plateau count."""
    field = np.full((51, 51), 1e-3)
    field[25, 25] = 100.0
    size = field_size(field)
    assert size.side == 1 and size.squares[0.5] == 1


def test_a_single_pixel_and_nothing() -> None:
    point = np.zeros((9, 9))
    point[4, 4] = 3
    assert field_size(point).side == 1 and field_size(point).squares == {0.2: 1, 0.3: 1, 0.5: 1, 0.99: 1}
    for nothing in (np.zeros((9, 9)), np.full((9, 9), np.nan), -point):
        with pytest.raises(InputError, match="nothing can be measured"):
            field_size(nothing)
