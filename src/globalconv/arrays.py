"""The types of numpy arrays in annotations. Shapes stand in the variables' names (`probabilities_KHW`)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

AnyArray = NDArray[np.generic]
BoolArray = NDArray[np.bool_]
Uint8Array = NDArray[np.uint8]
"""Images (H, W, 3) in RGB; label maps and class maps (H, W) of class indices, 255 for pixels that do not count."""
Uint16Array = NDArray[np.uint16]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.floating[Any]]
Array = Any
"""An array of NumPy or a tensor of torch, on any device: what `array_api_compat` computes with by one name."""
