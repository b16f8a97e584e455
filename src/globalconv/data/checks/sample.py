"""Everything that `globalconv data check` wants to know of one sample, in one reading of its files.

Shapes: H x W pixels of the image.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import sample_files
from globalconv.data.images import count_frames
from globalconv.data.masks import MAT_SUFFIX, count_inexact_pixels, count_stored_values
from globalconv.data.source import FileSource, Source, resolve_sample
from globalconv.errors import InputError
from globalconv.labels import IGNORE
from globalconv.runtime.text import one_line

THUMBNAIL = 16
"""Side of the grey thumbnails by which near-identical images are found."""

EIGHT = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong to one object."""


Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing about a data set: what it is, how often, where, and what to do."""

    severity: Severity
    kind: str
    message: str
    count: int = 1
    samples: tuple[str, ...] = ()
    """All that have it, where it is a matter of samples."""


def counted(number: int, what: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one sample: `kind` as in `InputError.kind`."""

    kind: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What is known of one sample; None and nothing where it could not be read."""

    name: str
    split: str
    size: tuple[int, int] | None = None
    """Width and height of the upright image."""
    digest: str = ""
    """Digest of the decoded pixels: the same image in another file has the same."""
    thumbnail: bytes = b""
    pixels: dict[int, int] | None = None
    """Pixels per class, `IGNORE` included."""
    objects: dict[int, list[int]] | None = None
    """Areas, in pixels, of the connected parts of each class."""
    near_colours: int = 0
    """Pixels whose colour is only within the tolerance of a class's."""
    far_colours: int = 0
    """Pixels whose colour is beyond it, and so void."""
    stored: dict[int, int] | None = None
    """Pixels per value of a mask that holds values of no class."""
    frames: int = 1
    """Frames or pages of the file, image or mask, that has most."""
    problems: tuple[Problem, ...] = ()


def examine(source: Source, index: int, split: str) -> Facts:
    """Return the facts of one sample; whatever cannot be read becomes a problem, never an exception."""
    name, problems = source.sample_name(index), []
    source, index = resolve_sample(source, index)
    facts: dict[str, object] = {}
    try:
        facts |= _of_image(source.image(index))
        images = (file for file in sample_files(source, index) if file.suffix != MAT_SUFFIX)
        facts["frames"] = max(map(count_frames, images), default=1)
    except Exception as error:  # one odd file must not cost the report on all others
        problems.append(_problem(error, name, "image"))
    try:
        facts |= _of_labels(source.label_map(index))
        if isinstance(source, FileSource) and source.masks.tolerance:
            near, far = count_inexact_pixels(source.pairs[index].label, source.masks)
            facts |= {"near_colours": near, "far_colours": far}
    except Exception as error:
        if isinstance(source, FileSource) and getattr(error, "kind", "") == "values" and not source.masks.binary:
            facts["stored"] = count_stored_values(source.pairs[index].label)
        # An image that cannot be read is said once, not a second time by whoever asks for its size.
        if not problems or str(error) != problems[0].message:
            problems.append(_problem(error, name, "mask"))
    return Facts(name, split, problems=tuple(problems), **facts)  # type: ignore[arg-type]


def _problem(error: Exception, name: str, what: str) -> Problem:
    if isinstance(error, InputError):
        return Problem(error.kind or what, str(error))
    said = one_line(error)
    return Problem(what, f"{name}: the {what} cannot be read ({said}); replace or remove it")


def _of_image(image_HW3: Uint8Array) -> dict[str, object]:
    height, width = image_HW3.shape[:2]
    grey = Image.fromarray(image_HW3).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    digest = hashlib.sha256(f"{width}x{height}".encode() + image_HW3.tobytes()).hexdigest()
    return {"size": (width, height), "digest": digest, "thumbnail": grey.tobytes()}


def _of_labels(label_map: Uint8Array) -> dict[str, object]:
    counts = np.bincount(label_map.ravel(), minlength=IGNORE + 1)
    pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    return {"pixels": pixels, "objects": {value: _areas(label_map == value) for value in pixels if value != IGNORE}}


def _areas(mask_HW: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> list[int]:
    """Return the areas of the connected parts, largest first."""
    numbered, count = ndimage.label(mask_HW, EIGHT)
    areas = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    return [int(area) for area in np.sort(areas)[::-1]]
