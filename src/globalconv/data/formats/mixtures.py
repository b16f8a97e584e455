"""The paper's data sets by their names, alone or joined: `coco:train+sbd:train+sbd:val+voc:train`.

A layout reads what lies on disk with the classes it has there. A name says what the data are for: `voc`, `sbd` and
`coco` all have VOC's classes, `cityscapes` its 19. So `coco` keeps the images that hold one of the 20 (see `coco_voc`),
and `sbd` never holds an image that VOC validates on, which is why it needs to know where VOC is. An image that two
parts of a mixture label counts once: VOC's map before SBD's, a fine mask before a coarse one, else the first named.

The folders of the data sets come from a mapping (`data voc=PATH sbd=PATH`), or the data sets are found in one folder.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.file_names import list_subfolders
from globalconv.data.formats import cityscapes, coco_voc, official_counts, sbd, voc
from globalconv.data.roots import Root, require_folder
from globalconv.data.source import FileSource, Mixture, Source, Subset
from globalconv.data.splits import find_split, uses_hold_out
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import CITYSCAPES, VOC

JOIN, OF = "+", ":"


@dataclass(frozen=True)
class MixturePart:
    """One part of a mixture: `coco:train:min-area=1000`."""

    dataset: str
    split: str
    min_area: int = 0

    def __str__(self) -> str:
        return OF.join([self.dataset, self.split, *([f"min-area={self.min_area}"] if self.min_area else [])])


FindHome = Callable[[Path], Path | None]


@dataclass(frozen=True)
class NamedDataset:
    """One of the paper's data sets."""

    find_home: FindHome
    """Returns where it lies, if a folder holds it."""
    list_splits: Callable[[Path], Sequence[str]]
    """Returns the splits at its home that divide it."""
    signs: str
    """The files by which it is found, in words."""


def _only_train_and_val(list_splits: Callable[[Path], Sequence[str]]) -> Callable[[Path], Sequence[str]]:
    """Leave out the lists that people add to VOC and SBD (trainaug, train_noval): they do not divide the data."""
    return lambda home: [name for name in list_splits(home) if find_split(["train", "val"], name)]


NAMED_DATASETS = {
    "voc": NamedDataset(
        voc.find_home,
        _only_train_and_val(voc.list_splits),
        "JPEGImages/ beside SegmentationClass/, in VOCdevkit/VOC2012/ or not",
    ),
    "sbd": NamedDataset(
        sbd.find_home, _only_train_and_val(sbd.list_splits), "img/ beside cls/, in benchmark_RELEASE/dataset/ or not"
    ),
    "coco": NamedDataset(
        coco_voc.find_home,
        lambda home: list(coco_voc.find_files(home)),
        "annotations/instances_train2017.json or 2014",
    ),
    "cityscapes": NamedDataset(
        cityscapes.find_home, cityscapes.list_splits, "leftImg8bit/ beside gtFine/ or gtCoarse/"
    ),
}


def parse_mixture(split: str, root: Root | None) -> tuple[MixturePart, ...]:
    """Return the parts that a split names, such as "sbd:train+voc:train"; none if it is a split of one data set.

    Of a mapping with a single entry the split may leave the name out.
    """
    words = [re.sub(rf"\s*{OF}\s*", OF, word.strip()) for word in split.split(JOIN)]
    if isinstance(root, Mapping) and len(root) == 1:
        words = [word if OF in word else f"{next(iter(root))}{OF}{word}" for word in words]
    if not any(re.match(r"\w+:", word) for word in words):
        if isinstance(root, Mapping):
            raise InputError(
                f"split {split!r}: `data` names several data sets ({', '.join(sorted(root))}); say of which it is, as"
                f" in {min(root)}{OF}train (joined by {JOIN})"
            )
        return ()
    parts = []
    for word in words:
        name, _, rest = word.partition(OF)
        part, *options = rest.split(OF)
        if not word:
            raise InputError(
                f"split {split!r}: names nothing before or after a {JOIN}; write voc{OF}train, say, or leave it"
            )
        if name not in NAMED_DATASETS:
            raise InputError(f"split {split!r}: data set {name!r}: {suggest(name, NAMED_DATASETS)}")
        if not part:
            raise InputError(f"split {split!r}: {word!r} names no split; write {name}{OF}train, say")
        min_area = re.fullmatch(r"min-area=(\d+)", options[0]) if options else None
        if options and (name != "coco" or min_area is None or options[1:]):
            raise InputError(
                f"split {split!r}: {word!r}: only coco has an option, min-area=PIXELS (coco:train:min-area=99)"
            )
        parts.append(MixturePart(name, part, int(min_area[1]) if min_area else 0))
    return tuple(parts)


