"""Data sets: every layout on disk, how each is recognised, and `open_source`, which opens a split of one.

A new layout is a file in `globalconv.data.formats` and an entry in `LAYOUTS_ON_DISK`.
"""

import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from globalconv.data.annotations import DrawnSample, DrawnSource, parsing, resolve_drawn_classes
from globalconv.data.classes import (
    VOID_NAMES,
    read_class_list,
    read_declared_classes,
    require_same_classes,
    scan_classes,
)
from globalconv.data.file_names import composed
from globalconv.data.formats import camvid, cityscapes, coco, cvat, folder, labelme, list_file, sbd, voc
from globalconv.data.formats.coco_voc import CocoVocSource, image_number
from globalconv.data.formats.foreign import explain_foreign, explain_yolo
from globalconv.data.formats.mixtures import (
    NAMED_DATASETS,
    list_datasets,
    list_named_splits,
    open_mixture,
    parse_mixture,
)
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.image_rule import NamedImage, decide_format, is_unusual, read_headers
from globalconv.data.mask_survey import settle_format
from globalconv.data.masks import MaskFormat
from globalconv.data.roots import Root, format_root, require_folder
from globalconv.data.scenes.scene import SCENES, open_scenes
from globalconv.data.source import FileSource, Pair, Source, Subset, resolve_sample, spread_evenly, with_image_format
from globalconv.data.splits import ALL, uses_hold_out
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import VOC, LabelSpace
from globalconv.runtime.text import abbreviate

LAYOUTS_ON_DISK = {
    "camvid": camvid.LAYOUT,
    "list": list_file.LAYOUT,
    "cityscapes": cityscapes.LAYOUT,
    "sbd": sbd.LAYOUT,
    "voc": voc.LAYOUT,
    "coco": coco.LAYOUT,
    "cvat": cvat.LAYOUT,
    "folder": folder.LAYOUT,
    "labelme": labelme.LAYOUT,
}
"""The layouts in the order in which they are tried: the surest signs first."""

LAYOUTS = (*LAYOUTS_ON_DISK, "scenes")

IMAGES_OF_MIXTURE = 1024
"""Images of a mixture, evenly spread, among which those are that its rule for images is decided from."""


