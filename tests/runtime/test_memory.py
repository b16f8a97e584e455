"""Freed memory is used again: page faults are counted, not seconds.

glibc (2.36 at least) needs some rounds for it: of an aligned block it keeps the odd ends for small allocations, seven a
size, and until these are full the hole that a block leaves may be a little too small for its like.
"""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from globalconv.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import torch
def round():
    torch.ones(2**24).add(1)  # two blocks of 64 MiB
for _ in range(24):
    round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    command = [sys.executable, "-c", FAULTS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_repeated_allocations_fault_no_pages_in_the_end() -> None:
    assert faults("keep") < 100 < faults("leave")


IMPORTING = """
import gc, sys
from globalconv.runtime.memory import fast_imports
if sys.argv[1] == "late":
    import torch
with fast_imports():
    during = gc.isenabled()
    import torch
print(during, gc.isenabled(), gc.get_freeze_count() > 10**5)
"""


@pytest.mark.parametrize(("when", "output"), [("early", "False True True"), ("late", "True True False")])
def test_imported_objects_are_exempt_from_garbage_collection(when: str, output: str) -> None:
    process = subprocess.run([sys.executable, "-c", IMPORTING, when], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == output
