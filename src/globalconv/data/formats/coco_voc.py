"""COCO's instances 2014 and 2017 with VOC's 20 classes: `annotations/instances_train2017.json`, `train2017/`.

What the paper leaves open is chosen like this:

- An image counts if it holds an object (no crowd) of one of the 20 classes that is not smaller than the minimum area.
- The other 60 categories are background, and so is a plate on a table the table's: they never hide what lies below.
- Pixels that objects of two classes claim are void: COCO's outlines overlap and say nothing of who is in front.
- A crowd of one of the 20 is void where no object of its own class lies on it; crowds of other categories are nothing.
- An object below the minimum area (COCO's own field `area`, in pixels) is void. The minimum is 0 by default.
- A polygon of less than three points encloses nothing and is left out.

Objects are rasterised by pycocotools, the union of a class's objects at once. This is no layout of its own, but how
`mixtures` reads COCO: `coco` reads the same files with their own categories.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.annotations import parsing, required_field
from globalconv.data.coco_masks import rasterise
from globalconv.data.file_names import glob_files
from globalconv.data.formats import official_counts
from globalconv.data.formats.coco_ids import Key, make_key, match_key
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.images import image_size, read_image
from globalconv.data.source import size_mismatch
from globalconv.data.splits import find_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import COCO_TO_VOC, IGNORE, VOC, LabelSpace
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import abbreviate

ANNOTATIONS = re.compile(r"instances_((train|val)(2014|2017))")
ARCHIVES = "annotations_trainval2014.zip or annotations_trainval2017.zip"

CATEGORIES = range(1, 91)
"""The ids of COCO's categories, of which it left out ten."""

NAMES = {
    5: "airplane", 2: "bicycle", 16: "bird", 9: "boat", 44: "bottle", 6: "bus", 3: "car", 17: "cat", 62: "chair",
    21: "cow", 67: "dining table", 18: "dog", 19: "horse", 4: "motorcycle", 1: "person", 64: "potted plant",
    20: "sheep", 63: "couch", 7: "train", 72: "tv",
}  # fmt: skip
"""What COCO calls the 20 classes."""


@dataclass(frozen=True)
class AnnotatedImage:
    """An image, and the objects of the 20 classes on it."""

    file_name: str
    size: tuple[int, int]
    """(width, height)."""
    objects: bytes
    """JSON: [class, kind, segmentation] of each object; kind is "object", "crowd" or "small". As text they take a
    tenth of the memory, and none of it is copied when processes that decode are started."""


@dataclass(frozen=True)
class CocoVocSource:
    """A `Source` of COCO's images with VOC's classes."""

    name: str
    folder: Path
    where: str
    """Annotation file, for messages."""
    images: tuple[AnnotatedImage, ...]
    image_format: ImageFormat = UNKNOWN_FORMAT

    @property
    def labels(self) -> LabelSpace:
        return VOC

    def __len__(self) -> int:
        return len(self.images)

    def sample_name(self, index: int) -> str:
        return f"{self.folder.name}/{Path(self.images[index].file_name).stem}"

    def file(self, index: int) -> Path:
        """Return the path of an image."""
        return self.folder / self.images[index].file_name

    def image(self, index: int) -> Uint8Array:
        return read_image(self.file(index), self.image_format)

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map, drawn; `InputError` if the image is not of the size that was annotated."""
        image, file = self.images[index], self.file(index)
        if (actual := image_size(file)) != image.size:
            raise InputError(size_mismatch(self.where, "annotation", image.size, file, actual), "size")
        return draw_objects(json.loads(image.objects), image.size, f"{self.where}, {image.file_name}")


def draw_objects(objects: Sequence[tuple[int, str, Any]], size: tuple[int, int], where: str) -> Uint8Array:
    """Return the label map (H, W) of [class, kind, segmentation] in any order: see the top of the file.

    `size` is (width, height).
    """
    groups: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for value, kind, segmentation in objects:
        groups[kind, value].append(segmentation)
    try:
        masks = {group: rasterise(segmentations, size) for group, segmentations in groups.items()}
    except InputError as error:
        raise InputError(f"{where}: {error}", "shape") from None
    label_map = np.zeros((size[1], size[0]), np.uint8)
    claimed_HW = np.zeros(label_map.shape, bool)
    void_HW = np.zeros(label_map.shape, bool)
    for (kind, value), mask_HW in masks.items():
        if kind == "object":
            void_HW |= claimed_HW & mask_HW
            claimed_HW |= mask_HW
            label_map[mask_HW] = value
    for (kind, value), mask_HW in masks.items():
        if kind == "crowd":
            void_HW |= mask_HW & (label_map != value)
        elif kind == "small":
            void_HW |= mask_HW
    label_map[void_HW] = IGNORE
    return label_map


def find_home(root: Path) -> Path | None:
    """Return `root` if COCO lies there, judged by the names of its files alone: they are hundreds of megabytes."""
    return root if find_files(root) else None


def find_files(root: Path) -> dict[str, Path]:
    """Return the annotation file of each official split (train2017, ...) at `root`."""
    matches = ((ANNOTATIONS.fullmatch(file.stem), file) for file in glob_files(root / "annotations", "*.json"))
    return {match[1]: file for match, file in matches if match}


def image_number(name: str) -> str:
    """Return the number of COCO's image in a name: 2014's and 2017's of one image agree in nothing else."""
    match = re.search(r"\d{12}$", name)
    return match[0] if match else name


