"""A process of its own that works on a small grid."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from globalconv.cli.main import main

COMMAND = """
    paper table5 --data blobs --recipe folder --model.backbone test_resnet --model.backbone-weights none
    --data.augmentation.crop 64 64 --data.batch-size 2 --data.workers 0 --optim.class-weights none
    --optim.warmup-steps 0 --precision float32
    --budget 40 --checkpoint-every 5
""".split()

PROCESSES = multiprocessing.get_context("forkserver")
"""Processes are forked from a server that has imported torch, so that each starts at once."""

PROCESSES.set_forkserver_preload(["helpers.grid_process", "globalconv.paper.grid"])


def start(place: Path, name: str, *more: str) -> ForkServerProcess:
    """Return a process that makes Table 5 of `place`/blobs there; its standard error goes to `place`/`name`."""
    process = PROCESSES.Process(target=_work, args=(place, place / name, more))
    process.start()
    return process


def _work(place: Path, log: Path, more: Sequence[str]) -> None:
    os.chdir(place)
    with log.open("w") as file:
        os.dup2(file.fileno(), 2)
    sys.exit(main([*COMMAND, *more]))
