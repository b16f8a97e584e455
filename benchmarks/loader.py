"""Samples per second of the training batches with 0, 1 and 2 workers, beside decoding alone.

    python benchmarks/loader.py --root FOLDER      (a data set; without it CamVid under GLOBALCONV_DATA, or scenes)

A pass runs through `batches` batches; the batches before the first one that arrives are not counted, so that what is
measured is the steady rate, not the start of the workers.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from common import print_rows, write_results

from globalconv.data.datasets import open_source
from globalconv.data.loader import training_batches
from globalconv.data.source import Source
from globalconv.data.transform_settings import Augmentation

GREY = (124, 116, 104)


@dataclass(frozen=True)
class Settings:
    root: Path | None = None
    """Root of the data set; None takes CamVid under GLOBALCONV_DATA, or the generated scenes."""
    crop: tuple[int, int] = (240, 320)
    scale: tuple[float, float] = (0.5, 1.5)
    batch_size: int = 8
    batches: int = 12
    """Batches that are counted in a pass."""
    repeats: int = 3
    workers: tuple[int, ...] = (0, 1, 2)


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    root = settings.root or camvid()
    source = open_source(root, "train")
    rates: dict[str, list[float]] = {}
    for _ in range(settings.repeats):  # in turns, so that what else the machine does falls on all cases
        rates.setdefault("decoding alone", []).append(decoding_rate(source, settings))
        for workers in settings.workers:
            rates.setdefault(f"workers = {workers}", []).append(batch_rate(source, settings, workers))
    rows = [row(name, found, rates["decoding alone"]) for name, found in rates.items()]
    print_rows(f"{source.name}, {len(source)} samples", rows)
    write_results("loader", "cpu", {**asdict(settings), "root": root.name if root else "scenes"}, {"loader": rows})


def camvid() -> Path | None:
    """Return CamVid's folder, if there is one."""
    folder = Path(os.environ.get("GLOBALCONV_DATA") or "-") / "CamVid"
    return folder if folder.is_dir() else None


def decoding_rate(source: Source, settings: Settings) -> float:
    """Return samples per second of reading image and label map one after the other."""
    count = settings.batches * settings.batch_size
    began = time.perf_counter()
    for index in range(count):
        source.image(index % len(source)), source.label_map(index % len(source))
    return count / (time.perf_counter() - began)


def batch_rate(source: Source, settings: Settings, workers: int) -> float:
    """Return samples per second of the batches, once they flow."""
    augmentation = Augmentation(crop=settings.crop, scale=settings.scale)
    batches: Iterator[Any] = training_batches(source, augmentation, GREY, settings.batch_size, 0, 0, workers)
    with closing(batches):  # type: ignore[type-var]  # it is a generator
        for _ in range(1 + 2 * workers):  # what workers have read ahead is not this pass's work
            next(batches)
        began = time.perf_counter()
        for _ in range(settings.batches):
            next(batches)
        return settings.batches * settings.batch_size / (time.perf_counter() - began)


def row(name: str, rates: list[float], reference: list[float]) -> dict[str, Any]:
    """Return a line of the table."""
    ratio = round(median(rates) / median(reference), 3)
    return {"case": name, "samples_per_second": round(median(rates), 1), "ratio": ratio, "repeats": len(rates)}


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
