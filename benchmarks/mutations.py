"""Damaged inputs over all readers: none may end in a traceback, hang, or be read as something else without a word.

    python benchmarks/mutations.py --count 100000 --workers 2 --json out.json

Input N is a function of the seed and N alone: a tiny data set (`mutation_bases`) of which one file is damaged
(`mutation_operators`). It is opened and every sample is read, in processes with a limit of memory and of time. What is
read without a word is compared with an independent reading of the same files (`mutation_truths`).

Columns: `same`, read as if undamaged; `other`, read as something else, and the independent reading agrees; `unjudged`,
read as something else, where the independent reading has no opinion; `refused` and `warned`, the user is told;
`traceback`, an exception that is no `InputError`; `hang`, killed after the limit, or dead; `silent`, read without a
word as something that the files do not hold. Inputs of the last three are kept.
"""

import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from mutation_bases import Base, bases
from mutation_class_lists import read_masked
from mutation_drawn import read_coco, read_cvat, read_labelme
from mutation_operators import mutate
from mutation_truths import (
    Classes,
    NotJudgedError,
    Sample,
    Truth,
    difference,
    number_names,
    read_folder,
    read_list_files,
    read_mats,
    read_voc,
)

from globalconv.data.datasets import open_source
from globalconv.errors import InputError, InputWarning

OUTCOMES = ("same", "other", "unjudged", "refused", "warned", "traceback", "hang", "silent")
TRUTHS: dict[str, Callable[[Path], list[Truth]]] = {
    "images": lambda root: read_folder(root, Classes(("road", "tree", "sky"))), "masks": read_masked,
    "class lists": read_masked, "list files": read_list_files, "VOC lists": read_voc, "COCO": read_coco,
    "labelme": read_labelme, "CVAT": read_cvat, ".mat": read_mats,
}  # fmt: skip
"""The independent reading of every reader's data."""

FAILURES = ("traceback", "hang", "silent")


@dataclass(frozen=True)
class Settings:
    count: int = 20_000
    """Inputs over all readers, each reader in turn."""
    seed: int = 0
    workers: int = 2
    limit: float = 10
    """Seconds of a processor after which an input counts as a hang and its process is killed."""
    memory: float = 3
    """GiB that a process may take beside what it has after its imports."""
    readers: tuple[str, ...] = ()
    """Readers to try; empty: all."""
    keep: Path = field(default_factory=lambda: Path(tempfile.gettempdir(), "mutations"))
    """Folder for the inputs that failed."""
    json: Path | None = None
    """File for the table as JSON."""
    only: int | None = None
    """The number of one input, to write it to the folder and say what becomes of it."""


@cache
def by_reader() -> dict[str, list[Base]]:
    """Return the data sets of every reader."""
    found: dict[str, list[Base]] = {}
    for base in bases():
        found.setdefault(base.reader, []).append(base)
    return found


def make_input(settings: Settings, number: int) -> tuple[Base, str, dict[str, bytes]]:
    """Return input `number`: its data set, the file that is damaged and all files."""
    readers = settings.readers or tuple(by_reader())
    rng = random.Random(f"{settings.seed}/{number}")
    base = rng.choice(by_reader()[readers[number % len(readers)]])
    target = rng.choice(base.targets)
    return base, target, {**base.files, target: mutate(rng, target, base.files[target])}


