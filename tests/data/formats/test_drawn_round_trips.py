"""Known objects drawn in every format of annotations, as hostile as tools write them: read right, refused, or told."""

import base64
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from helpers.known_maps import (
    FILE_NAMES,
    FORMS,
    HEIGHT,
    WIDTH,
    Draw,
    Known,
    Names,
    empty_folder,
    form,
    pick,
    verify,
    write_photo,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.formats import coco_voc

CLASSES = ("road", "Baum", "traffic light", "été")

Box = tuple[int, int, int, int]


def boxes(draw: Draw) -> list[tuple[str, Box]]:
    """Draw up to four boxes (left, top, right, bottom), the last pixels left out, in drawing order."""
    found = []
    for _ in range(draw(st.integers(1, 4), label="shapes")):
        left, top = draw(st.integers(0, WIDTH - 4)), draw(st.integers(0, HEIGHT - 4))
        right, bottom = draw(st.integers(left + 2, WIDTH - 1)), draw(st.integers(top + 2, HEIGHT - 1))
        found.append((pick(draw, "class", *CLASSES[1:]), (left, top, right, bottom)))
    return found


def drawn(shapes: Sequence[tuple[str, Box]], edge: int) -> Names:
    """Return the map of boxes; `edge` is 1 where the tool's boxes hold their last row and column."""
    found = np.full((HEIGHT, WIDTH), "background", dtype="<U20")
    for name, (left, top, right, bottom) in shapes:
        found[top : bottom + edge, left : right + edge] = name
    return found


def runs(box: Box) -> list[int]:
    """Return COCO's run lengths of a box, column by column."""
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), int)
    mask[top:bottom, left:right] = 1
    flat = mask.T.ravel()
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    return [*([0] if flat[0] else []), *(int(n) for n in np.diff(edges))]


def outline(draw: Draw, box: Box) -> Any:
    """Return a box as one of COCO's kinds of segmentations."""
    tool: Any = pytest.importorskip("pycocotools.mask", reason="pycocotools is optional")
    left, top, right, bottom = box
    match pick(draw, "segmentation", "polygon", "floats", "runs", "compressed"):
        case "polygon":
            return [[left, top, right, top, right, bottom, left, bottom]]
        case "floats":
            return [[float(v) for v in (left, bottom, left, top, right, top, right, bottom)]]
        case "runs":
            return {"size": [HEIGHT, WIDTH], "counts": runs(box)}
    packed = tool.frPyObjects({"size": [HEIGHT, WIDTH], "counts": runs(box)}, HEIGHT, WIDTH)
    return {"size": [HEIGHT, WIDTH], "counts": packed["counts"].decode()}


@given(st.data())
def test_coco(data: st.DataObject) -> None:
    draw = data.draw
    names = draw(FILE_NAMES)
    kind = pick(draw, "ids", "numbers", "sparse", "strings", "mixed", "large")
    make: Callable[[int], Any] = {
        "numbers": lambda n: n + 1, "sparse": lambda n: 900 - 7 * n, "strings": lambda n: f"img_{n}",
        "mixed": lambda n: n if n % 2 else str(n), "large": lambda n: 2**53 + n,
    }[kind]  # fmt: skip
    fault = pick(draw, "fault", "", "", "image ids", "category ids", "sizes", "names", "object", "unlisted", "halves")
    size = pick(draw, "sizes", "given", "missing", "null")
    place = pick(draw, "path", "", "", "", "images/", "C:\\data\\set\\", "/data/x/")
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        categories = [{"id": make(n + 3), "name": name} for n, name in enumerate(CLASSES)]
        for number, name in enumerate(names):
            file_name = f"{form(name, draw(FORMS))}.png"
            write_photo(root / "images" / file_name, number)
            written = pick(draw, "path", "", "", "images/", "C:\\data\\set\\", "/data/x/") + form(
                file_name, draw(FORMS)
            )
            record: dict[str, Any] = {"id": make(number), "file_name": written}
            if size != "missing":
                record |= {"width": WIDTH, "height": HEIGHT} if size == "given" else {"width": None, "height": None}
            images.append(record)
            shapes = boxes(draw)
            maps[number] = drawn(shapes, edge=0)
            for shape, box in shapes:
                category = categories[CLASSES.index(shape)]["id"]
                objects.append({
                    "id": len(objects), "image_id": record["id"], "category_id": category, "iscrowd": 0,
                    "segmentation": outline(draw, box),
                })  # fmt: skip
        match fault:
            case "image ids":
                images[1]["id"] = images[0]["id"]
            case "category ids":
                categories[2]["id"] = categories[1]["id"]
            case "sizes":
                images[0] |= {"width": HEIGHT, "height": WIDTH + 3}
            case "names":
                categories[2]["name"] = pick(draw, "other", "baum", "Baum ", "Baum")
            case "object":
                objects[0]["image_id"] = pick(draw, "image", "nothing", -1, None)
            case "unlisted":
                objects[0]["category_id"] = pick(draw, "category", "nothing", -1, None)
            case "halves":
                objects[0]["image_id"], objects[0]["category_id"] = 1.5, 4.5
        # The order of images and categories says nothing; that of objects, who lies over whom.
        content = {
            "images": draw(st.permutations(images)), "categories": draw(st.permutations(categories)),
            "annotations": objects,
        }  # fmt: skip
        (root / "annotations").mkdir()
        (root / "annotations/instances_default.json").write_text(json.dumps(content, ensure_ascii=draw(st.booleans())))
        if pick(draw, "junk", False, True):
            (root / "annotations/._instances_default.json").write_bytes(b"\0\5\26\7\xb0")
        verify(root, Known(maps, must_read=not fault and kind != "mixed" and place in ("", "images/")))


