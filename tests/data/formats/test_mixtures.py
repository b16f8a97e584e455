"""The paper's data sets as unpacked, in miniature: label maps against independent readings, mixtures, broken trees."""

import contextlib
import io as text_io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.official import (
    COCO_NEEDED,
    SBD_TRAIN,
    SBD_VAL,
    VOC_TEST,
    VOC_TRAIN,
    VOC_VAL,
    coco_tree,
    names,
    refused,
)  # fmt: skip
from numpy.typing import NDArray
from PIL import Image
from scipy import io

from globalconv.data.checks.check_report import report_to_json
from globalconv.data.checks.quick import quick_check
from globalconv.data.datasets import list_splits, open_source, recognise_layout
from globalconv.data.formats import official_counts
from globalconv.data.formats.coco_voc import draw_objects
from globalconv.data.roots import parse_data
from globalconv.data.source import FileSource, Mixture
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.jobs.check_data import check_data
from globalconv.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, COCO_TO_VOC, IGNORE, VOC


@pytest.mark.parametrize("place", ["VOCdevkit/VOC2012", "VOCdevkit"])
def test_voc_by_its_folder_its_devkit_and_what_holds_it(place: str, root: Path) -> None:
    for other in ("benchmark_RELEASE", "coco", "cityscapes"):
        shutil.rmtree(root / other)
    for folder in (root / place, root):
        source = open_source(folder, "train")
        assert (recognise_layout(folder), source.labels, names(source)) == ("voc", VOC, [*VOC_TRAIN])
    assert names(open_source(root, "trainval")) == names(open_source(root, "all")) == [*VOC_TRAIN, *VOC_VAL]
    assert list_splits(root) == ["train", "trainval", "val"], "test has no masks, which is nobody's mistake"
    report = check_data(root, workers=1)
    assert report.layout == "voc" and "VOC publishes none" not in str(report.findings)
    with Image.open(root / f"VOCdevkit/VOC2012/SegmentationClass/{VOC_TRAIN[0]}.png") as stored:
        assert (np.asarray(stored) == open_source(root, "train").label_map(0)).all()
    assert (open_source(root, "train").label_map(0) == IGNORE).any()
    refused(root, "test", f"has no mask of the {len(VOC_TEST)} images of the split 'test'; VOC publishes none")


def test_sbd_holds_what_scipy_reads(official_root: Path) -> None:
    for place in ("benchmark_RELEASE", "benchmark_RELEASE/dataset"):
        source = open_source(official_root / place, "train")
        assert (recognise_layout(official_root / place), names(source), source.labels) == ("sbd", [*SBD_TRAIN], VOC)
    for index, name in enumerate(SBD_TRAIN):
        stored = io.loadmat(official_root / f"benchmark_RELEASE/dataset/cls/{name}.mat")["GTcls"]["Segmentation"][0, 0]
        assert (source.label_map(index) == stored).all()
        assert source.image(index).shape[:2] == stored.shape


