"""A clean data set of every format goes the whole way: checked, trained two steps, evaluated, predicted."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask
from helpers.formats import CSV, coco, colour_masks, cvat, labelme, voc
from helpers.refusals import TINY

from globalconv.cli.main import main
from globalconv.data.datasets import open_source


def with_colours(root: Path) -> Path:
    (colour_masks(root) / "classes.csv").write_text(CSV)
    return root


def binary(root: Path) -> Path:
    for name in "abcd":
        image(root / f"images/{name}.jpg")
        mask(root / f"masks/{name}.png", np.tile(np.repeat(np.array([0, 255], np.uint8), 12), (16, 1)))
    return root


def listed(root: Path) -> Path:
    for split in ("train", "val"):
        image(root / f"a/{split}.jpg")
        mask(root / f"b/{split}.png", np.tile(np.arange(24, dtype=np.uint8) % 3, (16, 1)))
        (root / f"{split}.txt").write_text(f"a/{split}.jpg b/{split}.png\n")
    return root


SHAPES = """<polygon label="car" points="4,3;12,3;12,10;4,10"/><box label="road" xtl="0" ytl="12" xbr="23" ybr="15"/>"""


def with_polygons(root: Path) -> Path:
    file = cvat(root, SHAPES) / "annotations.xml"
    file.write_text(file.read_text().replace("></image>\n</annotations>", f">{SHAPES}</image>\n</annotations>"))
    return root


def with_outlines(root: Path) -> Path:
    outline = {"category_id": 5, "segmentation": [[4, 3, 12, 3, 12, 10]]}
    tree = {"category_id": 30, "segmentation": [[14, 3, 20, 3, 20, 10]]}
    kinds = [
        {"id": 10 * image + n, "image_id": image, **kind} for image in (7, 9) for n, kind in enumerate((outline, tree))
    ]
    return coco(root, annotations=kinds)


FORMATS: dict[str, Callable[[Path], Path]] = {
    "colour masks": with_colours,
    "binary masks": binary,
    "list files": listed,
    "VOC": voc,
    "labelme": labelme,
    "COCO": with_outlines,
    "CVAT": with_polygons,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_goes_the_whole_way(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "COCO":
        pytest.importorskip("pycocotools", reason="pycocotools is optional")
    goes_the_whole_way(FORMATS[name](tmp_path / "data"), tmp_path, capsys)


ODD_NAMES = (
    b"K\xf6ln",
    "e\u0301".encode(),
    "\u00fc".encode(),
    "\U0001f600".encode(),
    b"a\nb",
    b"2021.05.01",
    b"a ",
    b"a..",
)


def test_names_of_files_may_be_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not UTF-8, decomposed, with line breaks: all verbs that name samples, write pages or JSON."""
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    for number, name in enumerate(map(os.fsdecode, ODD_NAMES)):
        try:
            image(data / f"images/{name}.jpg")
        except OSError:
            pytest.skip("this file system takes no such name")
        mask(data / f"masks/{name}.png", np.tile(np.arange(24, dtype=np.uint8) % (2 + number % 2), (16, 1)))
    assert main(["data", "check", str(data), "--workers", "1", "--json"]) == 0
    assert {"\u00e9", "\u00fc", "K\udcf6ln", "a ", "a..", "2021.05.01"} <= {*as_names(data)}
    tiny = TINY.replace("--steps 3", "--steps 2").split()
    assert main(["train", "folder", "--data", str(data), "--out", str(run), *tiny, "--device", "cpu"]) == 0
    assert (
        main(["evaluate", str(run), "--data", str(data), "--split", "all", "--report", str(tmp_path / "a.html")]) == 0
    )
    assert main(["predict", str(run), str(data / "images"), "--out", str(out)]) == 0
    assert main(["evaluate", "--predictions", str(out), "--data", str(data), "--split", "all", "--json"]) == 0
    assert main(["report", str(run), "--data", str(data), "--split", "all", "--out", str(tmp_path / "b.html")]) == 0
    for page in (tmp_path / "a.html", tmp_path / "b.html", run / "report.html"):
        page.read_text(encoding="utf-8")
    odd = tmp_path / "r\udcf6n"
    capsys.readouterr()
    assert main(["train", "folder", "--data", str(data), "--out", str(odd), *tiny, "--device", "cpu"]) == 2
    assert "the name is no UTF-8; name another folder" in capsys.readouterr().err


def as_names(data: Path) -> list[str]:
    source = open_source(data, "all")
    return [source.sample_name(index) for index in range(len(source))]


@pytest.mark.slow
def test_msrc21_goes_the_whole_way(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goes_the_whole_way(real_data / "MSRC21", tmp_path, capsys)


def goes_the_whole_way(data: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = place / "run", place / "out"
    assert main(["data", "check", str(data), "--workers", "1"]) == 0
    assert "suggested" in capsys.readouterr().out
    tiny = TINY.replace("--steps 3", "--steps 2").split()
    assert main(["train", "folder", "--data", str(data), "--out", str(run), *tiny, "--device", "cpu"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] >= 1
    photo = next(path for path in sorted(data.rglob("*.jpg")))
    assert main(["predict", str(run), str(photo), "--out", str(out)]) == 0
    assert list(out.rglob("*.png"))
