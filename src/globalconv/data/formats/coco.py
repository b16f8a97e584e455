"""COCO instances with your own categories: `annotations/instances_SPLIT.json` or `SPLIT/_annotations.coco.json`.

One file at the root of the data, or one per split (`train.json`), will do as well. Categories become classes in the
order of their ids, after a class "background" for pixels of no object (unless a category is called so). A category
without any object that only groups others, as Roboflow's first does, becomes no class. Objects are drawn in the order
of the file, later ones over earlier ones; crowds count as their category. Outlines and run lengths are rasterised by
pycocotools, so that masks are those of the format's own tool.

That is for your own data, and for COCO's own 80 classes. COCO's images with VOC's 20 classes are `coco_voc`.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from globalconv.data.annotations import (
    DrawnSample,
    Shape,
    collect_drawn_samples,
    find_image,
    rasterise,
    read_json,
    required_field,
    safe_name,
)
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.file_names import glob_files, list_subfolders
from globalconv.data.formats.layout import Layout
from globalconv.data.splits import ALIASES, find_split, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import abbreviate

FIELDS = {"images", "annotations", "categories"}


def recognise(root: Path) -> bool:
    """Return whether there is a COCO file where one is expected."""
    return any(_field_names(file) >= FIELDS for file in _find_files(root).values())


def list_splits(root: Path) -> list[str]:
    """Return the splits on disk; [""] for a single file that names none."""
    return sorted(_find_files(root))


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[DrawnSample, ...]:
    """Return the samples of one split; images that are not there go to `on_error`.

    An image without any object is background.
    """
    files = _find_files(root)

    def read(name: str) -> tuple[DrawnSample, ...]:
        return _read_file(root, name, files[name], on_error)

    return select_split(list(files), read, split, root)


def list_class_names(root: Path) -> list[str]:
    """Return the categories' names in the order of their ids; all files must agree."""
    names: dict[int, str] = {}
    used: set[int] = set()
    groups: set[Any] = set()
    for file in _find_files(root).values():
        content = _read_content(file)
        used |= {int(required_field(fields, "category_id", str(file))) for fields in content["annotations"]}
        groups |= {category.get("supercategory") for category in content["categories"]}
        for identifier, name in _read_categories(content, file).items():
            if names.setdefault(identifier, name) != name:
                raise InputError(
                    f"{file}: category {identifier} is {name!r} here and {names[identifier]!r} in another split;"
                    " export all splits with the same categories"
                )
    return [name for identifier, name in sorted(names.items()) if identifier in used or name not in groups]


LAYOUT = Layout(recognise, list_splits, read_split, list_class_names)


def _find_files(root: Path) -> dict[str, Path]:
    """Return the COCO file of each split; one that names no split is the file of split ""."""
    folder = root / "annotations"
    if files := glob_files(folder, "instances*.json") or glob_files(folder, "*.json"):
        return _name_splits(files)
    if beside := {file.parent.name: file for file in glob_files(root, "*/_annotations.coco.json")}:
        return beside
    at_root = []
    for file in glob_files(root, "*.json"):
        names = _field_names(file)
        if "shapes" in names:  # labelme's, of which there may be thousands
            return {}
        if file.name not in CLASS_LIST_READERS and names >= FIELDS:
            at_root.append(file)
    return {"": at_root[0]} if len(at_root) == 1 else _name_splits(at_root)


def _name_splits(files: Sequence[Path]) -> dict[str, Path]:
    """Return `files` by split: the one word of a file's name that is a usual split, else its whole name.

    COCO's own names have the year as well: instances_train2017.json.
    """
    by_split: dict[str, Path] = {}
    for file in files:
        words = [re.sub(r"20\d\d$", "", word) for word in re.split("[-_. ]", file.stem)]
        splits = [word for word in words if any(find_split([word], usual) for usual in ALIASES)]
        by_split[splits[0] if len(splits) == 1 else file.stem.removeprefix("instances_")] = file
    return by_split if len(by_split) == len(files) else {file.stem.removeprefix("instances_"): file for file in files}


@cache_by_file(maxsize=1 << 10)
def _field_names(file: Path) -> frozenset[str]:
    """Return the names of the fields of a JSON file; a damaged one has none."""
    try:
        content = read_json(file)
    except InputError:
        return frozenset()
    return frozenset(content) if isinstance(content, dict) else frozenset()


def _read_content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict) or not content.keys() >= FIELDS:
        raise InputError(f"{file}: is no COCO file, which has {', '.join(sorted(FIELDS))}; export it again or move it")
    return content


def _read_categories(content: Mapping[str, Any], file: Path) -> dict[int, str]:
    """Return the names of the categories by their ids."""
    return {
        int(required_field(category, "id", str(file))): str(required_field(category, "name", str(file)))
        for category in content["categories"]
    }


def _read_file(root: Path, split: str, file: Path, on_error: OnError) -> tuple[DrawnSample, ...]:
    """Return the samples of one COCO file."""
    content = _read_content(file)
    categories = _read_categories(content, file)
    objects: dict[int, list[tuple[str, Any]]] = defaultdict(list)
    for fields in content["annotations"]:
        if (category := int(required_field(fields, "category_id", str(file)))) not in categories:
            raise InputError(
                f"{file}: annotation {fields.get('id')} has category_id {category}, which is not listed; add the"
                " category, or export again"
            )
        image_id = int(required_field(fields, "image_id", str(file)))
        objects[image_id].append((categories[category], fields.get("segmentation")))
    image_ids = {int(required_field(record, "id", str(file))) for record in content["images"]}
    if unlisted := [image_id for image_id in objects if image_id not in image_ids]:
        ids = abbreviate(unlisted)
        message = f"{file}: has objects on images that it does not list (image_id {ids}); export it again"
        on_error(InputError(message, "partner"))

    # Where the images may lie. CVAT puts them into images/default/, whatever the name of the file.
    images, own = root / "images", file.stem.removeprefix("instances_")
    folders = [images / own, root / own] if own != split else []
    folders += [images / split, images, root / split, root / split / "images", file.parent, root]
    subfolders = list_subfolders(images)
    folders += subfolders if len(subfolders) == 1 else []

    def make_sample(record: Mapping[str, Any]) -> DrawnSample:
        where = f"{file}, image {record.get('id')}"
        written = str(required_field(record, "file_name", where)).replace("\\", "/")
        image = find_image([folder / written for folder in folders], where, written)
        size = (int(required_field(record, "width", where)), int(required_field(record, "height", where)))
        image_id = int(required_field(record, "id", str(file)))
        read = functools.partial(_read_shapes, size, tuple(objects[image_id]), where)
        return DrawnSample(safe_name(split, written), image, where, read)

    return collect_drawn_samples((functools.partial(make_sample, record) for record in content["images"]), on_error)


def _read_shapes(
    size: tuple[int, int], objects: Sequence[tuple[str, Any]], where: str
) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    shapes = []
    for name, segmentation in objects:
        mask_HW = rasterise([segmentation], size, where)
        shapes.append((name, Shape("mask", ((0.0, 0.0),), mask_HW)))
    return size, shapes
