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

from globalconv.arrays import FloatArray
from globalconv.data.annotations import DrawnSample, Shape, collect_drawn_samples, find_image, safe_name
from globalconv.data.formats.layout import Layout
from globalconv.data.splits import select_split
from globalconv.errors import InputError, OnError, raise_error

FILE_NAME = "annotations.xml"

POINT_LISTS = {"polygon": "polygon", "polyline": "linestrip", "points": "point"}
"""CVAT's elements that are a list of points, and the kinds of `Shape` that they become."""

NOT_DRAWN = ("tag", "attribute")


def recognise(root: Path) -> bool:
    """Return whether there is an `annotations.xml`."""
    return (root / FILE_NAME).is_file()


def list_splits(root: Path) -> list[str]:
    """Return the subsets; [""] where there are none."""
    return sorted({_subset(image) for image in _parse_xml(root / FILE_NAME).iter("image")}) or [""]


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[DrawnSample, ...]:
    """Return the samples of one split; images that are not there go to `on_error`."""
    file = root / FILE_NAME
    images = list(_parse_xml(file).iter("image"))
    if not images:
        raise InputError(f'{file}: holds no images; export the task as "CVAT for images 1.1", tracks split by frames')

    def make_sample(image: ET.Element) -> DrawnSample:
        written, subset = image.get("name", ""), image.get("subset", "")
        where = f"{file}, image {image.get('id', written)}"
        folders = [root / "images", root, root / "images" / subset, root / subset]
        path = find_image([folder / written for folder in folders], where, written)
        return DrawnSample(
            safe_name(_subset(image), written), path, where, functools.partial(_read_shapes, image, where)
        )

    def read(name: str) -> tuple[DrawnSample, ...]:
        of_split = [image for image in images if _subset(image) == name]
        return collect_drawn_samples((functools.partial(make_sample, image) for image in of_split), on_error)

    return select_split(sorted({_subset(image) for image in images}), read, split, root)


def list_class_names(root: Path) -> list[str]:
    """Return the labels of the task or project in their order, or those that occur where none are listed."""
    tree = _parse_xml(root / FILE_NAME)
    listed = [label.findtext("name") or "" for label in tree.iterfind("meta//labels/label")]
    drawn = [shape.get("label", "") for image in tree.iter("image") for shape in image if shape.tag not in NOT_DRAWN]
    return list(dict.fromkeys(name for name in listed or sorted(drawn) if name))


LAYOUT = Layout(recognise, list_splits, read_split, list_class_names)


def _parse_xml(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except (OSError, ET.ParseError) as error:
        raise InputError(f"{file}: cannot be read as XML ({error}); export it again") from None


def _subset(image: ET.Element) -> str:
    return image.get("subset", "").lower()


def _read_shapes(image: ET.Element, where: str) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    try:
        size = (int(image.attrib["width"]), int(image.attrib["height"]))
        shapes = sorted((s for s in image if s.tag not in NOT_DRAWN), key=lambda s: int(s.get("z_order", "0")))
        return size, [(shape.attrib["label"], _make_shape(shape, where)) for shape in shapes]
    except InputError:
        raise
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: an attribute is missing or no number ({error}); export it again") from None


def _make_shape(element: ET.Element, where: str) -> Shape:
    fields = element.attrib
    match element.tag:
        case "box":
            left, top, right, bottom = (float(fields[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
            if not float(fields.get("rotation", "0")):
                return Shape("rectangle", ((left, top), (right, bottom)))
            corners = np.array(((left, top), (right, top), (right, bottom), (left, bottom)))
            return _rotated_polygon(corners, fields)
        case "ellipse":
            angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
            columns = float(fields["cx"]) + float(fields["rx"]) * np.cos(angle)
            rows = float(fields["cy"]) + float(fields["ry"]) * np.sin(angle)
            return _rotated_polygon(np.stack([columns, rows], axis=1), fields)
        case "mask":  # lengths of runs, row by row in its box, the first of pixels outside
            lengths = [int(length) for length in fields["rle"].split(",")]
            width, height = int(fields["width"]), int(fields["height"])
            if min(lengths) < 0 or sum(lengths) != width * height:
                raise ValueError(f"rle of {sum(lengths)} pixels for a mask of {width}x{height}")
            mask_hw = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
            return Shape("mask", ((float(fields["left"]), float(fields["top"])),), mask_hw)
        case tag if tag in POINT_LISTS:
            pairs = (pair.split(",") for pair in fields["points"].split(";"))
            return Shape(POINT_LISTS[tag], tuple((float(x), float(y)) for x, y in pairs))
    raise InputError(f"{where}: a {element.tag} ({fields.get('label')}) covers no known pixels; remove it or redraw it")


def _rotated_polygon(points: FloatArray, fields: Mapping[str, str]) -> Shape:
    """Return the polygon of `points` (N, 2), (x, y), rotated about its centre: clockwise, as one sees the image."""
    angle = np.deg2rad(float(fields.get("rotation", "0")))
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    rotation = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
    return Shape("polygon", tuple((float(x), float(y)) for x, y in (points - centre) @ rotation + centre))
