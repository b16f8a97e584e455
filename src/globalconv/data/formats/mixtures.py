"""The paper's data sets by their names, alone or joined: `coco:train+sbd:train+sbd:val+voc:train`.

A layout reads what lies on disk with the classes it has there. A name says what it is for: `voc`, `sbd` and `coco` all
have VOC's classes, `cityscapes` its 19. So `coco` keeps the images that hold one of the 20 (see `coco_voc`), and
`sbd` never holds an image that VOC validates on, which is why it needs to know where VOC is. Where two parts of a
mixture label one image it counts once: VOC's map before SBD's, a fine mask before a coarse one, else the first named.

Where they lie is said by a mapping (`data voc=PATH sbd=PATH`), or by one folder in which they are found.
"""

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.formats import published
from globalconv.data.formats.cityscapes import (
    CITYSCAPES_MASKS,
    cityscapes_splits,
    is_cityscapes_layout,
    read_cityscapes,
)
from globalconv.data.formats.coco_voc import coco_files, coco_number, is_coco, open_coco
from globalconv.data.formats.sbd import is_complete, read_sbd, sbd_home, sbd_splits
from globalconv.data.formats.voc import LISTS, VOC_MASKS, read_voc, voc_home, voc_lists, voc_names, voc_splits
from globalconv.data.roots import Root, require_folder
from globalconv.data.source import FileSource, Mixture, Source, Subset
from globalconv.data.splits import find_split, uses_hold_out
from globalconv.errors import InputError, OnError, raise_error, suggest
from globalconv.labels import CITYSCAPES, VOC

JOIN, OF = "+", ":"


@dataclass(frozen=True)
class Term:
    """One part of a mixture: `coco:train:min-area=1000`."""

    source: str
    split: str
    min_area: int = 0

    def __str__(self) -> str:
        return OF.join([self.source, self.split, *([f"min-area={self.min_area}"] if self.min_area else [])])


Home = Callable[[Path], Path | None]
Opener = Callable[[Root, Path, Term, OnError], Source]


@dataclass(frozen=True)
class Named:
    """One of the paper's data sets."""

    home: Home
    """Returns where it lies if the folder holds it."""
    splits: Callable[[Path], Sequence[str]]
    """Returns the splits at its home that divide it."""
    opened: Opener
    sought: str
    """What is looked for, in words."""


def named_splits(split: str, root: Root | None) -> tuple[Term, ...]:
    """Return the parts that a split names, such as "sbd:train+voc:train"; none where it names a split on disk only.

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
    return tuple(_term(word, split) for word in words)


def _term(word: str, split: str) -> Term:
    name, _, rest = word.partition(OF)
    part, *options = rest.split(OF)
    if not word:
        raise InputError(
            f"split {split!r}: names nothing before or after a {JOIN}; write voc{OF}train, say, or leave it"
        )
    if name not in NAMED:
        raise InputError(f"split {split!r}: data set {name!r}: {suggest(name, NAMED)}")
    if not part:
        raise InputError(f"split {split!r}: {word!r} names no split; write {name}{OF}train, say")
    if not options:
        return Term(name, part)
    found = re.fullmatch(r"min-area=(\d+)", options[0])
    if name != "coco" or found is None or options[1:]:
        raise InputError(
            f"split {split!r}: {word!r}: only coco has an option, min-area=PIXELS (coco:train:min-area=99)"
        )
    return Term(name, part, int(found[1]))


def open_named(root: Root, terms: Sequence[Term], on_error: OnError = raise_error) -> Source:
    """Return the samples of all `terms`, each image once."""
    kinds = [(term.source, term.split) for term in terms]
    if repeated := [str(term) for place, term in enumerate(terms) if kinds[place] in kinds[:place]]:
        raise InputError(f"split {JOIN.join(map(str, terms))!r}: {repeated[0]} is named twice; name it once")
    parts = [NAMED[term.source].opened(root, locate(root, term.source), term, on_error) for term in terms]
    for term, part in zip(terms, parts, strict=True):
        if len(part) == 0:
            raise InputError(f"split {str(term)!r}: {part.name} holds no image{_WHY_NONE.get(term.source, '')}")
        if part.labels.class_names != parts[0].labels.class_names:
            raise InputError(
                f"split {JOIN.join(map(str, terms))!r}: {term} has other classes than {terms[0]}; join data sets of the"
                " same classes only"
            )
    if len(terms) == 1:
        return parts[0]
    kept = [_part(part, term, indices) for term, part, indices in zip(terms, parts, _once(terms, parts), strict=True)]
    _check_voc_and_sbd(terms, kept, root, on_error)
    return Mixture(tuple(kept), tuple(term.source for term in terms))


_WHY_NONE = {
    "sbd": " that VOC does not validate on; unpack the official archive again",
    "coco": " with an object of VOC's 20 classes; name another split, or a smaller min-area",
}


def _part(part: Source, term: Term, indices: list[int]) -> Source:
    return Subset(str(term), part, tuple(indices))


def _once(terms: Sequence[Term], parts: Sequence[Source]) -> list[list[int]]:
    """Return, for each part, the samples that it gives: the finest map of an image, else the first."""
    owner: dict[tuple[str, str], tuple[int, int]] = {}
    keys = [
        [_image(term, part.sample_name(index)) for index in range(len(part))]
        for term, part in zip(terms, parts, strict=True)
    ]
    for place, term in enumerate(terms):
        for key in keys[place]:
            owner[key] = min(owner.get(key, (_coarseness(term), place)), (_coarseness(term), place))
    return [
        [index for index, key in enumerate(keys[place]) if owner[key] == (_coarseness(term), place)]
        for place, term in enumerate(terms)
    ]


def _image(term: Term, name: str) -> tuple[str, str]:
    """Return what identifies an image, whichever data set labels it: SBD's are VOC's, COCO's keep their numbers."""
    if term.source == "coco":
        return "coco", coco_number(name)
    return ("cityscapes" if term.source == "cityscapes" else "voc"), name


