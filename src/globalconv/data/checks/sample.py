"""What `data check` records: the facts of one sample, from one reading of its files, and findings about all samples.

Shapes: H x W pixels of the image.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from globalconv.data.datasets import list_sample_files
from globalconv.data.images import count_frames
from globalconv.data.masks import MAT_SUFFIX, count_inexact_pixels, count_stored_values
from globalconv.data.source import FileSource, Source, resolve_sample
from globalconv.errors import InputError
from globalconv.labels import IGNORE
from globalconv.runtime.text import one_line

THUMBNAIL = 16
"""Side of the grey thumbnails by which near-identical images are recognised."""

EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong to one object."""

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
    pixels: dict[int, int] | None = None
    """Pixels per class, `IGNORE` included."""
    objects: dict[int, list[int]] | None = None
    """Areas, in pixels, of the connected parts of each class, the largest first."""
    near_colours: int = 0
    """Pixels whose colour is within the tolerance of a class's colour, but not equal to it."""
    far_colours: int = 0
    """Pixels whose colour is beyond the tolerance of every class, and so void."""
    stored: dict[int, int] | None = None
    """Pixels per value of a mask that holds values of no class."""
    frames: int = 1
    """Number of frames or pages of the file, image or mask, that has most."""
    problems: tuple[Problem, ...] = ()


def examine(source: Source, index: int, split: str) -> Facts:
    """Return the facts of one sample; whatever cannot be read becomes a problem, never an exception."""
    name, problems = source.sample_name(index), list[Problem]()
    source, index = resolve_sample(source, index)
    facts: dict[str, object] = {}

    def add_problem(error: Exception, what: str) -> None:
        if isinstance(error, InputError):
            problem = Problem(error.kind or what, str(error))
        else:
            message = f"{name}: the {what} cannot be read ({one_line(error)}); replace or remove it"
            problem = Problem(what, message)
        # An image that cannot be read is reported once, and not again by the check of the mask's size against it.
        if not problems or problem.message != problems[0].message:
            problems.append(problem)

    try:
        image = source.image(index)
        height, width = image.shape[:2]
        grey = Image.fromarray(image).convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        digest = hashlib.sha256(f"{width}x{height}".encode() + image.tobytes()).hexdigest()
        facts |= {"size": (width, height), "digest": digest, "thumbnail": grey.tobytes()}
        images = (file for file in list_sample_files(source, index) if file.suffix != MAT_SUFFIX)
        facts["frames"] = max(map(count_frames, images), default=1)
    except Exception as error:  # one odd file must not cost the report on all others
        add_problem(error, "image")
    try:
        label_map = source.label_map(index)
        counts = np.bincount(label_map.ravel(), minlength=IGNORE + 1)
        pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        objects = {}
        for value in [value for value in pixels if value != IGNORE]:
            parts, count = ndimage.label(label_map == value, EIGHT_NEIGHBOURS)
            areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
            objects[value] = [int(area) for area in np.sort(areas)[::-1]]
        facts |= {"pixels": pixels, "objects": objects}
        if isinstance(source, FileSource) and source.masks.tolerance:
            near, far = count_inexact_pixels(source.pairs[index].label, source.masks)
            facts |= {"near_colours": near, "far_colours": far}
    except Exception as error:
        if isinstance(source, FileSource) and getattr(error, "kind", "") == "values" and not source.masks.binary:
            facts["stored"] = count_stored_values(source.pairs[index].label)
        add_problem(error, "mask")
    return Facts(name, split, problems=tuple(problems), **facts)  # type: ignore[arg-type]


def count_of(number: int, noun: str) -> str:
    """Return "1 image", "2 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
