"""The two servers: which pictures they ask for, what a class map is called and holds there, what they accept.

- PASCAL VOC 2012: `results/VOC2012/Segmentation/comp6_test_cls/ID.png`, palette PNGs of class indices at the picture's
  own size, in a tar file, gzipped or not (the development kit, section "Submission of Results").
- Cityscapes: PNGs of label ids, 2048x1024, in a ZIP file. The server finds the prediction of a picture by the pattern
  `CITY_SEQUENCE_FRAME*.png`, in whatever folder (`evalPixelLevelSemanticLabeling.py` of cityscapesScripts).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from globalconv.show.palette import palette_png
from globalconv.submission.pictures import Picture, cityscapes_pictures, voc_pictures

Uint8Array = npt.NDArray[np.uint8]

Competition = Literal["comp5", "comp6"]
"""VOC's: comp5 is for networks that learned from VOC 2012's own trainval data and nothing else, comp6 for others."""


@dataclass(frozen=True)
class Benchmark:
    """One server."""

    title: str
    labels: LabelSpace
    pictures: Callable[[Root, str], list[Picture]]
    """(root of the data, split) -> the pictures to predict, in order."""
    counts: Mapping[str, int]
    """Split -> how many pictures it has, as published."""
    values: tuple[int, ...]
    """Class -> the value that stands for it in a PNG."""
    mode: str
    """Pillow's mode of such a PNG."""
    suffixes: tuple[str, ...]
    """What an archive may be called."""
    folder: str
    """Where the PNGs lie in it; {competition} and {split} are filled in."""
    upload: str
    """Where it is to be uploaded."""
    size: tuple[int, int] | None = None
    """(width, height) that every picture has; None: its own."""

    def png(self, class_map: Uint8Array) -> Image.Image:
        """Return a class map (H, W) as the picture that the server expects."""
        if self.mode == "P":
            return palette_png(class_map, self.labels)
        return Image.fromarray(np.array(self.values, np.uint8)[class_map])

    def member(self, file: str, split: str, competition: Competition) -> str:
        """Return the path of a PNG in the archive."""
        return self.folder.format(competition=competition, split=split) + file


_VOC = Benchmark(
    "PASCAL VOC 2012", VOC, voc_pictures, {"test": 1456, "val": 1449}, tuple(range(VOC.num_classes)), "P",
    (".tgz", ".tar.gz", ".tar"), "results/VOC2012/Segmentation/{competition}_{split}_cls/",
    "http://host.robots.ox.ac.uk:8080",
)  # fmt: skip

_CITYSCAPES = Benchmark(
    "Cityscapes", CITYSCAPES, cityscapes_pictures, {"test": 1525, "val": 500}, CITYSCAPES_LABEL_IDS, "L",
    (".zip",), "", "https://www.cityscapes-dataset.com/submit/", (2048, 1024),
)  # fmt: skip

BENCHMARKS = {"voc": _VOC, "cityscapes": _CITYSCAPES}


def check_classes(benchmark: Benchmark, labels: LabelSpace, weights: Path) -> None:
    """Raise `InputError` unless a network's classes are the benchmark's, in its order."""
    ours, theirs = labels.class_names, benchmark.labels.class_names
    if ours == theirs:
        return
    if len(ours) != len(theirs):
        unlike = f"it has {len(ours)}, {benchmark.title} has {len(theirs)}"
    else:
        place = next(index for index, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
        unlike = f"class {place} is {ours[place]!r}, in {benchmark.title} it is {theirs[place]!r}"
    raise InputError(
        f"{weights}: its classes are not those of {benchmark.title} ({unlike}), so its predictions would mean something"
        " else there; train on the official data set, or give its classes these names in this order"
    )
