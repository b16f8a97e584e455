"""COCO's instances 2014 and 2017 as images of VOC's 20 classes: `annotations/instances_train2017.json`, `train2017/`.

What the paper leaves open is chosen like this:

- An image counts if it holds an object (no crowd) of one of the 20 classes that is not smaller than the minimum area.
- The other 60 categories are background, and so is a plate on a table the table's: they never hide what lies below.
- Pixels that objects of two classes claim are void: COCO's outlines overlap and say nothing of who is in front.
- A crowd of one of the 20 is void where no object of its own class lies on it; crowds of other categories are nothing.
- An object below the minimum area (COCO's own field `area`, in pixels) is void. The minimum is 0 unless asked for.
- A polygon of less than three points encloses nothing and is left out.

Objects are rasterised by pycocotools, the union of a class's objects at once.
"""

import functools
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.data.annotations import parsing, rasterise, required_field
from globalconv.data.formats import published
from globalconv.data.images import image_size, read_image
from globalconv.data.source import size_mismatch
from globalconv.data.splits import find_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.labels import COCO_TO_VOC, IGNORE, VOC, LabelSpace

ANNOTATIONS = re.compile(r"instances_((train|val)(2014|2017))")
ARCHIVES = "annotations_trainval2014.zip or annotations_trainval2017.zip"

NAMES = {
    5: "airplane", 2: "bicycle", 16: "bird", 9: "boat", 44: "bottle", 6: "bus", 3: "car", 17: "cat", 62: "chair",
    21: "cow", 67: "dining table", 18: "dog", 19: "horse", 4: "motorcycle", 1: "person", 64: "potted plant",
    20: "sheep", 63: "couch", 7: "train", 72: "tv",
}  # fmt: skip
"""What COCO calls the 20 classes."""


@dataclass(frozen=True)
class Objects:
    """What is annotated on one image."""

    file_name: str
    size: tuple[int, int]
    """(width, height)."""
    drawn: bytes
    """JSON: [class, kind, segmentation] of each object; kind is "object", "crowd" or "small". As text they take a
    tenth of the memory, and none of it is copied when processes that decode are started."""


@dataclass(frozen=True)
class CocoAsVoc:
    """A `Source` of COCO's images with VOC's classes."""

    name: str
    folder: Path
    where: str
    """Annotation file, for messages."""
    images: tuple[Objects, ...]

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
        return read_image(self.file(index))

    def label_map(self, index: int) -> Uint8Array:
        """Return the label map, drawn; `InputError` if the image is not of the size that was drawn on."""
        annotated_image, file = self.images[index], self.file(index)
        if (actual := image_size(file)) != annotated_image.size:
            raise InputError(size_mismatch(self.where, "annotation", annotated_image.size, file, actual), "size")
        return drawn(
            json.loads(annotated_image.drawn), annotated_image.size, f"{self.where}, {annotated_image.file_name}"
        )


def drawn(objects: Sequence[tuple[int, str, Any]], size: tuple[int, int], where: str) -> Uint8Array:
    """Return the label map (H, W) of [class, kind, segmentation] in any order: see the top of the file."""
    groups: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for value, kind, segmentation in objects:
        groups[kind, value].append(segmentation)
    masks = {group: rasterise(segmentations, size, where) for group, segmentations in groups.items()}
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


def coco_files(root: Path) -> dict[str, Path]:
    """Return the annotation file of each official split (train2017, ...) at `root`."""
    found = ((ANNOTATIONS.fullmatch(file.stem), file) for file in sorted((root / "annotations").glob("*.json")))
    return {match[1]: file for match, file in found if match}


def coco_number(name: str) -> str:
    """Return the number of COCO's image in a name: 2014's and 2017's of one image agree in nothing else."""
    found = re.search(r"\d{12}$", name)
    return found[0] if found else name


def is_coco(root: Path) -> bool:
    """Say whether COCO lies at `root`, by the names of its files alone: they are hundreds of megabytes."""
    return bool(coco_files(root))


