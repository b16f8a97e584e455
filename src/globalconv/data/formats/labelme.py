"""labelme: a JSON file per image, beside it or anywhere (its `imagePath` says where), in folders per split or not.

The folders of splits are at the root, or in the one folder that holds everything. Files of X-AnyLabeling, which are of
the same form, are read too. An image of the annotation's own name beside it is its image, whatever `imagePath` says:
who renames files seldom corrects that.

Later shapes lie over earlier ones, as in labelme's own export. "__ignore__" is void; pixels under no shape are the
class "_background_" (or "background"; without a class list there always is one). `labels.txt` or `class_names.txt`
fixes the order of the classes, which is alphabetical otherwise.
"""

import base64
import functools
import io
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from globalconv.arrays import BoolArray
from globalconv.data.annotations import (
    Drawing,
    DrawnSample,
    claimed_length,
    read_json,
    required_field,
    required_text,
)
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.file_names import composed, find_file, name_of
from globalconv.data.formats.image_search import Entry, ImageIndex, find_images, written_name
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.pairing import images_called, list_files
from globalconv.data.shapes import Shape, count_points, upright_corners
from globalconv.data.splits import find_split, select_split
from globalconv.errors import InputError, InputWarning, OnError, raise_error
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import abbreviate, one_line

FOUR_CORNERS = ("rotation", "oriented_rectangle", "quadrilateral")
"""Kinds of shapes that are polygons of four points."""

IMAGE_FOLDERS = ("images", "JPEGImages")
"""Where tools put images, at the root or beside it."""

ROUND_JOINTS, ROUNDED_MASKS = (7, 0), (7, 1)
"""The versions of labelme from which on linestrips have round turns, and corners of masks are rounded to pixels."""


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
    _tell_of_other_files(root)
    stems, index = {composed(file.stem) for file in files}, ImageIndex(root)

    def read(name: str) -> tuple[DrawnSample, ...]:
        of_split = [file for file in files if base / name in file.parents]
        entries, renamed = [], dict[str, str]()
        for file in of_split:
            try:
                entry, instead_of = _make_entry(root, file, stems)
            except InputError as error:
                on_error(error)
                continue
            entries.append(entry)
            if instead_of is not None and entry.image is not None:
                own = os.path.relpath(entry.image, file.parent)
                renamed[entry.name] = f"that of {file.name} is {instead_of!r}, but {own} has its name"
        if renamed:
            message = (
                f"{root}: {len(renamed)} annotations have an imagePath that is another image than that of their own"
                f" name ({next(iter(renamed.values()))}), and are read with that of their name; correct the imagePath,"
                " or rename the annotation"
            )
            warnings.warn(InputWarning(message, "path", tuple(renamed)), stacklevel=2)
        others = [other for other in splits if other != name]
        return find_images(entries, index, str(root), on_error, others)

    return select_split(splits, read, split, root)


def list_class_names(root: Path) -> dict[str, int]:
    """Return the class names that occur in all annotations, in alphabetical order, with their numbers of shapes."""
    counts: Counter[str] = Counter()
    for file in _find_files(root):
        counts.update(dict(_summarise(file).names))
    return dict(sorted(counts.items()))


LAYOUT = Layout(recognise, list_splits, read_split, list_class_names, class_lists=("labels.txt",))


def _find_files(root: Path) -> tuple[Path, ...]:
    return tuple(file for file in _list_json(root) if _summarise(file).is_annotation)


def _list_json(root: Path) -> Iterator[Path]:
    return (f for f in list_files(root) if f.suffix.lower() == ".json" and f.name not in CLASS_LIST_READERS)


def _tell_of_other_files(root: Path) -> None:
    """Note the JSON files that are not labelme's: another tool's annotations may be meant."""
    if others := [file.relative_to(root).as_posix() for file in _list_json(root) if not _summarise(file).is_annotation]:
        message = (
            f"{root}: JSON files that are no annotations of labelme are left out: {abbreviate(others)}; move"
            " annotations of another tool into a folder of their own"
        )
        warnings.warn(InputWarning(message, "unused", tuple(others), "note"), stacklevel=2)


