"""`data check`: every way in which a data set can be broken gets its line; a good one is ready."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import mask, picture
from PIL import Image

from globalconv.checking import check, report_json, report_text, write_sheet
from globalconv.data.check import Finding, Report
from globalconv.errors import InputError

SIZE = (40, 36)
NAMED = '["road", "tree", "sky"]'


def noise(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture of random blocks, unlike every other one."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return blocks.repeat(9, axis=0).repeat(8, axis=1)


def values(*columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.tile(np.resize(np.array(columns, np.uint8), SIZE[0]), (SIZE[1], 1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five training and three validation samples of three classes, and nothing wrong."""
    root = tmp_path / "data"
    for split, numbers in (("train", range(5)), ("val", range(5, 8))):
        for number in numbers:
            mask(root / f"{split}/images/{number}.png", noise(number))
            mask(root / f"{split}/labels/{number}.png", values(0, 1, 2, 255))
    (root / "classes.json").write_text(NAMED)
    return root


def checked(root: Path) -> Report:
    return check(root, workers=1)


def found(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in checked(root).findings}


def test_a_good_data_set_is_ready(data: Path) -> None:
    report = checked(data)
    assert report.ready and not report.findings
    text = report_text(report)
    assert text.endswith("\nready") and "layout folder, 3 classes; train 5, val 3" in text
    facts = report.summary.classes[1]
    assert facts.share == pytest.approx(1 / 3)
    assert (facts.images, facts.objects) == (8, 8 * 10)
    assert facts.typical_size == 6.0  # columns of 1 x 36 pixels
    assert report.summary.void_share == pytest.approx(0.25)
    assert json.loads(json.dumps(report_json(report)))["ready"] is True


TRAIN0, LABEL0 = "train/images/0.png", "train/labels/0.png"


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def _grey_levels(root: Path) -> None:
    ramp = np.linspace(0, 250, SIZE[0]).astype(np.uint8)
    mask(root / LABEL0, np.tile(ramp, (SIZE[1], 1)))


def _everywhere(root: Path, *columns: int) -> None:
    for path in root.glob("*/labels/*.png"):
        mask(path, values(*columns))


def _turn(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(0)).save(root / "train/images/0.jpg", exif=exif)
    (root / TRAIN0).unlink()


def _jpeg(root: Path) -> None:
    Image.fromarray(values(0, 1)).save(root / "train/labels/0.jpg")
    (root / LABEL0).unlink()


def _cityscapes(root: Path) -> None:
    (root / "classes.json").write_text(json.dumps([f"class {n}" for n in range(19)]))
    _everywhere(root, 7, 11, 26, 33)


def _tolerance(root: Path) -> None:
    classes = [{"name": "road", "color": "#800000"}, {"name": "tree", "color": "#008000"}]
    (root / "classes.json").write_text(json.dumps({"classes": classes, "tolerance": 10}))
    for path in root.glob("*/labels/*.png"):
        colours = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        colours[..., 0], colours[:, :20] = 128, (0, 128, 0)
        colours[0, 0], colours[1, 1] = (5, 128, 0), (64, 64, 0)
        mask(path, colours)


