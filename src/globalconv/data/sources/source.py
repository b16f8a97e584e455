"""What a data set is to the rest of the program: a number of samples, each an image and its label map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from globalconv.data.images import image_size, read_image, read_label_map
from globalconv.errors import InputError
from globalconv.labels import LabelSpace

Uint8Array = NDArray[np.uint8]


class Source(Protocol):
    """Numbered samples of one split of a data set.

    `image(i)` is uint8 RGB (H, W, 3); `label_map(i)` is uint8 (H, W) with the classes of `labels` and `IGNORE`.
    Both raise `InputError`, naming the file, for anything they cannot read.
    """

    @property
    def name(self) -> str:
        """What the data is called in logs: layout, place and split."""
        ...

    @property
    def labels(self) -> LabelSpace: ...

    def __len__(self) -> int: ...

    def sample_name(self, index: int) -> str:
        """Return a unique relative POSIX path without suffix, under which results of the sample can be filed."""
        ...

    def image(self, index: int) -> Uint8Array: ...

    def label_map(self, index: int) -> Uint8Array: ...


@dataclass(frozen=True)
class Pair:
    """One sample on disk."""

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class FileSource:
    """Samples that lie in files, one for the image and one for the label map."""

    name: str
    labels: LabelSpace
    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def sample_name(self, index: int) -> str:
        return self.pairs[index].name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.pairs[index].image)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map; `InputError` if its size is not the image's (read from the image's header)."""
        pair = self.pairs[index]
        label_map = read_label_map(pair.label, self.labels)
        width, height = image_size(pair.image)
        if label_map.shape != (height, width):
            raise InputError(_sizes_differ(pair, (width, height), (label_map.shape[1], label_map.shape[0])))
        return label_map


def _sizes_differ(pair: Pair, image: tuple[int, int], label: tuple[int, int]) -> str:
    hint = "make both the same size (labels resized by nearest neighbour only)"
    if label == image[::-1]:
        hint = "width and height are swapped, as when one of them ignores the EXIF rotation; rotate the label map"
    return (
        f"{pair.label}: the label map is {label[0]}x{label[1]} but its image {pair.image}"
        f" is {image[0]}x{image[1]}; {hint}"
    )
