"""What pixels are compared by: places and colours, each divided by its standard deviation.

H x W pixels, C channels; N = H * W pixels row by row, d features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from globalconv.crf.crew import Crew
from globalconv.crf.passes import Floats

FAR = 2.0**15
"""Standard deviations from 0 from which on the reference's coordinates leave their 16 bits, so that it has no marginals
to keep to, and float32 places pixels badly."""


def spatial(height: int, width: int, sd_x: float, sd_y: float) -> Floats:
    """Return x / sd_x and y / sd_y of every pixel (N, 2)."""
    features_HW2 = np.empty((height, width, 2), np.float32)
    features_HW2[:, :, 0] = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    features_HW2[:, :, 1] = (np.arange(height, dtype=np.float32) / np.float32(sd_y))[:, None]
    return features_HW2.reshape(-1, 2)


def bilateral(
    image_HWC: npt.NDArray[np.generic], sd_x: float, sd_y: float, sd_channels: Sequence[float], crew: Crew
) -> Floats:
    """Return x / sd_x, y / sd_y and each channel divided by its standard deviation (N, 2 + C), valid with the crew."""
    height, width, channels = image_HWC.shape
    features_HWd: Floats = crew.scratch.empty((height, width, 2 + channels), np.float32)
    near_HWC, sd_C = near_zero(image_HWC, sd_channels), np.asarray(sd_channels, np.float32)
    x_W = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    y_H = np.arange(height, dtype=np.float32) / np.float32(sd_y)

    def fill(begin: int, end: int) -> None:
        part_HWd = features_HWd[begin:end]
        part_HWd[:, :, 0], part_HWd[:, :, 1] = x_W, y_H[begin:end, None]
        with np.errstate(over="ignore"):  # the lattice refuses what is too large, infinity too
            np.divide(near_HWC[begin:end], sd_C, out=part_HWd[:, :, 2:], dtype=np.float32, casting="unsafe")

    crew.ranges(height, fill)
    return features_HWd.reshape(-1, 2 + channels)


def near_zero(values_XC: npt.NDArray[np.generic], sd_channels: Sequence[float]) -> npt.NDArray[np.generic]:
    """Return values (..., C), those of channels that lie far from 0 as a whole moved there.

    A Gaussian knows differences only. What float32 places well stays as it is: the lattice lies about 0, so moving it
    changes the marginals a little.
    """
    largest = max(-values_XC.min().item(), values_XC.max().item())
    if largest < FAR * min(sd_channels):
        return values_XC
    moved = [_moved(values_XC[..., channel], FAR * sd) for channel, sd in enumerate(sd_channels)]
    return np.stack(moved, -1)


def _moved(values_X: npt.NDArray[np.generic], far: float) -> npt.NDArray[np.generic]:
    """Return values less the one nearest to 0, where even that is `far` away."""
    low, high = values_X.min().item(), values_X.max().item()
    shared = low if low >= far else high if high <= -far else None
    return values_X if shared is None else np.subtract(values_X, shared)
