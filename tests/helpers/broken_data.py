"""Data sets that are broken or odd in one way each, and what `data check` says; the page about it is made of them."""

import itertools
import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from helpers.datasets import image, mask
from helpers.formats import CSV, SQUARE, coco, colour_masks, cvat, labelme, voc
from numpy.typing import NDArray
from PIL import Image

from globalconv.labels import voc_palette

PAGE = Path(__file__).parents[2] / "docs" / "data-check.md"

SIZE = (40, 36)
NAMED = '["road", "tree", "sky"]'
TRAIN0, LABEL0 = "train/images/0.png", "train/labels/0.png"


@dataclass(frozen=True)
class Broken:
    """A data set, what is said of it, and the words (a regular expression) that must be among it."""

    about: str
    make: Callable[[Path], object]
    says: Literal["error", "warning", "note", "refused"]
    """"refused": there is nothing to report on, only this line."""
    words: str


def noise(seed: int) -> NDArray[np.uint8]:
    """Return an image of random blocks, unlike every other one."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return blocks.repeat(9, axis=0).repeat(8, axis=1)


def values(*columns: int) -> NDArray[np.uint8]:
    return np.tile(np.resize(np.array(columns, np.uint8), SIZE[0]), (SIZE[1], 1))


def clean(root: Path) -> Path:
    """Write five training and three validation samples of three classes, with nothing wrong."""
    orders = list(itertools.permutations((0, 1, 2, 255)))
    for split, numbers in (("train", range(5)), ("val", range(5, 8))):
        for number in numbers:
            mask(root / f"{split}/images/{number}.png", noise(number))
            mask(root / f"{split}/labels/{number}.png", values(*orders[number]))
    (root / "classes.json").write_text(NAMED)
    return root


def everywhere(root: Path, *columns: int) -> None:
    for path in root.glob("*/labels/*.png"):
        mask(path, values(*columns))


def _folder(about: str, change: Callable[[Path], object], says: Any, words: str) -> Broken:
    return Broken(about, lambda root: change(clean(root)), says, words)


def _write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def _grey_levels(root: Path) -> None:
    mask(root / LABEL0, np.tile(np.linspace(0, 250, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))


def _turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(0)).save(root / "train/images/0.jpg", exif=exif)
    (root / TRAIN0).unlink()


def _upside_down(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in root.glob("*/images/*.png"):
        with Image.open(path) as stored:
            stored.save(path, exif=exif)


def _levels(root: Path, share: float, offset: int = 0) -> None:
    for number, path in enumerate(sorted(root.glob("*/images/*.png"))):
        mask(path, (noise(number) * share + offset).astype(np.uint8))


def _specks(root: Path) -> None:
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        label = values(0).repeat(4, axis=0).repeat(4, axis=1)
        label[50:, number:], label[:40:5, :100:10] = 2, 1
        label[60:140, 40:140] = 1
        mask(path, label)
        mask(Path(str(path).replace("labels", "images")), noise(number).repeat(4, axis=0).repeat(4, axis=1))


def _two_masks_of_an_image(root: Path) -> None:
    shutil.copy(root / TRAIN0, root / "train/images/1.png")


def _images_as_masks(root: Path) -> None:
    _write(root, "classes.json", json.dumps([f"class {n}" for n in range(255)]))
    for number, path in enumerate(sorted(root.glob("*/images/*.png"))):
        for copy in (path, Path(str(path).replace("images", "labels"))):
            mask(copy, noise(number)[..., 0])


def _as_jpeg(root: Path) -> None:
    Image.fromarray(values(0, 1)).save(root / "train/labels/0.jpg")
    (root / LABEL0).unlink()


def _jpeg_in_tiff(root: Path) -> None:
    Image.fromarray(values(0, 1)).save(root / "train/labels/0.tif", compression="jpeg")
    (root / LABEL0).unlink()


def _reordered(root: Path, colours: list[tuple[int, int, int]]) -> None:
    """Save every second mask with the palette in another order, its pixels in the same colours."""
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        order = [0, 1, 2] if number % 2 else [2, 0, 1]
        stored = Image.fromarray(np.array(order, np.uint8)[values(0, 1, 2)], "P")
        stored.putpalette([channel for index in np.argsort(order) for channel in colours[index]])
        stored.save(path)


def _two_kinds_of_on(root: Path) -> None:
    _write(root, "classes.json", '["wall", "crack"]')
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        mask(path, values(0, 255 if number % 2 else 1))


def _cityscapes(root: Path) -> None:
    _write(root, "classes.json", json.dumps([f"class {n}" for n in range(19)]))
    everywhere(root, 7, 11, 26, 33)


def _train_ids(root: Path) -> None:
    _write(root, "classes.json", json.dumps([f"class {n}" for n in range(34)]))
    everywhere(root, *range(19), 255)


def _tolerance(root: Path) -> None:
    classes = [{"name": "road", "color": "#800000"}, {"name": "tree", "color": "#008000"}]
    _write(root, "classes.json", json.dumps({"classes": classes, "tolerance": 10}))
    for path in root.glob("*/labels/*.png"):
        colours = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        colours[..., 0], colours[:, :20] = 128, (0, 128, 0)
        colours[0, 0], colours[1, 1] = (5, 128, 0), (64, 64, 0)
        mask(path, colours)


def _deep(root: Path, factor: int) -> None:
    Image.fromarray(values(0, 1).astype(np.uint16) * factor).save(root / LABEL0)


def _bomb(root: Path) -> None:
    """Write the header of an image of 400 megapixels and nothing else."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (root / TRAIN0).write_bytes(start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