def write_files(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@dataclass(frozen=True)
class Reading:
    """What globalconv read, and what it said of it."""

    samples: tuple[Sample, ...]
    told: tuple[str, ...]

    @property
    def gist(self) -> set[str]:
        """What was said, without numbers: the same is said of the undamaged data set, and is no news."""
        return {re.sub(r"[\d.]+", "#", words) for words in self.told}

    def has_samples_of(self, other: "Reading") -> bool:
        return len(self.samples) == len(other.samples) and all(
            np.array_equal(mine.image, its.image) and np.array_equal(mine.names, its.names)
            for mine, its in zip(self.samples, other.samples, strict=True)
        )


NOTHING = Reading((), ())


def read_all(root: Path) -> Reading:
    """Return all samples as globalconv reads them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        samples = tuple(_read_samples(root))
    told = (warning.message for warning in caught if issubclass(warning.category, InputWarning))
    return Reading(samples, tuple(str(message).replace(str(root), "") for message in told))


def _read_samples(root: Path) -> Iterator[Sample]:
    source = open_source(root, "all")
    names = source.labels.class_names
    for index in range(len(source)):
        image, label_map = source.image(index), source.label_map(index)
        assert image.shape == (*label_map.shape, 3) and image.dtype == label_map.dtype == "uint8", "a wrong array"
        assert all(value < len(names) or value == 255 for value in {*label_map.ravel().tolist()}), "a wrong class"
        yield Sample(image, number_names(label_map, names))


def judge(base: Base, root: Path, undamaged: Reading) -> tuple[str, str]:
    """Return the outcome of reading the data set at `root`, and more words about it."""
    try:
        reading = read_all(root)
    except InputError as error:
        return "refused", str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    if reading.gist - undamaged.gist:
        return "warned", "; ".join(reading.told)
    same = reading.has_samples_of(undamaged)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = difference(TRUTHS[base.reader], root, reading.samples)
    except (NotJudgedError, OSError) as reason:
        return ("same" if same else "unjudged"), str(reason)
    return ("silent", found) if found else ("same" if same else "other", "")


def run_inputs(settings: Settings, scratch: Path, first: int, pipe: Connection) -> None:
    """Send None when ready, then (number, outcome, seconds, words) of every input of this worker, from `first` on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libtiff writes about every damaged file
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = in_use + int(settings.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    undamaged: dict[tuple[str, str], Reading] = {}
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        pipe.send(None)
        for number in range(first, settings.count, settings.workers):
            base, _, files = make_input(settings, number)
            root = Path(folder, str(number))  # a new name every time: what is read is cached by name
            if (base.reader, base.name) not in undamaged:
                write_files(Path(folder, "undamaged"), dict(base.files))
                try:
                    undamaged[base.reader, base.name] = read_all(Path(folder, "undamaged"))
                except InputError:  # a reader that cannot read this data set at all
                    undamaged[base.reader, base.name] = NOTHING
                shutil.rmtree(Path(folder, "undamaged"))
            write_files(root, files)
            began = time.process_time()
            outcome, words = judge(base, root, undamaged[base.reader, base.name])
            seconds = time.process_time() - began
            shutil.rmtree(root)
            pipe.send((number, outcome, seconds, words if outcome in FAILURES else ""))


class Worker:
    """A process that reads inputs."""

    def __init__(self, process: Any, pipe: Connection, number: int) -> None:
        self.process, self.pipe = process, pipe
        self.number = number
        """Of the input that it is at."""
        self.ready = False
        self.began, self.used = 0.0, 0.0

    def restart_clocks(self) -> None:
        """Note that a message came: the process is ready, or an input done."""
        self.ready, self.began, self.used = True, time.monotonic(), self._used_seconds()

    def is_late(self, limit: float) -> bool:
        """Return whether the process has computed for longer than `limit` seconds, or waited for twenty times that.

        On a busy machine the clock on the wall says little.
        """
        waited = time.monotonic() - self.began
        return self.ready and waited > limit and (waited > 20 * limit or self._used_seconds() - self.used > limit)

    def _used_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            return self.used
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_all(settings: Settings) -> tuple[dict[str, Counter[str]], dict[str, float], list[dict[str, Any]]]:
    """Return the outcomes of every reader, its longest seconds, and the failures."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        return _run_workers(settings, Path(scratch))


def _run_workers(
    settings: Settings, scratch: Path
) -> tuple[dict[str, Counter[str]], dict[str, float], list[dict[str, Any]]]:
    readers = settings.readers or tuple(by_reader())
    outcomes: dict[str, Counter[str]] = {reader: Counter() for reader in readers}
    slowest = dict.fromkeys(readers, 0.0)
    failures: list[dict[str, Any]] = []
    context = multiprocessing.get_context("spawn")

    def note(number: int, outcome: str, seconds: float, words: str) -> None:
        reader = readers[number % len(readers)]
        outcomes[reader][outcome] += 1
        slowest[reader] = max(slowest[reader], seconds)
        if outcome in FAILURES:
            failures.append({"number": number, "reader": reader, "outcome": outcome, "words": words})
            write_files(settings.keep / f"{outcome}-{number}", make_input(settings, number)[2])

    def start(first: int) -> Worker:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=run_inputs, args=(settings, scratch, first, theirs), daemon=True)
        process.start()
        theirs.close()
        return Worker(process, ours, first)

    at_work = [start(first) for first in range(min(settings.workers, settings.count))]
    while at_work:
        wait([worker.pipe for worker in at_work], timeout=0.5)
        still = []
        for worker in at_work:
            dead = False
            try:
                while worker.pipe.poll():
                    if (message := worker.pipe.recv()) is not None:
                        note(*message)
                        worker.number = message[0] + settings.workers
                    worker.restart_clocks()
            except EOFError:
                dead = True
            if worker.number >= settings.count:
                worker.process.join()
            elif dead or worker.is_late(settings.limit):
                worker.process.kill()
                worker.process.join()
                words = f"ended with {worker.process.exitcode}" if dead else f"killed after {settings.limit:g} s"
                note(worker.number, "hang", settings.limit, words)
                if (following := worker.number + settings.workers) < settings.count:
                    still.append(start(following))
            else:
                still.append(worker)
        at_work = still
    return outcomes, slowest, failures


def main(settings: Settings) -> None:
    if settings.only is not None:
        base, target, files = make_input(settings, settings.only)
        folder = settings.keep / f"only-{settings.only}"
        shutil.rmtree(folder, ignore_errors=True)
        write_files(folder / "undamaged", dict(base.files))
        undamaged = read_all(folder / "undamaged")
        shutil.rmtree(folder / "undamaged")
        write_files(folder, files)
        print(f"{base.reader}, {base.name}: {target} in {folder}:", *judge(base, folder, undamaged))
        return
    began = time.perf_counter()
    outcomes, slowest, failures = run_all(settings)
    from common import print_rows  # with torch, which the processes that read need not import

    rows: list[dict[str, Any]] = [
        {"reader": reader, "inputs": counts.total(), **{name: counts[name] for name in OUTCOMES},
         "slowest_s": round(slowest[reader], 2)}
        for reader, counts in outcomes.items()
    ]  # fmt: skip
    total = {"reader": "all", **{key: sum(row[key] for row in rows) for key in ("inputs", *OUTCOMES)}}
    rows.append({**total, "slowest_s": max(row["slowest_s"] for row in rows)})
    print_rows(f"{settings.count} damaged inputs, seed {settings.seed}, {time.perf_counter() - began:.0f} s", rows)
    for failure in failures[:200]:
        print(f"{failure['reader']}, input {failure['number']}, {failure['outcome']}: {failure['words']}".rstrip())
    if settings.json is not None:
        settings.json.write_text(json.dumps({"table": rows, "failures": failures}, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
