"""The part of `data check` that costs seconds at most: what every training looks at before it starts.

The headers of all files, as far as a few seconds reach, and a few masks of each split with their images.
"""

import time

import numpy as np

from globalconv.data.checks.rules import findings
from globalconv.data.checks.sample import Facts, examine
from globalconv.data.datasets import image_identity, sample_files
from globalconv.data.images import image_size
from globalconv.data.masks import mask_size
from globalconv.data.source import Source, size_mismatch, spread_evenly
from globalconv.errors import InputError

LOOKED_AT, SECONDS = 16, 5.0
"""Samples of each split that are read, evenly spaced, and the time after which no further sample or header is."""

TOLD = ("binary", "small", "tolerance", "undrawn", "void-only")
"""Kinds of findings that mean something where only a few samples were read."""


def quick_check(train: Source, val: Source) -> list[str]:
    """Return warnings about the data of a training; what would stop it on its way is an `InputError` now."""
    if not sample_files(train, 0) or not sample_files(val, 0):
        return []  # generated scenes
    broken = [error for source in (train, val) for error in _of_headers(source)]
    facts = [] if broken else _looked_at(train, "train") + _looked_at(val, "val")
    broken += [problem.message for sample in facts for problem in sample.problems]
    if broken:
        more = f" (and {len(broken) - 1} more like it; globalconv data check names all)" if broken[1:] else ""
        raise InputError(broken[0] + more)
    told = [f"in {len(facts)} samples: {f.message}" for f in findings(facts, (), train) if f.kind in TOLD]
    return _learnt_and_scored(train, val) + told


def _of_headers(source: Source) -> list[str]:
    """Return what is wrong with images and masks as far as their headers tell: no file, no image, another size.

    Of millions of files there is time for some: they are taken in a shuffled order that is always the same.
    """
    broken = []
    until = time.monotonic() + SECONDS
    for index in np.random.default_rng(0).permutation(len(source)).tolist():
        if time.monotonic() > until:
            break
        image, *masks = sample_files(source, index)
        try:
            size = image_size(image)
            if masks and (drawn := mask_size(masks[0])) != size:
                broken.append(size_mismatch(str(masks[0]), "label map", drawn, image, size))
        except InputError as error:
            broken.append(str(error))
    return broken


def _looked_at(source: Source, split: str) -> list[Facts]:
    until = time.monotonic() + SECONDS
    chosen = spread_evenly(len(source), LOOKED_AT)
    return [examine(source, index, split) for index in chosen if time.monotonic() < until]


def _learnt_and_scored(train: Source, val: Source) -> list[str]:
    """Warn of images that are in both splits."""
    learnt, scored = ({image_identity(source, index) for index in range(len(source))} for source in (train, val))
    if not (both := learnt & scored):
        return []
    return [f"{len(both)} of {len(scored)} validation images are training images too; scores say little then"]