def _frames(root: Path) -> None:
    (root / TRAIN0).unlink()
    first, second = (Image.fromarray(noise(seed)) for seed in (0, 9))
    first.save(root / "train/images/0.tif", save_all=True, append_images=[second])


def _folder_as_image(root: Path) -> None:
    (root / TRAIN0).unlink()
    (root / TRAIN0).mkdir()


def _dangling(root: Path) -> None:
    (root / TRAIN0).unlink()
    (root / TRAIN0).symlink_to("nowhere.png")


def _small(root: Path) -> None:
    for number, path in enumerate(sorted(root.glob("*/images/*"))):
        mask(path, noise(number)[:20, :20])
    for path in root.glob("*/labels/*"):
        mask(path, values(0, 1, 2)[:20, :20])


def _listed(root: Path, train: str, val: str = "a/0.png b/0.png\n") -> None:
    for number in range(3):
        mask(root / f"a/{number}.png", noise(number))
        mask(root / f"b/{number}.png", values(0, 1))
    _write(root, "train.txt", train)
    _write(root, "val.txt", val)


def _empty_folders(root: Path) -> None:
    for name in ("images", "masks"):
        (root / name).mkdir()


def _for_viewing(root: Path) -> None:
    (clean(root) / "classes.json").unlink()
    everywhere(root, 0, 90)


def _voc_without_lists(root: Path) -> None:
    shutil.rmtree(voc(root) / "ImageSets")
    (root / "JPEGImages/2007_1.jpg").unlink()


def _two_categories(root: Path) -> None:
    content = json.loads((coco(root) / "annotations/instances_default.json").read_text())
    for split, name in (("train", "tree"), ("val", "shrub")):
        content["categories"][0]["name"] = name
        _write(root, f"annotations/instances_{split}.json", json.dumps(content))
    (root / "annotations/instances_default.json").unlink()


def _labelme_beside_splits(root: Path) -> None:
    for folder in (root, root / "train", root / "val"):
        labelme(folder)


