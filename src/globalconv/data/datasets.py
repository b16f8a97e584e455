"""Data sets: `open_source` returns one split of whatever lies under a path, or of the built-in scenes."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from globalconv.data.annotations import Drawing, DrawnSource, parsing, resolve_drawn_classes
from globalconv.data.classes import (
    VOID_NAMES,
    abbreviate,
    are_binary_masks,
    read_class_list,
    read_declared_classes,
    require_same_classes,
    scan_classes,
)
from globalconv.data.formats import cityscapes, coco, cvat, folder, labelme, list_file, sbd, voc
from globalconv.data.formats.coco_voc import CocoAsVoc, coco_number
from globalconv.data.formats.mixtures import NAMED, all_splits, found_below, named_splits, open_named
from globalconv.data.masks import MaskFormat
from globalconv.data.roots import Root, format_root, require_folder
from globalconv.data.scenes.scene import SCENES, scene_source
from globalconv.data.source import FileSource, Pair, Source, Subset, resolve_sample
from globalconv.data.splits import ALL, uses_hold_out
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import CAMVID, CITYSCAPES, VOC, LabelSpace


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk."""

    recognises: Callable[[Path], bool]
    splits: Callable[[Path], Sequence[str]]
    """The splits on disk; [""] where there are none."""
    read: Callable[[Path, str, OnError], tuple[Any, ...]]
    """Returns the samples of a split: pairs, or drawings where there are `names`."""
    names: Callable[[Path], Sequence[str]] | None = None
    """Returns the class names of drawings, where no class list fixes them."""
    classes: tuple[LabelSpace, MaskFormat] | None = None
    """The classes of masks and how they hold them, where the layout is that of one data set."""


_ON_DISK = {
    "camvid": Layout(
        list_file.is_camvid_layout, list_file.list_splits, list_file.read_list, classes=(CAMVID, MaskFormat())
    ),
    "list": Layout(lambda root: bool(list_file.list_splits(root)), list_file.list_splits, list_file.read_list),
    "cityscapes": Layout(
        cityscapes.is_cityscapes_layout, cityscapes.cityscapes_splits, cityscapes.read_cityscapes,
        classes=(CITYSCAPES, cityscapes.CITYSCAPES_MASKS),
    ),
    "sbd": Layout(
        lambda root: sbd.sbd_home(root) is not None, sbd.sbd_splits, sbd.read_sbd, classes=(VOC, MaskFormat())
    ),
    "voc": Layout(voc.is_voc_layout, voc.voc_splits, voc.read_voc),
    "coco": Layout(coco.is_coco_layout, coco.coco_splits, coco.read_coco, coco.coco_names),
    "cvat": Layout(cvat.is_cvat_layout, cvat.cvat_splits, cvat.read_cvat, cvat.cvat_names),
    "folder": Layout(folder.is_folder_layout, folder.folder_splits, folder.read_folder),
    "labelme": Layout(labelme.is_labelme_layout, labelme.labelme_splits, labelme.read_labelme, labelme.labelme_names),
}  # fmt: skip
"""In the order in which they are tried: the surest signs first."""

LAYOUTS = (*_ON_DISK, "scenes")


