"""Miniatures of the official data sets, in exactly the layouts in which they are unpacked.

Every builder writes its tree below a common root and returns the folder of the data set itself: `root/VOCdevkit`,
`root/benchmark_RELEASE`, `root/coco`, `root/cityscapes`, `root/imagenet`. Images are windows of the VOC samples and
of CamVid's frames in the folder that GLOBALCONV_DATA names, else generated scenes under the classes' names; masks have
void strips between classes, as VOC's have.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import io, ndimage, sparse

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.data.roots import Root
from globalconv.data.scenes.scene import draw_scene
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.labels import VOC

VOC_TRAIN = ("2007_000001", "2007_000002", "2007_000003", "2007_000004")
VOC_VAL = ("2007_000005", "2007_000006", "2007_000007")
VOC_TEST = ("2008_100001", "2008_100002")
SBD_TRAIN = ("2008_000011", "2008_000012", "2008_000013", "2007_000001", "2007_000005")
SBD_VAL = ("2008_000014", "2007_000002", "2007_000006")
"""Of the eight, two are VOC's to train on and two VOC's to validate on: VOC + SBD is 8 images."""

COCO_IDS = {
    0: 0, 1: 5, 2: 2, 3: 16, 4: 9, 5: 44, 6: 6, 7: 3, 8: 17, 9: 62, 10: 21, 11: 67, 12: 18, 13: 19, 14: 4, 15: 1,
    16: 64, 17: 20, 18: 63, 19: 7, 20: 72,
}  # fmt: skip
"""VOC index -> COCO category id, typed a second time so that a mistake in the program's own table shows."""

COCO_NEEDED = "pycocotools is optional"
"""Why a test of outlines is skipped."""

APPLE, BENCH = 53, 15
"""Categories that are none of VOC's."""

CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 9: "boat", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 44: "bottle", 53: "apple", 62: "chair",
    63: "couch", 64: "potted plant", 67: "dining table", 72: "tv",
}  # fmt: skip
"""The categories that occur, under COCO's ids and names."""

CITIES = {
    "train": ("aachen_000000_000019", "aachen_000001_000019", "bochum_000000_000313", "bochum_000000_000600"),
    "val": ("frankfurt_000000_000294", "frankfurt_000001_083852", "munster_000000_000019"),
    "test": ("berlin_000000_000019", "bonn_000000_000019"),
    "train_extra": ("augsburg_000000_000000", "augsburg_000000_000001", "bad-honnef_000000_000000"),
}

CAMVID_TO_CITYSCAPES = (23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 33, 0)
"""CamVid's indices (11 is unlabelled) -> Cityscapes' label ids."""

SCENES_TO_CITYSCAPES = (7, 17, 33, 20, 24, 21, 23, 26, 11)
SCENES_TO_VOC = (0, 5, 15, 2, 9, 16, 8, 7, 18)


@dataclass(frozen=True)
class Sample:
    """An image (H, W, 3) and its map (H, W) of class indices, without void."""

    image: Uint8Array
    label_map: Uint8Array


def voc_tree(root: Path, size: tuple[int, int] = (96, 72), strip: int = 1) -> Path:
    """Write VOC 2012: 4 images to train on, 3 to validate, 2 to test without masks, one that no list names."""
    base = root / "VOCdevkit/VOC2012"
    listed = (*VOC_TRAIN, *VOC_VAL)
    for number, (name, sample) in enumerate(zip(listed, voc_samples(len(listed), size), strict=True)):
        _photograph(base / f"JPEGImages/{name}.jpg", sample.image)
        _palette_png(base / f"SegmentationClass/{name}.png", with_strips(sample.label_map, strip))
        _palette_png(base / f"SegmentationObject/{name}.png", np.where(sample.label_map > 0, 1 + number % 2, 0))
    for name, sample in zip((*VOC_TEST, "2012_004331"), voc_samples(3, size, first=100), strict=True):
        _photograph(base / f"JPEGImages/{name}.jpg", sample.image)
    lists = {"train": VOC_TRAIN, "val": VOC_VAL, "trainval": listed, "test": VOC_TEST}
    for split, names in lists.items():
        _list(base / f"ImageSets/Segmentation/{split}.txt", names)
    _list(base / "ImageSets/Main/train.txt", listed)
    return root / "VOCdevkit"