def _object(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": 3, "image_id": 7, "category_id": 5, **fields}]


PAIRS = [
    _folder("an image without its mask", lambda r: (r / LABEL0).unlink(), "error", "1 image without a partner"),
    _folder("a mask without its image", lambda r: (r / TRAIN0).unlink(), "error", "1 label without a partner"),
    _folder("two images of one name", lambda r: image(r / "train/images/0.jpg"), "error", "has the same name"),
    _folder("a folder called 0.png", _folder_as_image, "error", "1 label without a partner"),
    _folder("a link to nowhere", _dangling, "error", "there is no such file"),
    _folder(
        "images in a folder of their own",
        lambda r: image(r / "new/7.png"),
        "note",
        "belong to no sample.* 1 in new",
    ),
    _folder("labels/ and masks/", lambda r: mask(r / "train/masks/0.png", values(0)), "refused", "both hold images"),
    Broken("nothing", lambda r: None, "refused", "no known layout"),
    Broken("empty folders", _empty_folders, "refused", "holds no images"),
]

FILES = [
    _folder("a truncated image", lambda r: _truncate(r / TRAIN0), "error", "cannot be decoded|no image"),
    _folder("a truncated mask", lambda r: _truncate(r / LABEL0), "error", "cannot be decoded|no image"),
    _folder("an empty file", lambda r: (r / TRAIN0).write_bytes(b""), "error", "the file is empty"),
    _folder("text for an image", lambda r: (r / TRAIN0).write_text("hi"), "error", "no image that Pillow"),
    _folder("400 megapixels", _bomb, "error", "looks like an attack on memory"),
    _folder("a TIFF of two pages", _frames, "note", "files of several frames or pages"),
    _folder("tiny images", _small, "warning", "less than 32 pixels"),
    _folder("a mask of another size", lambda r: mask(r / LABEL0, values(0)[:30]), "error", "is 40x30 but its image"),
    _folder("an image that only EXIF turns", _turned, "error", "width and height are swapped"),
    _folder("images that EXIF turns upside down", _upside_down, "warning", "EXIF turns 8 images whose size does not"),
    _folder("an image of one colour", lambda r: mask(r / TRAIN0, noise(0) * 0 + 7), "warning", "1 image of one colour"),
    _folder("images of 12 bits, written as if of 16", lambda r: _levels(r, 1 / 16), "warning", "are nearly black"),
    _folder("images that alpha makes white", lambda r: _levels(r, 1 / 20, 242), "warning", "are nearly white"),
    _folder("images in fog", lambda r: _levels(r, 1 / 20, 100), "warning", "are of hardly any contrast"),
    _folder("one photograph of the night", lambda r: mask(r / TRAIN0, noise(0) // 20), "note", "1 image nearly black"),
]

VALUES = [
    _folder("a value of no class", lambda r: mask(r / LABEL0, values(0, 7)), "error", r"in 1 of 8 masks: 7 \(720 pix"),
    _folder("ids from one", lambda r: everywhere(r, 1, 2, 3), "error", "shifted by one"),
    _folder("an undeclared border", lambda r: everywhere(r, 0, 1, 2, 3), "error", "undeclared border"),
    _folder("grey levels of a colour mask", _grey_levels, "error", "grey levels of a colour mask"),
    _folder("Cityscapes label ids for train ids", _cityscapes, "error", "Cityscapes label ids"),
    _folder("Cityscapes train ids for label ids", _train_ids, "warning", "masks look like Cityscapes train ids"),
    _folder("indices multiplied for viewing", lambda r: everywhere(r, 0, 120, 240), "error", "multiplied by 120"),
    _folder("instance ids", lambda r: _deep(r, 1001), "error", "instance ids"),
    _folder("0 and 255 for three classes", lambda r: everywhere(r, 0, 255), "error", "hold 0 and 255 only"),
    _folder("a colour mask, no colours", lambda r: mask(r / LABEL0, noise(3)), "error", "a colour mask .*classes.csv"),
    _folder(
        "indices saved as colour", lambda r: mask(r / LABEL0, values(0, 1)[..., None].repeat(3, 2)), "error",
        "three equal channels",
    ),
    _folder("a JPEG mask", _as_jpeg, "error", "a JPEG cannot hold labels"),
    _folder("a JPEG inside a TIFF mask", _jpeg_in_tiff, "error", "JPEG inside a TIFF cannot hold labels"),
    _folder(
        "palettes ordered file by file", lambda r: _reordered(r, [(0, 0, 0), (250, 0, 0), (0, 250, 0)]), "refused",
        r"index \d is .* in the palette of .* in that of .*; save all masks in one way",
    ),
    _folder("those in VOC's colours", lambda r: _reordered(r, [*voc_palette(3)]), "warning", "by their colours"),
    _folder("1 is on in some masks, 255 in others", _two_kinds_of_on, "refused", "holds 1, .* holds 0 and 255, and no"),
    _folder("smoothed edges, with a tolerance", _tolerance, "note", r"8 pixels \(0\.069%\) take the nearest"),
    Broken(
        "smoothed edges, no tolerance", lambda r: _write(colour_masks(r, (120, 60, 130)), "classes.csv", CSV),
        "error", "1 pixels .* have colours of no class",
    ),
    _folder("images for masks", _images_as_masks, "error", "8 of 8 masks are their images"),
    _folder("one class everywhere", lambda r: everywhere(r, 1, 255), "error", "every mask holds the class 'tree' only"),
    _folder("void everywhere", lambda r: everywhere(r, 255), "error", "every mask is void only"),
    _folder("specks", _specks, "note", r"fewer than 4 pixels \(tree 640 of 648\)"),
    _folder("one mask for many images", lambda r: everywhere(r, 0, 1, 2), "note", "beside more than one image"),
    _folder("void only", lambda r: mask(r / LABEL0, values(255)), "warning", "1 mask with void only"),
    Broken("masks drawn for viewing, no class list",
           _for_viewing, "refused",
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
    _folder("a class list with a gap", lambda r: _write(r, "classes.json", '[{"name": "a", "index": 1}]'), "refused",
            "number the classes"),
    _folder("a class list that is no JSON", lambda r: _write(r, "classes.json", "{"), "refused", "not a class list"),
    _folder("two class lists", lambda r: _write(r, "classes.csv", CSV), "refused", "keep one class list"),
    _folder("half a class", lambda r: _write(r, "classes.json", '[{"name": "a", "index": 0.5}]'), "refused",
            "give a whole number"),
    _folder("300 classes", lambda r: _write(r, "classes.json", json.dumps([*map(str, range(300))])), "refused",
            "300 classes; a label map holds at most 255"),
    Broken("a comma too many", lambda r: _write(colour_masks(r), "classes.csv", "name,index\nroad, wet,0\n"), "refused",
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
    _folder("the same image twice, with different masks", _two_masks_of_an_image, "warning", "with different masks"),
    _folder("neighbouring frames of a film",
            lambda r: mask(r / "val/images/6.png", np.clip(noise(0).astype(int) + 3, 0, 255).astype(np.uint8)),
            "warning", "1 of 3 images outside"),
    Broken("a single image", lambda r: (mask(r / "images/0.png", noise(0)), mask(r / "labels/0.png", values(0, 1))),
           "error", "a single image, which cannot be divided"),
]  # fmt: skip

LISTS = [
    Broken("a list that names a missing file", lambda r: _listed(r, "a/1.png b/1.png\na/2.png b/9.png\n"), "error",
           r"train\.txt:2: there is no file"),
    Broken("a list of three words a line", lambda r: _listed(r, "a/1.png b/1.png\nmy a/2.png b/2.png\n"), "error",
           "3 words where 'image label' is expected"),
    Broken("an image listed twice", lambda r: _listed(r, "a/1.png b/1.png\na/1.png b/1.png\n"), "error", "as line 1"),
    Broken("an image in both lists", lambda r: _listed(r, "a/0.png b/0.png\na/1.png b/1.png\n"), "error",
           "in more than one split"),
    Broken("an image in no list", lambda r: _listed(r, "a/1.png b/1.png\n"), "note", "belong to no sample"),
    Broken("VOC: a listed image without its mask", lambda r: (voc(r) / "SegmentationClass/2007_1.png").unlink(),
           "error", "has no '2007_1', which the split 'train' lists"),
    Broken("VOC without lists: a mask without its image",
           _voc_without_lists, "error",
           "1 label without a partner"),
]  # fmt: skip

DRAWN = [
    Broken("labelme: the image is missing", lambda r: (labelme(r) / "a.jpg").unlink(), "error",
           "its image 'a.jpg' is not there"),
    Broken("labelme: an image nobody drew on", lambda r: image(labelme(r) / "c.jpg"), "warning",
           "belong to no sample"),
    Broken("labelme: a damaged JSON", lambda r: _write(labelme(r), "a.json", "{"), "error", "cannot be read as JSON"),
    Broken("labelme: drawn on the unturned image", lambda r: labelme(r, imageWidth=16, imageHeight=24), "error",
           "annotation is 16x24 .* width and height are swapped"),
    Broken("labelme: a class that is not listed", lambda r: _write(labelme(r), "labels.txt", "_background_\ntree\n"),
           "error", "class 'car' is not in the class list"),
    Broken("labelme: an unknown shape",
           lambda r: labelme(r, shapes=[{"label": "x", "shape_type": "spline", "points": SQUARE}]), "error",
           "shape of kind 'spline'"),
    Broken("labelme: files beside the folders of splits", _labelme_beside_splits, "error", "beside the folders of the"),
    Broken("labelme: nothing drawn at all", lambda r: labelme(r, shapes=[]), "refused", "nothing is drawn"),
    Broken("COCO: the image is missing", lambda r: (coco(r) / "images/a.jpg").unlink(), "error",
           "its image 'a.jpg' is not there"),
    Broken("COCO: an image without any object", coco, "warning", "1 of 2 images without any shape"),
    Broken("COCO: a box and no outline", lambda r: coco(r, annotations=_object(bbox=[0, 0, 3, 3])), "error",
           "a box and no outline"),
    Broken("COCO: a category that is not listed", lambda r: coco(r, annotations=_object(category_id=99)), "refused",
           "category_id 99"),
    Broken("COCO: damaged run lengths",
           lambda r: coco(r, annotations=_object(segmentation={"size": [16, 24], "counts": [9, 100]})), "error",
           "run lengths of 109 pixels"),
    Broken("COCO: splits of different categories", _two_categories, "refused",
           "category 30 is 'shrub' here and 'tree'"),
    Broken("CVAT: a cuboid", lambda r: cvat(r, '<cuboid label="car" xtl1="0"/>'), "error", "covers no known pixels"),
    Broken("CVAT: the image is missing", lambda r: (cvat(r, "") / "images/a.jpg").unlink(), "error", "is not there"),
    Broken("CVAT: a damaged file", lambda r: cvat(r, "<polygon"), "refused", "cannot be read as XML"),
]  # fmt: skip

PARTS = {
    "Pairs": PAIRS,
    "Files and sizes": FILES,
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
