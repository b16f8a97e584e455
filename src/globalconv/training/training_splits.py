"""The two splits that a training reads, and what its run folder records of them. Imports no torch."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from globalconv.data.datasets import list_splits, open_source
from globalconv.data.image_format import declare_format
from globalconv.data.roots import Root, format_root
from globalconv.data.source import Source, image_format_of, with_image_format
from globalconv.data.splits import uses_hold_out
from globalconv.errors import InputError
from globalconv.training.recipe import DataSettings


def open_splits(settings: DataSettings, data: Root | None) -> tuple[Source, Source]:
    """Open the two splits of a training; their classes must be the same."""
    if data is None and settings.layout != "scenes":
        raise InputError("`data` is missing: name the root of the data set (only the recipe scenes needs none)")
    train_source = open_source(
        data, settings.train_split, settings.layout, image_format=declare_format(settings.white_level)
    )
    val_source = open_source(
        data, settings.val_split, settings.layout, train_source.labels, image_format=image_format_of(train_source)
    )
    train_source = with_image_format(train_source, image_format_of(val_source))  # which may have had more to say
    for split, source in ((settings.train_split, train_source), (settings.val_split, val_source)):
        if len(source) == 0:
            raise InputError(f"`data` {format_root(data)}: the split {split!r} holds no sample")
    return train_source, val_source


def sample_names(source: Source) -> list[str]:
    """Return the names of a split's samples in their order."""
    return [source.sample_name(index) for index in range(len(source))]


def fingerprint(names: Sequence[str]) -> dict[str, Any]:
    """Return the number of samples and a digest of their names, which change when the split does."""
    return {
        "images": len(names),
        "fingerprint": hashlib.sha256("\n".join(names).encode(errors="surrogatepass")).hexdigest(),
    }


def describe_splits(
    settings: DataSettings, data: Root | None, train_source: Source, val_source: Source
) -> dict[str, Any]:
    """Return JSON values that identify the two splits: classes, the rule for images, and fingerprints.

    A hold-out is listed by the names of its samples, because nothing else identifies it.
    """
    names = sample_names(val_source)
    is_hold_out = (
        isinstance(data, Path) and settings.val_split == "val" and uses_hold_out(list_splits(data, settings.layout))
    )
    return {
        "labels": train_source.labels.to_json(),
        "images": image_format_of(train_source).to_json(),
        "train": {"split": settings.train_split, **fingerprint(sample_names(train_source))},
        "val": {"split": settings.val_split, **fingerprint(names), "held_out": names if is_hold_out else None},
    }
