"""What `data check` records: the facts of one sample, from one reading of its files, and findings about all samples.

Shapes: H x W pixels of the image.
"""

import filecmp
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from globalconv.arrays import Uint8Array
from globalconv.data.annotations import DrawnSource
from globalconv.data.datasets import list_sample_files
from globalconv.data.images import SIDEWAYS, frames_and_orientation
from globalconv.data.mask_files import MAT_SUFFIX
from globalconv.data.masks import count_inexact_pixels, count_stored_values
from globalconv.data.source import FileSource, Source, resolve_sample
from globalconv.errors import InputError
from globalconv.labels import IGNORE
from globalconv.runtime.text import one_line

CROWDED = 16
"""In maps of so many classes, those are looked for that are lines alone, as smeared edges are."""
THUMBNAIL = 16
"""Side of the grey thumbnails by which near-identical images are recognised."""

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong to one object."""

MAX_VALUES = 1000
"""Values of one mask that are counted: a depth map that was taken for a mask may hold 65,536."""

TURNS: dict[int, Callable[[Uint8Array], Uint8Array]] = {
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).T,
    8: np.rot90,
}
"""What each EXIF orientation does to the stored pixels (H, W)."""

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing about a data set: what it is, how often and where it occurs, and what to do."""

    severity: Severity
    kind: str
    message: str
    count: int = 1
    samples: tuple[str, ...] = ()
    """The names of all samples that it is about, if it is about samples."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one sample; `kind` is that of `InputError`."""

    kind: str
    message: str


@dataclass(frozen=True)
class Facts:
    """The facts of one sample. A file that cannot be read leaves the defaults."""

    name: str
    split: str
    size: tuple[int, int] | None = None
    """Width and height of the upright image."""
    digest: str = ""
    """Digest of the decoded pixels: the same image in another file has the same."""
    thumbnail: bytes = b""
    levels: tuple[int, int] | None = None
    """Grey levels below which 1 % and 99 % of the pixels lie; equal to the one of an image of one colour."""
    plain: bool = False
    """Whether the image has one colour all over."""
    orientation: int = 1
    """EXIF orientation of the image, 1 .. 8."""
    mask_orientation: int = 1
    sizes_tell: bool = True
    """Whether the mask cannot be of the image before EXIF turned it: its size says so, or nothing is turned."""
    fits_unturned: bool | None = None
    """Whether the mask's edges lie on those of the image better where the mask is taken for one of the image before
    EXIF turned it. None where sizes tell, and where it cannot be turned."""
    pixels: dict[int, int] | None = None
    """Pixels per class, `IGNORE` included."""
    parts: dict[int, dict[int, int]] | None = None
    """How many connected parts of each class have an area, by the area in pixels, ascending."""
    inner: dict[int, int] | None = None
    """Pixels per class whose four neighbours are of the class, in a map of `CROWDED` classes or more."""
    mask_digest: str = ""
    """Digest of the label map."""
    is_copy: bool = False
    """Whether the mask is the image: the same file, or the same values."""
    near_colours: int = 0
    """Pixels whose colour is within the tolerance of a class's colour, but not equal to it."""
    far_colours: int = 0
    """Pixels whose colour is beyond the tolerance of every class, and so void."""
    stored: dict[int, int] | None = None
    """Pixels per value of a mask that holds values of no class; the commonest, at most `MAX_VALUES`."""
    frames: int = 1
    """Number of frames or pages of the image's file."""
    mask_frames: int = 1
    problems: tuple[Problem, ...] = ()


def examine(source: Source, index: int, split: str) -> Facts:
    """Return the facts of one sample; whatever cannot be read becomes a problem, never an exception."""
    name, problems = source.sample_name(index), list[Problem]()
    source, index = resolve_sample(source, index)
    facts: dict[str, Any] = {}

    def add_problem(error: Exception, what: str) -> None:
        if isinstance(error, InputError):
            problem = Problem(error.kind or what, str(error))
        else:
            message = f"{name}: the {what} cannot be read ({one_line(error)}); replace or remove it"
            problem = Problem(what, message)
        # An image that cannot be read is reported once, and not again by the check of the mask's size against it.
        if not problems or problem.message != problems[0].message:
            problems.append(problem)

    image = label_map = None
    try:
        image = source.image(index)
        facts |= _describe_image(image)
        facts |= _describe_headers(list_sample_files(source, index))
    except Exception as error:  # one odd file must not cost the report on all others
        add_problem(error, "image")
    try:
        label_map = source.label_map(index)
        facts |= _describe_label_map(label_map)
        if isinstance(source, FileSource) and source.masks.tolerance:
            near, far = count_inexact_pixels(source.pairs[index].label, source.masks)
            facts |= {"near_colours": near, "far_colours": far}
    except Exception as error:
        if isinstance(source, FileSource) and getattr(error, "kind", "") == "values" and not source.masks.binary:
            stored = Counter(count_stored_values(source.pairs[index].label, source.masks))
            facts["stored"] = dict(stored.most_common(MAX_VALUES))
        add_problem(error, "mask")
    if image is not None and label_map is not None and not problems and label_map.shape == image.shape[:2]:
        facts |= _compare(image, label_map, list_sample_files(source, index), facts)
        if isinstance(source, DrawnSource) and facts["orientation"] in SIDEWAYS:
            facts["sizes_tell"] &= None not in source.samples[index].read().size
    return Facts(name, split, problems=tuple(problems), **facts)