@given(st.data())
def test_labelme(data: st.DataObject) -> None:
    draw = data.draw
    names = draw(FILE_NAMES)
    fault = pick(draw, "fault", "", "", "path", "points", "sizes", "labels", "kinds")
    size = pick(draw, "sizes", "given", "missing", "null")
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        for number, name in enumerate(names):
            write_photo(root / f"{form(name, draw(FORMS))}.png", number)
            shapes = boxes(draw)
            maps[number] = drawn(shapes, edge=1)
            fields: dict[str, Any] = {
                "version": "5.5.0", "imageData": None, "shapes": [_labelme_shape(draw, *s) for s in shapes],
                "imagePath": pick(draw, "path", "", "", "..\\images\\", "/data/x/") + f"{form(name, draw(FORMS))}.png",
            }  # fmt: skip
            if size != "missing":
                given_size = size == "given"
                fields |= {"imageWidth": WIDTH if given_size else None, "imageHeight": HEIGHT if given_size else None}
            if number == 0:
                _spoil_labelme(draw, fields, fault, names)
            text = json.dumps(fields, ensure_ascii=draw(st.booleans()))
            (root / f"{form(name, draw(FORMS))}.json").write_text(
                text, encoding=pick(draw, "coding", "utf-8", "utf-8-sig")
            )
        if pick(draw, "junk", False, True):
            (root / "._a.json").write_bytes(b"\0\5\26\7\xb0")
        verify(root, Known(maps, must_read=not fault and size == "given"))


def _labelme_shape(draw: Draw, name: str, box: Box) -> dict[str, Any]:
    """Return a box as one of the kinds of shapes that draw exactly it."""

    left, top, right, bottom = box
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    common: dict[str, Any] = {"label": name, "group_id": None, "flags": {}}
    match pick(draw, "shape", "polygon", "rectangle", "turned rectangle", "four corners", "mask", "no kind"):
        case "polygon":
            return {**common, "shape_type": "polygon", "points": draw(st.sampled_from([corners, corners[::-1]]))}
        case "rectangle":
            return {**common, "shape_type": "rectangle", "points": [corners[0], corners[2]]}
        case "turned rectangle":
            return {**common, "shape_type": "rectangle", "points": [corners[3], corners[1]]}
        case "four corners":
            start = draw(st.integers(0, 3))
            return {**common, "shape_type": "rectangle", "points": corners[start:] + corners[:start]}
        case "no kind":
            return {**common, "points": corners}
    stream = io.BytesIO()
    Image.fromarray(np.full((bottom - top + 1, right - left + 1), True)).save(stream, "PNG")
    shift = pick(draw, "fraction", 0, 0.4, 0.6)
    points = [[left + shift, top + shift], [right + shift, bottom + shift]]
    return {**common, "shape_type": "mask", "points": points, "mask": base64.b64encode(stream.getvalue()).decode()}


def _spoil_labelme(draw: Draw, fields: dict[str, Any], fault: str, names: Sequence[str]) -> None:
    match fault:
        case "path":
            fields["imagePath"] = f"{names[1]}.png"
        case "points":
            fields["shapes"][0]["points"] = fields["shapes"][0]["points"][: pick(draw, "points", 1, 0)]
        case "sizes":
            fields["imageWidth"], fields["imageHeight"] = HEIGHT, WIDTH
        case "labels":
            fields["shapes"][0]["label"] = pick(draw, "label", "baum", "Baum ", " Baum", "BAUM", "", None)
        case "kinds":
            fields["shapes"][0]["shape_type"] = pick(draw, "kind", "rotation", "cuboid", "points", "box")