def _coarseness(term: Term) -> int:
    return int(term.source == "sbd" or term.split.startswith("coarse"))


def _check_voc_and_sbd(terms: Sequence[Term], parts: Sequence[Source], root: Root, on_error: OnError) -> None:
    """Report where complete VOC and SBD do not make 10,582 training images."""
    sizes = {str(term): len(part) for term, part in zip(terms, parts, strict=True)}
    wanted = {"voc:train": "train", "sbd:train": "train", "sbd:val": "val"}
    if not wanted.keys() <= sizes.keys():
        return
    voc, sbd = locate(root, "voc"), locate(root, "sbd")
    complete = len(voc_names(voc, "train")) == published.VOC["train"] and is_complete(sbd)
    count = sum(sizes[name] for name in wanted)
    if complete and count != published.VOC_AND_SBD:
        on_error(
            InputError(
                f"{voc / LISTS}: VOC and SBD together give {count:,} training images where they have"
                f" {published.VOC_AND_SBD:,}; the lists of one of them are not the official ones: unpack both again",
                "count",
            )
        )


def _check_lists(folder: Path, lists: Sequence[str], term: Term) -> None:
    """Refuse a split where a layout would hold some of the training images out: by a name, it is the official one."""
    if uses_hold_out(lists) and find_split(["train", "val"], term.split):
        raise InputError(
            f"split {str(term)!r}: {folder} has no list val.txt, and the official one is not to be replaced by a"
            " hold-out; copy it from the official archive"
        )


def _open_voc(root: Root, home: Path, term: Term, on_error: OnError) -> Source:
    _check_lists(home / LISTS, voc_lists(home), term)
    return FileSource(f"voc {home} ({term.split})", VOC, read_voc(home, term.split, on_error), VOC_MASKS)


def _open_sbd(root: Root, home: Path, term: Term, on_error: OnError) -> Source:
    """Return SBD's samples less those that VOC validates on."""
    _check_lists(home, sbd_splits(home), term)
    try:
        scored = set(_scored_by_voc(root, home))
    except InputError as error:
        raise InputError(
            f"split {str(term)!r}: needs VOC's list val.txt too, so that its images can be left out ({error})"
        ) from None
    pairs = tuple(pair for pair in read_sbd(home, term.split, on_error) if pair.name not in scored)
    return FileSource(f"sbd {home} ({term.split})", VOC, pairs)


def _scored_by_voc(root: Root, sbd: Path) -> list[str]:
    """Return the images that VOC validates on: of a list that is cut short, the rest would be learnt."""
    voc = locate(root, "voc")
    names = voc_names(voc, "val")
    if not names or (is_complete(sbd) and len(names) != published.VOC["val"]):
        raise InputError(
            f"{voc / LISTS / 'val.txt'}: lists {len(names):,} of {published.VOC['val']:,} images; copy it from the"
            " official archive"
        )
    return names


