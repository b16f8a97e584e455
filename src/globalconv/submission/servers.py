"""The two test servers: the images they ask for, what a prediction is called there and holds, what they accept.

- PASCAL VOC 2012: `results/VOC2012/Segmentation/comp6_test_cls/ID.png`, palette PNGs of class indices at the image's
  own size, in a tar file, gzipped or not (the development kit, section "Submission of Results").
- Cityscapes: PNGs of label ids, 2048x1024, in a ZIP file. The server finds the prediction of an image by the pattern
  `CITY_SEQUENCE_FRAME*.png`, in whatever folder (`evalPixelLevelSemanticLabeling.py` of cityscapesScripts).

Images are listed whether or not there are masks of them: those of test splits are secret.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.formats import cityscapes, voc
from globalconv.data.formats.mixtures import locate
from globalconv.data.images import image_size
from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.hub.address import shown_path
from globalconv.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from globalconv.visual.overlay import palette_png

_FRAME = re.compile(r".+_\d{6}_\d{6}")


@dataclass(frozen=True)
class ListedImage:
    """An image to predict, and what its prediction is called."""

    path: Path
    file: str


def voc_images(root: Root, split: str) -> list[ListedImage]:
    """Return the images that `ImageSets/Segmentation/SPLIT.txt` lists; VOC is found at `root` as for a training."""
    home = locate(
        root, "voc", functools.partial(voc.find_home, masks=False), "JPEGImages/, in VOCdevkit/VOC2012/ or not"
    )
    file = home / voc.LISTS / f"{split}.txt"
    if not file.is_file():
        hint = (
            "; it comes with VOC2012test.tar, which the evaluation server gives to people with an account: globalconv"
            " data prepare voc --packages test --archives FOLDER unpacks it"
            if split == "test"
            else "; unpack VOC's trainval there"
        )
        raise InputError(f"{file}: there is no such list{hint}")
    names = voc.read_names(home, split)
    images = [ListedImage(home / voc.IMAGES / f"{name}.jpg", f"{name}.png") for name in names]
    if wrong := [name for name in names if not re.fullmatch(r"[\w-]+", name)]:
        raise InputError(f"{file}: {wrong[0]!r} is no name of an image; unpack it again")
    if missing := [image.path for image in images if not image.path.is_file()]:
        more = f", nor are {len(missing) - 1} others of its {len(names)}" if missing[1:] else ""
        raise InputError(f"{missing[0]}: is not there{more}, and {file} lists it; unpack the archive of {split} again")
    return images


def cityscapes_images(root: Root, split: str) -> list[ListedImage]:
    """Return the images `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`; Cityscapes is found as for a training."""

    def find(folder: Path) -> Path | None:
        return folder if (folder / cityscapes.IMAGES).is_dir() else None

    folder = locate(root, "cityscapes", find, f"{cityscapes.IMAGES}/") / cityscapes.IMAGES / split
    frames = {path: Path(name).name for name, path in cityscapes.list_frames(folder, cityscapes.IMAGE_ENDING).items()}
    images = [
        ListedImage(path, f"{frame}_pred_labelIds.png") for path, frame in frames.items() if _FRAME.fullmatch(frame)
    ]
    if not images:
        raise InputError(
            f"{folder}: holds no CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png; unpack leftImg8bit_trainvaltest.zip there"
        )
    return images


Competition = Literal["comp5", "comp6"]
"""VOC's: comp5 is for networks that learned from VOC 2012's own trainval data and nothing else, comp6 for others."""


@dataclass(frozen=True)
class Benchmark:
    """What one server takes."""

    title: str
    """Its name in messages."""
    labels: LabelSpace
    images: Callable[[Root, str], list[ListedImage]]
    """(root of the data, split) -> the images to predict, in order."""
    counts: Mapping[str, int]
    """Split -> how many images it has, as published."""
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
    """(width, height) that every image has; None: its own."""

    def png(self, class_map: Uint8Array) -> Image.Image:
        """Return a class map (H, W) as the image that the server expects."""
        if self.mode == "P":
            return palette_png(class_map, self.labels)
        return Image.fromarray(np.array(self.values, np.uint8)[class_map])

    def member(self, file: str, split: str, competition: Competition) -> str:
        """Return the path of a PNG in the archive."""
        return self.folder.format(competition=competition, split=split) + file


_VOC = Benchmark(
    "PASCAL VOC 2012", VOC, voc_images, {"test": 1456, "val": 1449}, tuple(range(VOC.num_classes)), "P",
    (".tgz", ".tar.gz", ".tar"), "results/VOC2012/Segmentation/{competition}_{split}_cls/",
    "http://host.robots.ox.ac.uk:8080",
)  # fmt: skip

_CITYSCAPES = Benchmark(
    "Cityscapes", CITYSCAPES, cityscapes_images, {"test": 1525, "val": 500}, CITYSCAPES_LABEL_IDS, "L",
    (".zip",), "", "https://www.cityscapes-dataset.com/submit/", (2048, 1024),
)  # fmt: skip

BENCHMARKS = {"voc": _VOC, "cityscapes": _CITYSCAPES}


def check_classes(benchmark: Benchmark, labels: LabelSpace, weights: Path) -> None:
    """Raise `InputError` unless a network's classes are the benchmark's, in its order."""
    names, expected = labels.class_names, benchmark.labels.class_names
    if names == expected:
        return
    if len(names) != len(expected):
        difference = f"it has {len(names)}, {benchmark.title} has {len(expected)}"
    else:
        index = next(index for index, pair in enumerate(zip(names, expected, strict=True)) if pair[0] != pair[1])
        difference = f"class {index} is {names[index]!r}, in {benchmark.title} it is {expected[index]!r}"
    raise InputError(
        f"{shown_path(weights)}: its classes are not those of {benchmark.title} ({difference}), so its predictions"
        " would mean something else there; train on the official data set, or give its classes these names in this"
        " order"
    )


def check_images(benchmark: Benchmark, split: str, images: Sequence[ListedImage]) -> None:
    """Refuse a split that the server would refuse, of another number of images or sizes."""
    remedy = "unpack its archives again; `trial` writes an archive all the same, which the server would refuse"
    if len(images) != (count := benchmark.counts[split]):
        raise InputError(
            f"`split` {split}: found {len(images)} of the {count} images that {benchmark.title} has there; {remedy}"
        )
    if benchmark.size is not None:
        width, height = benchmark.size
        for image in images:
            if (size := image_size(image.path)) != benchmark.size:
                raise InputError(
                    f"{image.path}: is {size[0]}x{size[1]}, images of {benchmark.title} are {width}x{height}; {remedy}"
                )