@given(st.data())
def test_cvat(data: st.DataObject) -> None:
    draw = data.draw
    names = draw(FILE_NAMES)
    fault = pick(draw, "fault", "", "", "labels", "sizes", "names", "runs", "unlisted")
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        elements = []
        for number, name in enumerate(names):
            write_photo(root / "images" / f"{form(name, draw(FORMS))}.png", number)
            shapes = boxes(draw)
            orders = draw(st.permutations(range(len(shapes))), label="z orders")
            maps[number] = drawn([shapes[orders.index(z)] for z in range(len(shapes))], edge=1)
            texts = [_cvat_shape(draw, *shape, z) for shape, z in zip(shapes, orders, strict=True)]
            width = WIDTH + 1 if fault == "sizes" and number == 0 else WIDTH
            written = names[0] if fault == "names" else form(name, draw(FORMS))
            elements.append(
                f'<image id="{draw(st.integers(0, 10**6))}" name="{written}.png" width="{width}" height="{HEIGHT}">'
                f"{''.join(texts)}</image>"
            )
        listed = [name for name in draw(st.permutations(CLASSES)) if fault != "unlisted" or name != "Baum"]
        if fault == "labels":
            listed += [pick(draw, "label", "baum", "Baum ", "été ", "ROAD")]
        labels = "".join(f"<label><name>{name}</name></label>" for name in listed)
        text = f"<annotations><meta><task><labels>{labels}</labels></task></meta>{''.join(elements)}</annotations>"
        if fault == "runs":
            text = text.replace('rle="0,', 'rle="1,')
        (root / "annotations.xml").write_text(text, encoding="utf-8")
        verify(root, Known(maps, must_read=not fault))


def _cvat_shape(draw: Draw, name: str, box: Box, z: int) -> str:
    left, top, last_column, last_row = box
    right, bottom = last_column + 1, last_row + 1
    match pick(draw, "shape", "box", "polygon", "mask"):
        case "box":
            return (
                f'<box label="{name}" xtl="{left}.00" ytl="{top}.00" xbr="{right}.00" ybr="{bottom}.00"'
                f' occluded="0" z_order="{z}"></box>'
            )
        case "polygon":
            points = f"{left}.0,{top}.0;{right}.0,{top}.0;{right}.0,{bottom}.0;{left}.0,{bottom}.0"
            return f'<polygon label="{name}" points="{points}" z_order="{z}"></polygon>'
    width, height = right - left, bottom - top
    rle = f"0, {width * height}"
    return (
        f'<mask label="{name}" rle="{rle}" left="{left}" top="{top}" width="{width}" height="{height}"'
        f' z_order="{z}"></mask>'
    )


@given(st.data())
def test_coco_with_vocs_classes(data: st.DataObject) -> None:
    """Pixels of two classes are void, and so are crowds; other categories are nothing."""
    draw = data.draw
    fault = pick(draw, "fault", "", "", "image ids", "category ids", "sizes", "object")
    classes = {17: 8, 18: 12, 1: 15, 53: None}
    with empty_folder() as root:
        maps: dict[int, NDArray[Any]] = {}
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number in range(3):
            name = f"{number:012}.jpg"
            write_photo(root / f"train2017/{name}", number)
            images.append({"id": 50 - number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            cover = np.zeros((len(classes), HEIGHT, WIDTH), bool)
            chosen = [(17, (2, 2, 9, 9)), *((pick(draw, "category", *classes), box) for _, box in boxes(draw))]
            for category, box in chosen:
                left, top, right, bottom = box
                cover[list(classes).index(category), top:bottom, left:right] = True
                objects.append({
                    "id": len(objects), "image_id": 50 - number, "category_id": category, "iscrowd": 0, "area": 60,
                    "segmentation": outline(draw, box),
                })  # fmt: skip
            of_voc = cover[:3]
            stored = np.select(list(of_voc), [value for value in classes.values() if value is not None], 0)
            stored[of_voc.sum(axis=0) > 1] = 255
            maps[number] = stored
        categories = [{"id": n, "name": name} for n, name in coco_voc.NAMES.items()] + [{"id": 53, "name": "apple"}]
        match fault:
            case "image ids":
                images[1]["id"] = images[0]["id"]
            case "category ids":
                categories[2]["id"] = categories[1]["id"]
            case "sizes":
                images[0]["width"] = WIDTH + 2
            case "object":
                objects[0]["image_id"] = pick(draw, "image", "nothing", -1, None)
        content = {"images": images, "categories": categories, "annotations": draw(st.permutations(objects))}
        (root / "annotations").mkdir()
        (root / "annotations/instances_train2017.json").write_text(json.dumps(content))
        verify(root, Known(maps, must_read=not fault), lambda root: coco_voc.open_split(root, "train"))
