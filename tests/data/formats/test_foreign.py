"""Layouts that are not read are named, with what to do about them; what is read is never taken for one of them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, mask, put_pair

from globalconv.data.datasets import open_source, recognise_layout
from globalconv.errors import InputError, InputWarning

POLYGON, BOX = "0 0.1 0.1 0.5 0.1 0.5 0.5\n", "0 0.5 0.5 0.2 0.2\n"
INDICES = np.tile(np.arange(24, dtype=np.uint8) % 2, (16, 1))


def text(path: Path, content: object = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def ultralytics(root: Path) -> None:
    text(root / "data.yaml", "train: images/train\nnames:\n  0: cat\n")
    image(root / "images/train/a.jpg")
    text(root / "labels/train/a.txt", POLYGON)


def roboflow(root: Path) -> None:
    text(root / "export/data.yaml", "names: ['cat']\nnc: 1\n")
    for split in ("train", "valid"):
        image(root / f"export/{split}/images/a.jpg")
        text(root / f"export/{split}/labels/a.txt", POLYGON)


def yolo_with_list(root: Path) -> None:
    ultralytics(root)
    text(root / "train.txt", "./images/train/a.jpg\n")


def yolo_boxes(root: Path) -> None:
    image(root / "images/a.jpg")
    text(root / "labels/a.txt", BOX)
    text(root / "labels/classes.txt", "cat\n")


def yolo_beside(root: Path) -> None:
    image(root / "obj_train_data/a.jpg")
    text(root / "obj_train_data/a.txt", BOX)


def label_studio(root: Path) -> None:
    result = {"original_width": 24, "original_height": 16, "value": {"points": []}}
    text(root / "project-1.json", [{"id": 1, "data": {"image": "/a.jpg"}, "annotations": [{"result": [result]}]}])


def label_studio_minimal(root: Path) -> None:
    image(root / "a.jpg")
    text(root / "min.json", [{"image": "/a.jpg", "id": 1, "annotator": 1, "annotation_id": 1, "lead_time": 3.5}])


def label_studio_brush(root: Path) -> None:
    mask(root / "task-1-annotation-1-by-1-tag-cat-0.png", INDICES)


def via(root: Path) -> None:
    text(root / "via_project.json", {"_via_settings": {}, "_via_img_metadata": {}})


def supervisely(root: Path) -> None:
    text(root / "meta.json", {"classes": [{"title": "cat"}], "projectType": "images"})
    image(root / "ds/img/a.jpg")
    text(root / "ds/ann/a.jpg.json", {"objects": [{"classTitle": "cat"}]})


def voc_boxes(root: Path) -> None:
    image(root / "JPEGImages/a.jpg")
    text(root / "Annotations/a.xml", "<annotation><object><bndbox/></object></annotation>")


def labelme_web(root: Path) -> None:
    image(root / "Images/a.jpg")
    text(root / "Annotations/a.xml", "<annotation><object><polygon/></object></annotation>")


def cvat_elsewhere(root: Path) -> None:
    text(root / "task_1.xml", "<?xml version='1.0'?><annotations><image/></annotations>")


def darwin(root: Path) -> None:
    text(root / "releases/a.json", {"version": "2.0", "item": {"name": "a.jpg", "slots": []}, "annotations": []})


def pairs_in(images: str, masks: str) -> Callable[[Path], None]:
    return lambda root: put_pair(root, f"{images}/a.png", f"{masks}/a.png")


def empty(name: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        image(root / "images/a.jpg")
        text(root / name)

    return make


def beside(root: Path) -> None:
    put_pair(root, "train/a.png", "train/a_mask.png")


def table(root: Path) -> None:
    put_pair(root, "a/1.png", "b/1.png")
    text(root / "train.csv", "image,label\na/1.png,b/1.png\n")


def image_folders(root: Path) -> None:
    for name in ("train/cat/a.jpg", "train/dog/b.jpg", "val/cat/c.jpg"):
        image(root / name)


FOREIGN: dict[str, tuple[Callable[[Path], None], str]] = {
    "Ultralytics": (
        ultralytics,
        r"looks like a YOLO segmentation folder \(data\.yaml, labels/train/\*\.txt\), .* COCO",
    ),
    "Roboflow's YOLO": (roboflow, r"a YOLO segmentation folder \(data\.yaml, \w+/labels/\*\.txt\)"),
    "YOLO with lists": (yolo_with_list, "a YOLO segmentation folder"),
    "YOLO's boxes": (yolo_boxes, r"YOLO with boxes \(labels/\*\.txt\), which is not read; boxes are no masks"),
    "YOLO in one folder": (yolo_beside, r"YOLO with boxes \(obj_train_data/\*\.txt\)"),
    "Label Studio": (
        label_studio,
        r"an export of Label Studio \(project-1\.json\), which is not read; export it as COCO",
    ),
    "Label Studio's minimum": (label_studio_minimal, r"an export of Label Studio \(min\.json\)"),
    "Label Studio's brush": (label_studio_brush, "masks of Label Studio's brush .*; join those of each image"),
    "VIA": (via, "VGG Image Annotator"),
    "Supervisely": (supervisely, r"a project of Supervisely \(meta\.json\)"),
    "VOC's boxes": (voc_boxes, r"VOC's boxes \(Annotations/a\.xml\), which is not read; boxes are no masks"),
    "LabelMe's web page": (labelme_web, "LabelMe's old web page"),
    "CVAT elsewhere": (cvat_elsewhere, "an export of CVAT .*; call the file annotations.xml"),
    "Darwin": (darwin, "an export of V7 Darwin"),
    "MMSegmentation": (pairs_in("img_dir/train", "ann_dir/train"), "rename img_dir/ to images/ and ann_dir/ to masks/"),
    "ADE20K": (
        pairs_in("images/training", "annotations/training"),
        "ADE20K's layout .*; rename annotations/ to masks/",
    ),
    "nnU-Net": (pairs_in("imagesTr", "labelsTr"), "nnU-Net's layout"),
    "KITTI": (pairs_in("training/image_2", "training/semantic"), "KITTI's layout .*; write a list file"),
    "Mapillary": (pairs_in("training/images", "training/v2.0/labels"), "Mapillary Vistas .*; write a list file"),
    "other names": (
        pairs_in("Img", "mask"),
        r"under other names \(Img/ beside mask/\), .*; rename Img/ to images/ and",
    ),
    "other names in splits": (pairs_in("train/image", "train/label"), r"\(train/image/ beside train/label/\)"),
    "Parquet": (empty("data/train-0.parquet"), "Parquet"),
    "TFRecord": (empty("train.tfrecord-00000"), "TFRecords"),
    "numpy": (empty("train.npz"), "arrays of numpy"),
    "Labelbox": (empty("export.ndjson"), "Labelbox"),
    "masks beside images": (
        beside,
        r"masks beside their images \(a and a_mask\), which is not read; write a list file",
    ),
    "a table": (table, r"a table of files \(train\.csv\), .*; write a list file train\.txt .* separated by a tab"),
    "images of classes": (image_folders, r"images without masks or annotations \(train/, val/\)"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_layout_that_is_not_read_is_named(name: str, tmp_path: Path) -> None:
    make, message = FOREIGN[name]
    make(tmp_path)
    with pytest.raises(InputError, match=message) as error:
        recognise_layout(tmp_path)
    assert "\n" not in str(error.value) and "; " in str(error.value)


def test_masks_beside_yolo_files_are_read_with_a_warning(tmp_path: Path) -> None:
    for name in "ab":
        put_pair(tmp_path, f"images/{name}.png", f"masks/{name}.png")
        text(tmp_path / f"labels/{name}.txt", POLYGON)
    with pytest.warns(InputWarning, match=r"labels: holds YOLO's text files .* the masks are those of masks/; move"):
        assert len(open_source(tmp_path, "all")) == 2


def test_other_texts_beside_masks_are_nothing_to_tell(tmp_path: Path) -> None:
    put_pair(tmp_path, "images/a.png", "masks/a.png")
    text(tmp_path / "labels/notes.txt", "drawn in May")
    assert len(open_source(tmp_path, "all")) == 1


def test_labelme_files_in_the_folder_for_labels_are_read(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / f"images/{name}.jpg")
        shapes = [{"label": "cat", "points": [[2, 2], [9, 2], [9, 9]]}]
        fields = {"imagePath": f"../images/{name}.jpg", "imageWidth": 24, "imageHeight": 16, "shapes": shapes}
        text(tmp_path / f"labels/{name}.json", fields)
    assert recognise_layout(tmp_path) == "labelme"
    assert len(open_source(tmp_path, "all")) == 2


@pytest.mark.parametrize(
    ("images", "masks"), [("Images", "Masks"), ("images/Train", "LABELS/train"), ("Train/IMAGES", "Train/Masks")]
)
def test_folders_in_another_case_of_letters_are_read(images: str, masks: str, tmp_path: Path) -> None:
    for number in range(3):
        put_pair(tmp_path, f"{images}/{number}.PNG", f"{masks}/{number}.png")
    assert recognise_layout(tmp_path) == "folder"
    assert len(open_source(tmp_path, "all")) == 3
