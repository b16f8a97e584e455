"""How the process manages memory: freed blocks are kept for reuse, and imports run without garbage collection.

The C library (glibc) returns every large block to the system when it is freed, and the next allocation gets fresh pages
that the kernel zeroes one by one. A training step allocates and frees the same blocks as the step before, so keeping
them costs page faults once instead of at every step. The process settles after a few steps, several of the largest
blocks larger at worst (`tests/runtime/test_memory.py`). LOG.md has the figures.
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
    """Make this process keep what it frees, up to 2 GiB, and ask PyTorch for large pages; return whether that worked.

    Works on Linux with glibc, and does nothing elsewhere. Large pages apply only before the first tensor exists, so the
    command line calls this before it imports torch. A process that embeds `globalconv.train` keeps its memory too;
    `THP_MEM_ALLOC_ENABLE=0` in the environment leaves pages small.
    """
    if sys.platform != "linux":
        return False
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and all(
        mallopt(option, _LARGEST) == 1 for option in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    )


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import torch and its like inside the block without garbage collection, and exempt their objects from it later.

    They make about a million objects that stay, and every collection would traverse them. Does nothing where torch is
    loaded already.
    """
    if "torch" in sys.modules:
        yield
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