def _split_base(root: Path, files: Sequence[Path]) -> Path:
    """Return the folder whose subfolders may be splits: the lowest that holds every file, unless it is one itself."""
    base = Path(os.path.commonpath([file.parent for file in files] or [root]))
    return base.parent if base != root and find_split([base.name], "train") else base


def _make_entry(root: Path, file: Path, stems: set[str]) -> tuple[Entry, str | None]:
    """Return an annotation with its image, and `imagePath` if that is another image, which is not taken.

    `stems` are the names of all annotations.
    """
    summary = _summarise(file)
    if not summary.readable:
        _read_content(file)
    written = summary.image
    path = written_name(written)
    named = find_file([file.parent / path]) if written else None
    instead_of = None
    if named is None:
        # Where tools put images: beside the annotation, and in the usual folders.
        places = [file.parent, *(place / folder for place in (root, root.parent) for folder in IMAGE_FOLDERS)]
        base = PurePosixPath(path).name
        image = (find_file(place / base for place in places) if base else None) or _image_of_name(places, file)
    else:
        image = named
        if composed(named.stem) != composed(file.stem):
            usual = [place / folder for place in (root, file.parent, file.parent.parent) for folder in IMAGE_FOLDERS]
            own = _image_of_name([file.parent], file)
            # Elsewhere, only if the image that is named has an annotation of its own.
            own = own or (_image_of_name([named.parent, *usual], file) if composed(named.stem) in stems else None)
            if own is not None and not own.samefile(named):
                image, instead_of = own, written
    name = name_of(file.relative_to(root), (".json",))
    hint = ", or decode it from the field imageData, which holds it" if summary.holds_image else ""
    looked_for = file.parent / path if written else file.with_suffix(".*")
    read = functools.partial(_read_shapes, file)
    return Entry(name, written or f"{file.stem}.*", image, looked_for, str(file), read, hint), instead_of


def _image_of_name(places: Sequence[Path], file: Path) -> Path | None:
    """Return the image with the name of an annotation, up to the suffix, in the first of `places` that has one.

    Two of one name are an `InputError`: nobody knows which is meant.
    """
    for place in places:
        images = [path for path in images_called(place, file.stem) if path.is_file()]
        if not all(path.samefile(images[0]) for path in images):
            message = (
                f"{file}: which of {' and '.join(path.name for path in images)} is its image? Its imagePath is not"
                " there; correct that"
            )
            raise InputError(message, "partner")
        if images:
            return images[0]
    return None


@dataclass(frozen=True)
class _Summary:
    """The fields of an annotation that listing a data set needs."""

    is_annotation: bool
    """Whether the file is labelme's. A damaged one may be, and is refused when it is read."""
    names: tuple[tuple[str, int], ...] = ()
    """Class names of its shapes with their numbers. Malformed ones are left out, and refused when they are read."""
    image: str = ""
    """The field `imagePath`; empty where there is none."""
    holds_image: bool = False
    """Whether the file holds the image itself."""
    readable: bool = True


@cache_by_file(maxsize=1 << 17)
def _summarise(file: Path) -> _Summary:
    """Parse a file once, which may hold its image too and is listed several times."""
    try:
        content = read_json(file)
    except InputError:
        return _Summary(True, readable=False)
    if not isinstance(content, dict) or "shapes" not in content:
        return _Summary(False)
    shapes = content["shapes"] if isinstance(content["shapes"], list) else []
    labels = (shape.get("label") for shape in shapes if isinstance(shape, dict))
    names = Counter(str(label) for label in labels if isinstance(label, str | int) and str(label).strip())
    path = content.get("imagePath")
    return _Summary(True, tuple(names.items()), path if isinstance(path, str) else "", bool(content.get("imageData")))


