"""The ways in which the data sets of `broken_data` are broken or odd, each a function of their root."""

import itertools
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from helpers.datasets import mask
from helpers.formats import coco, labelme, voc
from numpy.typing import NDArray
from PIL import Image

SIZE = (40, 36)
NAMED = '["road", "tree", "sky"]'
TRAIN0, LABEL0 = "train/images/0.png", "train/labels/0.png"


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


def write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def grey_levels(root: Path) -> None:
    mask(root / LABEL0, np.tile(np.linspace(0, 250, SIZE[0]).astype(np.uint8), (SIZE[1], 1)))


def turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(0)).save(root / "train/images/0.jpg", exif=exif)
    (root / TRAIN0).unlink()


def upside_down(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for path in root.glob("*/images/*.png"):
        with Image.open(path) as stored:
            stored.save(path, exif=exif)


def levels(root: Path, share: float, offset: int = 0) -> None:
    for number, path in enumerate(sorted(root.glob("*/images/*.png"))):
        mask(path, (noise(number) * share + offset).astype(np.uint8))


def specks(root: Path) -> None:
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        label = values(0).repeat(4, axis=0).repeat(4, axis=1)
        label[50:, number:], label[:40:5, :100:10] = 2, 1
        label[60:140, 40:140] = 1
        mask(path, label)
        mask(Path(str(path).replace("labels", "images")), noise(number).repeat(4, axis=0).repeat(4, axis=1))


def two_masks_of_an_image(root: Path) -> None:
    shutil.copy(root / TRAIN0, root / "train/images/1.png")


def images_as_masks(root: Path) -> None:
    write(root, "classes.json", json.dumps([f"class {n}" for n in range(255)]))
    for number, path in enumerate(sorted(root.glob("*/images/*.png"))):
        for copy in (path, Path(str(path).replace("images", "labels"))):
            mask(copy, noise(number)[..., 0])


def as_jpeg(root: Path) -> None:
    Image.fromarray(values(0, 1)).save(root / "train/labels/0.jpg")
    (root / LABEL0).unlink()


def jpeg_in_tiff(root: Path) -> None:
    Image.fromarray(values(0, 1)).save(root / "train/labels/0.tif", compression="jpeg")
    (root / LABEL0).unlink()


def reordered(root: Path, colours: list[tuple[int, int, int]]) -> None:
    """Save every second mask with the palette in another order, its pixels in the same colours."""
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        order = [0, 1, 2] if number % 2 else [2, 0, 1]
        stored = Image.fromarray(np.array(order, np.uint8)[values(0, 1, 2)], "P")
        stored.putpalette([channel for index in np.argsort(order) for channel in colours[index]])
        stored.save(path)


def two_kinds_of_on(root: Path) -> None:
    write(root, "classes.json", '["wall", "crack"]')
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        mask(path, values(0, 255 if number % 2 else 1))


def cityscapes(root: Path) -> None:
    write(root, "classes.json", json.dumps([f"class {n}" for n in range(19)]))
    everywhere(root, 7, 11, 26, 33)


def train_ids(root: Path) -> None:
    write(root, "classes.json", json.dumps([f"class {n}" for n in range(34)]))
    everywhere(root, *range(19), 255)


def tolerance(root: Path) -> None:
    classes = [{"name": "road", "color": "#800000"}, {"name": "tree", "color": "#008000"}]
    write(root, "classes.json", json.dumps({"classes": classes, "tolerance": 10}))
    for path in root.glob("*/labels/*.png"):
        colours = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        colours[..., 0], colours[:, :20] = 128, (0, 128, 0)
        colours[0, 0], colours[1, 1] = (5, 128, 0), (64, 64, 0)
        mask(path, colours)


def deep(root: Path, factor: int) -> None:
    Image.fromarray(values(0, 1).astype(np.uint16) * factor).save(root / LABEL0)


def bomb(root: Path) -> None:
    """Write the header of an image of 400 megapixels and nothing else."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (root / TRAIN0).write_bytes(start + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))


def frames(root: Path) -> None:
    (root / TRAIN0).unlink()
    first, second = (Image.fromarray(noise(seed)) for seed in (0, 9))
    first.save(root / "train/images/0.tif", save_all=True, append_images=[second])


def mask_pages(root: Path) -> None:
    (root / LABEL0).unlink()
    first, second = (Image.fromarray(values(*columns)) for columns in ((0, 1, 2), (2, 0)))
    first.save(root / "train/labels/0.tif", save_all=True, append_images=[second])


def smeared(root: Path) -> None:
    """Save round masks of black and white as JPEG, and these as PNG."""
    (root / "classes.json").unlink()
    rows, columns = np.indices((SIZE[1], SIZE[0]))
    for number, path in enumerate(sorted(root.glob("*/labels/*.png"))):
        white = (rows - 18) ** 2 + (columns - 16 - number) ** 2 < 90
        Image.fromarray(np.where(white, np.uint8(255), np.uint8(0))).save(root / "x.jpg", quality=60)
        mask(path, np.asarray(Image.open(root / "x.jpg")))
    (root / "x.jpg").unlink()


def folder_as_image(root: Path) -> None:
    (root / TRAIN0).unlink()
    (root / TRAIN0).mkdir()


def pipe(root: Path) -> None:
    (root / TRAIN0).unlink()
    os.mkfifo(root / TRAIN0)


def yolo_beside(root: Path) -> None:
    (root / "train/labels").rename(root / "train/masks")
    (root / "train/labels").mkdir()
    (root / "train/labels/0.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")


def dangling(root: Path) -> None:
    (root / TRAIN0).unlink()
    (root / TRAIN0).symlink_to("nowhere.png")


def small(root: Path) -> None:
    for number, path in enumerate(sorted(root.glob("*/images/*"))):
        mask(path, noise(number)[:20, :20])
    for path in root.glob("*/labels/*"):
        mask(path, values(0, 1, 2)[:20, :20])


def listed(root: Path, train: str, val: str = "a/0.png b/0.png\n") -> None:
    for number in range(3):
        mask(root / f"a/{number}.png", noise(number))
        mask(root / f"b/{number}.png", values(0, 1))
    write(root, "train.txt", train)
    write(root, "val.txt", val)


def empty_folders(root: Path) -> None:
    for name in ("images", "masks"):
        (root / name).mkdir()


def for_viewing(root: Path) -> None:
    (clean(root) / "classes.json").unlink()
    everywhere(root, 0, 90)


def voc_without_lists(root: Path) -> None:
    shutil.rmtree(voc(root) / "ImageSets")
    (root / "JPEGImages/2007_1.jpg").unlink()


def two_categories(root: Path) -> None:
    content = json.loads((coco(root) / "annotations/instances_default.json").read_text())
    for split, name in (("train", "tree"), ("val", "shrub")):
        content["categories"][0]["name"] = name
        write(root, f"annotations/instances_{split}.json", json.dumps(content))
    (root / "annotations/instances_default.json").unlink()


def labelme_beside_splits(root: Path) -> None:
    for folder in (root, root / "train", root / "val"):
        labelme(folder)


def one_object(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": 3, "image_id": 7, "category_id": 5, **fields}]


def grey(seed: int) -> NDArray[np.uint8]:
    return noise(seed)[..., 0]


def every_image(root: Path, pixels: Callable[[int], NDArray[Any]]) -> None:
    """Write the images anew: as TIFFs with `pixels` of the number in their names."""
    for path in sorted(root.glob("*/images/*")):
        path.unlink()
        Image.fromarray(pixels(int(path.stem))).save(path.with_suffix(".tif"))


def deepen(root: Path, factor: int, offset: int = 0) -> None:
    """Let the images be grey, of 32 bits with sign, with values of 8 bits times `factor` plus `offset`."""
    every_image(root, lambda seed: grey(seed).astype(np.int32) * factor + offset)


def deepen_all_but_one(root: Path) -> None:
    deepen(root, 255)
    (root / "train/images/0.tif").unlink()
    mask(root / TRAIN0, noise(0))


def add_alpha(root: Path, alpha: Callable[[int], NDArray[Any]]) -> None:
    every_image(root, lambda seed: np.dstack([noise(seed), alpha(seed).astype(np.uint8)]))


def coco_images(*ids: Any, folder: str = "", width: int = 24, height: int = 16) -> list[dict[str, Any]]:
    names = zip(ids, "ab", strict=False)
    return [{"id": key, "file_name": f"{folder}{name}.jpg", "width": width, "height": height} for key, name in names]


def coco_groups(root: Path) -> None:
    kinds = ((1, "plants", "none"), (30, "tree", "plants"), (5, "car", "none"))
    coco(root, categories=[{"id": n, "name": name, "supercategory": group} for n, name, group in kinds])


def exchanged_paths(root: Path) -> None:
    labelme(root)
    for name, other in ("ab", "ba"):
        write(root, f"{name}.json", (root / f"{name}.json").read_text().replace(f"{name}.jpg", f"{other}.jpg"))


def blank_in_name(root: Path) -> None:
    text = (labelme(root) / "a.json").read_text()
    write(root, "a.json", text.replace('"tree"', '"tree "'))