def sbd_tree(root: Path, size: tuple[int, int] = (96, 72)) -> Path:
    """Write SBD: 5 + 3 images, four of them VOC's as well, under maps without VOC's void strips."""
    base = root / "benchmark_RELEASE/dataset"
    ids = (*VOC_TRAIN, *VOC_VAL, *sorted({*SBD_TRAIN, *SBD_VAL} - {*VOC_TRAIN, *VOC_VAL}))
    for name, sample in zip(ids, voc_samples(len(ids), size), strict=True):
        if name in (*SBD_TRAIN, *SBD_VAL):
            _photograph(base / f"img/{name}.jpg", sample.image)
            _mat(base / f"cls/{name}.mat", sample.label_map)
    _list(base / "train.txt", SBD_TRAIN)
    _list(base / "val.txt", SBD_VAL)
    return root / "benchmark_RELEASE"


def coco_tree(root: Path, size: tuple[int, int] = (96, 72), year: int = 2017, train: int = 6, val: int = 3) -> Path:
    """Write COCO's instances: outlines, one crowd as run lengths, a small object, one image of apples only.

    The first training image holds two objects of different classes that overlap and a crowd, the second only apples,
    the third a person of 9 pixels beside what is there.
    """
    base = root / "coco"
    samples = voc_samples(train + val, size, first=50)
    for split, chosen in (("train", samples[:train]), ("val", samples[train:])):
        images, annotations = [], []
        for number, sample in enumerate(chosen, start=1):
            identifier = 9 * number + (500 if split == "val" else 0)
            name = f"{identifier:012}.jpg" if year == 2017 else f"COCO_{split}{year}_{identifier:012}.jpg"
            _photograph(base / f"{split}{year}/{name}", sample.image)
            images.append({"id": identifier, "file_name": name, "width": size[0], "height": size[1], "license": 1})
            of_image = objects(sample.label_map, identifier)
            if split == "train" and number <= 3:
                of_image = _special(number, of_image, identifier, size)
            annotations += of_image
        for number, annotation in enumerate(annotations):
            annotation["id"] = 1000 + number
        categories = [{"id": i, "name": name, "supercategory": "things"} for i, name in sorted(CATEGORIES.items())]
        content = {"info": {"year": year}, "licenses": [], "images": images, "annotations": annotations}
        file = base / f"annotations/instances_{split}{year}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**content, "categories": categories}))
    return base


