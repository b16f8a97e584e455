"""CVAT's own export "CVAT for images 1.1": `annotations.xml` beside the images (in `images/` or not).

Shapes are drawn by their z-order, then in the order of the file. Classes are the labels of the task in its order, after
a class "background" for pixels of no shape (unless a label is called so). An image's `subset`, where there are any, is
its split. Polygons, boxes, masks, ellipses, polylines and points are drawn; cuboids and skeletons are refused.
"""

import functools
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.data.annotations import Drawing, Shape, collect_drawings, find_image, safe_name
from globalconv.data.splits import select_split
from globalconv.errors import InputError, OnError, raise_error

FILE_NAME = "annotations.xml"

Points = tuple[tuple[float, float], ...]

SHAPES = {"polygon": "polygon", "polyline": "linestrip", "points": "point"}
"""CVAT's elements that are a list of points, and what they are called here."""

NOT_DRAWN = ("tag", "attribute")


def is_cvat_layout(root: Path) -> bool:
    """Say whether there is an `annotations.xml`."""
    return (root / FILE_NAME).is_file()


def cvat_splits(root: Path) -> list[str]:
    """Return the subsets; [""] where there are none."""
    return sorted({_subset(image) for image in _parsed(root / FILE_NAME).iter("image")}) or [""]


def read_cvat(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Drawing, ...]:
    """Return the drawings of one split; images that are not there go to `on_error`."""
    file = root / FILE_NAME
    images = list(_parsed(file).iter("image"))
    if not images:
        raise InputError(f'{file}: holds no images; export the task as "CVAT for images 1.1", tracks split by frames')

    def read(name: str) -> tuple[Drawing, ...]:
        return collect_drawings(
            (functools.partial(_drawing, root, file, image) for image in images if _subset(image) == name), on_error
        )

    return select_split(sorted({_subset(image) for image in images}), read, split, root)


def cvat_names(root: Path) -> list[str]:
    """Return the labels of the task or project in their order, or those that occur where none are listed."""
    tree = _parsed(root / FILE_NAME)
    listed = [label.findtext("name") or "" for label in tree.iterfind("meta//labels/label")]
    drawn = [shape.get("label", "") for image in tree.iter("image") for shape in image if shape.tag not in NOT_DRAWN]
    return list(dict.fromkeys(name for name in listed or sorted(drawn) if name))


def _parsed(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except (OSError, ET.ParseError) as error:
        raise InputError(f"{file}: cannot be read as XML ({error}); export it again") from None


def _subset(image: ET.Element) -> str:
    return image.get("subset", "").lower()


def _drawing(root: Path, file: Path, image: ET.Element) -> Drawing:
    said = image.get("name", "")
    where = f"{file}, image {image.get('id', said)}"
    subset = image.get("subset", "")
    folders = [root / "images", root, root / "images" / subset, root / subset]
    found = find_image([folder / said for folder in folders], where, said)
    name = safe_name(_subset(image), said)
    return Drawing(name, found, where, functools.partial(_read, image, where))


def _read(image: ET.Element, where: str) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    try:
        size = (int(image.attrib["width"]), int(image.attrib["height"]))
        shapes = sorted((s for s in image if s.tag not in NOT_DRAWN), key=lambda s: int(s.get("z_order", "0")))
        return size, [(shape.attrib["label"], _shape(shape, where)) for shape in shapes]
    except InputError:
        raise
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: an attribute is missing or no number ({error}); export it again") from None


def _shape(shape: ET.Element, where: str) -> Shape:
    fields = shape.attrib
    match shape.tag:
        case "box":
            corners = tuple((float(fields[x]), float(fields[y])) for x, y in (("xtl", "ytl"), ("xbr", "ybr")))
            return (
                Shape("polygon", _turned(_box(corners), fields), 0)
                if _angle(fields)
                else Shape("rectangle", corners, 0)
            )
        case "mask":
            return Shape("mask", ((float(fields["left"]), float(fields["top"])),), 0, _runs(fields))
        case "ellipse":
            return Shape("polygon", _turned(_ellipse(fields), fields), 0)
        case tag if tag in SHAPES:
            pairs = (pair.split(",") for pair in fields["points"].split(";"))
            return Shape(SHAPES[tag], tuple((float(x), float(y)) for x, y in pairs), 0)
    raise InputError(f"{where}: a {shape.tag} ({fields.get('label')}) covers no known pixels; remove it or redraw it")


def _runs(fields: dict[str, str]) -> NDArray[np.bool_]:
    """Return the pixels of a mask: lengths of runs, row by row in its box, the first of pixels outside."""
    lengths = [int(length) for length in fields["rle"].split(",")]
    width, height = int(fields["width"]), int(fields["height"])
    if min(lengths) < 0 or sum(lengths) != width * height:
        raise ValueError(f"rle of {sum(lengths)} pixels for a mask of {width}x{height}")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)


def _angle(fields: Mapping[str, str]) -> float:
    """Return by how many degrees a shape is turned clockwise, as one sees it."""
    return float(fields.get("rotation", "0"))


def _box(corners: Points) -> Points:
    (left, top), (right, bottom) = corners
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _turned(points: Points, fields: Mapping[str, str]) -> Points:
    """Turn a shape about its centre."""
    angle, array = np.deg2rad(_angle(fields)), np.array(points)
    centre = (array.min(axis=0) + array.max(axis=0)) / 2
    turn = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    return tuple((float(x), float(y)) for x, y in (array - centre) @ turn + centre)


def _ellipse(fields: dict[str, str]) -> tuple[tuple[float, float], ...]:
    angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    columns = float(fields["cx"]) + float(fields["rx"]) * np.cos(angle)
    rows = float(fields["cy"]) + float(fields["ry"]) * np.sin(angle)
    return tuple(zip(columns.tolist(), rows.tolist(), strict=True))
