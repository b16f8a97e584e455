"""Small data sets rebuilt from what people reported: each is read right, refused, or told of.

They lie beside the real data sets, in `cases`, and are only a check: every fault has its own test on inputs of its own.
"""

import base64
import io
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.checks.check_report import Report
from globalconv.data.datasets import open_source
from globalconv.data.source import Source
from globalconv.errors import InputError, InputWarning
from globalconv.infer.image_files import list_image_files
from globalconv.jobs.check_data import check_data
from globalconv.jobs.evaluate import evaluate_predictions
from globalconv.labels import VOC

HEIGHT, WIDTH = 80, 96


@pytest.fixture(scope="module")
def cases() -> Path:
    """The folder of all cases; skips the test where it is absent."""
    folder = Path(os.environ.get("GLOBALCONV_DATA") or "-").parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}: none of the reported data sets here")
    return folder


def check(root: Path) -> tuple[Report | None, str]:
    """Return the report (None: there is nothing to report on), and what it says, a line a finding."""
    try:
        report = check_data(root, workers=1)
    except InputError as error:
        return None, f"refused {error}"
    lines = [f"{finding.severity} [{finding.count}] {finding.message}" for finding in report.findings]
    return report, "\n".join(lines)


def words(said: str, wanted: Sequence[str]) -> bool:
    """Return whether one line holds all words."""
    return any(all(word.lower() in line.lower() for word in wanted) for line in said.splitlines())


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("coco_dup_category_ids", ("refused", "categor", "1", "cat", "dog")),
        ("coco_dup_image_ids", ("1", "0.png", "3.png")),
        ("mask_tiff_jpeg_two", ("JPEG", "0.tif")),
    ],
)
def test_what_cannot_be_read_right_is_refused(case: str, wanted: Sequence[str], cases: Path) -> None:
    report, said = check(cases / case)
    assert report is None or not report.ready
    assert words(said, wanted), said


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        ("airsim_alpha0", ("alpha", "6")),
        ("exif180", ("note [6]", "EXIF")),
        ("labelme_label_space", ("warning", "'tree '", "'Tree'")),
        ("labelme_renamed", ("warning [6]", "imagePath", "1.png")),
        ("mixed_1_and_255", ("1", "255")),
        ("palette_quantized", ("warning", "palette", "by their colours")),
        ("rgb_uint16_photometric", ("16",)),
        ("rgbnir_default", ("alpha",)),
        ("tiff_12bit_in_16", ("16 bits", "4095")),
        ("tiff_int32_0_255", ("32",)),
    ],
)
def test_what_is_read_all_the_same_is_told(case: str, wanted: Sequence[str], cases: Path) -> None:
    _, said = check(cases / case)
    assert words(said, wanted), said


@pytest.mark.parametrize(
    ("case", "images"),
    [
        ("airsim_alpha0", 6),
        ("coco_nfd", 6),
        ("coco_string_ids", 6),
        ("exif180", 6),
        ("labelme581_mask", 6),
        ("labelme_label_space", 6),
        ("labelme_null_size", 6),
        ("labelme_renamed", 6),
        ("list_nfd", 6),
        ("rgb_uint16_photometric", 6),
        ("rgbnir_default", 6),
        ("tiff_12bit_in_16", 6),
        ("tiff_int32_0_255", 6),
        ("voc_names_ending_in_1", 5),
        ("voc_palette_optimised", 6),
        ("xanylabeling_rectangle", 6),
    ],
)
def test_what_is_right_is_ready(case: str, images: int, cases: Path) -> None:
    report, said = check(cases / case)
    assert report is not None and report.ready, said
    assert sum(map(len, report.sources.values())) == images


def opened(root: Path, split: str = "all") -> Source:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return open_source(root, split)


@pytest.mark.parametrize("case", ["tiff_12bit_in_16", "tiff_int32_0_255", "rgb_uint16_photometric"])
def test_images_of_more_bits_are_not_black(case: str, cases: Path) -> None:
    source = opened(cases / case)
    for index in range(len(source)):
        image = source.image(index)
        assert np.ptp(image) > 120 and 60 < image.mean() < 190


@pytest.mark.parametrize("case", ["airsim_alpha0", "rgbnir_default"])
def test_alpha_that_is_no_transparency_is_left_out(case: str, cases: Path) -> None:
    source = opened(cases / case)
    for index in range(len(source)):
        file = next((cases / case / "images").glob(f"{source.sample_name(index)}.*"))
        with Image.open(file) as image:
            assert (source.image(index) == np.asarray(image)[..., :3]).all()