def _read_content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise InputError(f"{file}: is no labelme annotation; export it again, or move it away")
    return content


def _read_shapes(file: Path) -> Drawing:
    content, where = _read_content(file), str(file)
    shapes = required_field(content, "shapes", where)
    if not isinstance(shapes, list):
        raise InputError(f"{where}: the field 'shapes' is no list; export the annotation again", "annotation")
    size = (claimed_length(content.get("imageWidth")), claimed_length(content.get("imageHeight")))
    match = re.match(r"(\d{1,4})\.(\d{1,4})", str(content.get("version")))
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    return Drawing(size, [_make_shape(fields, version, where) for fields in shapes])


def _make_shape(fields: Mapping[str, Any], version: tuple[int, int], where: str) -> tuple[str, Shape]:
    """Return class and shape of an object in a file of labelme's `version`; `where` names the file in errors."""
    name, kind = required_text(fields, "label", where), str(fields.get("shape_type") or "polygon")
    what = f"{where}: a {kind} of class {name!r}"
    points = []
    for point in required_field(fields, "points", where):
        if not isinstance(point, list) or len(point) != 2 or not set(map(type, point)) <= {int, float}:
            raise InputError(f"{what} has a point that is no pair of numbers: {one_line(point)}; redraw it", "shape")
        points.append((float(point[0]), float(point[1])))
    corners = tuple(points)
    if kind == "points":  # what labelme shows its assistant, and draws nowhere
        raise InputError(f"{where}: points of class {name!r} cover no known pixels; redraw or remove them", "shape")
    if kind == "mask":
        return name, _make_mask(fields, corners, version, what)
    if kind == "rectangle" and len(points) == 4:  # X-AnyLabeling's
        if (upright := upright_corners(points)) is None:
            message = (
                f"{what} has 4 points that are not the corners of an upright box; name its kind: rotation or polygon"
            )
            raise InputError(message, "shape")
        corners = upright
    if kind in FOUR_CORNERS:
        if len(points) != 4:
            message = f"{what} has {count_points(points)}, and needs 4; correct or remove it"
            raise InputError(message, "shape")
        kind = "polygon"
    joint = "curve" if kind == "linestrip" and version >= ROUND_JOINTS else None
    return name, Shape(kind, corners, joint=joint)  # type: ignore[arg-type] # a Literal


def _make_mask(
    fields: Mapping[str, Any], corners: Sequence[tuple[float, float]], version: tuple[int, int], what: str
) -> Shape:
    """Return a shape that labelme's assistant or brush has drawn: a PNG inside the JSON, between two corners.

    labelme takes the pixels of both corners for its own, and cuts off their fractions; since 7.1 it rounds.
    """
    if len(corners) != 2:
        raise InputError(f"{what} has {count_points(corners)}, and needs 2; correct or remove it", "shape")
    text = required_field(fields, "mask", what)
    (left, top), (right, bottom) = corners
    corner = (round(left), round(top)) if version >= ROUNDED_MASKS else (left, top)
    return Shape("mask", (corner,), functools.partial(_decode_mask, text, (right - left + 1, bottom - top + 1)))


def _decode_mask(text: Any, box: tuple[float, float], _: tuple[int, int]) -> BoolArray:
    """Return the pixels of a PNG in Base64, which have to be as many as there are between its corners."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            fits = all(abs(pixels - length) < 1 for pixels, length in zip(image.size, box, strict=True))
            pixels = np.asarray(image) if fits else None
            size = image.size
    except Exception as error:  # Damaged files make Pillow's decoders raise almost anything.
        raise InputError(f"it cannot be decoded ({one_line(error)}); draw it anew") from None
    if pixels is None:
        raise InputError(
            f"its pixels are {size[0]}x{size[1]}, but its corners enclose {box[0]:g}x{box[1]:g}; draw it anew"
        )
    if pixels.ndim != 2:
        raise InputError("its pixels are coloured, where one channel is expected; draw it anew")
    return pixels.astype(bool)
