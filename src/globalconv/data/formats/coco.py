"""COCO instances with your own categories: `annotations/instances_SPLIT.json` or `SPLIT/_annotations.coco.json`.

One file at the root of the data, or one per split (`train.json`), will do as well. Categories become classes in the
order of their ids where all of these are numbers, else in the order of the file, after a class "background" for pixels
of no object (unless a category is called so). A category without any object that only groups others, as Roboflow's
first does, becomes no class. Objects are drawn in the order of the file, later ones over earlier ones; crowds count as
their category, and objects with a field `ignore` are void. Outlines and run lengths are rasterised by pycocotools, so
that masks are those of the format's own tool.

Ids are numbers or texts, each of one image or category; 1 and "1" differ, but where only one of them is there the other
means it.

That is for your own data, and for COCO's own 80 classes. COCO's images with VOC's 20 classes are `coco_voc`.
"""

import functools
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from globalconv.data.annotations import (
    ClaimedSize,
    Drawing,
    DrawnSample,
    claimed_length,
    read_json,
    required_field,
    required_text,
    safe_name,
)
from globalconv.data.classes import CLASS_LIST_READERS
from globalconv.data.coco_masks import rasterise
from globalconv.data.file_names import find_file, glob_files, list_subfolders
from globalconv.data.formats.coco_ids import Key, make_key, match_key
from globalconv.data.formats.image_search import Entry, ImageIndex, find_images, written_name
from globalconv.data.formats.layout import Layout
from globalconv.data.shapes import Shape
from globalconv.data.splits import ALIASES, find_split, select_split
from globalconv.errors import InputError, InputWarning, OnError, raise_error
from globalconv.runtime.files import cache_by_file
from globalconv.runtime.text import abbreviate

FIELDS = {"images", "annotations", "categories"}

IGNORED = "__ignore__"
"""The class of objects that do not count."""


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
    files, index = _find_files(root), ImageIndex(root)

    def read(name: str) -> tuple[DrawnSample, ...]:
        others = [other for other in files if other != name]
        return find_images(_read_file(root, name, files[name], on_error), index, str(files[name]), on_error, others)

    return select_split(list(files), read, split, root)


def list_class_names(root: Path) -> dict[str, int]:
    """Return the categories' names with their numbers of objects, in order; all files must agree."""
    names: dict[Key, str] = {}
    counts: Counter[str] = Counter()
    parents: dict[str, set[str]] = defaultdict(set)
    for file in _find_files(root).values():
        content = _read_content(file)
        categories = _read_categories(content, file)
        counts.update(categories[key] for _, key, _ in _read_objects(content, categories, file))
        for fields in content["categories"]:
            if isinstance(group := fields.get("supercategory"), str):
                parents[group].add(str(fields["name"]))
        _tell_of_equal_names(categories, file)
        for key, name in categories.items():
            if names.setdefault(key, name) != name:
                raise InputError(
                    f"{file}: category {key} is {name!r} here and {names[key]!r} in another split;"
                    " export all splits with the same categories"
                )
    keys: Sequence[Any] = list(names)
    in_order = sorted(keys) if all(isinstance(key, int | float) for key in keys) else keys
    listed = {names[key]: counts[names[key]] for key in in_order}
    groups = [name for name, count in listed.items() if not count and parents[name] - {name}]
    if groups:
        message = (
            f"{root}: the categories {abbreviate(list(map(repr, groups)))} have no object and only group others, so"
            " they are no classes; draw one object of a category that is meant as a class"
        )
        warnings.warn(InputWarning(message, "class", severity="note"), stacklevel=2)
    return {name: count for name, count in listed.items() if name not in groups}


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
    for name in sorted(FIELDS):
        if not isinstance(content[name], list) or not all(isinstance(entry, dict) for entry in content[name]):
            raise InputError(f"{file}: the field {name!r} is no list of objects; export it again", "annotation")
    return content


def _read_categories(content: Mapping[str, Any], file: Path) -> dict[Key, str]:
    """Return the names of the categories by their ids, in the order of the file."""
    categories: dict[Key, str] = {}
    for fields in content["categories"]:
        name = required_text(fields, "name", f"{file}, category {fields.get('id')!r}")
        key = make_key(required_field(fields, "id", f"{file}, category {name!r}"), f"{file}: the id of {name!r}")
        if categories.setdefault(key, name) != name:
            raise InputError(
                f"{file}: the category id {key!r} is that of {categories[key]!r} and of {name!r}, so nobody knows which"
                " of them an object is; number the categories anew, and their objects with them",
                "class",
            )
    return categories