def open_source(
    root: Root | None,
    split: str,
    layout: str | None = None,
    labels: LabelSpace | None = None,
    on_error: OnError = raise_error,
    image_format: ImageFormat = UNKNOWN_FORMAT,
) -> Source:
    """Return one split of the data set at `root` (None: the built-in scenes).

    A split may also name the paper's data sets and join several, "sbd:train+voc:train" (see `formats.mixtures`); `root`
    is then a folder that holds them, or a mapping from their names to their folders.

    `layout` is one of `LAYOUTS`; None: it is recognised. The classes are those that a class list or the layout itself
    declares; if neither does, they are `labels`, and without `labels` those that occur in all annotations. `labels` are
    the classes of trained weights: other declared classes are refused. Samples that are not complete go to `on_error`
    and are left out; by default they are refused.

    `image_format` is the rule by which images are read, that of trained weights or of a setting. What it leaves open is
    decided from a sample of the images of all splits, and told (`globalconv.data.image_rule`).
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout={layout!r}: {suggest(layout, LAYOUTS)}")
    if root is not None and (parts := parse_mixture(split, root)):
        if layout is not None:
            raise InputError(f"layout={layout!r}: the split {split!r} says what the data are; leave the layout out")
        source = open_mixture(root, parts, on_error)
        require_same_classes(source.labels, labels, format_root(root))
        places = spread_evenly(len(source), IMAGES_OF_MIXTURE)
        images = [(source.sample_name(place), list_sample_files(source, place)[0]) for place in places]
        return with_image_format(source, _decide_and_tell(images, image_format))
    assert not isinstance(root, Mapping)
    if root is None or layout == "scenes":
        if layout not in (None, "scenes"):
            raise InputError(f"layout={layout!r}: needs the folder of the data; give `data` PATH")
        if root is not None:
            raise InputError(f"{root}: the built-in scenes are generated and lie in no folder; leave the path out")
        require_same_classes(SCENES, labels, "the built-in scenes")
        return open_scenes(split)

    layout = layout or recognise_layout(root)
    name, on_disk = f"{layout} {root} ({split})", LAYOUTS_ON_DISK[layout]
    with parsing(str(root)):
        samples = on_disk.read_split(require_folder(root), split, on_error)
    if on_disk.list_class_names is None:
        # A caller that collects errors reads every mask later anyway, and collects those of broken masks then.
        on_mask_error = raise_error if on_error is raise_error else _skip
        mask_labels, masks = _mask_classes(root, layout, samples, labels, on_mask_error)
        return FileSource(name, mask_labels, samples, masks, _image_format(root, layout, samples, image_format))
    declared = read_class_list(root, *on_disk.class_lists)
    drawn_labels = labels if declared is None else require_same_classes(declared.labels, labels, str(root))
    with parsing(str(root)):
        names = on_disk.list_class_names(root) if drawn_labels is None else {}
    void_names = VOID_NAMES if declared is None else declared.void_names
    classes = resolve_drawn_classes(names, drawn_labels, str(root), void_names)
    return DrawnSource(name, classes, samples, _image_format(root, layout, samples, image_format))


def _skip(error: InputError) -> None:
    """Leave out an incomplete sample without a word: opening its split reports it."""


def _image_format(root: Path, layout: str, samples: tuple[Pair | DrawnSample, ...], given: ImageFormat) -> ImageFormat:
    """Return the rule for the images of a data set: the same whichever of its splits holds `samples`."""
    if not any(map(is_unusual, read_headers([(sample.name, sample.image) for sample in samples]).values())):
        return given
    with parsing(str(root)):
        everything = LAYOUTS_ON_DISK[layout].read_split(root, ALL, _skip)
    return _decide_and_tell([(sample.name, sample.image) for sample in everything], given)


def _decide_and_tell(images: Sequence[NamedImage], given: ImageFormat) -> ImageFormat:
    """Return the rule for some images, and tell about it."""
    image_format, told = decide_format(images, given)
    for warning in told:
        warnings.warn(warning, stacklevel=2)
    return image_format


def _mask_classes(
    root: Path, layout: str, pairs: tuple[Pair, ...], expected: LabelSpace | None, on_error: OnError
) -> tuple[LabelSpace, MaskFormat]:
    """Return the classes of a data set with masks, and the format of its masks."""
    declared, fixed_classes = read_declared_classes(root, pairs), LAYOUTS_ON_DISK[layout].fixed_classes
    fixed = fixed_classes(pairs, expected) if declared is None and fixed_classes is not None else None
    if declared is not None:
        labels, masks = require_same_classes(declared.labels, expected, str(root)), declared.masks
    elif fixed is not None:
        labels, masks = require_same_classes(fixed[0], expected, str(root)), fixed[1]
    elif expected is not None:
        labels, masks = expected, MaskFormat()
    else:
        return scan_classes(tuple(_all_pairs(root, layout)), on_error, vocs=layout == "voc")
    paths = (pair.label for pair in _all_pairs(root, layout))
    return labels, settle_format(labels, masks, paths, declared is not None and declared.void_255)


def _all_pairs(root: Path, layout: str) -> Iterator[Pair]:
    """Yield the pairs of all splits, each mask once: the classes must not depend on which split is opened.

    A generator, so that nothing is listed before the first pair is asked for: most data sets need none.
    """
    yield from {pair.label: pair for pair in LAYOUTS_ON_DISK[layout].read_split(root, ALL, _skip)}.values()


def recognise_layout(root: Path) -> str:
    """Return the layout of the data set at `root`."""
    layout = _first_fit(require_folder(root))
    if names := _named_together(root, layout):
        several = f"several data sets ({', '.join(names)})" if names[1:] else f"{names[0]} one folder below"
        raise InputError(
            f"{root}: holds {several}; name each split with its data set, as in {names[0]}:train (joined by +)"
        )
    if layout == "folder" and folder.holds_no_masks(root):
        if labelme.recognise(root):
            return "labelme"
        if (error := explain_yolo(root) or explain_foreign(root)) is not None:
            raise error
    if layout is not None:
        return layout
    if (error := explain_yolo(root) or list_file.explain_unreadable_list(root) or explain_foreign(root)) is not None:
        raise error
    raise InputError(
        f"{root}: no known layout; looked for images/ beside labels/ or masks/ (in train/ and val/ or not), list files"
        " of 'image label' pairs (train.txt; with trainannot/: CamVid), JPEGImages/ beside SegmentationClass/ (VOC),"
        " img/ beside cls/ (SBD), leftImg8bit/ beside gtFine/ or gtCoarse/ (Cityscapes),"
        " annotations of labelme (a JSON per image), COCO (annotations/*.json) and CVAT (annotations.xml)"
    )


def holds_several_datasets(root: Root) -> bool:
    """Return whether several of the paper's data sets lie at `root`, so that a split has to name its own."""
    return isinstance(root, Mapping) or bool(_named_together(root, _first_fit(require_folder(root))))


