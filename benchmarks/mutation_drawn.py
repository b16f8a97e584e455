"""The independent readings (`mutation_truths`) of drawings: COCO by pycocotools, labelme and CVAT by Pillow."""

import base64
import io
import json
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mutation_bases import Array
from mutation_truths import (
    BACKGROUND_NAMES,
    VOID_NAMES,
    MustTellError,
    NotJudgedError,
    Truth,
    number_name,
    open_upright,
    pair_up,
)
from PIL import Image, ImageDraw


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotJudgedError(str(error)) from None


def _field(fields: Any, key: str, *kinds: type) -> Any:
    if not isinstance(fields, dict) or type(fields.get(key)) not in kinds:
        raise NotJudgedError(f"{key} is missing or of another kind")
    return fields[key]


def _unique(keys: Sequence[Any], what: str) -> None:
    if len(set(keys)) < len(keys):
        raise MustTellError(f"{what} twice")
    if len({str(key) for key in keys}) < len(keys):
        raise NotJudgedError(f"{what} twice, as text and as number")


def _drawn_names(names: Sequence[str]) -> Callable[[str], int]:
    """Return the function from a drawn name to its number; `names` are all that occur."""
    _unique(names, "a class name")
    background = [name for name in names if name.lower() in BACKGROUND_NAMES]
    if len(background) > 1 or any(name != name.strip() or not name for name in names):
        raise NotJudgedError("several backgrounds, or blanks")
    if len({name.lower() for name in names}) < len(names):
        raise MustTellError("names that differ by case")
    return lambda name: number_name("void" if name.lower() in VOID_NAMES else name)


def _background(names: Sequence[str]) -> str:
    return next((name for name in names if name.lower() in BACKGROUND_NAMES), "background")


def read_coco(root: Path) -> list[Truth]:
    from pycocotools import mask as tool

    content = _read_json(root / "annotations/instances_default.json")
    images, categories, objects = (_field(content, key, list) for key in ("images", "categories", "annotations"))
    names = {_field(c, "id", int, str): _field(c, "name", str) for c in categories}
    categories = [c for place, c in enumerate(categories) if c not in categories[:place]]  # twice the same is no fault
    _unique([c["id"] for c in categories], "a category id")
    _unique([_field(image, "id", int, str) for image in images], "an image id")
    _unique([_field(image, "file_name", str) for image in images], "an image")
    number = _drawn_names([category["name"] for category in categories])
    canvases: dict[Any, tuple[Path, Array]] = {}
    for image in images:
        path = root / "images" / image["file_name"]
        if not path.is_file() or path.parent != root / "images":
            raise NotJudgedError("a path")
        if image["file_name"] != path.name:
            raise NotJudgedError("a path")
        size = open_upright(path).size
        _check_size(image, ("width", "height"), size)
        canvases[image["id"]] = path, np.full((size[1], size[0]), number_name(_background([*names.values()])))
    for fields in objects:
        category, image_id = _field(fields, "category_id", int, str), _field(fields, "image_id", int, str)
        if category not in names or image_id not in canvases:
            raise MustTellError("an object of an unknown category or image")
        canvas = canvases[image_id][1]
        outline = _field(fields, "segmentation", list, dict)
        canvas[_coco_pixels(tool, outline, canvas.shape)] = number(names[category])
    return pair_up([path for path, _ in canvases.values()], [canvas for _, canvas in canvases.values()])


def _check_size(fields: Mapping[str, Any], keys: tuple[str, str], size: tuple[int, int]) -> None:
    for key, actual in zip(keys, size, strict=True):
        if fields.get(key) is None:
            continue
        if type(fields[key]) is not int:
            raise NotJudgedError(f"{key} is no integer")
        if fields[key] <= 0:
            raise NotJudgedError(f"{key} is no size")
        if fields[key] != actual:
            raise MustTellError(f"{key} is {fields[key]} and {actual} in the image")


