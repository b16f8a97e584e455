"""Which samples of a data set a split holds, where the data set has splits on disk and where it has none.

Data without a split for validation get a fixed hold-out of what there is to train on: a sample goes to "val" if the
hash of its name says so (one in ten, at least one), so the same sample is always on the same side, whatever is added
later. "all" is everything.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from globalconv.errors import InputError

ALL = "all"
HOLD_OUT = 0.1

ALIASES = {"train": ("training",), "val": ("valid", "validation"), "test": ("testing",)}
"""Other names under which a split is looked for."""


class HasName(Protocol):
    """Anything that a split can hold."""

    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=HasName)


def select_split(
    names: Sequence[str], read: Callable[[str], tuple[S, ...]], split: str, where: Path | str
) -> tuple[S, ...]:
    """Return the samples of `split`, each once; `read` returns those of one of the `names` on disk.

    The name "" says that there are no splits. An unknown split is an `InputError` that lists what there is.
    """
    if split == ALL:
        return tuple({sample.name: sample for name in sorted(names) for sample in read(name)}.values())
    whole = _whole(names)
    if whole is not None and split in ("train", "val"):
        return _hold_out(read(whole), split, where)
    found = find_split(names, split)
    if found is None:
        raise InputError(
            f"split {split!r}: {where} has the splits {', '.join(selectable_splits(names))}; name one of them"
        )
    return read(found)


def selectable_splits(names: Sequence[str]) -> list[str]:
    """Return the splits that `select_split` knows, for messages."""
    return [*sorted({*filter(None, names), *(["train", "val"] if uses_hold_out(names) else [])}), ALL]


def uses_hold_out(names: Sequence[str]) -> bool:
    """Say whether "val" is a hold-out, because there is none on disk."""
    return _whole(names) is not None


def disjoint_splits(names: Sequence[str]) -> list[str]:
    """Return splits that divide the data, "train" first: no lists in subfolders, no "trainval"; the hold-out if any."""
    usual = [name for name in ALIASES if find_split(names, name) or (uses_hold_out(names) and name in ("train", "val"))]
    taken = {find_split(names, name) for name in usual} | {_whole(names), "", "trainval"}
    return usual + sorted(name for name in names if name not in taken and "/" not in name)


def _whole(names: Sequence[str]) -> str | None:
    """Return what is divided by a hold-out: data without splits, or whose only split is no usual one, or "train"."""
    if "" in names:
        return ""
    if find_split(names, "val") is not None:
        return None
    alone = len(names) == 1 and not any(find_split(names, usual) for usual in ALIASES)
    return names[0] if alone else find_split(names, "train")


def find_split(names: Sequence[str], split: str) -> str | None:
    """Return the name under which a split lies on disk: its own, or another usual one, in any case of letters."""
    if split in names and split:
        return split
    wanted = (split.lower(), *ALIASES.get(split.lower(), ()))
    return next((name for usual in wanted for name in names if name and name.lower() == usual), None)


def _hold_out(samples: tuple[S, ...], split: str, where: Path | str) -> tuple[S, ...]:
    if len(samples) < 2:
        count = (
            "a single image, which cannot be divided; add more, or use split 'all'"
            if samples
            else "no images; put some there"
        )
        raise InputError(f"split {split!r}: {where} holds {count}")
    rank = {sample.name: _hash(sample.name) for sample in samples}
    held = {name for name, value in rank.items() if value < HOLD_OUT}
    if not held or len(held) == len(samples):
        held = {min(rank, key=lambda name: rank[name])}
    return tuple(sample for sample in samples if (sample.name in held) == (split == "val"))


def _hash(name: str) -> float:
    """Return a number in [0, 1) that depends on the name only."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64
