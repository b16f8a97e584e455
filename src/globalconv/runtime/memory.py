"""What the process does about its memory.

Freed memory stays in it: large tensors cost page faults once, not at every step.

The C library (glibc) hands every large block back to the system when it is freed; the next allocation gets fresh pages
that the kernel zeroes one by one. A training step makes and frees the same blocks as the one before. It settles after a
few of them, having grown by several of the largest blocks at worst (`tests/test_memory.py`). Figures in LOG.md.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make this process keep what it frees, up to 2 GiB, and ask PyTorch for large pages; True where that worked.

    Works on Linux with glibc, and does nothing elsewhere. Large pages come only where no tensor has been made yet, so
    the command line calls this before it imports anything. A process that embeds `globalconv.train` keeps the memory
    too; `THP_MEM_ALLOC_ENABLE=0` in the environment leaves pages small.
    """
    if sys.platform != "linux":
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(
        mallopt(option, _LARGEST) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    )


@contextmanager
def while_importing() -> Iterator[None]:
    """Look for no garbage inside, and never again among what there is at the end.

    torch and its like make a million objects that stay, and each search would go through them all. Where torch is
    loaded already, nothing is done.
    """
    if "torch" in sys.modules:
        yield
        return
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()