def by_pycocotools(file: Path, image: int) -> NDArray[np.uint8]:
    """Return an image's map, each pixel decided by the set of annotations that cover it."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(text_io.StringIO()):
        coco = COCO(str(file))
    annotations = [a for a in coco.imgToAnns[image] if a["category_id"] in COCO_TO_VOC]
    masks = [coco.annToMask(annotation).astype(bool) for annotation in annotations]
    height, width = masks[0].shape
    label_map = np.zeros((height, width), np.uint8)
    for row in range(height):
        for column in range(width):
            over = [a for a, mask in zip(annotations, masks, strict=True) if mask[row, column]]
            classes = {COCO_TO_VOC[a["category_id"]] for a in over if not a["iscrowd"]}
            crowds = {COCO_TO_VOC[a["category_id"]] for a in over if a["iscrowd"]}
            if len(classes) > 1 or crowds - classes:
                label_map[row, column] = IGNORE
            elif classes:
                label_map[row, column] = classes.pop()
    return label_map


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("year", [2014, 2017])
def test_coco_as_voc_is_what_pycocotools_says_of_every_pixel(year: int, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    home = coco_tree(tmp_path, size=(72, 48), year=year)
    source = open_source(home, "coco:train")
    listed = json.loads((home / f"annotations/instances_train{year}.json").read_text())["images"]
    assert len(listed) == 6 and len(source) == 5, "an image of apples only is no image of the 20 classes"
    for index in range(len(source)):
        number = int(source.sample_name(index)[-12:])
        expected = by_pycocotools(home / f"annotations/instances_train{year}.json", number)
        assert (source.label_map(index) == expected).all()
        assert source.image(index).shape[:2] == expected.shape
    assert {12, 18, IGNORE, 15} <= {*np.unique(source.label_map(0)).tolist()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_small_objects_of_coco_are_void_and_alone_no_reason_to_keep_an_image(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    home = coco_tree(tmp_path)
    index = names(source := open_source(home, "coco:train:min-area=20")).index("train2017/000000000027")
    assert (source.label_map(index)[40:43, 40:43] == IGNORE).all()
    file = home / "annotations/instances_train2017.json"
    content = json.loads(file.read_text())
    kept = [a for a in content["annotations"] if a["image_id"] != 27 or a["area"] == 9]
    file.write_text(json.dumps({**content, "annotations": kept}))
    assert "train2017/000000000027" in names(open_source(home, "coco:train"))
    assert "train2017/000000000027" not in names(open_source(home, "coco:train:min-area=10"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_order_of_objects_changes_nothing() -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    square = [[2, 2, 12, 2, 12, 12, 2, 12]]
    crowd = {"size": [16, 16], "counts": [0, 128, 128]}
    objects: list[tuple[int, str, Any]] = [
        (15, "object", square), (1, "object", [[8, 8, 15, 8, 15, 15, 8, 15]]), (15, "crowd", crowd),
        (1, "small", [[0, 12, 4, 12, 4, 16, 0, 16]]),
    ]  # fmt: skip
    first = draw_objects(objects, (16, 16), "here")
    assert (first == draw_objects(objects[::-1], (16, 16), "here")).all()
    assert first[4, 4] == 15 and first[10, 10] == IGNORE and first[14, 14] == 1 and first[0, 0] == IGNORE
    assert first[0, 15] == 0 and first[13, 1] == IGNORE


def test_cityscapes_label_ids_become_the_official_train_ids(official_root: Path) -> None:
    home = official_root / "cityscapes"
    assert recognise_layout(home) == "cityscapes" and list_splits(home) == ["coarse", "train", "val"]
    official = pytest.importorskip("cityscapesscripts.helpers.labels", reason="cityscapesscripts is not installed")
    table = {label.id: label.trainId for label in official.labels if label.id >= 0}
    for split, kind in (("train", "gtFine"), ("val", "gtFine"), ("coarse", "gtCoarse"), ("coarse-train", "gtCoarse")):
        source = open_source(home, split)
        assert isinstance(source, FileSource)
        for index, pair in enumerate(source.pairs):
            assert kind in str(pair.label)
            with Image.open(pair.label) as stored:
                expected = np.vectorize(table.get)(np.asarray(stored))
            assert (source.label_map(index) == expected).all()
    by_train_id = {label.trainId: label for label in official.labels if 0 <= label.trainId < 255}
    assert CITYSCAPES.class_names == tuple(by_train_id[k].name for k in range(19))
    assert CITYSCAPES.palette == tuple(by_train_id[k].color for k in range(19))
    assert tuple(by_train_id[k].id for k in range(19)) == CITYSCAPES_LABEL_IDS


def test_our_miou_is_that_of_the_official_evaluator(official_root: Path, tmp_path: Path) -> None:
    module = "cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling"
    official = pytest.importorskip(module, reason="cityscapesscripts is not installed")
    source = open_source(official_root / "cityscapes", "val")
    assert isinstance(source, FileSource)
    matrix, rng, predictions = ConfusionMatrix(19), np.random.default_rng(3), []
    for index, pair in enumerate(source.pairs):
        label_map = source.label_map(index)
        guess = np.where(rng.random(label_map.shape) < 0.6, label_map, rng.integers(0, 19, label_map.shape))
        guess = np.where(guess == IGNORE, 4, guess).astype(np.uint8)
        matrix.update(guess, label_map)
        predictions.append(tmp_path / f"{Path(pair.name).name}.png")
        Image.fromarray(np.array(CITYSCAPES_LABEL_IDS, np.uint8)[guess]).save(predictions[-1])
    official.args.evalInstLevelScore, official.args.quiet, official.args.JSONOutput = False, True, False
    with contextlib.redirect_stdout(text_io.StringIO()):
        scores = official.evaluateImgLists(
            [*map(str, predictions)], [str(p.label) for p in source.pairs], official.args
        )
    assert matrix.miou() == pytest.approx(scores["averageScoreClasses"], abs=1e-12)
    for value, iou in zip(CITYSCAPES.class_names, matrix.iou(), strict=True):
        assert iou == pytest.approx(scores["classScores"][value], abs=1e-12, nan_ok=True)


def test_voc_and_sbd_are_disjoint_and_take_vocs_maps(official_root: Path) -> None:
    """Order does not matter; of the union, nothing is VOC's to validate on, and no image comes twice."""
    for split in ("sbd:train+sbd:val+voc:train", "voc:train + sbd:train + sbd:val"):
        source = open_source(official_root, split)
        assert isinstance(source, Mixture)
        parts = [name.partition("/") for name in names(source)]
        ids = [name for _, _, name in parts]
        assert sorted(ids) == sorted(({*SBD_TRAIN, *SBD_VAL} - {*VOC_VAL}) | {*VOC_TRAIN}) and len(ids) == 8
        assert {name for kind, _, name in parts if kind == "voc"} == {*VOC_TRAIN}
        for index, name in enumerate(names(source)):
            assert (source.label_map(index) == IGNORE).any() == name.startswith("voc/")
            assert source.image(index).shape[:2] == source.label_map(index).shape
    alone = open_source({"voc": official_root, "sbd": official_root / "benchmark_RELEASE"}, "sbd:train")
    assert names(alone) == [name for name in SBD_TRAIN if name not in VOC_VAL]