def _first_fit(root: Path) -> str | None:
    return next((name for name, layout in LAYOUTS_ON_DISK.items() if layout.recognise(root)), None)


def _named_together(root: Path, layout: str | None) -> list[str]:
    """Return the names of the paper's data sets at `root`, where they are several; `layout` is the first that fits."""
    itself = layout is not None and (layout not in NAMED_DATASETS or NAMED_DATASETS[layout].find_home(root) == root)
    names = [] if itself else list_datasets(root)
    return names if len(names) > 1 or layout is None else []


def list_splits(root: Root, layout: str | None = None) -> list[str]:
    """Return the splits that the data at `root` have on disk; [""] where there are none.

    Splits of several data sets carry the name of theirs: "voc:train".
    """
    if isinstance(root, Mapping) or (layout is None and holds_several_datasets(root)):
        return list_named_splits(root)
    if layout is not None and layout not in LAYOUTS_ON_DISK:
        raise InputError(f"layout={layout!r}: {suggest(layout, LAYOUTS_ON_DISK)}")
    with parsing(str(root)):
        return list(LAYOUTS_ON_DISK[layout or recognise_layout(root)].list_splits(require_folder(root)))


def open_held_out(
    root: Path,
    names: Collection[str],
    layout: str | None,
    labels: LabelSpace,
    image_format: ImageFormat = UNKNOWN_FORMAT,
) -> Source | None:
    """Return the samples called `names`, which a training held out of the data set at `root`.

    None if the data set has a split for validation by now, or none of the samples: then it is another data set. If only
    some of the samples are there, others that were held out may have been trained on: `InputError`.
    """
    if not uses_hold_out(list_splits(root, layout)):
        return None
    source = open_source(root, ALL, layout, labels, image_format=image_format)
    indices = {source.sample_name(index): index for index in range(len(source))}
    names = {composed(name) for name in names}
    missing = sorted(names - indices.keys())
    if len(missing) == len(names):
        return None
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of the {len(names)} images that the training held out are not there any more"
            f" ({abbreviate(missing)}), and others may have been learnt; put them back, or name another `split`"
        )
    return Subset(f"{source.name}, held out in training", source, tuple(sorted(indices[name] for name in names)))


def list_sample_files(source: Source, index: int) -> tuple[Path, ...]:
    """Return the files that hold one sample and nothing else, its image first; a generated sample has none."""
    source, index = resolve_sample(source, index)
    if isinstance(source, FileSource):
        return source.pairs[index].image, source.pairs[index].label
    if isinstance(source, DrawnSource):
        return (source.samples[index].image,)
    return (source.file(index),) if isinstance(source, CocoVocSource) else ()


def list_used_files(root: Path, layout: str) -> set[Path]:
    """Return the images and masks of all complete samples of all splits."""
    with parsing(str(root)):
        samples = LAYOUTS_ON_DISK[layout].read_split(root, ALL, _skip)
    return {path for sample in samples for path in (sample.image, getattr(sample, "label", None)) if path}


def image_identity(source: Source, index: int) -> str:
    """Return a key that is equal for two samples of the same image, even where two data sets have a copy each.

    SBD's images have the names of VOC's, COCO's have the same number in 2014 and 2017; otherwise it is the file.
    """
    source, index = resolve_sample(source, index)
    name = source.sample_name(index)
    if isinstance(source, CocoVocSource):
        return f"coco {image_number(name)}"
    if source.labels.class_names == VOC.class_names and voc.VOC_NAME.fullmatch(name):
        return f"voc {name}"
    files = list_sample_files(source, index)
    return os.path.realpath(files[0]) if files else name