def open_split(root: Path, split: str, min_area: int = 0, on_error: OnError = raise_error) -> CocoVocSource:
    """Return the images of `split`: "train" or "val", or with the year where both are there.

    `min_area` is in pixels. Images that are listed and not there go to `on_error`.
    """
    files = find_files(root)
    usual = find_split(["train", "val"], split)
    matches = [split] if split in files else [name for name in files if re.sub("20(14|17)$", "", name) == usual]
    if len(matches) > 1:
        raise InputError(f"split {split!r}: {root} has {' and '.join(matches)}, mostly the same images; name one")
    if not matches:
        raise InputError(
            f"split {split!r}: there is no {root / 'annotations'}/instances_{split}2017.json (nor 2014; the splits"
            f" there are: {', '.join(files) or 'none'}); unpack {ARCHIVES} there"
        )
    name, file = matches[0], files[matches[0]]
    with parsing(str(file)):
        count, images = _read_annotations(file, min_area)
    official_counts.check_count(str(file), "COCO", name, count, official_counts.COCO[name], on_error)
    folder = next((place for place in (root / name, root / "images" / name) if place.is_dir()), root / name)
    file_names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if missing := [image.file_name for image in images if image.file_name not in file_names]:
        more = f", nor are {len(missing) - 1} others" if missing[1:] else ""
        message = f"{folder / missing[0]}: is not there{more}, but {file.name} lists it; unpack {name}.zip there"
        on_error(InputError(message, "partner", missing))
    complete = tuple(image for image in images if image.file_name in file_names)
    return CocoVocSource(f"coco {root} ({name})", folder, str(file), complete)


@cache_by_file(maxsize=4)
def _read_annotations(file: Path, min_area: int) -> tuple[int, tuple[AnnotatedImage, ...]]:
    """Return how many images an annotation file lists, and those that count; a file is parsed once."""
    content = _read_content(file)
    records = _read_records(content["images"], file)
    objects: dict[Key, list[list[Any]]] = defaultdict(list)
    missing: set[Key] = set()
    for fields in content["annotations"]:
        what = f"{file}: the category_id of annotation {fields.get('id')!r}"
        category, _ = match_key(required_field(fields, "category_id", str(file)), CATEGORIES, what)
        if category not in CATEGORIES:
            raise InputError(
                f"{file}: annotation {fields.get('id')} has category_id {category}, and COCO's are 1 to 90; unpack"
                f" {ARCHIVES} again, or read categories of your own with `data` PATH, without coco="
            )
        if (value := COCO_TO_VOC.get(int(category))) is None:
            continue
        segmentation = required_field(fields, "segmentation", str(file))
        if isinstance(segmentation, list):
            segmentation = [polygon for polygon in segmentation if len(polygon) >= 6]
            if not segmentation:
                continue
        small = min_area > 0 and float(required_field(fields, "area", str(file))) < min_area
        kind = "crowd" if fields.get("iscrowd") else "small" if small else "object"
        what = f"{file}: the image_id of annotation {fields.get('id')!r}"
        key, _ = match_key(required_field(fields, "image_id", str(file)), records, what)
        if key not in records:
            missing.add(key)
        objects[key].append([value, kind, segmentation])
    if missing:
        ids = abbreviate(sorted(missing, key=str))
        raise InputError(
            f"{file}: has objects on images that it does not list (image_id {ids}); unpack {ARCHIVES} again"
        )
    images = []
    for image_id, record in records.items():
        if any(kind == "object" for _, kind, _ in objects.get(image_id, ())):
            size = (int(record["width"]), int(record["height"]))
            text = json.dumps(objects[image_id], separators=(",", ":"))
            images.append(AnnotatedImage(str(record["file_name"]), size, text.encode()))
    return len(records), tuple(images)


def _read_records(images: Sequence[Mapping[str, Any]], file: Path) -> dict[Key, Mapping[str, Any]]:
    """Return the images of an annotation file by their ids."""
    records = {
        make_key(required_field(record, "id", str(file)), f"{file}: the id of {record.get('file_name')!r}"): record
        for record in images
    }
    if len(records) < len(images):
        raise InputError(f"{file}: lists {len(images) - len(records)} images twice; unpack {ARCHIVES} again")
    return records


def _read_content(file: Path) -> Mapping[str, Any]:
    """Return the content of an annotation file; `InputError` if it is cut short, or its categories are not COCO's."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: cannot be read as JSON ({error}), as if cut short; unpack {ARCHIVES} again"
        ) from None
    if not isinstance(content, dict) or not content.keys() >= {"images", "annotations", "categories"}:
        raise InputError(f"{file}: holds no images, annotations and categories; unpack {ARCHIVES} again")
    names: dict[Key, str] = {}
    for category in content["categories"]:
        key, _ = match_key(required_field(category, "id", str(file)), CATEGORIES, f"{file}: the id of a category")
        names[key] = str(required_field(category, "name", str(file)))
    for identifier, name in NAMES.items():
        if names.get(identifier) != name:
            difference = f"is called {names[identifier]!r}" if identifier in names else "is not listed"
            raise InputError(
                f"{file}: category {identifier} {difference} where COCO's is {name!r}; read categories of your own with"
                " `data` PATH, without coco="
            )
    return content
