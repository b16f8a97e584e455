"""Kernels over places alone do not depend on the image: a few are kept for the next image of the same size."""

from collections import OrderedDict

from globalconv.crf import features
from globalconv.crf.crew import Crew
from globalconv.crf.meanfield import Kernel, kernel
from globalconv.crf.scratch import lock_over_forks

KEPT_BYTES = 128 << 20
"""Bound of the memory that kept kernels hold together: several sizes of photographs, or one of 2 megapixels."""

_kept: OrderedDict[tuple[int, int, float, float], Kernel] = OrderedDict()
_lock = lock_over_forks()


def spatial_kernel(height: int, width: int, sd_x: float, sd_y: float, crew: Crew) -> Kernel:
    """Return the symmetric kernel over the places of a picture, kept from an earlier call where there was one."""
    size = (height, width, sd_x, sd_y)
    with _lock:
        if size in _kept:
            _kept.move_to_end(size)
            return _kept[size]
    made = kernel(features.spatial(*size), crew)
    with _lock:
        _kept[size] = made
        while sum(one.nbytes for one in _kept.values()) > KEPT_BYTES:
            _kept.popitem(last=False)
    return made