def _coco_pixels(tool: Any, outline: Any, shape: tuple[int, ...]) -> Array:
    height, width = shape
    if isinstance(outline, list):
        if not outline:
            raise MustTellError("no outline")
        for polygon in outline:
            _check_coordinates(polygon)
            if len(polygon) < 6 or len(polygon) % 2:
                raise MustTellError("a polygon of too few numbers")
        runs = tool.merge(tool.frPyObjects(outline, height, width))
    else:
        if outline.get("size") not in (None, [height, width]):  # one that is missing is the image's
            raise MustTellError("run lengths of another size")
        runs = {**outline, "size": [height, width]}
        counts = outline.get("counts")
        if isinstance(counts, list):
            if not all(type(count) is int and 0 <= count <= height * width for count in counts):
                raise MustTellError("run lengths that are none")
            if sum(counts) != height * width:
                raise MustTellError("run lengths of another area")
            runs = tool.frPyObjects(runs, height, width)
        elif not isinstance(counts, str) or not counts.isascii():
            raise MustTellError("run lengths that are none")
        else:  # what the tool is given, it trusts: decompressed here first
            _check_compressed(counts, height * width)
    return np.asarray(tool.decode(runs)) > 0


def _check_compressed(text: str, area: int) -> None:
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise MustTellError("a character of no run length")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift or sum(lengths) != area or min(lengths, default=0) < 0:
        raise MustTellError("run lengths of another area")


def _check_coordinates(values: Any) -> None:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise NotJudgedError("coordinates of another kind")
    if not all(math.isfinite(value) and abs(value) <= 1e5 for value in values):
        raise NotJudgedError("coordinates far outside")


def read_labelme(root: Path) -> list[Truth]:
    files = sorted(root.glob("*.json"))
    contents = [_read_json(file) for file in files]
    for content in contents:
        _field(content, "shapes", list)
    names = sorted({_field(shape, "label", str) for content in contents for shape in content["shapes"]})
    number, ground = _drawn_names(names), number_name(_background(names))
    images, maps = [], []
    for file, content in zip(files, contents, strict=True):
        written = _field(content, "imagePath", str)
        image = file.with_suffix(".png")
        if written != image.name and (root / written).is_file():
            raise MustTellError(f"{file.name} names {written}")
        if written != image.name:
            raise NotJudgedError("an image elsewhere")
        size = open_upright(image).size
        _check_size(content, ("imageWidth", "imageHeight"), size)
        canvas = Image.new("I", size, ground)
        for shape in content["shapes"]:
            _draw_labelme(canvas, shape, number(shape["label"]))
        images.append(image)
        maps.append(np.asarray(canvas).astype(np.int64))
    return pair_up(images, maps)


def _draw_labelme(canvas: Image.Image, shape: Mapping[str, Any], value: int) -> None:
    """Draw a shape as labelme's `shape_to_mask` does."""
    kind = shape.get("shape_type") or "polygon"
    points = _field(shape, "points", list)
    for point in points:
        _check_coordinates(point)
        if len(point) != 2:
            raise NotJudgedError("a point that is none")
    found = [(point[0], point[1]) for point in points]
    mask = Image.new("1", canvas.size, 0)
    pen = ImageDraw.Draw(mask)
    if kind == "polygon" and len(found) > 2:
        pen.polygon(found, fill=1, outline=1)
    elif kind == "rectangle" and len(found) in (2, 4):
        if len(found) == 4 and len({x for x, _ in found}) * len({y for _, y in found}) != 4:
            raise NotJudgedError("four corners of no rectangle")
        columns, rows = zip(*found, strict=True)
        pen.rectangle([min(columns), min(rows), max(columns), max(rows)], fill=1, outline=1)
    elif kind == "circle" and len(found) == 2:
        (x, y), radius = found[0], math.dist(found[0], found[1])
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1, outline=1)
    elif (kind == "line" and len(found) == 2) or (kind == "linestrip" and len(found) > 1):
        pen.line(found, fill=1, width=10)
    elif kind == "point" and len(found) == 1:
        x, y = found[0]
        pen.ellipse([x - 5, y - 5, x + 5, y + 5], fill=1, outline=1)
    elif kind == "mask" and len(found) == 2:
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in found)
        try:
            stored = Image.open(io.BytesIO(base64.b64decode(_field(shape, "mask", str))))
            stored.load()
        except Exception as error:
            raise NotJudgedError(str(error)) from None
        if stored.size != (right - left + 1, bottom - top + 1):
            raise NotJudgedError("a mask of another size than its box")
        if stored.mode not in ("1", "L"):
            raise NotJudgedError("a mask in colours")
        if left < 0 or top < 0 or right >= canvas.width or bottom >= canvas.height:
            raise NotJudgedError("a mask beyond the image")
        mask.paste(Image.fromarray(np.asarray(stored).astype(bool)), (left, top))
    else:
        raise MustTellError(f"a {kind} of {len(found)} points")
    canvas.paste(value, (0, 0), mask)