BROKEN: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "image without mask": (lambda r: (r / LABEL0).unlink(), "partner", "error", "1 image without a partner"),
    "mask without image": (lambda r: (r / TRAIN0).unlink(), "partner", "error", "1 label without a partner"),
    "two images of one name": (lambda r: picture(r / "train/images/0.jpg"), "names", "error", "has the same name"),
    "truncated image": (lambda r: _truncate(r / TRAIN0), "image", "error", "cannot be decoded|no picture"),
    "truncated mask": (lambda r: _truncate(r / LABEL0), "mask", "error", "cannot be decoded|no picture"),
    "empty file": (lambda r: (r / TRAIN0).write_bytes(b""), "image", "error", "the file is empty"),
    "text for a picture": (lambda r: (r / TRAIN0).write_text("hello"), "image", "error", "no picture that Pillow"),
    "mask of another size": (lambda r: mask(r / LABEL0, values(0)[:30]), "size", "error", "is 40x30 but its image"),
    "mask not turned": (_turn, "size", "error", "width and height are swapped"),
    "value outside": (lambda r: mask(r / LABEL0, values(0, 7)), "values", "error", "label value 7 out of range"),
    "ids from one": (lambda r: _everywhere(r, 1, 2, 3), "values", "error", "shifted by one"),
    "undeclared border": (lambda r: _everywhere(r, 0, 1, 2, 3), "values", "error", "undeclared border"),
    "grey levels": (_grey_levels, "values", "error", "grey levels of a colour mask"),
    "label ids for train ids": (_cityscapes, "values", "error", "Cityscapes label ids"),
    "instance ids": (
        lambda r: Image.fromarray(values(0, 1).astype(np.uint16) * 1001).save(r / LABEL0),
        "values", "error", "instance ids",
    ),
    "colour mask": (lambda r: mask(r / LABEL0, noise(3)), "mask-mode", "error", "a colour mask"),
    "index mask saved as colour": (
        lambda r: mask(r / LABEL0, np.repeat(values(0, 1)[..., None], 3, axis=2)),
        "mask-mode", "error", "three equal channels",
    ),
    "lossy mask": (_jpeg, "mask-mode", "error", "a JPEG cannot hold labels"),
    "same picture in two splits": (
        lambda r: shutil.copy(r / TRAIN0, r / "val/images/6.png"), "duplicate", "error", "in more than one split"
    ),
    "same picture, another file": (
        lambda r: Image.open(r / TRAIN0).save(r / "val/images/6.png", compress_level=1),
        "duplicate", "error", "train: train/0 = val: val/6",
    ),
    "same picture twice in a split": (
        lambda r: shutil.copy(r / TRAIN0, r / "train/images/1.png"), "duplicate", "warning", "twice in a split"
    ),
    "neighbouring frames": (
        lambda r: mask(r / "val/images/6.png", np.clip(noise(0).astype(int) + 3, 0, 255).astype(np.uint8)),
        "near-identical", "warning", "1 of 3 pictures outside",
    ),
    "class that never occurs": (lambda r: _everywhere(r, 0, 1), "class-never", "warning", "never occur: sky"),
    "class only in val": (
        lambda r: [mask(p, values(0, 1)) for p in r.glob("train/labels/*")],
        "class-unlearnt", "error", "outside the training split only: sky",
    ),
    "class only in train": (
        lambda r: [mask(p, values(0, 1)) for p in r.glob("val/labels/*")],
        "class-unscored", "warning", "training split only: sky",
    ),
    "void only": (lambda r: mask(r / LABEL0, values(255)), "void-only", "warning", "hold void only"),
    "smoothed edges within a tolerance": (_tolerance, "tolerance", "note", r"8 pixels \(0\.069%\) take the nearest"),
    "class list with a gap": (
        lambda r: (r / "classes.json").write_text('[{"name": "a", "index": 1}]'),
        "listing", "error", "number the classes",
    ),
    "class list that is no JSON": (
        lambda r: (r / "classes.json").write_text("{"), "listing", "error", "not a class list"
    ),
    "tiny pictures": (
        lambda r: [mask(p, noise(n)[:20, :20]) for n, p in enumerate(sorted(r.glob("*/images/*")))]
        + [mask(p, values(0, 1, 2)[:20, :20]) for p in r.glob("*/labels/*")],
        "small", "warning", "less than 32 pixels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_named(what: str, data: Path) -> None:
    breaks, kind, severity, said = BROKEN[what]
    breaks(data)
    if kind == "listing":
        with pytest.raises(InputError, match=said):
            checked(data)
        return
    findings = found(data)
    assert kind in findings, findings
    finding = findings[kind]
    assert finding.severity == severity
    text = f"{finding.message} {' '.join(finding.examples)}"
    assert "\n" not in text
    assert re.search(said, text), text


def test_the_corpus_is_large_enough() -> None:
    assert len(BROKEN) >= 30


def test_one_cause_in_many_files_is_one_line_with_a_count(data: Path) -> None:
    _everywhere(data, 1, 2, 3)
    report = checked(data)
    (finding,) = [finding for finding in report.findings if finding.kind == "values"]
    assert finding.count == 8 and len(finding.examples) == 5
    assert not report.ready and "not ready: 1 kind of error" in report_text(report)
    assert "[8 times]" in report_text(report)


def test_several_processes_find_the_same(data: Path) -> None:
    mask(data / LABEL0, values(0, 7))
    one, two = checked(data), check(data, workers=2)
    assert one.findings == two.findings and one.samples == two.samples


def test_a_contact_sheet_shows_what_can_be_read(data: Path, tmp_path: Path) -> None:
    mask(data / LABEL0, values(0, 7))
    write_sheet(checked(data), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000 and len(sheet.convert("RGB").getcolors(10**6) or []) > 50


def test_no_data_set_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known layout"):
        checked(tmp_path)


def test_camvids_val_is_the_same_street_as_its_training_frames(real_data: Path) -> None:
    findings = found(real_data / "CamVid")
    assert set(findings) == {"same-place"} and "0.90" in findings["same-place"].message


def test_msrc21_is_ready(real_data: Path) -> None:
    report = checked(real_data / "MSRC21")
    assert report.ready and not report.findings and len(report.samples) == 394