def open_coco(root: Path, split: str, min_area: int = 0, on_error: OnError = raise_error) -> CocoAsVoc:
    """Return the images of `split`: "train" or "val", or with the year where both are there.

    `min_area` is in pixels. Images that are listed and not there go to `on_error`.
    """
    files = coco_files(root)
    name = _split(root, files, split)
    count, images = _images(files[name], min_area)
    published.check_count(str(files[name]), "COCO", name, count, published.COCO[name], on_error)
    folder = next((place for place in (root / name, root / "images" / name) if place.is_dir()), root / name)
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if missing := [annotated_image.file_name for annotated_image in images if annotated_image.file_name not in there]:
        more = f", nor are {len(missing) - 1} others" if missing[1:] else ""
        said = f"{folder / missing[0]}: is not there{more}, but {files[name].name} lists it; unpack {name}.zip there"
        on_error(InputError(said, "partner", missing))
    kept = tuple(annotated_image for annotated_image in images if annotated_image.file_name in there)
    return CocoAsVoc(f"coco {root} ({name})", folder, str(files[name]), kept)


def _split(root: Path, files: Mapping[str, Path], split: str) -> str:
    if split in files:
        return split
    usual = find_split(["train", "val"], split)
    fitting = [name for name in files if name.removesuffix("2014").removesuffix("2017") == usual]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"split {split!r}: {root} has {' and '.join(fitting)}, mostly the same images; name one")
    there = ", ".join(files) or "none"
    raise InputError(
        f"split {split!r}: there is no {root / 'annotations'}/instances_{split}2017.json (nor 2014; the splits there"
        f" are: {there}); unpack {ARCHIVES} there"
    )


def _images(file: Path, min_area: int) -> tuple[int, tuple[Objects, ...]]:
    facts = file.stat()
    with parsing(str(file)):
        return _indexed(file, min_area, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=4)
def _indexed(file: Path, min_area: int, _changed: int, _size: int) -> tuple[int, tuple[Objects, ...]]:
    """Return how many images an annotation file lists, and those that count; a file is parsed once."""
    content = _content(file)
    _check_categories(content["categories"], file)
    objects: dict[int, list[list[Any]]] = defaultdict(list)
    for fields in content["annotations"]:
        category = int(required_field(fields, "category_id", str(file)))
        if not 1 <= category <= 90:
            raise InputError(
                f"{file}: annotation {fields.get('id')} has category_id {category}, and COCO's are 1 to 90; unpack"
                f" {ARCHIVES} again, or read categories of your own with `data` PATH, without coco="
            )
        if (found := _object(fields, category, min_area, file)) is not None:
            objects[int(required_field(fields, "image_id", str(file)))].append(found)
    listed = content["images"]
    by_id = {int(required_field(annotated_image, "id", str(file))): annotated_image for annotated_image in listed}
    if len(by_id) < len(listed):
        raise InputError(f"{file}: lists {len(listed) - len(by_id)} images twice; unpack {ARCHIVES} again")
    kept = (number for number in by_id if any(kind == "object" for _, kind, _ in objects.get(number, ())))
    return len(listed), tuple(_annotated(by_id[number], objects[number]) for number in kept)


def _annotated(annotated_image: Mapping[str, Any], objects: list[list[Any]]) -> Objects:
    size = (int(annotated_image["width"]), int(annotated_image["height"]))
    return Objects(str(annotated_image["file_name"]), size, json.dumps(objects, separators=(",", ":")).encode())


def _object(fields: Mapping[str, Any], category: int, min_area: int, file: Path) -> list[Any] | None:
    """Return [class, kind, segmentation] of an annotation of one of the 20 classes that covers anything."""
    if category not in COCO_TO_VOC:
        return None
    segmentation = required_field(fields, "segmentation", str(file))
    if isinstance(segmentation, list):
        segmentation = [polygon for polygon in segmentation if len(polygon) >= 6]
        if not segmentation:
            return None
    small = min_area > 0 and float(required_field(fields, "area", str(file))) < min_area
    return [COCO_TO_VOC[category], "crowd" if fields.get("iscrowd") else "small" if small else "object", segmentation]


def _content(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: cannot be read as JSON ({error}), as if cut short; unpack {ARCHIVES} again"
        ) from None
    if not isinstance(content, dict) or not content.keys() >= {"images", "annotations", "categories"}:
        raise InputError(f"{file}: holds no images, annotations and categories; unpack {ARCHIVES} again")
    return content


def _check_categories(categories: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Refuse a file whose categories are not COCO's: its ids mean something else."""
    found = {
        int(required_field(category, "id", str(file))): str(required_field(category, "name", str(file)))
        for category in categories
    }
    for identifier, name in NAMES.items():
        if found.get(identifier) != name:
            there = f"is called {found[identifier]!r}" if identifier in found else "is not listed"
            raise InputError(
                f"{file}: category {identifier} {there} where COCO's is {name!r}; read categories of your own with"
                " `data` PATH, without coco="
            )