def cityscapes_tree(root: Path, size: tuple[int, int] = (128, 64), fine: bool = True) -> Path:
    """Write Cityscapes: 4 / 3 / 2 fine images (without masks where not `fine`), 3 of train_extra, all coarse too."""
    base = root / "cityscapes"
    names = [(split, name) for split, named in CITIES.items() for name in named]
    for (split, name), sample in zip(names, street_samples(len(names), size), strict=True):
        place = f"{split}/{name.split('_')[0]}/{name}"
        path = base / f"leftImg8bit/{place}_leftImg8bit.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.image).save(path)
        ids = np.full_like(sample.label_map, 3) if split == "test" else _with_car_and_border(sample.label_map)
        if fine and split != "train_extra":
            _grey_png(base / f"gtFine/{place}_gtFine_labelIds.png", ids)
        if split != "test":
            coarse = np.where(with_strips(ids, size[1] // 32) == 255, 0, ids)
            _grey_png(base / f"gtCoarse/{place}_gtCoarse_labelIds.png", coarse)
    return base


def imagenet_tree(root: Path, size: tuple[int, int] = (80, 64), train: int = 4, val: int = 2) -> Path:
    """Write a classification folder of three classes, each with `train` and `val` images."""
    base = root / "imagenet"
    for place, synset in enumerate(("n01440764", "n01443537", "n01484850")):
        for number, sample in enumerate(voc_samples(train + val, size, first=200 + 20 * place)):
            split, name = ("train", f"{synset}_{number}") if number < train else ("val", f"ILSVRC2012_val_{number:08}")
            image = sample.image.copy()
            image[..., place] //= 2  # so that classes differ
            _photograph(base / f"{split}/{synset}/{name}.JPEG", image)
    return base


def names(source: Source) -> list[str]:
    return [source.sample_name(index) for index in range(len(source))]


def refused(root: Root, split: str, said: str, read: bool = True) -> None:
    """Check that a split is refused, when it is opened or read, in one line that has `said`."""
    with pytest.raises(InputError, match=said) as error:
        source = open_source(root, split)
        for index in range(len(source) if read else 0):
            source.image(index)
            source.label_map(index)
    assert "\n" not in str(error.value)


def voc_samples(count: int, size: tuple[int, int], first: int = 0) -> list[Sample]:
    """Return images of (width, height) with maps of VOC's classes; number n is always the same one."""
    folder = Path(os.environ.get("GLOBALCONV_DATA") or "-") / "voc-sample"
    if not folder.is_dir():
        return [_scene(first + number, size, SCENES_TO_VOC) for number in range(count)]
    photographs = []
    for mask in sorted((folder / "SegmentationClass").glob("*.png")):
        with Image.open(folder / f"JPEGImages/{mask.stem}.jpg") as image, Image.open(mask) as stored:
            labels = np.asarray(stored)
            photographs.append(Sample(np.asarray(image.convert("RGB")), np.where(labels == 255, 0, labels)))
    return [
        _window(photographs[number % len(photographs)], size, number, share=0.6)
        for number in range(first, first + count)
    ]


def street_samples(count: int, size: tuple[int, int]) -> list[Sample]:
    """Return images of (width, height) with maps of Cityscapes' label ids."""
    folder = Path(os.environ.get("GLOBALCONV_DATA") or "-") / "CamVid"
    if not folder.is_dir():
        return [_scene(number, size, SCENES_TO_CITYSCAPES) for number in range(count)]
    frames = sorted((folder / "train").iterdir())[::23]
    samples = []
    for number in range(count):
        frame = frames[number % len(frames)]
        with Image.open(frame) as image, Image.open(folder / f"trainannot/{frame.stem}.png") as stored:
            ids = np.array(CAMVID_TO_CITYSCAPES, np.uint8)[np.asarray(stored)]
            samples.append(_window(Sample(np.asarray(image.convert("RGB")), ids), size, number, share=0.9))
    return samples


def with_strips(label_map: Uint8Array, width: int) -> Uint8Array:
    """Return the map with void (255) strips of 2 x `width` pixels between classes, as VOC draws them."""
    side = 2 * width + 1
    least, most = ndimage.minimum_filter(label_map, side), ndimage.maximum_filter(label_map, side)
    return np.where(least == most, label_map, 255).astype(np.uint8)


def objects(label_map: Uint8Array, image: int) -> list[dict[str, Any]]:
    """Return COCO's annotations of a map of VOC's classes: one object per connected part, outlined."""
    of_image = []
    for value in sorted({*np.unique(label_map).tolist()} - {0}):
        numbered, count = ndimage.label(label_map == value)
        for number in range(1, count + 1):
            part = numbered == number
            if part.sum() >= 30:
                of_image.append(_object(image, COCO_IDS[value], _outlines(part), int(part.sum())))
    return of_image


def _object(image: int, category: int, segmentation: Any, area: int, crowd: int = 0) -> dict[str, Any]:
    return {
        "image_id": image, "category_id": category, "segmentation": segmentation, "area": area, "iscrowd": crowd,
        "bbox": [0, 0, 1, 1],
    }  # fmt: skip


def _special(number: int, of_image: list[dict[str, Any]], image: int, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the annotations of an image that has what ordinary ones lack (see `coco_tree`)."""
    width, height = size
    if number == 2:
        return [_object(image, APPLE, [[4, 4, 30, 4, 30, 25, 4, 25]], 546)]
    if number == 3:
        return [*of_image, _object(image, 1, [[40, 40, 43, 40, 43, 43, 40, 43]], 9)]
    crowd = np.zeros((height, width), np.uint8)
    crowd[height // 2 :, : width // 3] = 1
    left, right = ([[x, 10, x + 30, 10, x + 30, 40, x, 40]] for x in (20, 35))
    return [
        _object(image, 18, left, 900),
        _object(image, BENCH, [[10, 8, 60, 8, 60, 20]], 300),
        _object(image, 63, right, 900),
        _object(image, 1, {"size": [height, width], "counts": _run_lengths(crowd)}, int(crowd.sum()), 1),
        _object(image, 1, [[2, height - 20, 20, height - 20, 20, height - 4, 2, height - 4]], 288),
    ]


def _run_lengths(mask: Uint8Array) -> list[int]:
    """Return COCO's uncompressed run lengths: column by column, zeros first."""
    flat = np.concatenate([[0], mask.T.ravel(), [1 - mask.T.ravel()[-1]]])
    edges = np.flatnonzero(np.diff(flat))
    return [int(length) for length in np.diff(np.concatenate([[0], edges]))]


def _outlines(part: NDArray[np.bool_]) -> list[list[float]]:
    """Return the polygons around a part, in pixels from the outer corner of the first one."""
    padded = np.pad(part.astype(float), 1)
    lines = contourpy.contour_generator(z=padded).lines(0.5)
    return [[round(float(v) - 0.5, 2) for v in np.asarray(line)[:-1].ravel()] for line in lines if len(line) > 3]


def _window(whole: Sample, size: tuple[int, int], number: int, share: float) -> Sample:
    """Return a random window of at least `share` of an image, perhaps mirrored, at another size."""
    rng = np.random.default_rng(number)
    height, width = whole.label_map.shape
    scale = rng.uniform(share, 1)
    box_h, box_w = int(height * scale), int(width * scale)
    top, left = int(rng.integers(0, height - box_h + 1)), int(rng.integers(0, width - box_w + 1))
    cut = np.s_[top : top + box_h, left : left + box_w]
    image, labels = Image.fromarray(whole.image[cut]), Image.fromarray(whole.label_map[cut].astype(np.uint8))
    arrays = (
        np.asarray(image.resize(size, Image.Resampling.BILINEAR)),
        np.asarray(labels.resize(size, Image.Resampling.NEAREST)),
    )
    return Sample(*(np.ascontiguousarray(array[:, ::-1] if number % 2 else array) for array in arrays))


def _scene(number: int, size: tuple[int, int], classes: Sequence[int]) -> Sample:
    image, labels = draw_scene(7, number)
    known = np.where(labels == 255, 0, labels)
    return _window(Sample(image, np.array(classes, np.uint8)[known]), size, number, share=0.8)


def _with_car_and_border(ids: Uint8Array) -> Uint8Array:
    """Return label ids with the car that films below (1) and what rectification leaves at the sides (2, 3)."""
    height, width = ids.shape
    marked = ids.copy()
    marked[-height // 8 :, width // 4 : -width // 4] = 1
    marked[:, :1], marked[:1] = 2, 3
    return marked


def _photograph(path: Path, image: Uint8Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format="JPEG", quality=90)


def _palette_png(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = Image.fromarray(values.astype(np.uint8), "P")
    stored.putpalette([channel for colour in VOC.colour_table() for channel in colour])
    stored.save(path)


def _grey_png(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def _mat(path: Path, label_map: Uint8Array) -> None:
    """Write what SBD holds: the classes, and of each of the 20 its boundary (none here) as a sparse matrix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    for value in range(20):
        boundaries[value, 0] = sparse.csc_matrix(with_strips((label_map == value + 1).astype(np.uint8), 1) == 255)
    present = np.array(sorted({*np.unique(label_map).tolist()} - {0}), np.uint8)[:, None]
    fields = {"Boundaries": boundaries, "Segmentation": label_map.astype(np.uint8), "CategoriesPresent": present}
    io.savemat(path, {"GTcls": fields}, do_compression=True)


def _list(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))
