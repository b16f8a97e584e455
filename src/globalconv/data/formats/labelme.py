"""labelme: a JSON file per image, beside it or anywhere (its `imagePath` says where), in folders per split or not.

The folders of splits are at the root, or in the one folder that holds everything.

Later shapes lie over earlier ones, as in labelme's own export. "__ignore__" is void; pixels under no shape are the
class "_background_" (or "background"; without a class list there always is one). `labels.txt` or `class_names.txt`
fixes the order of the classes, which is alphabetical otherwise.
"""

import base64
import functools
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from globalconv.data.annotations import Drawing, Shape, collect_drawings, find_image, read_json, required_field
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.formats.folder import files_below
from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.splits import find_split, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.text import abbreviate


def is_labelme_layout(root: Path) -> bool:
    """Say whether the first JSON file that is not a class list is labelme's."""
    return bool(_annotations(root))


def labelme_splits(root: Path) -> list[str]:
    """Return the splits on disk, folders beside each other; [""] where there are none."""
    files = _annotations(root)
    base = _base(root, files)
    folders = sorted({file.relative_to(base).parts[0] for file in files if file.parent != base})
    return folders if find_split(folders, "train") else [""]


def read_labelme(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Drawing, ...]:
    """Return the drawings of one split; annotations without their image go to `on_error`."""
    files, names = _annotations(root), labelme_splits(root)
    base = _base(root, files)
    if names != [""] and (loose := [file.name for file in files if file.parent == base]):
        said = (
            f"{base}: {len(loose)} annotations lie beside the folders of the splits and in none ({abbreviate(loose)})"
        )
        on_error(InputError(f"{said}; move each into one of {', '.join(names)}", "partner"))

    def read(name: str) -> tuple[Drawing, ...]:
        return collect_drawings(
            (functools.partial(_drawing, root, file) for file in files if base / name in file.parents), on_error
        )

    return select_split(names, read, split, root)


def _base(root: Path, files: Sequence[Path]) -> Path:
    """Return the folder whose subfolders may be splits: the lowest that holds every file, unless it is one itself."""
    base = Path(os.path.commonpath([file.parent for file in files] or [root]))
    return base.parent if base != root and find_split([base.name], "train") else base


def labelme_names(root: Path) -> list[str]:
    """Return the class names that occur in all annotations, in alphabetical order."""
    return sorted({name for file in _annotations(root) for name in _glance(file).names})


def _annotations(root: Path) -> tuple[Path, ...]:
    files = (f for f in files_below(root) if f.suffix.lower() == ".json" and f.name not in CLASS_LIST_READERS)
    return tuple(file for file in files if _glance(file).annotation)


@dataclass(frozen=True)
class _Glance:
    """What listing a data set needs of a JSON file."""

    annotation: bool
    """Whether it is labelme's; one that is damaged may be, and is refused when it is read."""
    names: tuple[str, ...] = ()
    """Class names of its shapes, as far as they can be understood; reading it says what cannot."""
    image: str | None = None
    """What it says of where its image is."""
    inside: bool = False
    """Whether it holds the image itself."""


def _glance(file: Path) -> _Glance:
    facts = file.stat()
    return _glanced(file, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=1 << 17)
def _glanced(file: Path, _changed: int, _size: int) -> _Glance:
    """Parse a file, which may hold its image too and is listed several times, once."""
    try:
        content = read_json(file)
    except InputError:
        return _Glance(True)
    if not isinstance(content, dict) or "shapes" not in content:
        return _Glance(False)
    shapes = content["shapes"] if isinstance(content["shapes"], list) else []
    named = (str(shape["label"]) for shape in shapes if isinstance(shape, dict) and "label" in shape)
    said = content.get("imagePath")
    image = None if said is None else str(said)
    return _Glance(True, tuple(dict.fromkeys(named)), image, bool(content.get("imageData")))


def _content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file}: is no labelme annotation; export it again, or move it away")
    return content


def _drawing(root: Path, file: Path) -> Drawing:
    glance = _glance(file)
    said = str(required_field(_content(file), "imagePath", str(file))) if glance.image is None else glance.image
    path = said.replace("\\", "/")  # written on Windows
    beside = [file.with_suffix(written) for suffix in sorted(IMAGE_SUFFIXES) for written in (suffix, suffix.upper())]
    try:
        image = find_image([file.parent / path, *beside, *_nearby(root, path)], str(file), said)
    except InputError as error:
        inside = ", or decode it from the field imageData, which holds it" if glance.inside else ""
        raise InputError(f"{error}{inside}", error.kind) from None
    name = file.relative_to(root).with_suffix("").as_posix()
    return Drawing(name, image, str(file), functools.partial(_read, file))


def _nearby(root: Path, path: str) -> list[Path]:
    """Return where tools put images that their annotations name without a folder."""
    return [
        base / folder / PurePosixPath(path).name for base in (root, root.parent) for folder in ("images", "JPEGImages")
    ]


def _read(file: Path) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    content = _content(file)
    size = (
        int(required_field(content, "imageWidth", str(file))),
        int(required_field(content, "imageHeight", str(file))),
    )
    return size, [_shape(fields, str(file)) for fields in required_field(content, "shapes", str(file))]


def _shape(fields: Mapping[str, Any], where: str) -> tuple[str, Shape]:
    points = tuple((float(x), float(y)) for x, y in required_field(fields, "points", where))
    kind = str(fields.get("shape_type") or "polygon")
    return str(required_field(fields, "label", where)), Shape(
        kind, points, 0, _mask(fields, where) if kind == "mask" else None
    )


def _mask(fields: Mapping[str, Any], where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return the pixels of a shape that labelme's assistant drew: a PNG inside the JSON."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(required_field(fields, "mask", where)))) as image:
            return np.asarray(image.convert("L")) > 0
    except (OSError, ValueError) as error:
        raise InputError(
            f"{where}: the mask of {fields.get('label')!r} cannot be decoded ({error}); draw it anew"
        ) from None
