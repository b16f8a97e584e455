"""Random command lines of every verb: each must end by itself, in bounded memory, with a code and a line that say why.

    python benchmarks/command_lines.py --lines 3000

Options and their kinds are read from the verbs; values are sensible, or hostile: empty, huge, no number, a folder, a
device, an input, an escape sequence. Every line runs in a process forked from this one, in a folder of its own below
copies of a data set and of a run, without a network. Bad is: a traceback, a code other than 0, 2, 3 and 143, a control
character in the output, an input that was changed, no end within a minute after a signal.
"""

import argparse
import collections
import dataclasses
import importlib
import io
import os
import random
import re
import resource
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import globalconv
from globalconv.cli.limits import UNNAMED
from globalconv.cli.main import VERBS, main
from globalconv.training.recipe import Recipe

NUMBERS = ["-1", "0", "1", "2", "3", "32", "0.5", "7", "64"]
HOSTILE = [
    "", " ", "-1", "0", "1e308", "-1e308", "nan", "inf", "1e3", "1e-320", str(10**20), "4294967296", "99999999999",
    "\x1b[31m", "a\nb", "\u202egnp", "\udcff", "../..", "..", ".", "/dev/null", "/dev/full", "/proc/self/mem", "/",
    "x" * 300, "٣", "1_000", "0x10", "１", "--", "-", "=", "*", "(", "{}", "None", "../data", "../run", "../missing/x",
    "../run/weights.safetensors", "../run/model.json", "../run/recipe.json/x.png", "../data/images/val/0.png",
    "new.png", "new.html", "new.md", "new.zip", "new",
]  # fmt: skip
WORDS = ["../data", "../run", "../data/images/val/0.png", "new", "new.png", "new.html", "train", "val", "cpu", "folder"]
SECONDS, GRACE = 10, 60
"""How long a line may work before it is asked to stop, and how long it may take to do so."""
MEMORY = 6 * 2**30
"""Address space of a line beyond what the libraries take, in bytes."""


def kinds_of_options() -> dict[str, list[tuple[str, str]]]:
    """Return, for every verb with its job or table, its options as (--name or "" for a word, kind)."""

    def walk(kind: Any, within: str = "") -> Iterator[tuple[str, str]]:
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            plain = typing.get_type_hints(kind)[field.name]
            if dataclasses.is_dataclass(plain):
                yield from walk(plain, within if field.name in UNNAMED else f"{within}{field.name}.")
            else:
                positional = "Positional" in str(hints[field.name])
                name = {"class_name": "class", "base": "recipe", "text": "markdown"}.get(field.name, field.name)
                yield "" if positional else f"--{within}{name}".replace("_", "-"), str(plain)

    def module(verb: str) -> Any:
        return importlib.import_module(f"globalconv.cli.{verb.replace('-', '_')}")

    kinds = {}
    for verb in VERBS:
        own = [kind for name, kind in vars(module(verb)).items() if name.endswith("Options")]
        own = [
            kind for kind in own if dataclasses.is_dataclass(kind) and kind.__module__.endswith(module(verb).__name__)
        ]
        for kind in own:
            job = {"CheckOptions": " check", "ScenesOptions": " scenes", "PrepareOptions": " prepare"}.get(
                kind.__name__, " report" if kind.__name__ == "PaperReportOptions" else ""
            )
            kinds[verb + job] = list(walk(kind))
    kinds["train folder"] = list(walk(module("train").train_options(Recipe())))
    kinds["paper table1 table5"] = list(walk(module("paper")._table_options(Recipe())))
    return kinds


def random_line(kinds: dict[str, list[tuple[str, str]]], rng: random.Random) -> list[str]:
    """Return a command line that is right in most places, and wrong in one or two."""
    verb = rng.choice(sorted(kinds))
    words = verb.split()
    numbers = {"int": NUMBERS, "float": NUMBERS, "Path": WORDS, "str": WORDS}
    options = kinds[verb]
    wrong = {rng.randrange(len(options)) for _ in range(rng.choice((0, 1, 1, 2)))}
    usual = {
        "--out": ["new", "new.png", "new.html", "new.zip"],
        "--data": ["../data"],
        "--at": ["5,5"],
        "--model.backbone": ["test_resnet"],
    }
    for place, (name, kind) in enumerate(options):
        needed = name in ("", *usual)
        if not needed and place not in wrong and rng.random() > 2 / len(options):
            continue
        literal = re.findall(r"'([\w-]+)'", kind)
        sort = next((sort for sort in numbers if sort in kind), "str")
        if place in wrong:
            value = rng.choice(HOSTILE)
        elif not name:
            value = rng.choice(["../run", "../run", "../data", *literal])
        else:
            value = rng.choice(usual.get(name) or literal or numbers[sort])
        if name and "bool" in kind:
            words.append(name if rng.random() < 0.8 else f"{name}={value}")
        elif not name:
            words += [value, *(["../data/images/val/0.png"] if verb in ("predict", "vrf") and "tuple" in kind else [])]
        else:
            words += [f"{name}={value}"] if rng.random() < 0.3 else [name, value]
    return words


