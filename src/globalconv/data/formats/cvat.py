"""CVAT's own export "CVAT for images 1.1": `annotations.xml` beside the images (in `images/` or not).

Shapes are drawn by their z-order, then in the order of the file. Classes are the labels of the task in its order, after
a class "background" for pixels of no shape (unless a label is called so). An image's `subset`, where there are any, is
its split. Polygons, boxes, masks, ellipses, polylines and points are drawn; cuboids and skeletons are refused.

Polygons, boxes and ellipses are filled by pycocotools, as CVAT's own export of masks fills them (by Datumaro): a box
from 2 to 5 covers three columns of pixels, where labelme's rectangle covers four.
"""

import functools
import warnings
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from globalconv.arrays import BoolArray, FloatArray
from globalconv.data.annotations import Drawing, DrawnSample, claimed_length, required_text, safe_name
from globalconv.data.coco_masks import rasterise
from globalconv.data.file_names import find_file
from globalconv.data.formats.image_search import Entry, ImageIndex, find_images, written_name
from globalconv.data.formats.layout import Layout
from globalconv.data.shapes import Shape
from globalconv.data.splits import select_split
from globalconv.errors import InputError, InputWarning, OnError, raise_error
from globalconv.runtime.text import one_line

FILE_NAME = "annotations.xml"

POINT_LISTS = {"polyline": "linestrip", "points": "points"}
"""CVAT's elements that are a list of points and no area, and the kinds of `Shape` that they become."""

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
    tree = _parse_xml(file)
    images = list(tree.iter("image"))
    if not images or tree.find("track") is not None:
        what = "shapes of a film (tracks)" if tree.find("track") is not None else "no images"
        raise InputError(f'{file}: holds {what}; export the task as "CVAT for images 1.1", tracks split by frames')
    if tags := sum(shape.tag == "tag" for image in images for shape in image):
        message = f"{file}: {tags} tags of whole images cover no pixels and are left out; draw what they mean"
        warnings.warn(InputWarning(message, "class", severity="note"), stacklevel=2)

    def make_entry(image: ET.Element) -> Entry:
        where = f"{file}, image {image.get('id', image.get('name'))}"
        written, subset = required_text(image.attrib, "name", where), image.get("subset", "")
        path = written_name(written)
        folders = [root / "images", root, root / "images" / subset, root / subset]
        return Entry(
            safe_name(_subset(image), path),
            written,
            find_file(folder / path for folder in folders),
            folders[0] / path,
            where,
            functools.partial(_read_shapes, image, where),
        )

    index, splits = ImageIndex(root), sorted({_subset(image) for image in images})

    def read(name: str) -> tuple[DrawnSample, ...]:
        entries = [make_entry(image) for image in images if _subset(image) == name]
        others = {image.get("subset", "") for image in images if _subset(image) != name}
        return find_images(entries, index, str(file), on_error, others)

    return select_split(splits, read, split, root)


def list_class_names(root: Path) -> dict[str, int]:
    """Return the labels of the task or project in their order, or those that occur where none are listed.

    With each goes its number of shapes.
    """
    tree = _parse_xml(root / FILE_NAME)
    listed = [label.findtext("name") or "" for label in tree.iterfind("meta//labels/label")]
    shapes = (shape for image in tree.iter("image") for shape in image if shape.tag not in NOT_DRAWN)
    drawn = Counter(shape.get("label", "") for shape in shapes)
    return {name: drawn[name] for name in listed or sorted(drawn) if name.strip()}


LAYOUT = Layout(recognise, list_splits, read_split, list_class_names)


class _TreeBuilder(ET.TreeBuilder):
    """Builds the tree of a file that declares no entities: these can name other files, and grow without end."""

    def doctype(self, *_: object) -> None:
        raise ValueError("it declares a document type, which CVAT never does")


def _parse_xml(file: Path) -> ET.Element:
    try:
        tree = ET.parse(file, ET.XMLParser(target=_TreeBuilder())).getroot()
    except (OSError, ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as XML ({one_line(error)}); export it again") from None
    if tree.tag != "annotations":
        raise InputError(f"{file}: is no file of CVAT, but of <{one_line(tree.tag)}>; export it again")
    return tree


def _subset(image: ET.Element) -> str:
    return image.get("subset", "").lower()


def _read_shapes(image: ET.Element, where: str) -> Drawing:
    size = (claimed_length(image.get("width")), claimed_length(image.get("height")))
    try:
        shapes = sorted((s for s in image if s.tag not in NOT_DRAWN), key=lambda s: int(s.get("z_order", "0")))
        return Drawing(size, [(required_text(s.attrib, "label", where), _make_shape(s, where)) for s in shapes])
    except InputError:
        raise
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: an attribute is missing or no number ({error}); export it again") from None


def _make_shape(element: ET.Element, where: str) -> Shape:
    fields = element.attrib
    match element.tag:
        case "box":
            left, top, right, bottom = (float(fields[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
            return _outline(np.array(((left, top), (right, top), (right, bottom), (left, bottom))), fields)
        case "ellipse":
            angle = np.linspace(0, 2 * np.pi, 128, endpoint=False)
            columns = float(fields["cx"]) + float(fields["rx"]) * np.cos(angle)
            rows = float(fields["cy"]) + float(fields["ry"]) * np.sin(angle)
            return _outline(np.stack([columns, rows], axis=1), fields)
        case "mask":
            lengths = [int(length) for length in fields["rle"].split(",")]
            box = (int(fields["width"]), int(fields["height"]))
            corner = (float(fields["left"]), float(fields["top"]))
            return Shape("mask", (corner,), functools.partial(_decode_rows, lengths, box))
        case tag if tag in ("polygon", *POINT_LISTS) and not float(fields.get("rotation", "0")):
            pairs = (pair.split(",") for pair in fields["points"].split(";"))
            points = tuple((float(x), float(y)) for x, y in pairs)
            return _outline(np.array(points), {}) if tag == "polygon" else Shape(POINT_LISTS[tag], points)
    raise InputError(f"{where}: a {element.tag} ({fields.get('label')}) covers no known pixels; remove it or redraw it")


def _decode_rows(lengths: Sequence[int], box: tuple[int, int], size: tuple[int, int]) -> BoolArray:
    """Return the pixels (h, w) of run lengths: row by row in a `box` of (w, h), the first of pixels outside.

    A box larger than its image, of (width, height), is an `InputError`: its numbers could take all memory.
    """
    width, height = box
    if not (0 < width <= size[0] and 0 < height <= size[1]):
        raise InputError(f"its box is {width}x{height}, on an image of {size[0]}x{size[1]}; export it again")
    if min(lengths) < 0 or sum(lengths) != width * height:
        raise InputError(f"its rle is of {sum(lengths)} pixels, its box of {width}x{height}; export it again")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)


def _outline(points: FloatArray, fields: Mapping[str, str]) -> Shape:
    """Return the area in the outline `points` (N, 2), (x, y), turned about its centre by the field `rotation`.

    Rotations are clockwise, as one sees the image.
    """
    if angle := np.deg2rad(float(fields.get("rotation", "0"))):
        centre = (points.min(axis=0) + points.max(axis=0)) / 2
        rotation = np.array(((np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))))
        points = (points - centre) @ rotation + centre
    return Shape("mask", ((0.0, 0.0),), functools.partial(rasterise, [[points.ravel().tolist()]]))