def test_complete_voc_and_sbd_have_to_be_10582(monkeypatch: pytest.MonkeyPatch, official_root: Path) -> None:
    """The miniatures take the part of the complete data: their own counts are the published ones."""
    monkeypatch.setattr(official_counts, "VOC", {"train": 4, "val": 3})
    monkeypatch.setattr(official_counts, "SBD", {"train": 5, "val": 3})
    refused(official_root, "sbd:train+sbd:val+voc:train", "together give 8 training images where they have 10,582")
    monkeypatch.setattr(official_counts, "VOC_AND_SBD", 8)
    assert len(open_source(official_root, "sbd:train+sbd:val+voc:train")) == 8


def test_a_split_that_is_almost_complete_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(official_counts, "CLAIM", 0.5)
    monkeypatch.setitem(official_counts.VOC, "train", 6)
    refused(root, "voc:train", r"train\.txt: has 4 images where VOC 2012's train has 6, so 2 are missing; unpack")
    monkeypatch.setitem(official_counts.SBD, "val", 2)
    refused(root, "sbd:val", "has 3 images where SBD's val has 2, so 1 are too many")
    monkeypatch.setitem(official_counts.COCO, "train2017", 7)
    refused(root, "coco:train", r"instances_train2017\.json: has 6 images where COCO's train2017 has 7")
    monkeypatch.setitem(official_counts.CITYSCAPES, "coarse", 4)
    refused(root, "cityscapes:coarse", "has 3 images where Cityscapes's coarse has 4")
    monkeypatch.setitem(official_counts.CITYSCAPES, "coarse", 19998)
    assert len(open_source(root, "cityscapes:coarse")) == 3, "a small part is nobody's mistake"


