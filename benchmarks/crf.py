"""DenseCRF beside pydensecrf2: time, where it goes, memory, and that both say the same.

    pip install -c constraints.txt -e ".[crf-check]"   # the peer; it compiles C++
    python benchmarks/crf.py

Every call gets another image, and goes from probabilities to probabilities. Images are the photographs of
`$GLOBALCONV_DATA/voc-sample`, resized, or generated scenes where that is absent; probabilities are smooth and invented.
Both packages are measured in turns, each in a process of its own, so that neither works in what the other has left of
the caches and of freed memory; memory is what one call adds there. The compiled code is timed in a fresh cache folder:
once per machine it is compiled, later it is read.
"""

import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import compare, measure, print_rows, write_results
from PIL import Image

from globalconv import DenseCRF
from globalconv.crf import inputs, solver_cpu
from globalconv.crf.solver_cpu import MeanField
from globalconv.crf.thread_pool import ThreadPool
from globalconv.data.scenes.scene import draw_scene

OWN, PEER = "globalconv", "pydensecrf2"
IMAGES = 4
"""Different images that the calls go through."""


@dataclass(frozen=True)
class Case:
    preset: str
    height: int
    width: int
    classes: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.classes} classes, {self.preset}"


CASES = [
    Case("deeplabv2-voc", 375, 500, 21),
    Case("deeplab-largefov", 375, 500, 21),
    Case("example", 375, 500, 21),
    Case("deeplabv2-voc", 1024, 2048, 19),
]


@dataclass(frozen=True)
class Settings:
    repeats: int = 7
    cases: tuple[int, ...] = tuple(range(len(CASES)))
    """Which of the four cases."""
    note: str = ""
    """What else a reader should know, e.g. that the machine had other work."""
    alone: str = ""
    """Only make one call of this package (of the first of `cases`) and print the memory it took: used by itself."""


def main(settings: Settings) -> None:
    if settings.alone:
        print(json.dumps(memory_of_one_call(settings.alone, CASES[settings.cases[0]])))
        return
    if importlib.util.find_spec("pydensecrf") is None:
        sys.exit("pydensecrf2 is not installed: pip install -e '.[crf-check]' builds it (it needs a C++ compiler)")
    tables: dict[str, Any] = {"DenseCRF: compiling": compiling()}
    for index in settings.cases:
        case = CASES[index]
        photos = images_of(index)
        with ExitStack() as pools:
            turns = {name: pools.enter_context(turns_of(name, index)) for name in (PEER, OWN)}
            rows = compare(measure(turns, settings.repeats), PEER)
        peaks = [peak(package, index) for package in (PEER, OWN)]
        own, other = run(OWN, case, *photos[0]), run(PEER, case, *photos[0])
        for row, mebibytes in zip(rows, peaks, strict=True):
            row |= {"times_faster": round(1 / row["ratio"], 2), "peak_MiB": mebibytes}
            row |= {"max_dQ": float(f"{np.abs(own - other).max():.1e}")}
            row |= {"equal_labels": float((own.argmax(0) == other.argmax(0)).mean())}
        tables[f"DenseCRF: {case}"] = rows
        tables[f"DenseCRF: where the time goes, {case}"] = breakdown(case, photos, settings.repeats)
        print_rows(str(case), rows)
        print_rows("where the time goes", tables[f"DenseCRF: where the time goes, {case}"])
    shown: dict[str, Any] = {"repeats": settings.repeats, "images": "photographs" if photographs() else "scenes"}
    shown |= {"note": settings.note} if settings.note else {}
    write_results("crf", "cpu", shown, tables)


def photographs() -> list[Path]:
    """Return the real images there are."""
    folder = Path(os.environ.get("GLOBALCONV_DATA") or "-") / "voc-sample" / "JPEGImages"
    return sorted(folder.glob("*.jpg"))


