"""What pixels are compared by: places and colours, each divided by its standard deviation.

H x W pixels, C channels; N = H * W pixels row by row, d features.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from globalconv.crf.passes import Floats


def spatial(height: int, width: int, sd_x: float, sd_y: float) -> Floats:
    """Return x / sd_x and y / sd_y of every pixel (N, 2)."""
    features_HW2 = np.empty((height, width, 2), np.float32)
    features_HW2[:, :, 0] = np.arange(width, dtype=np.float32) / np.float32(sd_x)
    features_HW2[:, :, 1] = (np.arange(height, dtype=np.float32) / np.float32(sd_y))[:, None]
    return features_HW2.reshape(-1, 2)


def bilateral(image_HWC: npt.NDArray[np.generic], sd_x: float, sd_y: float, sd_channels: Sequence[float]) -> Floats:
    """Return x / sd_x, y / sd_y and each channel divided by its standard deviation (N, 2 + C)."""
    height, width, channels = image_HWC.shape
    features_HWd = np.empty((height, width, 2 + channels), np.float32)
    features_HWd[:, :, :2] = spatial(height, width, sd_x, sd_y).reshape(height, width, 2)
    features_HWd[:, :, 2:] = image_HWC
    features_HWd[:, :, 2:] /= np.asarray(sd_channels, np.float32)
    return features_HWd.reshape(-1, 2 + channels)