def _describe_image(image: Uint8Array) -> dict[str, Any]:
    """Return the facts that an image's pixels (H, W, 3) give."""
    height, width = image.shape[:2]
    grey = Image.fromarray(image).convert("L")
    below_256 = np.cumsum(grey.histogram())
    low, high = np.searchsorted(below_256, (0.01 * below_256[-1], 0.99 * below_256[-1])).tolist()
    digest = hashlib.sha256(f"{width}x{height}".encode() + image.tobytes()).hexdigest()
    return {
        "size": (width, height),
        "digest": digest,
        "thumbnail": grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes(),
        "levels": (low, high),
        "plain": low == high and bool((image == image[0, 0]).all()),
    }


def _describe_headers(files: Sequence[Path]) -> dict[str, Any]:
    """Return the facts that stand in the headers of a sample's files, its image first."""
    traits = [frames_and_orientation(file) for file in files if file.suffix != MAT_SUFFIX] or [(1, 1)]
    return {
        "frames": traits[0][0],
        "mask_frames": max((frames for frames, _ in traits[1:]), default=1),
        "orientation": traits[0][1],
        "mask_orientation": traits[1][1] if traits[1:] else 1,
    }


def _describe_label_map(label_map: Uint8Array) -> dict[str, Any]:
    """Return the facts that a label map (H, W) gives."""
    counts = np.bincount(label_map.ravel(), minlength=IGNORE + 1)
    pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    parts = {}
    for value in [value for value in pixels if value != IGNORE]:
        pixels_HW = label_map == value
        rows, columns = np.flatnonzero(pixels_HW.any(axis=1)), np.flatnonzero(pixels_HW.any(axis=0))
        box_hw = pixels_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # objects are smaller than the image
        areas = np.bincount(ndimage.label(box_hw, EIGHT_NEIGHBOURS)[0].ravel())[1:]
        parts[value] = dict(zip(*(column.tolist() for column in np.unique(areas, return_counts=True)), strict=True))
    inner = _count_inner(label_map) if len(parts) >= CROWDED else None
    return {
        "pixels": pixels,
        "parts": parts,
        "inner": inner,
        "mask_digest": hashlib.sha256(label_map.tobytes()).hexdigest(),
    }


def _count_inner(label_map: Uint8Array) -> dict[int, int]:
    """Return, per value of a label map (H, W), how many pixels have four neighbours of the same value."""
    centre = label_map[1:-1, 1:-1]
    neighbours = (label_map[:-2, 1:-1], label_map[2:, 1:-1], label_map[1:-1, :-2], label_map[1:-1, 2:])
    counts = np.bincount(centre[np.all([centre == beside for beside in neighbours], axis=0)], minlength=IGNORE + 1)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _compare(image: Uint8Array, label_map: Uint8Array, files: Sequence[Path], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts that an image (H, W, 3) and its label map (H, W) give together; `facts` are those so far."""
    one_kind = len(files) > 1 and files[0].suffix == files[1].suffix
    same_row = len(facts["pixels"]) > 1 and np.array_equal(image[0, :, 0], label_map[0])
    same_values = same_row and np.array_equal(image[..., 0], label_map)
    is_copy = same_values or (one_kind and filecmp.cmp(files[0], files[1], shallow=False))
    orientation, square = facts["orientation"], label_map.shape[0] == label_map.shape[1]
    unclear = orientation != 1 and facts["mask_orientation"] == 1 and (square or orientation not in SIDEWAYS)
    fits = _fits_unturned(image, label_map, TURNS[orientation]) if unclear else None
    return {"is_copy": is_copy, "sizes_tell": not unclear, "fits_unturned": fits}


def _fits_unturned(image: Uint8Array, label_map: Uint8Array, turn: Callable[[Uint8Array], Uint8Array]) -> bool:
    """Return whether a label map (H, W) fits the image (H, W, 3) better once it is turned as the image was.

    The better fit has the larger differences of grey levels across the edges of the label map. The label maps of
    CamVid fit better as they are in all of 100 images, those of MSRC21, VOC and SBD in 85 to 95.
    """
    grey_HW = np.asarray(Image.fromarray(image).convert("L"), np.float32)
    steps = [np.abs(np.diff(grey_HW, axis=axis)) for axis in (0, 1)]
    as_it_is, turned = (
        np.concatenate([step[np.diff(labels, axis=axis) != 0] for axis, step in enumerate(steps)])
        for labels in (label_map, turn(label_map))
    )
    return bool(turned.size and turned.mean() > as_it_is.mean())


def count_of(number: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
