"""A process of its own that works on a small grid."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from globalconv.cli.main import main

COMMAND = """
    paper table5 --data blobs --recipe folder --model.backbone test_resnet --data.augmentation.crop 64 64
    --data.batch-size 2 --data.workers 0 --optim.class-weights none --optim.warmup-steps 0 --precision float32
    --budget 40 --checkpoint-every 5
""".split()

PROCESSES = multiprocessing.get_context("forkserver")
"""They are forked from one that has imported torch, and that nothing else has happened to: each is there at once."""

PROCESSES.set_forkserver_preload(["helpers.grid_process", "globalconv.paper.grid"])


def start(place: Path, name: str, *more: str) -> ForkServerProcess:
    """Return a process that makes Table 5 of `place`/blobs there, and says into `place`/`name` what it has to say."""
    process = PROCESSES.Process(target=_work, args=(place, place / name, more))
    process.start()
    return process


def _work(place: Path, log: Path, more: Sequence[str]) -> None:
    os.chdir(place)
    with log.open("w") as said:
        os.dup2(said.fileno(), 2)
    sys.exit(main([*COMMAND, *more]))