def _tell_of_equal_names(categories: Mapping[Key, str], file: Path) -> None:
    """Warn of categories with one name, which are one class."""
    equal = {name: count for name, count in Counter(categories.values()).items() if count > 1}
    if equal:
        listed = abbreviate([f"{name!r} ({count} ids)" for name, count in equal.items()])
        message = f"{file}: categories of one name are one class: {listed}; rename those that are another class"
        warnings.warn(InputWarning(message, "class"), stacklevel=3)


def _read_objects(
    content: Mapping[str, Any], categories: Mapping[Key, str], file: Path
) -> Iterator[tuple[Mapping[str, Any], Key, bool]]:
    """Yield the annotations with their category ids, and whether these are of another type than the categories'."""
    for fields in content["annotations"]:
        what = f"{file}: the category_id of annotation {fields.get('id')!r}"
        key, other_type = match_key(required_field(fields, "category_id", str(file)), categories, what)
        if key not in categories:
            raise InputError(
                f"{file}: annotation {fields.get('id')} has category_id {key}, which is not listed; add the category,"
                " or export again"
            )
        yield fields, key, other_type


def _read_images(content: Mapping[str, Any], file: Path) -> dict[Key, Mapping[str, Any]]:
    """Return the images by their ids; an id of two of them is an `InputError`, as objects of both have it."""
    images: dict[Key, Mapping[str, Any]] = {}
    repeated: dict[Key, str] = {}
    for record in content["images"]:
        written = record.get("file_name")
        key = make_key(required_field(record, "id", f"{file}, image {written!r}"), f"{file}: the id of {written!r}")
        if (first := images.setdefault(key, record)) is not record:
            repeated.setdefault(key, f"{key!r} is that of {first.get('file_name')!r} and of {written!r}")
    if repeated:
        more = f" (and {len(repeated) - 1} more ids are repeated)" if len(repeated) > 1 else ""
        raise InputError(
            f"{file}: the image id {next(iter(repeated.values()))}, so nobody knows whose objects are whose{more};"
            " number the images anew, and their objects with them",
            "names",
        )
    return images


def _read_file(root: Path, split: str, file: Path, on_error: OnError) -> list[Entry]:
    """Return the images of one COCO file with their objects."""
    content = _read_content(file)
    images, categories = _read_images(content, file), _read_categories(content, file)
    objects: dict[Key, list[tuple[str, Any]]] = defaultdict(list)
    unlisted: Counter[Key] = Counter()
    ignored = retyped = 0
    for fields, category, other_type in _read_objects(content, categories, file):
        what = f"{file}: the image_id of annotation {fields.get('id')!r}"
        key, other_image_type = match_key(required_field(fields, "image_id", str(file)), images, what)
        retyped += other_type or other_image_type
        if key not in images:
            unlisted[key] += 1
            continue
        ignored += bool(fields.get("ignore"))
        objects[key].append((IGNORED if fields.get("ignore") else categories[category], fields.get("segmentation")))
    if unlisted:
        count = unlisted.total()
        message = (
            f"{file}: has objects on images that it does not list (image_id {abbreviate(list(unlisted))}), {count} of"
            f" {len(content['annotations'])}; export it again"
        )
        on_error(InputError(message, "partner"))
    if retyped:
        message = (
            f"{file}: {retyped} of {len(content['annotations'])} annotations have ids as text where the lists have"
            ' numbers, or numbers for text, and were matched as if 1 and "1" were one; write both alike'
        )
        warnings.warn(InputWarning(message, "ids"), stacklevel=2)
    if ignored:
        message = (
            f"{file}: {ignored} objects with the field `ignore` do not count: their pixels are void; remove the field"
        )
        warnings.warn(InputWarning(f"{message} if they are to be learnt", "class", severity="note"), stacklevel=2)

    # Where the images may lie. CVAT puts them into images/default/, whatever the name of the file.
    home, own = root / "images", file.stem.removeprefix("instances_")
    folders = [home / own, root / own] if own != split else []
    folders += [home / split, home, root / split, root / split / "images", file.parent, root]
    subfolders = list_subfolders(home)
    folders += subfolders if len(subfolders) == 1 else []

    def make_entry(key: Key, record: Mapping[str, Any]) -> Entry:
        where = f"{file}, image {key}"
        written = required_text(record, "file_name", where)
        path = written_name(written)
        size = (claimed_length(record.get("width")), claimed_length(record.get("height")))
        return Entry(
            safe_name(split, path),
            written,
            find_file(folder / path for folder in folders),
            folders[0] / path,
            where,
            functools.partial(_read_shapes, size, tuple(objects[key])),
        )

    return [make_entry(key, record) for key, record in images.items()]


def _read_shapes(size: ClaimedSize, objects: Sequence[tuple[str, Any]]) -> Drawing:
    shapes = (
        (name, Shape("mask", ((0.0, 0.0),), functools.partial(rasterise, [segmentation])))
        for name, segmentation in objects
    )
    return Drawing(size, shapes)
