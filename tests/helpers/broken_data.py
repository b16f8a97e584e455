"""Data sets that are broken or odd in one way each, and what `data check` says; the page about it is made of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from helpers.breaking import (
    LABEL0,
    TRAIN0,
    add_alpha,
    as_jpeg,
    blank_in_name,
    bomb,
    cityscapes,
    clean,
    coco_groups,
    coco_images,
    dangling,
    deep,
    deepen,
    deepen_all_but_one,
    empty_folders,
    everywhere,
    exchanged_paths,
    folder_as_image,
    for_viewing,
    frames,
    grey,
    grey_levels,
    images_as_masks,
    jpeg_in_tiff,
    labelme_beside_splits,
    levels,
    listed,
    mask_pages,
    noise,
    one_object,
    pipe,
    reordered,
    small,
    smeared,
    specks,
    tolerance,
    train_ids,
    truncate,
    turned,
    two_categories,
    two_kinds_of_on,
    two_masks_of_an_image,
    upside_down,
    values,
    voc_without_lists,
    write,
    yolo_beside,
)
from helpers.datasets import image, mask
from helpers.formats import CSV, SQUARE, coco, colour_masks, cvat, labelme, voc
from PIL import Image

from globalconv.labels import voc_palette

PAGE = Path(__file__).parents[2] / "docs" / "data-check.md"


@dataclass(frozen=True)
class Broken:
    """A data set, what is said of it, and the words (a regular expression) that must be among it."""

    about: str
    make: Callable[[Path], object]
    says: Literal["error", "warning", "note", "refused"]
    """"refused": there is nothing to report on, only this line."""
    words: str


def _folder(about: str, change: Callable[[Path], object], says: Any, words: str) -> Broken:
    return Broken(about, lambda root: change(clean(root)), says, words)


PAIRS = [
    _folder("an image without its mask", lambda r: (r / LABEL0).unlink(), "error", "1 image without a partner"),
    _folder("a mask without its image", lambda r: (r / TRAIN0).unlink(), "error", "1 label without a partner"),
    _folder("two images of one name", lambda r: image(r / "train/images/0.jpg"), "error", "has the same name"),
    _folder("a folder called 0.png", folder_as_image, "error", "1 label without a partner"),
    _folder("a link to nowhere", dangling, "error", "there is no such file"),
    _folder("a pipe called 0.png", pipe, "error", "0.png: is not a file"),
    _folder(
        "a photograph of a telephone", lambda r: (r / "train/images/9.heic").touch(), "warning", "not read, and that"
    ),
    _folder("YOLO's text files beside the masks", yolo_beside, "warning", "holds YOLO's text files"),
    _folder(
        "images in a folder of their own",
        lambda r: image(r / "new/7.png"),
        "note",
        "belong to no sample.* 1 in new",
    ),
    _folder("labels/ and masks/", lambda r: mask(r / "train/masks/0.png", values(0)), "refused", "both hold images"),
    Broken("nothing", lambda r: None, "refused", "no known layout"),
    Broken("empty folders", empty_folders, "refused", "holds no images"),
]

IMAGES = [
    _folder("12 bits in more", lambda r: deepen(r, 16), "note", "4095 becomes white in all of them"),
    _folder("pixels without data", lambda r: deepen(r, 99, -999), "error", "negative values, down to -"),
    _folder("8 bits among more", deepen_all_but_one, "warning", "1 of 8 images have 8 bits"),
    _folder("alpha 0 everywhere", lambda r: add_alpha(r, lambda n: 0 * grey(n)), "warning", "one value of alpha"),
    _folder("infrared as alpha", lambda r: add_alpha(r, lambda n: grey(n + 50)), "warning", "an infrared band's"),
    _folder("transparent pixels", lambda r: add_alpha(r, lambda n: 255 * (grey(n) > 90)), "note", "have transparent"),
]

FILES = [
    _folder("a truncated image", lambda r: truncate(r / TRAIN0), "error", "cannot be decoded|no image"),
    _folder("a truncated mask", lambda r: truncate(r / LABEL0), "error", "cannot be decoded|no image"),
    _folder("an empty file", lambda r: (r / TRAIN0).write_bytes(b""), "error", "the file is empty"),
    _folder("text for an image", lambda r: (r / TRAIN0).write_text("hi"), "error", "no image that Pillow"),
    _folder("400 megapixels", bomb, "error", "looks like an attack on memory"),
    _folder("a TIFF of two pages", frames, "note", "files of several frames or pages"),
    _folder("a mask of two pages", mask_pages, "warning", "1 mask in files of several frames or pages"),
    _folder("tiny images", small, "warning", "less than 32 pixels"),
    _folder("a mask of another size", lambda r: mask(r / LABEL0, values(0)[:30]), "error", "is 40x30 but its image"),
    _folder("an image that only EXIF turns", turned, "error", "width and height are swapped"),
    _folder("images that EXIF turns upside down", upside_down, "warning", "EXIF turns 8 images whose size does not"),
    _folder("an image of one colour", lambda r: mask(r / TRAIN0, noise(0) * 0 + 7), "warning", "1 image of one colour"),
    _folder("images of 12 bits, written as if of 16", lambda r: levels(r, 1 / 16), "warning", "are nearly black"),
    _folder("images that alpha makes white", lambda r: levels(r, 1 / 20, 242), "warning", "are nearly white"),
    _folder("images in fog", lambda r: levels(r, 1 / 20, 100), "warning", "are of hardly any contrast"),
    _folder("one photograph of the night", lambda r: mask(r / TRAIN0, noise(0) // 20), "note", "1 image nearly black"),
]

VALUES = [
    _folder("a value of no class", lambda r: mask(r / LABEL0, values(0, 7)), "error", r"in 1 of 8 masks: 7 \(720 pix"),
    _folder("ids from one", lambda r: everywhere(r, 1, 2, 3), "error", "shifted by one"),
    _folder("an undeclared border", lambda r: everywhere(r, 0, 1, 2, 3), "error", "undeclared border"),
    _folder("grey levels of a colour mask", grey_levels, "error", "grey levels of a colour mask"),
    _folder("Cityscapes label ids for train ids", cityscapes, "error", "Cityscapes label ids"),
    _folder("Cityscapes train ids for label ids", train_ids, "warning", "masks look like Cityscapes train ids"),
    _folder("indices multiplied for viewing", lambda r: everywhere(r, 0, 120, 240), "error", "multiplied by 120"),
    _folder("instance ids", lambda r: deep(r, 1001), "error", "instance ids"),
    _folder("0 and 255 for three classes", lambda r: everywhere(r, 0, 255), "error", "hold 0 and 255 only"),
    _folder("a colour mask, no colours", lambda r: mask(r / LABEL0, noise(3)), "error", "a colour mask .*classes.csv"),
    _folder(
        "indices saved as colour", lambda r: mask(r / LABEL0, values(0, 1)[..., None].repeat(3, 2)), "error",
        "three equal channels",
    ),
    _folder("a JPEG mask", as_jpeg, "error", "a JPEG cannot hold labels"),
    _folder("a JPEG inside a TIFF mask", jpeg_in_tiff, "error", "JPEG inside a TIFF cannot hold labels"),
    _folder(
        "palettes ordered file by file", lambda r: reordered(r, [(0, 0, 0), (250, 0, 0), (0, 250, 0)]), "refused",
        r"index \d is .* in the palette of .* in that of .*; save all masks in one way",
    ),
    _folder("those in VOC's colours", lambda r: reordered(r, [*voc_palette(3)]), "warning", "by their colours"),
    _folder("1 is on in some masks, 255 in others", two_kinds_of_on, "refused", "holds 1, .* holds 0 and 255, and no"),
    _folder("smoothed edges, with a tolerance", tolerance, "note", r"8 pixels \(0\.069%\) take the nearest"),
    Broken(
        "smoothed edges, no tolerance", lambda r: write(colour_masks(r, (120, 60, 130)), "classes.csv", CSV),
        "error", "1 pixels .* have colours of no class",
    ),
    _folder("images for masks", images_as_masks, "error", "8 of 8 masks are their images"),
    _folder("one class everywhere", lambda r: everywhere(r, 1, 255), "error", "every mask holds the class 'tree' only"),
    _folder("void everywhere", lambda r: everywhere(r, 255), "error", "every mask is void only"),
    _folder("masks saved as JPEG and then as PNG", smeared, "warning", "classes are lines without an inside"),
    _folder("specks", specks, "note", r"fewer than 4 pixels \(tree 640 of 648\)"),
    _folder("one mask for many images", lambda r: everywhere(r, 0, 1, 2), "note", "beside more than one image"),
    _folder("void only", lambda r: mask(r / LABEL0, values(255)), "warning", "1 mask with void only"),
    Broken("masks drawn for viewing, no class list",
           for_viewing, "refused",
           "hold the values 0, 90 .*, which are not the indices"),
]  # fmt: skip

CLASSES = [
    _folder("a class that never occurs", lambda r: everywhere(r, 0, 1), "warning", "never occur: sky"),
    _folder(
        "a class only in val", lambda r: [mask(p, values(0, 1)) for p in r.glob("train/labels/*")], "error",
        "outside the training split only: sky",
    ),
    _folder(
        "a class only in train", lambda r: [mask(p, values(0, 1)) for p in r.glob("val/labels/*")], "warning",
        "training split only: sky",
    ),
    _folder("a class list with a gap", lambda r: write(r, "classes.json", '[{"name": "a", "index": 1}]'), "refused",
            "number the classes"),
    _folder("a class list that is no JSON", lambda r: write(r, "classes.json", "{"), "refused", "not a class list"),
    _folder("two class lists", lambda r: write(r, "classes.csv", CSV), "refused", "keep one class list"),
    _folder("half a class", lambda r: write(r, "classes.json", '[{"name": "a", "index": 0.5}]'), "refused",
            "give a whole number"),
    _folder("300 classes", lambda r: write(r, "classes.json", json.dumps([*map(str, range(300))])), "refused",
            "300 classes; a label map holds at most 255"),
    Broken("a comma too many", lambda r: write(colour_masks(r), "classes.csv", "name,index\nroad, wet,0\n"), "refused",
           "line 2 has 3 values"),
]  # fmt: skip

SPLITS = [
    _folder("the same file in two splits", lambda r: shutil.copy(r / TRAIN0, r / "val/images/6.png"), "error",
            "1 image in more than one split"),
    _folder("the same image, another file",
            lambda r: Image.open(r / TRAIN0).save(r / "val/images/6.png", compress_level=1), "error",
            "train: train/0 = val: val/6"),
    _folder("the same image twice in a split", lambda r: shutil.copy(r / TRAIN0, r / "train/images/1.png"), "warning",
            "twice in a split"),
    _folder("the same image twice, with different masks", two_masks_of_an_image, "warning", "with different masks"),
    _folder("neighbouring frames of a film",
            lambda r: mask(r / "val/images/6.png", np.clip(noise(0).astype(int) + 3, 0, 255).astype(np.uint8)),
            "warning", "1 of 3 images outside"),
    Broken("a single image", lambda r: (mask(r / "images/0.png", noise(0)), mask(r / "labels/0.png", values(0, 1))),
           "error", "a single image, which cannot be divided"),
]  # fmt: skip

LISTS = [
    Broken("a list that names a missing file", lambda r: listed(r, "a/1.png b/1.png\na/2.png b/9.png\n"), "error",
           r"train\.txt:2: there is no file"),
    Broken("a list of three words a line", lambda r: listed(r, "a/1.png b/1.png\nmy a/2.png b/2.png\n"), "error",
           "3 words where 'image label' is expected"),
    Broken("an image listed twice", lambda r: listed(r, "a/1.png b/1.png\na/1.png b/1.png\n"), "error", "as line 1"),
    Broken("an image in both lists", lambda r: listed(r, "a/0.png b/0.png\na/1.png b/1.png\n"), "error",
           "in more than one split"),
    Broken("an image in no list", lambda r: listed(r, "a/1.png b/1.png\n"), "note", "belong to no sample"),
    Broken("VOC: a listed image without its mask", lambda r: (voc(r) / "SegmentationClass/2007_1.png").unlink(),
           "error", "has no '2007_1', which the split 'train' lists"),
    Broken("VOC without lists: a mask without its image",
           voc_without_lists, "error",
           "1 label without a partner"),
]  # fmt: skip

DRAWN = [
    Broken("labelme: the image is missing", lambda r: (labelme(r) / "a.jpg").unlink(), "error",
           "its image 'a.jpg' is not there"),
    Broken("labelme: an image nobody drew on", lambda r: image(labelme(r) / "c.jpg"), "warning",
           "belong to no sample"),
    Broken("labelme: a damaged JSON", lambda r: write(labelme(r), "a.json", "{"), "error", "cannot be read as JSON"),
    Broken("labelme: drawn on the unturned image", lambda r: labelme(r, imageWidth=16, imageHeight=24), "error",
           "annotation is 16x24 .* width and height are swapped"),
    Broken("labelme: a class that is not listed", lambda r: write(labelme(r), "labels.txt", "_background_\ntree\n"),
           "error", "class 'car' is not in the class list"),
    Broken("labelme: an unknown shape",
           lambda r: labelme(r, shapes=[{"label": "x", "shape_type": "spline", "points": SQUARE}]), "error",
           "shape of kind 'spline'"),
    Broken("labelme: files beside the folders of splits", labelme_beside_splits, "error", "beside the folders of the"),
    Broken("labelme: nothing drawn at all", lambda r: labelme(r, shapes=[]), "refused", "nothing is drawn"),
    Broken("COCO: the image is missing", lambda r: (coco(r) / "images/a.jpg").unlink(), "error",
           "its image 'a.jpg' is not there"),
    Broken("COCO: an image without any object", coco, "warning", "1 of 2 images without any shape"),
    Broken("COCO: a box and no outline", lambda r: coco(r, annotations=one_object(bbox=[0, 0, 3, 3])), "error",
           "a box and no outline"),
    Broken("COCO: a category that is not listed", lambda r: coco(r, annotations=one_object(category_id=99)), "refused",
           "category_id 99"),
    Broken("COCO: damaged run lengths",
           lambda r: coco(r, annotations=one_object(segmentation={"size": [16, 24], "counts": [9, 100]})), "error",
           "run lengths of 109 pixels"),
    Broken("COCO: splits of different categories", two_categories, "refused",
           "category 30 is 'shrub' here and 'tree'"),
    Broken("COCO: an image id of two images", lambda r: coco(r, images=coco_images(7, 7)), "refused",
           "the image id 7 is that of 'a.jpg' and of 'b.jpg'"),
    Broken("COCO: a category id of two categories",
           lambda r: coco(r, categories=[{"id": 5, "name": "car"}, {"id": 5, "name": "bus"}]), "refused",
           "the category id 5 is that of 'car' and of 'bus'"),
    Broken("COCO: ids as text in one place", lambda r: coco(r, images=coco_images("7", "9")), "warning",
           "2 of 2 annotations have ids as text"),
    Broken("COCO: objects of an image that is not listed", lambda r: coco(r, images=coco_images(9)), "error",
           "objects on images that it does not list"),
    Broken("COCO: an image of 60000x60000 by its word",
           lambda r: coco(r, images=coco_images(7, width=60000, height=60000)), "error",
           "the annotation is 60000x60000 but its image"),
    Broken("COCO: run lengths of another size",
           lambda r: coco(r, annotations=one_object(segmentation={"size": [24, 16], "counts": [0, 384]})), "error",
           "height and width are exchanged"),
    Broken("COCO: a box written as a polygon", lambda r: coco(r, annotations=one_object(segmentation=[[1, 1, 5, 5]])),
           "error", "a polygon of 4 numbers, as a box has them"),
    Broken("COCO: fractions, no pixels", lambda r: coco(r, annotations=one_object(segmentation=[[0, 0, 1, 0, 1, 0.5]])),
           "error", "as if in fractions of the image"),
    Broken("COCO: paths of another machine", lambda r: coco(r, images=coco_images(7, 9, folder="C:\\data\\")),
           "warning", "2 of 2 images are not where the annotations say"),
    Broken("COCO: a category that only groups others", coco_groups, "note", "only group others"),
    Broken("labelme: imagePath is another image", exchanged_paths, "warning", "2 annotations have an imagePath"),
    Broken("labelme: classes that differ by a blank", blank_in_name, "warning", "'tree' .1 shape., 'tree ' .1 shape."),
    Broken("labelme: a rectangle of three points",
           lambda r: labelme(r, shapes=[{"label": "x", "shape_type": "rectangle", "points": SQUARE[:3]}]), "error",
           "a rectangle of class 'x' has 3 points"),
    Broken("labelme: two annotations of one image", lambda r: shutil.copy(labelme(r) / "a.json", r / "c.json"), "error",
           "annotate each image once"),
    Broken("labelme: JSON of another tool", lambda r: write(labelme(r), "project.json", "{}"), "note",
           "JSON files that are no annotations of labelme"),
    Broken("CVAT: a cuboid", lambda r: cvat(r, '<cuboid label="car" xtl1="0"/>'), "error", "covers no known pixels"),
    Broken("CVAT: the image is missing", lambda r: (cvat(r, "") / "images/a.jpg").unlink(), "error", "is not there"),
    Broken("CVAT: a damaged file", lambda r: cvat(r, "<polygon"), "refused", "cannot be read as XML"),
]  # fmt: skip

PARTS = {
    "Pairs": PAIRS,
    "Files and sizes": FILES,
    "Depth and alpha": IMAGES,
    "Values and colours": VALUES,
    "Classes": CLASSES,
    "Splits": SPLITS,
    "Lists and VOC": LISTS,
    "Drawn annotations": DRAWN,
}
CORPUS = [broken for part in PARTS.values() for broken in part]


def page(lines: dict[str, str]) -> str:
    """Return the page of what is said of every data set (about -> line)."""
    tables = [
        f"## {title}\n\n| data set | says | line |\n|---|---|---|\n"
        + "".join(f"| {broken.about} | {broken.says} | {lines[broken.about]} |\n" for broken in part)
        for title, part in PARTS.items()
    ]
    return (
        "# What `data check` says of broken data\n\n"
        "The test suite makes every one of these data sets and checks it; this page is its result:\n"
        "`UPDATE_PAGES=1 make unit ARGS=tests/jobs/test_check_data.py`. The line is the one about what is broken; a\n"
        'data set may get more. "refused" means that nothing can be reported on: the line comes alone, with exit\n'
        'code 2, which any "error" gives too. Names of samples are left out: the check lists the first five, `--json`\n'
        "all.\n\n" + "\n".join(tables)
    )