def prepare(root: Path) -> None:
    """Write a data set of three classes and a run of two steps on it."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for folder in ("images", "labels"):
            (root / "data" / folder / split).mkdir(parents=True)
        for index in range(count):
            label_map = np.repeat(np.repeat(rng.integers(0, 3, (2, 3), np.uint8), 20, 0), 20, 1)
            Image.fromarray(label_map).save(root / "data/labels" / split / f"{index}.png")
            image = np.stack([label_map * 80] * 3, 2) + rng.integers(0, 40, (40, 60, 3), np.uint8)
            Image.fromarray(image).save(root / "data/images" / split / f"{index}.png")
    tiny = (
        "--model.backbone test_resnet --model.backbone-weights none --model.kernel-size 3 --steps 2"
        " --data.augmentation.crop 32 32 --data.workers 0"
    )
    assert main(shlex.split(f"train folder --data {root}/data --out {root}/run --data.batch-size 2 {tiny}")) == 0


def run_line(words: list[str], place: Path) -> tuple[int, str, bool]:
    """Return the code of a line, what it printed, and whether it had to be killed."""
    place.mkdir()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            os.chdir(place)
            with open("printed", "wb") as printed:
                os.dup2(printed.fileno(), 1)
                os.dup2(printed.fileno(), 2)
            sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
            in_use = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")
            resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, in_use + MEMORY))
            socket.getaddrinfo = lambda *_, **__: (_ for _ in ()).throw(OSError("no network"))
            try:
                code = main(words)
            except SystemExit as end:
                code = int(end.code or 0)
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            import traceback

            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
            code = 1
        finally:
            os._exit(code)
    killed = False
    for number, seconds in ((signal.SIGTERM, SECONDS), (signal.SIGKILL, GRACE)):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.01)
        else:
            killed = number == signal.SIGKILL
            os.killpg(child, number) if killed else os.kill(child, number)
            continue
        break
    else:
        _, status = os.waitpid(child, 0)
    printed_text = (place / "printed").read_text(errors="backslashreplace") if (place / "printed").exists() else ""
    return os.waitstatus_to_exitcode(status), printed_text, killed


def faults(words: list[str], code: int, printed: str, killed: bool) -> list[str]:
    """Return what is wrong with the end of a line."""
    found = ["hang"] * killed
    found += ["traceback"] * ("Traceback (most recent" in printed)
    found += [f"code {code}"] * (not killed and code not in (0, 2, 3, 143))
    found += ["control character"] * any(not (c.isprintable() or c == "\n") for c in printed.replace("\x1b[0m", ""))
    found += ["no line"] * (code == 2 and "globalconv: " not in printed and "not ready" not in printed)
    return found


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    files = [file for folder in ("data", "run") for file in (root / folder).rglob("*") if file.is_file()]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def check_lines(count: int, seed: int, root: Path) -> list[tuple[list[str], list[str], str]]:
    """Run `count` lines of this seed below `root` and return those that ended badly: words, faults, output."""
    kinds, rng, bad = kinds_of_options(), random.Random(seed), []
    before = snapshot(root)
    for number in range(count):
        words, place = random_line(kinds, rng), root / f"line-{number}"
        code, printed, killed = run_line(words, place)
        found = faults(words, code, printed, killed)
        if (now := snapshot(root)) != before:
            changed = sorted({*now.items()} ^ {*before.items()})
            found.append(f"input changed: {changed[0][0]}")
            before = now
        if found:
            bad.append((words, found, printed))
            print(number, found, shlex.join(words), printed[-600:], sep="\n  ", flush=True)
        shutil.rmtree(place, ignore_errors=True)
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        from globalconv import evaluate, predict, report  # noqa: F401 (torch is imported once, before the forks)

        ended = check_lines(arguments.lines, arguments.seed, Path(folder))
    kinds_of_faults = collections.Counter(fault for _, found, _ in ended for fault in found)
    print(
        f"globalconv {globalconv.__version__}: {arguments.lines} lines,"
        f" {len(ended)} ended badly: {dict(kinds_of_faults)}"
    )
