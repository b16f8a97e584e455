"""COCO instances with your own categories: `annotations/instances_SPLIT.json` or `SPLIT/_annotations.coco.json`.

One file at the root of the data, or one per split (`train.json`), will do as well. Categories become classes in the
order of their ids, after a class "background" for pixels of no object (unless a category is called so); one without any
object that only groups others, as Roboflow's first does, becomes none. Objects are drawn in the order of the file,
later ones over earlier ones; crowds count as their category. Outlines and run lengths are rasterised by pycocotools, so
that masks are those of the format's own tool.

That is for your own data, and for COCO's own 80 classes. COCO as images of VOC's 20 is `coco_voc`.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from globalconv.data.annotations import (
    Drawing,
    Shape,
    collect_drawings,
    find_image,
    rasterise,
    read_json,
    required_field,
    safe_name,
)
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.splits import ALIASES, find_split, select_split
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.text import abbreviate

PARTS = {"images", "annotations", "categories"}


def is_coco_layout(root: Path) -> bool:
    """Say whether there is a COCO file where one is expected."""
    return any(map(_is_coco, _files(root).values()))


def coco_splits(root: Path) -> list[str]:
    """Return the splits on disk; [""] for a single file that names none."""
    return sorted(_files(root))


def read_coco(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Drawing, ...]:
    """Return the drawings of one split, whose images without any object are background; missing ones: `on_error`."""
    files = _files(root)
    return select_split(list(files), lambda name: _drawings(root, name, files[name], on_error), split, root)


def coco_names(root: Path) -> list[str]:
    """Return the categories' names in the order of their ids; all files must agree."""
    found: dict[int, str] = {}
    used: set[int] = set()
    groups: set[Any] = set()
    for file in _files(root).values():
        used |= {int(required_field(fields, "category_id", str(file))) for fields in _content(file)["annotations"]}
        groups |= {category.get("supercategory") for category in _content(file)["categories"]}
        for identifier, name in _categories(_content(file), file).items():
            if found.setdefault(identifier, name) != name:
                raise InputError(
                    f"{file}: category {identifier} is {name!r} here and {found[identifier]!r} in another split;"
                    " export all splits with the same categories"
                )
    return [name for identifier, name in sorted(found.items()) if identifier in used or name not in groups]


def _files(root: Path) -> dict[str, Path]:
    """Return the COCO file of each split."""
    folder = root / "annotations"
    listed = sorted(folder.glob("instances*.json")) or sorted(folder.glob("*.json"))
    beside = {file.parent.name: file for file in sorted(root.glob("*/_annotations.coco.json"))}
    return _named(listed) or beside or _at_root(root)


def _at_root(root: Path) -> dict[str, Path]:
    loose = []
    for file in sorted(root.glob("*.json")):
        if "shapes" in _fields(file):  # labelme's, of which there may be thousands
            return {}
        if file.name not in CLASS_LIST_READERS and _is_coco(file):
            loose.append(file)
    return {"": loose[0]} if len(loose) == 1 else _named(loose)


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Name the split of each file: by the one word of its name that is a usual split, else by its whole name.

    COCO's own are called by the year as well: instances_train2017.json.
    """
    named: dict[str, Path] = {}
    for file in files:
        spoken = [re.sub(r"20\d\d$", "", word) for word in re.split("[-_. ]", file.stem)]
        words = [word for word in spoken if any(find_split([word], usual) for usual in ALIASES)]
        named[words[0] if len(words) == 1 else file.stem.removeprefix("instances_")] = file
    return named if len(named) == len(files) else {file.stem.removeprefix("instances_"): file for file in files}


def _is_coco(file: Path) -> bool:
    return _fields(file) >= PARTS


def _fields(file: Path) -> frozenset[str]:
    """Return the names of the fields of a JSON file; of a damaged one there are none."""
    facts = file.stat()
    return _names(file, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=1 << 10)
def _names(file: Path, _changed: int, _size: int) -> frozenset[str]:
    try:
        content = read_json(file)
    except InputError:
        return frozenset()
    return frozenset(content) if isinstance(content, dict) else frozenset()


def _content(file: Path) -> Mapping[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict) or not content.keys() >= PARTS:
        raise InputError(f"{file}: is no COCO file, which has {', '.join(sorted(PARTS))}; export it again or move it")
    return content


def _categories(content: Mapping[str, Any], file: Path) -> dict[int, str]:
    return {
        int(required_field(c, "id", str(file))): str(required_field(c, "name", str(file)))
        for c in content["categories"]
    }


def _drawings(root: Path, split: str, file: Path, on_error: OnError) -> tuple[Drawing, ...]:
    content, categories = _content(file), _categories(_content(file), file)
    objects: dict[int, list[tuple[str, Any]]] = defaultdict(list)
    for fields in content["annotations"]:
        if (category := int(required_field(fields, "category_id", str(file)))) not in categories:
            said = f"{file}: annotation {fields.get('id')} has category_id {category}, which is not listed"
            raise InputError(f"{said}; add the category, or export again")
        objects[int(required_field(fields, "image_id", str(file)))].append(
            (categories[category], fields.get("segmentation"))
        )
    listed = {int(required_field(record, "id", str(file))) for record in content["images"]}
    if lost := [identifier for identifier in objects if identifier not in listed]:
        said = f"{file}: has objects on images that it does not list (image_id {abbreviate(lost)}); export it again"
        on_error(InputError(said, "partner"))
    folders = _image_folders(root, split, file)
    makers = (
        functools.partial(_drawing, folders, split, file, record, objects[int(required_field(record, "id", str(file)))])
        for record in content["images"]
    )
    return collect_drawings(makers, on_error)


def _image_folders(root: Path, split: str, file: Path) -> list[Path]:
    """Return where the images of a file may lie; CVAT puts them into `images/default/`, whatever the file's name."""
    images = root / "images"
    within = [child for child in images.iterdir() if child.is_dir()] if images.is_dir() else []
    own = file.stem.removeprefix("instances_")
    called = [images / own, root / own] if own != split else []
    usual = [*called, images / split, images, root / split, root / split / "images", file.parent, root]
    return usual + (within if len(within) == 1 else [])


def _drawing(
    folders: Sequence[Path], split: str, file: Path, record: Mapping[str, Any], objects: Sequence[tuple[str, Any]]
) -> Drawing:
    where = f"{file}, image {record.get('id')}"
    said = str(required_field(record, "file_name", where)).replace("\\", "/")
    image = find_image([folder / said for folder in folders], where, said)
    size = (int(required_field(record, "width", where)), int(required_field(record, "height", where)))
    name = safe_name(split, said)
    return Drawing(name, image, where, functools.partial(_read, size, tuple(objects), where))


def _read(
    size: tuple[int, int], objects: Sequence[tuple[str, Any]], where: str
) -> tuple[tuple[int, int], list[tuple[str, Shape]]]:
    drawn = [(name, rasterise([segmentation], size, where)) for name, segmentation in objects]
    return size, [(name, Shape("mask", ((0.0, 0.0),), 0, mask)) for name, mask in drawn]
