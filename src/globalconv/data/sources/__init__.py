"""Data sets: `open_source` returns one split of whatever lies under a path, or of the built-in scenes."""

from pathlib import Path

from globalconv.data.scenes import SCENES, scene_source
from globalconv.data.sources.classes import agreed_classes, declared_classes, refuse_binary, scanned_classes
from globalconv.data.sources.folder import ALL, is_folder_layout, read_folder
from globalconv.data.sources.list_file import list_splits, read_list
from globalconv.data.sources.source import FileSource, Pair, Source
from globalconv.errors import InputError, nearest
from globalconv.labels import CAMVID, LabelSpace

__all__ = ["LAYOUTS", "FileSource", "Pair", "Source", "open_source", "recognise"]

LAYOUTS = ("camvid", "list", "folder", "scenes")


def open_source(root: Path | None, split: str, layout: str | None = None, labels: LabelSpace | None = None) -> Source:
    """Return the split of the data set at `root` (None: the built-in scenes).

    `layout` is one of `LAYOUTS`, recognised if None. Classes are those the data declares (`classes.json`; CamVid's
    for layout "camvid"); if it declares none, they are `labels`, and without those the values found in the label
    files. `labels` of trained weights that differ from the declared ones are refused.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout={layout!r}: {nearest(layout, LAYOUTS)}")
    if root is None or layout == "scenes":
        return _scenes(root, split, layout, labels)
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file' if root.exists() else 'there is no such folder'}; give a data folder")
    layout = layout or recognise(root)
    pairs = read_folder(root, split) if layout == "folder" else read_list(root, split)
    everything = read_folder(root, ALL) if layout == "folder" else pairs
    declared = declared_classes(root, pairs) or (CAMVID if layout == "camvid" else None)
    found = agreed_classes(declared, labels, str(root)) if declared else labels or scanned_classes(everything)
    if labels is None:
        refuse_binary(found, everything)
    return FileSource(f"{layout} {root} ({split})", found, pairs)


def recognise(root: Path) -> str:
    """Return the layout of the data set at `root`."""
    if list_splits(root):
        camvid = any((root / folder).is_dir() for folder in ("trainannot", "valannot", "testannot"))
        return "camvid" if camvid else "list"
    if is_folder_layout(root):
        return "folder"
    raise InputError(
        f"{root}: no known layout; looked for list files of 'image label' pairs (train.txt; with trainannot/: CamVid),"
        " for images/ beside labels/, and for train/images/ beside train/labels/"
    )


def _scenes(root: Path | None, split: str, layout: str | None, labels: LabelSpace | None) -> Source:
    if layout not in (None, "scenes"):
        raise InputError(f"layout={layout!r}: needs the folder of the data; give --data PATH")
    if root is not None:
        raise InputError(f"{root}: the built-in scenes are generated and lie in no folder; leave the path out")
    agreed_classes(SCENES, labels, "the built-in scenes")
    return scene_source(split)