def read_cvat(root: Path) -> list[Truth]:
    try:
        tree = ET.fromstring((root / "annotations.xml").read_bytes())
    except (ET.ParseError, ValueError, LookupError) as error:
        raise NotJudgedError(str(error)) from None
    listed = [label.findtext("name") or "" for label in tree.iterfind("meta//labels/label")]
    if not listed or tree.tag != "annotations" or any(e.tag == "image" for i in tree.iter("image") for e in i):
        raise NotJudgedError("no labels are listed")
    listed = list(dict.fromkeys(listed))
    number, ground = _drawn_names(listed), number_name(_background(listed))
    elements = list(tree.iter("image"))
    _unique([image.get("name") for image in elements], "an image")
    images, maps = [], []
    for element in elements:
        image = root / "images" / element.get("name", "")
        if not image.is_file() or image.parent != root / "images" or image.name != element.get("name"):
            raise NotJudgedError("an image elsewhere")
        if element.get("subset") is not None:
            raise NotJudgedError("subsets")
        size = open_upright(image).size
        try:
            _check_size({key: int(element.attrib[key]) for key in ("width", "height")}, ("width", "height"), size)
            canvas = Image.new("I", size, ground)
            for shape in sorted(element, key=lambda e: int(e.get("z_order", "0"))):
                if shape.get("label", "").lower() in (*VOID_NAMES, *BACKGROUND_NAMES):
                    raise NotJudgedError("a name with a meaning of its own")
                if shape.get("label", "") not in listed:
                    raise MustTellError(f"the label {shape.get('label')!r}")
                _draw_cvat(canvas, shape, number(shape.attrib["label"]))
        except (ValueError, KeyError, OverflowError) as error:
            raise NotJudgedError(str(error)) from None
        images.append(image)
        maps.append(np.asarray(canvas).astype(np.int64))
    return pair_up(images, maps)


def _draw_cvat(canvas: Image.Image, shape: ET.Element, value: int) -> None:
    fields, pen = shape.attrib, ImageDraw.Draw(canvas)
    if "rotation" in fields:
        raise NotJudgedError("a rotation")
    if shape.tag == "box":
        corners = [float(fields[name]) for name in ("xtl", "ytl", "xbr", "ybr")]
        _check_coordinates(corners)
        if corners[0] > corners[2] or corners[1] > corners[3]:
            raise NotJudgedError("corners exchanged")
        left, top, right, bottom = corners
        _fill_outline(canvas, [left, top, right, top, right, bottom, left, bottom], value)
    elif shape.tag == "mask":
        lengths = [int(length) for length in fields["rle"].split(",")]
        left, top, width, height = (int(fields[name]) for name in ("left", "top", "width", "height"))
        if min(lengths) < 0 or sum(lengths) != width * height or width < 1:
            raise MustTellError("run lengths of another area")
        if width * height > 10**6:
            raise NotJudgedError("a mask of a million pixels")
        inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
        canvas.paste(value, (left, top), Image.fromarray(inside))
    elif shape.tag in ("polygon", "polyline", "points"):
        points = [tuple(float(v) for v in pair.split(",")) for pair in fields["points"].split(";")]
        if any(len(point) != 2 for point in points):
            raise NotJudgedError("a point that is none")
        _check_coordinates([v for point in points for v in point])
        if len(points) < {"polygon": 3, "polyline": 2}.get(shape.tag, 1):
            raise MustTellError(f"a {shape.tag} of {len(points)} points")
        if shape.tag == "polygon":
            _fill_outline(canvas, [v for point in points for v in point], value)
        elif shape.tag == "polyline":
            pen.line(points, fill=value, width=10)
        else:
            for x, y in points:
                pen.ellipse([x - 5, y - 5, x + 5, y + 5], fill=value, outline=value)
    else:
        raise NotJudgedError(shape.tag)


def _fill_outline(canvas: Image.Image, outline: list[float], value: int) -> None:
    """Fill an outline as Datumaro does, which writes CVAT's own masks."""
    from pycocotools import mask as tool

    runs = tool.merge(tool.frPyObjects([outline], canvas.height, canvas.width))
    canvas.paste(value, (0, 0), Image.fromarray(np.asarray(tool.decode(runs)) > 0))
