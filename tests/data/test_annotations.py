"""Drawn annotations of all formats: sizes, EXIF orientation and names."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.datasets import SIZE, refused
from helpers.formats import coco, cvat, labelme
from PIL import Image

from globalconv.data.annotations import claimed_length, read_json, resolve_drawn_classes, safe_name
from globalconv.data.datasets import open_source
from globalconv.errors import InputError, InputWarning
from globalconv.labels import IGNORE, LabelSpace


def labelme_of(root: Path, width: Any, height: Any) -> Path:
    root.mkdir(exist_ok=True)
    return labelme(root, imageWidth=width, imageHeight=height)


def coco_of(root: Path, width: Any, height: Any) -> Path:
    root.mkdir(exist_ok=True)
    return coco(root, images=[{"id": 7, "file_name": "a.jpg", "width": width, "height": height}])


def cvat_of(root: Path, width: Any, height: Any) -> Path:
    root.mkdir(exist_ok=True)
    file = cvat(root, '<polygon label="car" points="4,3;12,3;12,10"/>') / "annotations.xml"
    attributes = "".join(f'{n}="{v}" ' for n, v in (("width", width), ("height", height)) if v is not None)
    file.write_text(file.read_text().replace('width="24" height="16"', attributes))
    return root


@pytest.mark.parametrize("make", [labelme, coco], ids=["labelme", "coco"])
def test_a_turned_photograph_is_drawn_upright(make: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = make(tmp_path)
    for path in root.rglob("*.jpg"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", SIZE[::-1]).save(path, exif=exif)  # stored 16x24, shown 24x16
    source = open_source(root, "all")
    assert source.image(0).shape[:2] == source.label_map(0).shape == SIZE[::-1]


def test_names_never_lead_out_and_are_never_twice(tmp_path: Path) -> None:
    twice = [{"id": n, "file_name": "../images/a.jpg", "width": SIZE[0], "height": SIZE[1]} for n in (7, 9)]
    root = coco(tmp_path, images=twice)
    source = open_source(coco(tmp_path, images=twice[:1]), "all")
    assert source.sample_name(0) == "default/images/a"
    coco(tmp_path, images=twice)
    refused(root, "the image 'default/images/a' is listed 2 times", split="all")


def test_names_of_samples_hold_no_drive_and_no_scheme() -> None:
    assert safe_name("train", r"C:\data\..\a.jpg") == "train/data/a"
    assert safe_name("", "https://host/b/a.png") == "host/b/a" and safe_name("s", "/etc/a.jpg") == "s/etc/a"


@pytest.mark.parametrize(
    ("value", "length"),
    [
        *((24, 24), (24.0, 24), ("24", 24), (24.5, 25), (10**400, 10**400), (None, None), (0, None), (-1, None)),
        *(("", None), ("x", None), (True, None), (float("nan"), None), (float("inf"), None), ([24], None)),
    ],
)
def test_a_size_is_a_positive_number_or_none(value: object, length: int | None) -> None:
    assert claimed_length(value) == length


@pytest.mark.parametrize("make", [labelme_of, coco_of, cvat_of])
@pytest.mark.parametrize(("width", "height"), [(None, None), (0, 0), (SIZE[0], None), ("24", "16"), (-1, -1)])
def test_sizes_that_are_missing_are_taken_from_the_image(
    make: Callable[..., Path], width: Any, height: Any, tmp_path: Path
) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is optional")
    known = open_source(make(tmp_path / "known", *SIZE), "all").label_map(0)
    assert known.any()
    assert np.array_equal(open_source(make(tmp_path / "unknown", width, height), "all").label_map(0), known)


@pytest.mark.parametrize("make", [labelme_of, coco_of, cvat_of])
@pytest.mark.parametrize(("size", "message"), [(SIZE[::-1], "swapped"), ((10**6, 10**6), "is 1000000x1000000 but its")])
def test_sizes_that_are_not_the_images_are_refused(
    make: Callable[..., Path], size: tuple[int, int], message: str, tmp_path: Path
) -> None:
    refused(make(tmp_path, *size), message, split="all")


@pytest.mark.parametrize(
    "names",
    [
        ("tree", "Tree"),
        ("tree", "tree "),
        ("tree", "\ttree"),
        ("tree", "\uff54\uff52\uff45\uff45"),
        ("tree", "tree\u200b"),
        ("caf\xe9", "cafe\u0301"),
        ("traffic light", "traffic_light"),
        ("void", "void "),
    ],
)
def test_names_that_look_alike_are_told_once_with_their_counts(names: tuple[str, str]) -> None:
    with pytest.warns(InputWarning, match="differ in case, blanks or signs alone") as told:
        resolve_drawn_classes({names[0]: 3, "car": 1, names[1]: 2}, None, "here")
    message = next(str(entry.message) for entry in told if "differ in case" in str(entry.message))
    assert "(3 shapes)" in message and "(2 shapes)" in message and message.isprintable()
    first, second = message.split(": ")[2].split("; ")[0].split(", ")
    assert first.split(" (")[0] != second.split(" (")[0], "two names that are printed alike say nothing"


def test_names_with_a_meaning_are_told() -> None:
    with pytest.warns(InputWarning) as told:
        classes = resolve_drawn_classes({"Background": 2, "ignore": 1, "car": 5}, None, "here")
    assert classes.labels.class_names == ("Background", "car")
    assert (classes.value("ignore", ""), classes.value("_background_", ""), classes.value("car", "")) == (255, 0, 1)
    messages = [str(entry.message) for entry in told]
    assert "shapes called 'ignore' (1 shape) do not count" in messages[0]
    assert "shapes called 'Background' (2 shapes) are one class with the pixels under no shape" in messages[1]
    with warnings.catch_warnings(action="error"):  # labelme's own conventions mean nothing else
        resolve_drawn_classes({"_background_": 2, "__ignore__": 1, "car": 5, "1-1": 1, "11": 1}, None, "here")


def test_a_background_that_no_class_list_names_is_refused() -> None:
    classes = resolve_drawn_classes({}, LabelSpace(("car", "tree")), "here")
    assert classes.value("_background_", "") == IGNORE
    with pytest.raises(InputError, match="class 'background' is not in the class list"):
        classes.value("background", "here")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_every_form_of_unicode(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes('{"name": "\xe9"}'.encode(encoding))
    assert read_json(file) == {"name": "\xe9"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [1], "images": []}', "the field 'images' stands twice"),
        (b'{"a": 1}\n{"a": 2}', "Extra data"),
        (b"[" * 10**5, "recursion"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300 digits"),
        (b'{"a": "\xd6\xd0"}', "utf-8"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_none(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.json: cannot be read as JSON .*{message}"):
        read_json(tmp_path / "a.json")