def boxes(fields: dict[str, Any]) -> list[tuple[str, tuple[slice, slice], Any]]:
    """Return of every shape the label, the box, whose corners belong to it, and its pixels in the box."""
    found = []
    for shape in fields["shapes"]:
        columns, rows = ([int(v) for v in axis] for axis in zip(*shape["points"], strict=True))
        place = (slice(min(rows), max(rows) + 1), slice(min(columns), max(columns) + 1))
        inside: Any = True
        if "mask" in shape:
            with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as stored:
                inside = np.asarray(stored) > 0
        found.append((shape["label"], place, inside))
    return found


@pytest.mark.parametrize(
    "case", ["xanylabeling_rectangle", "labelme581_mask", "labelme_null_size", "labelme_label_space", "labelme_renamed"]
)
def test_labelmes_shapes_are_as_labelme_draws_them(case: str, cases: Path) -> None:
    source = opened(cases / case)
    for index in range(len(source)):
        fields = json.loads((cases / case / f"{source.sample_name(index)}.json").read_text())
        truth = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, place, inside in boxes(fields):
            truth[place][np.broadcast_to(inside, truth[place].shape)] = source.labels.class_names.index(label)
        assert (source.label_map(index) == truth).all()
        with Image.open(cases / case / f"{source.sample_name(index)}.png") as image:
            assert (source.image(index) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("case", ["coco_string_ids", "coco_nfd", "coco_appledouble"])
def test_cocos_objects_are_where_the_file_says(case: str, cases: Path) -> None:
    source = opened(cases / case)
    truths: dict[str, Uint8Array] = {}
    for file in sorted((cases / case / "annotations").glob("[!.]*.json")):
        fields = json.loads(file.read_text())
        names = {category["id"]: category["name"] for category in fields["categories"]}
        for image in fields["images"]:
            truth = np.zeros((HEIGHT, WIDTH), np.uint8)
            for drawn in fields["annotations"]:
                if drawn["image_id"] == image["id"]:
                    (polygon,) = drawn["segmentation"]
                    left, top, right, bottom = polygon[0], polygon[1], polygon[4], polygon[5]
                    truth[top:bottom, left:right] = source.labels.class_names.index(names[drawn["category_id"]])
            truths[Path(image["file_name"]).stem[-1]] = truth
    assert len(source) == len(truths)
    for index in range(len(source)):
        assert (source.label_map(index) == truths[source.sample_name(index)[-1]]).all()


@pytest.mark.parametrize("folder", ["voc_palette_optimised/SegmentationClass", "palette_quantized/masks"])
def test_masks_in_vocs_colours_are_read_by_colour(folder: str, cases: Path) -> None:
    source = opened((cases / folder).parent)
    for index in range(len(source)):
        with Image.open(cases / folder / f"{source.sample_name(index)}.png") as image:
            colours = np.asarray(image.convert("RGB"))
        for value, colour in enumerate(source.labels.palette):
            assert colour == VOC.palette[value]
            assert ((source.label_map(index) == value) == (colours == colour).all(axis=2)).all()


def test_four_bits_of_grey_are_two_classes_or_told(cases: Path) -> None:
    report, said = check(cases / "mask_grey4bit_2")
    if report is not None and report.ready:
        assert report.labels.num_classes == 2 and set(np.unique(opened(report_root(report)).label_map(0))) == {0, 1}
    else:
        assert words(said, ("bit",)), said


def report_root(report: Report) -> Path:
    assert isinstance(report.root, Path)
    return report.root


def test_names_that_end_in_a_digit_keep_it(cases: Path) -> None:
    root = cases / "voc_names_ending_in_1"
    names = {
        split: [opened(root, split).sample_name(i) for i in range(len(opened(root, split)))]
        for split in ("train", "val")
    }
    assert names == {"train": ["scan 0", "scan 1", "scan 2"], "val": ["scan", "scan 3"]}


def test_thousands_of_missing_images_are_one_finding(cases: Path) -> None:
    report, said = check(cases / "coco_2000_missing")
    assert report is None or not report.ready
    assert len(said.splitlines()) <= 3
    assert words(said, ("2000", "x0.png")), said


def test_predictions_are_read_as_the_datas_own_masks_are(cases: Path) -> None:
    score = evaluate_predictions(cases / "pred_gt/masks", cases / "pred_gt", split="train")
    assert score.miou == 1


def test_predict_takes_what_pillow_opens(cases: Path, tmp_path: Path) -> None:
    """The one that it does not open is left out, or a failure that names it."""
    folder = cases / "predict_suffixes"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        found = {file.path.name for file in list_image_files([str(folder)], tmp_path)}
    assert found | {"i.heic"} == {path.name for path in folder.iterdir()}
