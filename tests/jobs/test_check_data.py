"""`data check`: every way in which a data set can be broken gets its line; a good one is ready."""

import json
import os
import re
import signal
import time
import warnings
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.breaking import LABEL0, TRAIN0, clean, everywhere, noise, values, write
from helpers.broken_data import CORPUS, PAGE, Broken, page
from helpers.datasets import mask
from helpers.formats import voc
from helpers.sleeping import Sleeping
from PIL import Image

from globalconv.data.checks.check_report import Report, format_report, report_to_json, write_sheet
from globalconv.data.checks.sample import Finding
from globalconv.data.datasets import open_source
from globalconv.data.source import Source
from globalconv.errors import InputError, InputWarning, StoppedError, as_options
from globalconv.jobs.check_data import check_data
from globalconv.runtime.signals import StopRequest


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five training and three validation samples of three classes, and nothing wrong."""
    return clean(tmp_path / "data")


def checked(root: Path) -> Report:
    return check_data(root, workers=1)


def findings_by_kind(root: Path) -> dict[str, Finding]:
    return {finding.kind: finding for finding in checked(root).findings}


def test_a_good_data_set_is_ready(data: Path) -> None:
    report = checked(data)
    assert report.ready and not report.findings
    text = format_report(report)
    assert text.endswith("\nready") and "layout folder, 3 classes; train 5, val 3" in text
    facts = report.summary.classes[1]
    assert facts.share == pytest.approx(1 / 3)
    assert (facts.images, facts.objects) == (8, 8 * 10)
    assert facts.typical_size == 6.0  # columns of 1 x 36 pixels
    assert report.summary.void_share == pytest.approx(0.25)
    assert json.loads(json.dumps(report_to_json(report)))["ready"] is True


LINES: dict[str, str] = {}


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.about)
def test_what_is_broken_is_named(broken: Broken, tmp_path: Path) -> None:
    if "COCO" in broken.about:
        pytest.importorskip("pycocotools", reason="pycocotools is optional")
    root = tmp_path / "data"
    root.mkdir()
    broken.make(root)
    if broken.says == "refused":
        with pytest.raises(InputError, match=broken.words) as refusal:
            checked(root)
        line = str(refusal.value)
    else:
        report = checked(root)
        by_text = {f"{f.message} {'; '.join(f.samples)}": f for f in report.findings if f.severity == broken.says}
        matching = [finding for text, finding in by_text.items() if re.search(broken.words, text)]
        assert matching, format_report(report)
        assert report.ready == all(finding.severity != "error" for finding in report.findings)
        line = matching[0].message
    assert "\n" not in line and ";" in line, "one line, with a remedy"
    LINES[broken.about] = as_options(line).replace(str(root), ".").replace("|", "\\|")


def test_the_corpus_is_large_and_the_page_shows_it() -> None:
    assert len(CORPUS) >= 30
    if not torch.__version__.startswith("2.15."):
        pytest.skip("the page's lines were made with the pinned libraries")
    if len(LINES) < len(CORPUS):
        pytest.skip("only some of the data sets were checked")
    if os.environ.get("UPDATE_PAGES"):
        PAGE.write_text(page(LINES))
    assert PAGE.read_text() == page(LINES), "run with UPDATE_PAGES=1"


def test_one_cause_in_many_files_is_one_line_with_a_count(data: Path) -> None:
    everywhere(data, 1, 2, 3)
    report = checked(data)
    (finding,) = [finding for finding in report.findings if finding.kind == "values"]
    assert finding.count == 8 and len(finding.samples) == 8
    assert not report.ready and "not ready: 1 kind of error" in format_report(report)
    assert "24" not in finding.message and "in 8 of 8 masks: 3 (3744 pixels in 8)" in finding.message
    assert "[8 times]" in format_report(report) and "val/6" not in format_report(report), "five names are enough"


def test_what_a_reader_warns_of_is_a_finding(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_and_warn(root: Path, split: str, *rest: object, **named: object) -> Source:
        warnings.warn(InputWarning(f"{root}: looks odd; look at it", "odd", ("a", "b"), "note"), stacklevel=2)
        return open_source(root, split, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("globalconv.jobs.check_data.open_source", open_and_warn)
    assert [*findings_by_kind(data).values()] == [
        Finding("note", "odd", f"{data}: looks odd; look at it", 2, ("a", "b"))
    ]


def test_thousands_of_copies_are_few_words(data: Path) -> None:
    for path in data.glob("*/images/*.png"):
        mask(path, noise(9))
    (finding,) = [finding for finding in checked(data).findings if finding.kind == "duplicate"]
    assert finding.samples == ("train: train/0 = val: val/5 = train: train/1 = train: train/2 = ... (8 in all)",)


def test_blank_images_are_no_copies(data: Path) -> None:
    for path in data.glob("*/images/*.png"):
        mask(path, np.full((36, 40, 3), 90, np.uint8))
    report = checked(data)
    assert report.ready and [(f.kind, f.severity, f.count) for f in report.findings] == [("blank", "warning", 8)]


def test_thousands_of_missing_images_are_one_finding(tmp_path: Path) -> None:
    records = [{"id": n, "file_name": f"x{n}.png", "width": 40, "height": 36} for n in range(2002)]
    for number in (2000, 2001):
        mask(tmp_path / f"images/x{number}.png", noise(number))
    objects = [{"id": 1, "image_id": 0, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}]
    content = {"images": records, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_default.json").write_text(json.dumps(content))
    report = checked(tmp_path)
    (finding,) = [finding for finding in report.findings if finding.severity == "error"]
    assert finding.count == len(finding.samples) == 2000
    text = format_report(report)
    assert text.endswith("not ready: 1 kind of error to mend first") and len(text) < 3000


def test_long_names_and_thousands_of_values_stay_short(tmp_path: Path) -> None:
    root = clean(tmp_path / "data")
    (root / "classes.json").write_text(json.dumps([c * 5000 for c in "abc"]))
    for path in root.glob("*/labels/*.png"):
        Image.fromarray(np.arange(36 * 40, dtype=np.uint16).reshape(36, 40) * 45).save(path)
    (root / LABEL0).rename(root / f"train/labels/{'n' * 200}.png")
    (root / TRAIN0).rename(root / f"train/images/{'n' * 200}.png")
    report = checked(root)
    assert max(map(len, format_report(report).splitlines())) < 1000
    (finding,) = [finding for finding in report.findings if finding.kind == "values"]
    assert finding.count == 8 and "(999 or more values)" in finding.message


def test_specks_do_not_decide_the_size_of_objects(data: Path) -> None:
    label = np.zeros((360, 400), np.uint8)
    label[100:200, 100:200] = 1
    label[:300:12, :80:12] = 1  # 175 specks
    label[300:, :] = 2
    for number, path in enumerate(sorted(data.glob("*/labels/*.png"))):
        mask(path, np.roll(label, number, axis=1))
        mask(Path(str(path).replace("labels", "images")), noise(number).repeat(10, axis=0).repeat(10, axis=1))
    report = checked(data)
    facts = report.summary.classes[1]
    assert facts.typical_size == 100 and facts.objects == 8 * 176
    (finding,) = report.findings
    assert (finding.kind, finding.severity) == ("specks", "note") and "(tree 1400 of 1408)" in finding.message


def test_small_objects_are_no_specks(data: Path) -> None:
    for number, path in enumerate(sorted(data.glob("*/labels/*.png"))):
        label = np.zeros((36, 40), np.uint8)
        label[::4, ::4], label[2::4, 2::4] = 1, 2
        mask(path, np.roll(label, number, axis=1))
    assert "specks" not in findings_by_kind(data)


def test_files_that_come_with_a_layout_are_not_left_out(tmp_path: Path) -> None:
    for name in ("SegmentationObject", "SegmentationClassVisualization", "others"):
        mask(voc(tmp_path / name) / f"{name}/2007_1.png", values(0))
        assert findings_by_kind(tmp_path / name)["unused"].count == (2 if name == "others" else 1)  # JPEGImages/2007_9
    for number in range(2):
        place = f"{('train', 'val')[number]}/ulm/ulm_{number}"
        mask(tmp_path / f"city/leftImg8bit/{place}_leftImg8bit.png", noise(number))
        for kind in ("labelIds", "color", "instanceIds"):
            mask(tmp_path / f"city/gtFine/{place}_gtFine_{kind}.png", values(7, 26))
    assert "unused" not in findings_by_kind(tmp_path / "city")


def test_names_of_classes_in_a_file_that_is_not_read(data: Path) -> None:
    write(data, "classes.txt", "sky\nroad\ntree\n")
    assert "class-list" not in findings_by_kind(data)  # beside classes.json
    (data / "classes.json").unlink()
    finding = findings_by_kind(data)["class-list"]
    assert finding.severity == "note" and "though there is classes.txt, which is not read" in finding.message
    (data / "classes.txt").rename(data / "notes.txt")
    assert "class-list" not in findings_by_kind(data)


def test_several_processes_find_the_same(data: Path) -> None:
    mask(data / LABEL0, values(0, 7))
    alone, several = checked(data), check_data(data, workers=2)
    assert alone.findings == several.findings and alone.samples == several.samples


def test_who_stops_a_check_waits_for_no_sample(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.jobs.check_data.open_source", lambda *_, **__: Sleeping())
    with StopRequest().listening(), pytest.raises(StoppedError):
        signal.setitimer(signal.ITIMER_REAL, 1)
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        check_data(data, workers=2)
    deadline = time.monotonic() + 60
    while active_children() and time.monotonic() < deadline:  # the pool's own thread may be about to count them out
        time.sleep(0.02)
    assert not active_children()


def test_a_contact_sheet_shows_what_can_be_read(data: Path, tmp_path: Path) -> None:
    mask(data / LABEL0, values(0, 7))
    write_sheet(checked(data), tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000 and len(sheet.convert("RGB").getcolors(10**6) or []) > 50


def test_no_data_set_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known layout"):
        checked(tmp_path)


def test_camvids_val_is_the_same_street_as_its_training_frames(real_data: Path) -> None:
    findings = findings_by_kind(real_data / "CamVid")
    assert set(findings) == {"same-place", "specks"} and "0.90" in findings["same-place"].message


def test_msrc21_is_ready(real_data: Path) -> None:
    report = checked(real_data / "MSRC21")
    assert report.ready and not report.findings and len(report.samples) == 394