def open_source(
    root: Root | None,
    split: str,
    layout: str | None = None,
    labels: LabelSpace | None = None,
    on_error: OnError = raise_error,
) -> Source:
    """Return the split of the data set at `root` (None: the built-in scenes).

    A split may also name the paper's data sets, and join several: "sbd:train+voc:train" (see `named`); `root` is then
    a folder that holds them, or says by their names where they are.

    `layout` is one of `LAYOUTS`, recognised if None. Classes are those the data declare (in a class list; CamVid's
    for layout "camvid"); if they declare none, they are `labels`, and without those what is found in all annotations.
    `labels` of trained weights that differ from the declared ones are refused. Samples that are not complete go to
    `on_error` and are left out; by default they are refused.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout={layout!r}: {suggest(layout, LAYOUTS)}")
    if root is not None and (terms := named_splits(split, root)):
        if layout is not None:
            raise InputError(f"layout={layout!r}: the split {split!r} says what the data are; leave the layout out")
        source = open_named(root, terms, on_error)
        require_same_classes(source.labels, labels, format_root(root))
        return source
    assert not isinstance(root, Mapping)
    if root is None or layout == "scenes":
        return _scenes(root, split, layout, labels)
    layout = layout or recognise_layout(root)
    name = f"{layout} {root} ({split})"
    with parsing(str(root)):
        samples = _ON_DISK[layout].read(require_folder(root), split, on_error)
    if _ON_DISK[layout].names is not None:
        return _drawn(name, root, layout, samples, labels)
    # Whoever notes what is wrong reads every sample later, and notes broken masks then.
    found, masks = _classes(
        root, layout, samples, labels, raise_error if on_error is raise_error else lambda error: None
    )
    return FileSource(name, found, samples, masks)


def open_held_out(root: Path, names: Collection[str], layout: str | None, labels: LabelSpace) -> Source | None:
    """Return the samples called `names`, which a training held out of the data set at `root`.

    None where the data set has a split for validation by now, or none of the samples: then it is another one. Where
    only some are there, the rest of its hold-out may have been learnt: `InputError`.
    """
    if not uses_hold_out(list_splits(root, layout)):
        return None
    whole = open_source(root, ALL, layout, labels)
    there = {whole.sample_name(index): index for index in range(len(whole))}
    missing = sorted(set(names) - there.keys())
    if len(missing) == len(names):
        return None
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of the {len(names)} images that the training held out are not there any more"
            f" ({abbreviate(missing)}), and others may have been learnt; put them back, or name another `split`"
        )
    return Subset(f"{whole.name}, held out in training", whole, tuple(sorted(there[name] for name in names)))


def list_splits(root: Root, layout: str | None = None) -> list[str]:
    """Return the splits that the data at `root` have on disk; [""] where there are none.

    Of several data sets, those of each with its name before: "voc:train".
    """
    if isinstance(root, Mapping) or (layout is None and holds_several_datasets(root)):
        return all_splits(root)
    if layout is not None and layout not in _ON_DISK:
        raise InputError(f"layout={layout!r}: {suggest(layout, _ON_DISK)}")
    with parsing(str(root)):
        return list(_ON_DISK[layout or recognise_layout(root)].splits(require_folder(root)))


def recognise_layout(root: Path) -> str:
    """Return the layout of the data set at `root`."""
    found = _first_fit(require_folder(root))
    if names := _together(root, found):
        several = f"several data sets ({', '.join(names)})" if names[1:] else f"{names[0]} one folder below"
        raise InputError(
            f"{root}: holds {several}; name each split with its data set, as in {names[0]}:train (joined by +)"
        )
    if found is not None:
        return found
    if (error := list_file.almost_a_list(root)) is not None:
        raise error
    raise InputError(
        f"{root}: no known layout; looked for images/ beside labels/ or masks/ (in train/ and val/ or not), list files"
        " of 'image label' pairs (train.txt; with trainannot/: CamVid), JPEGImages/ beside SegmentationClass/ (VOC),"
        " img/ beside cls/ (SBD), leftImg8bit/ beside gtFine/ or gtCoarse/ (Cityscapes),"
        " annotations of labelme (a JSON per image), COCO (annotations/*.json) and CVAT (annotations.xml)"
    )


def holds_several_datasets(root: Root) -> bool:
    """Say whether the paper's data sets lie at `root` that only their names tell apart."""
    return isinstance(root, Mapping) or bool(_together(root, _first_fit(require_folder(root))))


def _first_fit(root: Path) -> str | None:
    return next((name for name, layout in _ON_DISK.items() if layout.recognises(root)), None)


def _together(root: Path, found: str | None) -> list[str]:
    """Return the names of data sets in one folder that looks like the layout `found` of at most one of them."""
    itself = found is not None and (found not in NAMED or NAMED[found].home(root) == root)
    names = [] if itself else found_below(root)
    return names if len(names) > 1 or found is None else []