def _open_coco(root: Root, home: Path, term: Term, on_error: OnError) -> Source:
    return open_coco(home, term.split, term.min_area, on_error)


def _open_cityscapes(root: Root, home: Path, term: Term, on_error: OnError) -> Source:
    pairs = read_cityscapes(home, term.split, on_error)
    return FileSource(f"cityscapes {home} ({term.split})", CITYSCAPES, pairs, CITYSCAPES_MASKS)


def _itself(fits: Callable[[Path], bool], folder: Path) -> Path | None:
    return folder if fits(folder) else None


def _dividing(names: Sequence[str]) -> list[str]:
    """Return the lists that divide VOC or SBD, and not those that people add to them (trainaug, train_noval)."""
    return [name for name in names if find_split(["train", "val"], name)]


NAMED = {
    "voc": Named(
        voc_home,
        lambda home: _dividing(voc_splits(home)),
        _open_voc,
        "JPEGImages/ beside SegmentationClass/, in VOCdevkit/VOC2012/ or not",
    ),
    "sbd": Named(
        sbd_home, lambda home: _dividing(sbd_splits(home)), _open_sbd,
        "img/ beside cls/, in benchmark_RELEASE/dataset/ or not",
    ),
    "coco": Named(
        functools.partial(_itself, is_coco), lambda home: list(coco_files(home)), _open_coco,
        "annotations/instances_train2017.json or 2014",
    ),
    "cityscapes": Named(
        functools.partial(_itself, is_cityscapes_layout), cityscapes_splits, _open_cityscapes,
        "leftImg8bit/ beside gtFine/ or gtCoarse/",
    ),
}  # fmt: skip


def locate(root: Root, name: str) -> Path:
    """Return the home of the data set `name`; where it is not is an `InputError`."""
    return located(root, name, NAMED[name].home, NAMED[name].sought)


def located(root: Root, name: str, home: Home, sought: str) -> Path:
    """Return where `home` finds the data set `name`, which is `sought` there; nowhere is an `InputError`."""
    if isinstance(root, Mapping):
        if name not in root:
            raise InputError(f"`data`: no place is given for {name}; add {name}=PATH")
        place = root[name]
        root = require_folder(place)
        said = f"`data` {name}={place}: holds no {name}; looked for {sought}, there and one folder below"
    else:
        root = require_folder(root)
        said = (
            f"{root}: holds no {name}; looked for {sought}, there and one folder below; say where it is, `data`"
            f" {name}=PATH"
        )
    homes = list({os.path.realpath(place): place for place in _homes(root, home)}.values())
    if not homes:
        raise InputError(said)
    if len(homes) > 1:
        raise InputError(f"{root}: holds {name} in {homes[0]} and in {homes[1]}; say which, `data` {name}=PATH")
    return homes[0]


def found_below(root: Path) -> list[str]:
    """Return the names of the data sets at `root` or one folder below."""
    return [name for name, named in NAMED.items() if any(_homes(root, named.home))]


def _homes(root: Path, home: Home) -> Iterator[Path]:
    """Yield where a data set lies: at `root` or in what it is unpacked to there, else one folder below."""
    if (place := home(root)) is not None:
        yield place
        return
    for child in sorted(root.iterdir()):
        try:
            place = home(child) if child.is_dir() else None
        except PermissionError:  # lost+found is nobody's data set
            continue
        if place is not None:
            yield place


def all_splits(root: Root) -> list[str]:
    """Return the splits of all data sets at `root`, by their names."""
    names = sorted(root) if isinstance(root, Mapping) else found_below(root)
    return [f"{name}{OF}{split}" for name in names for split in NAMED[name].splits(locate(root, name))]


def learnt_and_scored(root: Root) -> list[str]:
    """Return what one learns from and is scored on with all data sets at `root`: of each kind of classes two splits.

    SBD and COCO are learnt whole: scores are those of VOC and Cityscapes.
    """
    there = all_splits(root)
    found = []
    for kind in (("voc", "sbd", "coco"), ("cityscapes",)):
        ours = [name for name in there if name.partition(OF)[0] in kind]
        scored = [name for name in ours if name in ("voc:val", "cityscapes:val", "cityscapes:coarse-val")]
        found += [JOIN.join(name for name in ours if name not in scored), *scored]
    return [split for split in found if split]
