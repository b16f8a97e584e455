"""MATLAB's files as SBD has them: a structure `GTcls` whose field `Segmentation` holds a class per pixel."""

from pathlib import Path

import numpy as np

from globalconv.data.images import Uint8Array
from globalconv.errors import InputError

MAT = ".mat"


def read_mat(path: Path) -> Uint8Array:
    """Return the class indices in `path`, uint8 (H, W); a file that holds none is an `InputError`."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: there is no such file; copy it from the official archive")
    try:
        values = loadmat(path, variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
    except Exception as error:  # damaged files make the reader raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: holds no GTcls.Segmentation, or is damaged ({reason}); copy it from the official archive again"
        ) from None
    if values.ndim != 2 or values.dtype != np.uint8:
        raise InputError(f"{path}: GTcls.Segmentation is {values.dtype} {values.shape}; copy it again from SBD")
    return np.ascontiguousarray(values)
