"""Plain folders: `images/` and `labels/` (or `masks/`), files paired by their path without suffix.

Three forms, subfolders allowed in each:

    ROOT/images/a.jpg        ROOT/labels/a.png          no splits on disk: "train" and "val" are a fixed hold-out
    ROOT/images/train/a.jpg  ROOT/labels/train/a.png    splits inside
    ROOT/train/images/a.jpg  ROOT/train/labels/a.png    splits outside
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

from globalconv.data.file_names import find_subfolder, list_subfolders
from globalconv.data.formats.foreign import find_yolo_labels
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.pairing import list_files, list_images, report_unpaired
from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, find_split, select_split
from globalconv.data.suffixes import SUFFIX_EXAMPLES, is_image
from globalconv.errors import InputError, InputWarning, OnError, raise_error

LABEL_FOLDERS = ("labels", "masks")


def recognise(root: Path) -> bool:
    """Return whether there are `images/` and `labels/` at `root`, or splits that have them."""
    return bool(_find_folders(root))


def list_splits(root: Path) -> list[str]:
    """Return the splits on disk; [""] where there are none."""
    return sorted(_find_folders(root))


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of one split; images without a label, and labels without an image, go to `on_error`."""
    folders = _find_folders(root)
    if not folders:
        raise InputError(f"{root}: has no images/ beside labels/ (nor splits that do); create both folders")

    _tell_of_texts(root, [labels for _, labels in folders.values()])

    def read(name: str) -> tuple[Pair, ...]:
        image_folder, label_folder = folders[name]
        images, labels = list_images(image_folder, on_error), list_images(label_folder, on_error)
        report_unpaired(image_folder, sorted(images.keys() - labels.keys()), "image", label_folder, on_error)
        report_unpaired(label_folder, sorted(labels.keys() - images.keys()), "label", image_folder, on_error)
        if not images:
            raise InputError(f"{image_folder}: holds no images ({SUFFIX_EXAMPLES}); put the images there")
        prefix = f"{name}/" if name else ""
        paired = sorted(images.keys() & labels.keys())
        return tuple(Pair(prefix + sample, images[sample], labels[sample]) for sample in paired)

    return select_split(list(folders), read, split, root)


def holds_no_masks(root: Path) -> bool:
    """Return whether no folder of labels holds an image: other programs keep texts there."""
    return not any(any(map(is_image, list_files(labels))) for _, labels in _find_folders(root).values())


def _tell_of_texts(root: Path, label_folders: Iterable[Path]) -> None:
    """Warn where masks are read beside a folder `labels/` that holds YOLO's text files."""
    for place in (root, *list_subfolders(root)):
        texts = find_subfolder(place, "labels")
        if texts is None or any(texts in (folder, *folder.parents) for folder in label_folders):
            continue
        if (file := find_yolo_labels(texts)) is not None:
            message = (
                f"{texts}: holds YOLO's text files ({file.name}), which are not read: the masks are those of"
                " masks/; move the folder away if that is right"
            )
            warnings.warn(InputWarning(message, "left-out"), stacklevel=3)
            return


LAYOUT = Layout(recognise, list_splits, read_split)


def _find_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Return (images, labels) by split; the split "" means that there are none on disk."""
    if both := _image_and_label_folder(root):
        images, labels = both
        beside = {folder.name: find_subfolder(labels, folder.name) for folder in list_subfolders(images)}
        inside = {name: (images / name, place) for name, place in beside.items() if place is not None}
        return inside if find_split(list(inside), "train") else {"": both}
    outside = {folder.name: both for folder in list_subfolders(root) if (both := _image_and_label_folder(folder))}
    name = next(iter(outside), "")
    if len(outside) == 1 and not any(find_split([name], usual) for usual in ALIASES):
        return _find_folders(root / name)  # no split, but a folder around everything
    return outside


def _image_and_label_folder(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and of label files in `folder`, if it has both."""
    found = [find_subfolder(folder, name) for name in LABEL_FOLDERS]
    label_folders, images = [place for place in found if place is not None], find_subfolder(folder, "images")
    if not label_folders or images is None:
        return None
    if len(label_folders) > 1:  # other programs keep text files in labels/
        label_folders = [place for place in label_folders if any(map(is_image, list_files(place)))] or label_folders[:1]
    if len(label_folders) > 1:
        raise InputError(
            f"{folder}: {' and '.join(f'{name}/' for name in LABEL_FOLDERS)} both hold images, and only one can be"
            " the masks; move the other one away"
        )
    return images, label_folders[0]