def open_mixture(root: Root, parts: Sequence[MixturePart], on_error: OnError = raise_error) -> Source:
    """Return the samples of all `parts`, each image once."""
    split = JOIN.join(map(str, parts))
    kinds = [(part.dataset, part.split) for part in parts]
    if repeated := [str(part) for number, part in enumerate(parts) if kinds[number] in kinds[:number]]:
        raise InputError(f"split {split!r}: {repeated[0]} is named twice; name it once")
    sources = [_open_part(root, part, on_error) for part in parts]
    reasons = {
        "sbd": " that VOC does not validate on; unpack the official archive again",
        "coco": " with an object of VOC's 20 classes; name another split, or a smaller min-area",
    }
    for part, source in zip(parts, sources, strict=True):
        if len(source) == 0:
            raise InputError(f"split {str(part)!r}: {source.name} holds no image{reasons.get(part.dataset, '')}")
        if source.labels.class_names != sources[0].labels.class_names:
            raise InputError(
                f"split {split!r}: {part} has other classes than {parts[0]}; join data sets of the same classes only"
            )
    if len(parts) == 1:
        return sources[0]

    def image_key(part: MixturePart, name: str) -> tuple[str, str]:
        """Return what identifies an image in any data set: SBD's have VOC's names, COCO's keep their numbers."""
        if part.dataset == "coco":
            return "coco", coco_voc.image_number(name)
        return ("cityscapes" if part.dataset == "cityscapes" else "voc"), name

    # Each image is a sample of the part that has its finest map; of equally fine ones the first part has it.
    ranks = [(part.dataset == "sbd" or part.split.startswith("coarse"), number) for number, part in enumerate(parts)]
    keys = [
        [image_key(part, source.sample_name(index)) for index in range(len(source))]
        for part, source in zip(parts, sources, strict=True)
    ]
    owners: dict[tuple[str, str], tuple[bool, int]] = {}
    for rank, part_keys in zip(ranks, keys, strict=True):
        for key in part_keys:
            owners[key] = min(owners.get(key, rank), rank)
    subsets = [
        Subset(str(part), source, tuple(index for index, key in enumerate(part_keys) if owners[key] == rank))
        for part, source, rank, part_keys in zip(parts, sources, ranks, keys, strict=True)
    ]
    _check_voc_and_sbd(root, {str(part): len(subset) for part, subset in zip(parts, subsets, strict=True)}, on_error)
    return Mixture(tuple(subsets), tuple(part.dataset for part in parts))


def _open_part(root: Root, part: MixturePart, on_error: OnError) -> Source:
    """Return the samples of one part, before those are left out that other parts have too."""
    home = locate(root, part.dataset)
    name = f"{part.dataset} {home} ({part.split})"
    if part.dataset == "coco":
        return coco_voc.open_split(home, part.split, part.min_area, on_error)
    if part.dataset == "cityscapes":
        return FileSource(
            name, CITYSCAPES, cityscapes.read_split(home, part.split, on_error), cityscapes.LABEL_ID_MASKS
        )

    # As layouts, VOC and SBD hold out some training images where there is no list val.txt. By name, val is the official
    # split, or none.
    lists, folder = (voc.list_lists(home), home / voc.LISTS) if part.dataset == "voc" else (sbd.list_splits(home), home)
    if uses_hold_out(lists) and find_split(["train", "val"], part.split):
        raise InputError(
            f"split {str(part)!r}: {folder} has no list val.txt, and the official one is not to be replaced by a"
            " hold-out; copy it from the official archive"
        )
    if part.dataset == "voc":
        return FileSource(name, VOC, voc.read_split(home, part.split, on_error), voc.VOC_MASKS)

    # SBD, without the images that VOC validates on. If VOC's list were cut short, the rest would be trained on.
    try:
        voc_home = locate(root, "voc")
        validated_on = set(voc.read_names(voc_home, "val"))
        if not validated_on or (sbd.is_complete(home) and len(validated_on) != official_counts.VOC["val"]):
            raise InputError(
                f"{voc_home / voc.LISTS / 'val.txt'}: lists {len(validated_on):,} of {official_counts.VOC['val']:,}"
                " images; copy it from the official archive"
            )
    except InputError as error:
        raise InputError(
            f"split {str(part)!r}: needs VOC's list val.txt too, so that its images can be left out ({error})"
        ) from None
    pairs = sbd.read_split(home, part.split, on_error)
    return FileSource(name, VOC, tuple(pair for pair in pairs if pair.name not in validated_on))


