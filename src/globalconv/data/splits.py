"""Which samples of a data set belong to a split, whether the data set has splits on disk or not.

Data without a split for validation get a fixed hold-out from the training data: a sample goes to "val" if the hash of
its name says so (one in ten, at least one), so the same sample is always on the same side, whatever is added later.
"all" is every sample.
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

    The name "" stands for data without splits. An unknown split is an `InputError` that lists the known ones.
    """
    if split == ALL:
        return tuple({sample.name: sample for name in sorted(names) for sample in read(name)}.values())
    undivided = _undivided(names)
    if undivided is None or split not in ("train", "val"):
        if (name := find_split(names, split)) is None:
            hold_out = [] if undivided is None else ["train", "val"]
            known = [*sorted({*filter(None, names), *hold_out}), ALL]
            raise InputError(f"split {split!r}: {where} has the splits {', '.join(known)}; name one of them")
        return read(name)
    samples = read(undivided)
    if not samples:
        raise InputError(f"split {split!r}: {where} holds no images; put some there", "empty")
    if len(samples) == 1:
        raise InputError(
            f"split {split!r}: {where} holds a single image, which cannot be divided; add more, or use split 'all'"
        )
    # Hashes of the names alone, as numbers in [0, 1).
    hashes = {
        sample.name: int.from_bytes(hashlib.sha256(os.fsencode(sample.name)).digest()[:8], "big") / 2**64
        for sample in samples
    }
    held_out = {name for name, value in hashes.items() if value < HOLD_OUT}
    if not held_out or len(held_out) == len(samples):
        held_out = {min(hashes, key=lambda name: hashes[name])}
    return tuple(sample for sample in samples if (sample.name in held_out) == (split == "val"))


def uses_hold_out(names: Sequence[str]) -> bool:
    """Return whether "val" is a hold-out, because there is none on disk."""
    return _undivided(names) is not None


def disjoint_splits(names: Sequence[str]) -> list[str]:
    """Return the splits that divide the data, "train" first: no lists in subfolders, no "trainval"."""
    usual = [name for name in ALIASES if find_split(names, name) or (uses_hold_out(names) and name in ("train", "val"))]
    taken = {find_split(names, name) for name in usual} | {_undivided(names), "", "trainval"}
    return usual + sorted(name for name in names if name not in taken and "/" not in name)


def find_split(names: Sequence[str], split: str) -> str | None:
    """Return the name of a split on disk: `split` itself, or an alias of it, in any case of letters."""
    if split in names and split:
        return split
    aliases = (split.lower(), *ALIASES.get(split.lower(), ()))
    return next((name for alias in aliases for name in names if name and name.lower() == alias), None)


def _undivided(names: Sequence[str]) -> str | None:
    """Return what a hold-out divides: data without splits, the only split if it is no usual one, or "train"."""
    if "" in names:
        return ""
    if find_split(names, "val") is not None:
        return None
    alone = len(names) == 1 and not any(find_split(names, usual) for usual in ALIASES)
    return names[0] if alone else find_split(names, "train")