def photo(case: Case, number: int) -> tuple[Any, Any]:
    """Return an image (H, W, 3) and probabilities (K, H, W)."""
    random = np.random.default_rng(number)
    files = photographs()
    photo = Image.open(files[number % len(files)]) if files else Image.fromarray(draw_scene(0, number)[0])
    image = np.array(photo.convert("RGB").resize((case.width, case.height)))
    coarse = random.normal(0, 3, (case.classes, case.height // 24 + 2, case.width // 24 + 2)).astype(np.float32)
    size = (case.width, case.height)
    logits = np.stack([np.array(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in coarse])
    power = np.exp(logits - logits.max(0))
    return image, np.asarray(power / power.sum(0), np.float32)


@contextmanager
def turns_of(package: str, index: int) -> Iterator[Callable[[], object]]:
    """Yield a call that refines another image each time, in a process that does nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        numbers = cycle(range(IMAGES))
        pool.submit(prepare, index).result()
        yield lambda: pool.submit(turn, package, index, next(numbers)).result()


def prepare(index: int) -> None:
    images_of(index)


def turn(package: str, index: int, number: int) -> None:
    run(package, CASES[index], *images_of(index)[number])


@cache
def images_of(index: int) -> list[tuple[Any, Any]]:
    return [photo(CASES[index], number) for number in range(IMAGES)]


def run(package: str, case: Case, image: Any, probabilities: Any) -> Any:
    """Return the refined probabilities (K, H, W) of one package."""
    crf = DenseCRF.preset(case.preset)
    if package == OWN:
        return crf(image, probabilities)
    import pydensecrf.densecrf as peer
    from pydensecrf.utils import unary_from_softmax

    model = peer.DenseCRF2D(case.width, case.height, case.classes)
    model.setUnaryEnergy(unary_from_softmax(probabilities))
    model.addPairwiseBilateral(crf.appearance_xy, crf.appearance_rgb, image, crf.appearance_weight)
    model.addPairwiseGaussian(crf.smoothness_xy, crf.smoothness_weight)
    return np.array(model.inference(crf.iterations)).reshape(probabilities.shape)


def breakdown(case: Case, photos: list[tuple[Any, Any]], repeats: int) -> list[dict[str, Any]]:
    """Return the median milliseconds of each part of our call; the first row only for the first image of a size."""
    parts: dict[str, list[float]] = {}
    for _, (image, probabilities) in zip(range(repeats), cycle(photos), strict=False):
        for part, seconds in laps(DenseCRF.preset(case.preset), image, probabilities).items():
            parts.setdefault(part, []).append(seconds)
    return [{"part": part, "median_ms": round(1e3 * statistics.median(taken), 1)} for part, taken in parts.items()]


def laps(crf: DenseCRF, image: Any, probabilities: Any) -> dict[str, float]:
    """Return the seconds of each part of one call, made by the same functions."""
    began, taken = time.perf_counter(), dict[str, float]()

    def lap(part: str) -> None:
        nonlocal began
        now = time.perf_counter()
        taken[part] = taken.get(part, 0.0) + now - began
        began = now

    with ThreadPool() as pool:
        solver_cpu._kept_kernels.clear()
        height, width = image.shape[:2]
        solver_cpu.spatial_kernel(height, width, crf.smoothness_xy, crf.smoothness_xy, pool)
        lap("lattice of places (first image of a size)")
        scores_NK = inputs.scores_from_probabilities(probabilities, pool)
        lap("unary")
        terms = solver_cpu.pairwise_terms(crf.problem(image, scores_NK, len(probabilities)), pool)
        lap("lattice of colours")
        field = MeanField(scores_NK, len(probabilities), terms, pool)
        beliefs_NK = field.start()
        lap("start")
        for _ in range(crf.iterations):
            field.filter(beliefs_NK)
            lap("filter: splat and blur")
            field.update(beliefs_NK)
            lap("update: slice and softmax")
        solver_cpu.class_planes(beliefs_NK, len(probabilities), pool)
        lap("result")
    return taken


def memory_of_one_call(package: str, case: Case) -> float:
    """Return the MiB that one call adds at its peak, the result included; Linux."""
    image, probabilities = photo(case, 0)
    small = Case(case.preset, 8, 8, case.classes)
    run(package, small, *photo(small, 0))  # what is imported and compiled does not count
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = status("VmRSS")
    run(package, case, image, probabilities)
    return round((status("VmHWM") - before) / 1024, 1)


def status(name: str) -> int:
    """Return one of the kernel's figures on this process, in KiB."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


def peak(package: str, index: int) -> float | None:
    """Return the memory of one call, measured in a process of its own; None where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, __file__, "--alone", package, "--cases", str(index)]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def compiling() -> list[dict[str, Any]]:
    """Return the seconds of the first call on a machine, and of the first in a later process; a tiny image."""
    code = (
        "import time, numpy as np; from globalconv import DenseCRF; began = time.perf_counter();"
        " DenseCRF()(np.zeros((8, 8, 3), np.uint8), np.full((2, 8, 8), .5)); print(time.perf_counter() - began)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        taken = [
            float(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
            for _ in range(2)
        ]
    cases = ("first call on a machine: compiles", "first call of a later process: reads the cache")
    rows = [{"case": case, "seconds": round(seconds, 2)} for case, seconds in zip(cases, taken, strict=True)]
    print_rows("compiling", rows)
    return rows


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
