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

from globalconv.data.annotations import DrawnSample, Shape, collect_drawn_samples, find_image, read_json, required_field
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.file_names import name_of
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.pairing import list_files
from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.splits import find_split, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import abbreviate


def recognise(root: Path) -> bool:
    """Return whether any JSON file that is not a class list is labelme's, or damaged."""
    return bool(_find_files(root))


def list_splits(root: Path) -> list[str]:
    """Return the splits on disk, folders beside each other; [""] where there are none."""
    files = _find_files(root)
    base = _split_base(root, files)
    folders = sorted({file.relative_to(base).parts[0] for file in files if file.parent != base})
    return folders if find_split(folders, "train") else [""]


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[DrawnSample, ...]:
    """Return the samples of one split; annotations without their image go to `on_error`."""
    files, splits = _find_files(root), list_splits(root)
    base = _split_base(root, files)
    if splits != [""] and (loose := [file.name for file in files if file.parent == base]):
        message = (
            f"{base}: {len(loose)} annotations lie beside the folders of the splits and in none ({abbreviate(loose)});"
            f" move each into one of {', '.join(splits)}"
        )
        on_error(InputError(message, "partner"))

    def make_sample(file: Path) -> DrawnSample:
        summary = _summarise(file)
        written = summary.image
        if written is None:
            written = str(required_field(_read_content(file), "imagePath", str(file)))
        path = written.replace("\\", "/")  # written on Windows
        # Where tools put images: where the annotation says, beside it, and in the usual folders.
        candidates = [file.parent / path]
        candidates += [file.with_suffix(ending) for s in sorted(IMAGE_SUFFIXES) for ending in (s, s.upper())]
        for place in (root, root.parent):
            candidates += [place / folder / PurePosixPath(path).name for folder in ("images", "JPEGImages")]
        try:
            image = find_image(candidates, str(file), written)
        except InputError as error:
            hint = ", or decode it from the field imageData, which holds it" if summary.holds_image else ""
            raise InputError(f"{error}{hint}", error.kind) from None
        name = name_of(file.relative_to(root), (".json",))
        return DrawnSample(name, image, str(file), functools.partial(_read_shapes, file))

    def read(name: str) -> tuple[DrawnSample, ...]:
        of_split = [file for file in files if base / name in file.parents]
        return collect_drawn_samples((functools.partial(make_sample, file) for file in of_split), on_error)

    return select_split(splits, read, split, root)


def list_class_names(root: Path) -> list[str]:
    """Return the class names that occur in all annotations, in alphabetical order."""
    return sorted({name for file in _find_files(root) for name in _summarise(file).names})


LAYOUT = Layout(recognise, list_splits, read_split, list_class_names, class_lists=("labels.txt",))


def _find_files(root: Path) -> tuple[Path, ...]:
    files = (f for f in list_files(root) if f.suffix.lower() == ".json" and f.name not in CLASS_LIST_READERS)
    return tuple(file for file in files if _summarise(file).is_annotation)


def _split_base(root: Path, files: Sequence[Path]) -> Path:
    """Return the folder whose subfolders may be splits: the lowest that holds every file, unless it is one itself."""
    base = Path(os.path.commonpath([file.parent for file in files] or [root]))
    return base.parent if base != root and find_split([base.name], "train") else base


@dataclass(frozen=True)
class _Summary:
    """The fields of an annotation that listing a data set needs."""

    is_annotation: bool
    """Whether the file is labelme's. A damaged one may be, and is refused when it is read."""
    names: tuple[str, ...] = ()
    """Class names of its shapes. Those that are malformed are left out here, and refused when they are read."""
    image: str | None = None
    """The field `imagePath`."""
    holds_image: bool = False
    """Whether the file holds the image itself."""


@cache_by_file(maxsize=1 << 17)
def _summarise(file: Path) -> _Summary:
    """Parse a file once, which may hold its image too and is listed several times."""
    try:
        content = read_json(file)
    except InputError:
        return _Summary(True)
    if not isinstance(content, dict) or "shapes" not in content:
        return _Summary(False)
    shapes = content["shapes"] if isinstance(content["shapes"], list) else []
    names = (str(shape["label"]) for shape in shapes if isinstance(shape, dict) and "label" in shape)
    path = content.get("imagePath")
    image = None if path is None else str(path)
    return _Summary(True, tuple(dict.fromkeys(names)), image, bool(content.get("imageData")))


def _read_content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file}: is no labelme annotation; export it again, or move it away")
    return content


def _read_shapes(file: Path) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    content, where = _read_content(file), str(file)
    size = (int(required_field(content, "imageWidth", where)), int(required_field(content, "imageHeight", where)))
    shapes = []
    for fields in required_field(content, "shapes", where):
        points = tuple((float(x), float(y)) for x, y in required_field(fields, "points", where))
        kind, mask_hw = str(fields.get("shape_type") or "polygon"), None
        label = str(required_field(fields, "label", where))
        if kind == "mask":  # drawn by labelme's assistant: a PNG inside the JSON
            try:
                with Image.open(io.BytesIO(base64.b64decode(required_field(fields, "mask", where)))) as image:
                    mask_hw = np.asarray(image.convert("L")) > 0
            except (OSError, ValueError) as error:
                message = f"{where}: the mask of {fields.get('label')!r} cannot be decoded ({error}); draw it anew"
                raise InputError(message) from None
        shapes.append((label, Shape(kind, points, mask_hw)))
    return size, shapes