def test_mixtures_of_cityscapes_take_the_fine_mask(official_root: Path) -> None:
    assert len(open_source(official_root, "cityscapes:coarse+cityscapes:train")) == 7
    source = open_source(official_root, "cityscapes:coarse-train+cityscapes:train")
    assert isinstance(source, Mixture) and [len(part) for part in source.parts] == [0, 4]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mixtures_are_checked_like_other_data(official_root: Path) -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    train = open_source(official_root, "coco:train+sbd:train+voc:train")
    assert len({*names(train)}) == len(train)
    quick_check(train, open_source(official_root, "voc:val"))
    report = check_data(
        {"voc": official_root, "sbd": official_root}, splits=("sbd:train+voc:train", "voc:val"), workers=1
    )
    assert report_to_json(report)["root"] == {"voc": str(official_root), "sbd": str(official_root)}
    assert [finding.message for finding in report.findings if finding.severity == "error"] == []
    whole = check_data({"voc": official_root, "sbd": official_root}, workers=1)
    assert whole.summary.images == {"sbd:train+sbd:val+voc:train": 8, "voc:val": 3}
    assert "more than one split" not in str(whole.findings), "SBD has images of VOC's, and both are learnt"
    alike = r"`splits` cityscapes:coarse\+cityscapes:train: has other classes .* with `splits` cityscapes:coarse\+city"
    with pytest.raises(InputError, match=alike):
        check_data(official_root, workers=1)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("train", r"holds several data sets \(voc, sbd, coco, cityscapes\); name each split with its data set"),
        ("vok:train", "data set 'vok': did you mean 'voc'"),
        ("VOC:train", "data set 'VOC': did you mean 'voc'"),
        ("voc:", "'voc:' names no split"),
        ("voc:train+sbd", "data set 'sbd'|names no split"),
        ("voc:train:min-area=3", "only coco has an option"),
        ("coco:train:min-area=x", "only coco has an option"),
        ("voc:train+voc:train", "voc:train is named twice"),
        ("coco:train:min-area=9+coco:train", "coco:train is named twice"),
        ("voc:train+", r"'voc:train\+': names nothing before or after a \+"),
        ("voc:train+cityscapes:train", "cityscapes:train has other classes than voc:train"),
        ("cityscapes:test", "placeholders without any class; score on val"),
        ("cityscapes:dev", "split 'dev': "),
        ("coco:dev", "the splits there are: train2017, val2017"),
    ],
)
def test_splits_that_name_nothing_are_refused(split: str, words: str, official_root: Path) -> None:
    refused(official_root, split, words, read=False)


def test_roots_by_name(official_root: Path, tmp_path: Path) -> None:
    assert parse_data([]) is None and parse_data(["here"]) == Path("here")
    assert parse_data([f"voc={official_root}", "sbd=x"]) == {"voc": official_root, "sbd": Path("x")}
    assert len(open_source({"voc": official_root}, "val")) == 3, "with one name, the split needs none"
    refused(
        {"voc": official_root, "sbd": official_root},
        "val",
        r"names several data sets \(sbd, voc\); say of which it is",
        read=False,
    )
    refused({"sbd": official_root}, "sbd:train", r"needs VOC's list val\.txt too, .*add voc=PATH", read=False)
    (tmp_path / "below").symlink_to(official_root)
    assert len(open_source({"voc": tmp_path}, "voc : val")) == 3, "one folder below, as without names"
    refused(
        {"voc": official_root / "coco"}, "val", "`data` voc=.*coco: holds no voc; looked for JPEGImages/", read=False
    )
    refused(
        official_root / "coco", "voc:val", "holds no voc; looked for .*say where it is, `data` voc=PATH", read=False
    )
