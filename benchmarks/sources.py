"""Samples per second that each of the paper's data sets is read with on one core, and what an epoch of it costs.

    python benchmarks/sources.py

Trees in the official layouts are made in a temporary folder, of images of the official sizes: windows of the VOC
samples and of CamVid's frames under GLOBALCONV_DATA (else scenes), enlarged. Enlarged images are smoother than
photographs, so files are smaller than the official ones; the table says how large they are. COCO's outlines follow
every pixel here, which makes their label maps dearer than the official ones. Time is the process's own,
so that nobody else's work counts; the files are in memory after the first reading, so neither does the disk.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import tyro
from common import print_rows, write_results

from globalconv.data.datasets import list_sample_files, open_source
from globalconv.data.source import Source

COCO, SBD, VOC = 109_892 - 10_582, 10_582 - 1_464, 1_464
"""Images of each data set in the paper's first stage."""


@dataclass(frozen=True)
class Settings:
    repeats: int = 5
    passes: int = 4
    """Times that all samples of a tree are read in one measurement."""
    note: str = ""
    """What else the machine did meanwhile, if anything."""


def trees(root: Path) -> dict[str, Source]:
    """Write the miniature data sets and return the sources that are measured."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from helpers.official import cityscapes_tree, coco_tree, sbd_tree, voc_tree

    voc_tree(root, (500, 375), strip=2)
    sbd_tree(root, (500, 375))
    coco_tree(root, (640, 480))
    cityscapes_tree(root, (2048, 1024))
    splits = ("voc:train", "sbd:train", "coco:train", "cityscapes:train", "cityscapes:coarse")
    return {split: open_source(root, split) for split in splits}


def rate(source: Source, read: Callable[[Source, int], object], passes: int) -> float:
    """Return samples per second of processor time."""
    began = time.process_time()
    for index in list(range(len(source))) * passes:
        read(source, index)
    return passes * len(source) / (time.process_time() - began)


def both(source: Source, index: int) -> None:
    source.image(index), source.label_map(index)


def image(source: Source, index: int) -> None:
    source.image(index)


def kilobytes(source: Source) -> int:
    """Return the mean size of an image's file."""
    files = [list_sample_files(source, index)[0] for index in range(len(source))]
    return round(sum(file.stat().st_size for file in files) / len(files) / 1000)


def row(name: str, source: Source, rates: dict[str, list[float]]) -> dict[str, Any]:
    """Return a line of the table; the label map's share is of the time of a sample."""
    whole, alone = median(rates["both"]), median(rates["image"])
    height, width = source.image(0).shape[:2]
    return {
        "source": name,
        "size": f"{width}x{height}",
        "image_kB": kilobytes(source),
        "samples_per_second": round(whole, 1),
        "slowest": round(min(rates["both"]), 1),
        "label_map_share": round(1 - whole / alone, 2),
        "repeats": len(rates["both"]),
    }


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    ways: dict[str, Callable[[Source, int], object]] = {"both": both, "image": image}
    with tempfile.TemporaryDirectory() as folder:
        sources = trees(Path(folder))
        rates: dict[str, dict[str, list[float]]] = {name: {way: [] for way in ways} for name in sources}
        for _ in range(settings.repeats):  # in turns, so that what else the machine does falls on all cases
            for name, source in sources.items():
                for way, read in ways.items():
                    rates[name][way].append(rate(source, read, settings.passes))
        rows = [row(name, source, rates[name]) for name, source in sources.items()]
    print_rows("reading, one core", rows)
    speed = {line["source"]: line["samples_per_second"] for line in rows}
    seconds = COCO / speed["coco:train"] + SBD / speed["sbd:train"] + VOC / speed["voc:train"]
    epoch = [
        {
            "epoch": "COCO + SBD + VOC, 109,892 images",
            "cpu_minutes": round(seconds / 60, 1),
            "mean_samples_per_second": round((COCO + SBD + VOC) / seconds, 1),
        },
        {
            "epoch": "Cityscapes coarse + train, 22,973 images",
            "cpu_minutes": round((19_998 / speed["cityscapes:coarse"] + 2_975 / speed["cityscapes:train"]) / 60, 1),
            "mean_samples_per_second": round(
                22_973 / (19_998 / speed["cityscapes:coarse"] + 2_975 / speed["cityscapes:train"]), 1
            ),
        },
    ]
    print_rows("epochs, reading alone", epoch)
    real = "real images, enlarged" if os.environ.get("GLOBALCONV_DATA") else "generated scenes"
    tables = {"sources: reading, one core": rows, "sources: an epoch of reading alone, one core": epoch}
    write_results("sources", "cpu", {**asdict(settings), "images": real}, tables)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
