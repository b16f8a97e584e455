"""The paper's data sets as people really have them: cut, mixed, linked, changed. Each error has a remedy."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.official import (
    COCO_NEEDED,
    SBD_TRAIN,
    SBD_VAL,
    VOC_TRAIN,
    VOC_VAL,
    coco_tree,
    names,
    refused,
)  # fmt: skip
from numpy.typing import NDArray
from PIL import Image
from scipy import io

from globalconv.crf_tuning.halves import refuse_overlap
from globalconv.data.checks.quick import quick_check
from globalconv.data.datasets import image_identity, list_splits, open_source
from globalconv.data.formats import official_counts
from globalconv.errors import InputError
from globalconv.jobs.check_data import check_data

VOC_HOME, SBD_HOME, FINE = "VOCdevkit/VOC2012", "benchmark_RELEASE/dataset", "cityscapes/gtFine/train/aachen"
AACHEN = f"{FINE}/aachen_000000_000019_gtFine_labelIds.png"
COCO_FILE = "coco/annotations/instances_train2017.json"


def test_one_data_set_one_folder_below_is_named(official_root: Path, tmp_path: Path) -> None:
    (tmp_path / "cityscapes").symlink_to(official_root / "cityscapes")
    (tmp_path / "again").symlink_to(official_root / "cityscapes")
    refused(tmp_path, "train", "holds cityscapes one folder below; name each split .* as in cityscapes:train")
    assert len(open_source(tmp_path, "cityscapes:train")) == 4, "two ways to one folder are no two data sets"
    assert list_splits(tmp_path) == ["cityscapes:coarse", "cityscapes:train", "cityscapes:val"]
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "train", r"img/ beside cls/ \(SBD\), leftImg8bit/ beside gtFine/")


def test_a_folder_that_nobody_may_read_is_no_obstacle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "a-lost+found").mkdir()
    real = Path.is_dir

    def is_dir(self: Path) -> bool:
        if "a-lost+found/" in str(self):
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "is_dir", is_dir)
    assert len(open_source(root, "cityscapes:train")) == 4 and len(list_splits(root)) == 9


def test_lists_that_people_add_are_no_further_images(root: Path) -> None:
    (root / SBD_HOME / "train_noval.txt").write_text(f"{SBD_TRAIN[0]}\n")
    (root / VOC_HOME / "ImageSets/Segmentation/trainaug.txt").write_text(f"{VOC_TRAIN[0]}\n")
    assert [split for split in list_splits(root) if split[:3] in ("voc", "sbd")] == [
        "voc:train", "voc:val", "sbd:train", "sbd:val",
    ]  # fmt: skip
    assert names(open_source(root / SBD_HOME, "all")) == [*SBD_TRAIN, *SBD_VAL]
    assert names(open_source(root / VOC_HOME, "all")) == [*VOC_TRAIN, *VOC_VAL]
    assert names(open_source(root, "voc:trainaug")) == [VOC_TRAIN[0]]


def test_a_cut_list_of_voc_lets_sbd_teach_nothing_that_is_scored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_counts, "SBD", {"train": 5, "val": 3})
    file = root / VOC_HOME / "ImageSets/Segmentation/val.txt"
    file.write_text(f"{VOC_VAL[0]}\n")
    refused(root, "sbd:train", r"needs VOC's list val\.txt.*val\.txt: lists 1 of 1,449 images; copy it from")
    monkeypatch.setattr(official_counts, "SBD", {"train": 8498, "val": 2857})
    assert len(open_source(root, "sbd:train")) == 4, "a small SBD claims nothing"
    file.write_text("")
    refused(root, "sbd:train", r"val\.txt: lists 0 of 1,449 images")


def test_a_copy_of_an_image_in_another_data_set_is_the_same_image(official_root: Path) -> None:
    train, val = open_source(official_root, "voc:train"), open_source(official_root, "sbd:val")
    assert "1 of 2 validation images are training images too" in quick_check(train, val)[0]
    with pytest.raises(InputError, match="1 of its images are searched on"):
        refuse_overlap(open_source(official_root, "voc:train+sbd:train"), val)
    refuse_overlap(train, open_source(official_root, "voc:val"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_cocos_own_categories_are_read_by_the_usual_splits(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    home = coco_tree(tmp_path)
    assert list_splits(home) == ["train", "val"]
    assert [len(open_source(home, split)) for split in ("train", "val")] == [6, 3]
    assert open_source(home, "val").labels.class_names[:2] == ("background", "person")
    assert "has the splits" not in str(check_data(home, workers=1).findings)
    coco_tree(tmp_path, year=2014)
    assert list_splits(home) == ["train2014", "train2017", "val2014", "val2017"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_two_years_of_coco_share_their_images(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    for year in (2014, 2017):
        coco_tree(tmp_path, year=year)
    years = [open_source(tmp_path, f"coco:train{year}") for year in (2014, 2017)]
    assert image_identity(years[0], 1) == image_identity(years[1], 1) != image_identity(years[1], 0)
    assert len(open_source(tmp_path, "coco:train2014+coco:train2017")) == len(years[0])


def test_numbers_of_images_may_be_text_in_coco(root: Path) -> None:
    count = len(open_source(root, "coco:train"))
    _json(root / COCO_FILE, lambda c: [image.update(id=str(image["id"])) for image in c["images"]])
    assert len(open_source(root, "coco:train")) == count > 0


def _grey(path: Path, values: NDArray[Any]) -> None:
    Image.fromarray(values.astype(np.uint8)).save(path)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _other_palette(path: Path) -> None:
    with Image.open(path) as stored:
        again = Image.fromarray(np.asarray(stored), "P")
    again.putpalette([value for index in range(256) for value in (index, index, index)])
    again.save(path)


def _json(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _as_train_ids(root: Path, *void: int) -> None:
    for path in root.glob("cityscapes/gtFine/*/*/*_labelIds.png"):
        _grey(path, np.resize(np.array([0, 1, 2, 8, 10, *void]), (64, 128)))


BROKEN: list[tuple[str, Callable[[Path], object], str]] = [
    ("voc:train", lambda r: (r / VOC_HOME / "ImageSets/Segmentation/train.txt").unlink(), "split 'train'.*has the"),
    ("voc:train", lambda r: (r / VOC_HOME / f"SegmentationClass/{VOC_TRAIN[1]}.png").unlink(), "has no '2007_000002'"),
    ("voc:val", lambda r: (r / VOC_HOME / "ImageSets/Segmentation/val.txt").unlink(),
     r"split 'voc:val': .*Segmentation has no list val\.txt, and the official one is not to be replaced by a hold-out"),
    ("voc:train", lambda r: shutil.rmtree(r / VOC_HOME / "ImageSets"), "not to be replaced by a hold-out; copy it"),
    ("sbd:train", lambda r: (r / SBD_HOME / "val.txt").unlink(), "not to be replaced by a hold-out; copy it"),
    ("sbd:train", lambda r: (r / SBD_HOME / "train.txt").write_text(""), "no image that VOC does not validate on"),
    ("sbd:train", lambda r: (r / VOC_HOME / "ImageSets/Segmentation/val.txt").unlink(),
     r"needs VOC's list val\.txt too.*val\.txt: there is no such list; copy it from the official archive"),
    ("sbd:train", lambda r: io.savemat(r / SBD_HOME / "cls/2008_000011.mat",
                                       {"GTcls": {"Segmentation": np.full((72, 96), 21, np.uint8)}}),
     r"2008_000011\.mat: label value 21 out of range .*SBD has no such class: copy the file from the official archive"),
    ("coco:train", lambda r: _json(r / COCO_FILE, lambda c: c["images"].append(c["images"][0])),
     r"instances_train2017\.json: lists 1 images twice; unpack"),
    ("coco:train", lambda r: _json(r / COCO_FILE, lambda c: c.update(annotations=[])),
     "holds no image with an object of VOC's 20 classes"),
    ("voc:train", lambda r: _cut(r / VOC_HOME / f"JPEGImages/{VOC_TRAIN[0]}.jpg"), r"2007_000001\.jpg: cannot be dec"),
    ("voc:val", lambda r: _other_palette(r / VOC_HOME / f"SegmentationClass/{VOC_VAL[2]}.png"),
     r"2007_000007\.png: its palette is not VOC's, .*take the mask of the official archive"),
    ("sbd:train", lambda r: (r / SBD_HOME / "train.txt").unlink(), "has the splits all, train, val|split 'train'"),
    ("sbd:train", lambda r: _cut(r / SBD_HOME / "cls/2008_000011.mat"), r"2008_000011\.mat: holds no GTcls.*again"),
    ("sbd:train", lambda r: (r / SBD_HOME / "cls/2008_000011.mat").unlink(), "cls: has no '2008_000011', which"),
    ("coco:train", lambda r: _cut(r / COCO_FILE), r"instances_train2017\.json: cannot be read as JSON.*unpack"),
    ("coco:train", lambda r: (r / "coco/train2017/000000000009.jpg").unlink(), r"09\.jpg: is not there.*unpack train2"),
    ("coco:train", lambda r: _json(r / COCO_FILE, lambda c: c["annotations"][0].update(category_id=99)),
     "category_id 99, and COCO's are 1 to 90"),
    ("coco:train", lambda r: _json(r / COCO_FILE, lambda c: c["categories"][0].update(name="wheel")),
     "category 1 is called 'wheel' where COCO's is 'person'"),
    ("coco:train", lambda r: _json(r / COCO_FILE, lambda c: c.pop("images")), "holds no images, annotations and"),
    ("coco:train", lambda r: shutil.copy(r / COCO_FILE, r / "coco/annotations/instances_train2014.json"),
     "has train2014 and train2017, mostly the same images; name one"),
    ("cityscapes:train", lambda r: _as_train_ids(r, 255), r"labelIds\.png: .*look like train ids.*unpack gtFine"),
    ("cityscapes:train", _as_train_ids, r"labelIds\.png: .*look like train ids.*unpack gtFine"),
    ("cityscapes:train", lambda r: (r / AACHEN).rename(r / AACHEN.replace("labelIds", "labelTrainIds")),
     r"labelIds\.png: is not there; copy the label ids from gtFine_trainvaltest\.zip, not the train ids beside it"),
    ("cityscapes:train", lambda r: _grey(r / AACHEN, np.full((64, 128), 77)), "value 77 not among the ids 0 to 33"),
    ("cityscapes:train", lambda r: shutil.rmtree(r / "cityscapes/gtFine"),
     r"gtFine/train: there is no such folder; unpack gtFine_trainvaltest\.zip there, or name the split coarse-train"),
    ("cityscapes:train", lambda r: shutil.rmtree(r / "cityscapes/leftImg8bit/train/aachen"), "is not there, nor are"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_broken_trees_name_the_file_and_the_remedy(number: int, root: Path) -> None:
    split, change, message = BROKEN[number]
    if split.startswith("coco"):
        pytest.importorskip("pycocotools", reason=COCO_NEEDED)
    change(root)
    refused(root, split, message)