def _check_voc_and_sbd(root: Root, sizes: Mapping[str, int], on_error: OnError) -> None:
    """Report where complete VOC and SBD do not make 10,582 training images; `sizes` are images by part."""
    training = {"voc:train", "sbd:train", "sbd:val"}
    if not training <= sizes.keys():
        return
    voc_home, sbd_home = locate(root, "voc"), locate(root, "sbd")
    complete = len(voc.read_names(voc_home, "train")) == official_counts.VOC["train"] and sbd.is_complete(sbd_home)
    count = sum(sizes[name] for name in training)
    if complete and count != official_counts.VOC_AND_SBD:
        message = (
            f"{voc_home / voc.LISTS}: VOC and SBD together give {count:,} training images where they have"
            f" {official_counts.VOC_AND_SBD:,}; the lists of one of them are not the official ones: unpack both again"
        )
        on_error(InputError(message, "count"))


def locate(root: Root, name: str, find_home: FindHome | None = None, signs: str = "") -> Path:
    """Return the folder of the data set `name`; nowhere, or in two places, is an `InputError`.

    `find_home` and `signs` replace those of `NAMED_DATASETS`: images that are only predicted need no masks.
    """
    find_home, signs = find_home or NAMED_DATASETS[name].find_home, signs or NAMED_DATASETS[name].signs
    if isinstance(root, Mapping):
        if name not in root:
            raise InputError(f"`data`: no place is given for {name}; add {name}=PATH")
        place = root[name]
        root = require_folder(place)
        message = f"`data` {name}={place}: holds no {name}; looked for {signs}, there and one folder below"
    else:
        root = require_folder(root)
        message = (
            f"{root}: holds no {name}; looked for {signs}, there and one folder below; say where it is, `data`"
            f" {name}=PATH"
        )
    homes = list({os.path.realpath(home): home for home in _find_homes(root, find_home)}.values())
    if not homes:
        raise InputError(message)
    if len(homes) > 1:
        raise InputError(f"{root}: holds {name} in {homes[0]} and in {homes[1]}; say which, `data` {name}=PATH")
    return homes[0]


def _find_homes(root: Path, find_home: FindHome) -> Iterator[Path]:
    """Yield where a data set lies: at `root` or in what it is unpacked to there, else one folder below."""
    if (home := find_home(root)) is not None:
        yield home
        return
    for child in list_subfolders(root):
        try:
            home = find_home(child)
        except PermissionError:
            continue
        if home is not None:
            yield home


def list_datasets(root: Path) -> list[str]:
    """Return the names of the data sets at `root` or one folder below."""
    return [name for name, dataset in NAMED_DATASETS.items() if any(_find_homes(root, dataset.find_home))]


def list_named_splits(root: Root) -> list[str]:
    """Return the splits of all data sets at `root`, by their names: "voc:train"."""
    names = sorted(root) if isinstance(root, Mapping) else list_datasets(root)
    return [f"{name}{OF}{split}" for name in names for split in NAMED_DATASETS[name].list_splits(locate(root, name))]


def list_training_and_validation(root: Root) -> list[str]:
    """Return the mixtures to train and to validate on with all data sets at `root`, for each kind of classes.

    SBD and COCO are trained on whole: scores are those of VOC and Cityscapes.
    """
    splits = list_named_splits(root)
    mixtures = []
    for datasets in (("voc", "sbd", "coco"), ("cityscapes",)):
        of_kind = [split for split in splits if split.partition(OF)[0] in datasets]
        validation = [split for split in of_kind if split in ("voc:val", "cityscapes:val", "cityscapes:coarse-val")]
        mixtures += [JOIN.join(split for split in of_kind if split not in validation), *validation]
    return [mixture for mixture in mixtures if mixture]