def _classes(
    root: Path, layout: str, pairs: tuple[Pair, ...], expected: LabelSpace | None, on_error: OnError
) -> tuple[LabelSpace, MaskFormat]:
    """Return the classes of masks, and how the masks hold them."""
    if declared := read_declared_classes(root, pairs):
        labels = require_same_classes(declared.labels, expected, str(root))
        masks = declared.masks
    elif (fixed := _ON_DISK[layout].classes or _vocs_own(layout, pairs, expected)) is not None:
        labels, masks = require_same_classes(fixed[0], expected, str(root)), fixed[1]
    elif expected is not None:
        labels, masks = expected, MaskFormat()
    else:
        return scan_classes(tuple(_everything(root, layout)), on_error)
    binary = are_binary_masks(labels, masks, _everything(root, layout), on_error)
    return labels, MaskFormat(binary=True) if binary else masks


def _vocs_own(
    layout: str, pairs: tuple[Pair, ...], expected: LabelSpace | None
) -> tuple[LabelSpace, MaskFormat] | None:
    """Return VOC's classes for masks in VOC's layout that are as VOC's own, unless other classes are expected."""
    wanted = expected is None or expected.class_names == VOC.class_names
    return (VOC, voc.VOC_MASKS) if layout == "voc" and wanted and voc.voc_classes(pairs) else None


def sample_files(source: Source, index: int) -> tuple[Path, ...]:
    """Return the files that hold one sample and nothing else, its image first; none of a generated one."""
    whole, place = resolve_sample(source, index)
    if isinstance(whole, FileSource):
        return whole.pairs[place].image, whole.pairs[place].label
    if isinstance(whole, DrawnSource):
        return (whole.drawings[place].image,)
    return (whole.file(place),) if isinstance(whole, CocoAsVoc) else ()


def image_identity(source: Source, index: int) -> str:
    """Return what is equal for two samples that show one image, also where two data sets have a copy each.

    SBD's images are called as VOC's are, and COCO's have their number in 2014 and in 2017; else it is the file.
    """
    whole, place = resolve_sample(source, index)
    name = whole.sample_name(place)
    if isinstance(whole, CocoAsVoc):
        return f"coco {coco_number(name)}"
    if whole.labels.class_names == VOC.class_names and voc.VOC_NAME.fullmatch(name):
        return f"voc {name}"
    files = sample_files(whole, place)
    return os.path.realpath(files[0]) if files else name


def used_files(root: Path, layout: str) -> set[Path]:
    """Return the images and masks of all complete samples of all splits."""
    with parsing(str(root)):
        return {
            path for sample in _samples(root, layout) for path in (sample.image, getattr(sample, "label", None)) if path
        }


def _everything(root: Path, layout: str) -> Iterator[Pair]:
    """Yield the pairs of all splits, each mask once: what decides about classes must not depend on the split.

    Nothing is listed before the first is asked for: most data sets need no decision.
    """
    yield from {pair.label: pair for pair in _samples(root, layout)}.values()


def _samples(root: Path, layout: str) -> Iterator[Any]:
    """Yield the samples of all splits that are complete; whoever reads a split is told of the others."""
    yield from _ON_DISK[layout].read(root, ALL, lambda error: None)


def _drawn(
    name: str, root: Path, layout: str, drawings: tuple[Drawing, ...], expected: LabelSpace | None
) -> DrawnSource:
    names = _ON_DISK[layout].names
    assert names is not None
    declared = read_class_list(root, *(["labels.txt"] if layout == "labelme" else []))
    labels = expected if declared is None else require_same_classes(declared.labels, expected, str(root))
    void_names = VOID_NAMES if declared is None else declared.void_names
    with parsing(str(root)):
        found = names(root) if labels is None else ()
    return DrawnSource(name, resolve_drawn_classes(found, labels, void_names), drawings)


def _scenes(root: Path | None, split: str, layout: str | None, labels: LabelSpace | None) -> Source:
    if layout not in (None, "scenes"):
        raise InputError(f"layout={layout!r}: needs the folder of the data; give `data` PATH")
    if root is not None:
        raise InputError(f"{root}: the built-in scenes are generated and lie in no folder; leave the path out")
    require_same_classes(SCENES, labels, "the built-in scenes")
    return scene_source(split)
