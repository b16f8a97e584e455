"""The part of `data check` that costs seconds at most: what every training checks before it starts.

It reads the headers of as many files as a few seconds allow, and a few samples of each split.
"""

import time

import numpy as np

from globalconv.data.checks.levels import KINDS
from globalconv.data.checks.rules import find_problems
from globalconv.data.checks.sample import Facts, examine
from globalconv.data.datasets import image_identity, list_sample_files
from globalconv.data.images import image_size
from globalconv.data.mask_files import mask_size
from globalconv.data.source import Source, size_mismatch, spread_evenly
from globalconv.errors import InputError

MAX_SAMPLES, SECONDS = 16, 5.0
"""Samples of each split that are read, evenly spaced, and the time after which no further sample or header is read."""

REPORTED = ("binary", "small", "tolerance", "undrawn", "void-only", "copy", "turned", *KINDS)
"""Kinds of findings that mean something where only a few samples were read."""


def quick_check(train: Source, val: Source) -> list[str]:
    """Return warnings about the data of a training; data that would stop it on its way are an `InputError` now."""
    if not list_sample_files(train, 0) or not list_sample_files(val, 0):
        return []  # generated scenes
    errors = [message for source in (train, val) for message in _check_headers(source)]
    samples = [] if errors else _examine_some(train, "train") + _examine_some(val, "val")
    errors += [problem.message for sample in samples for problem in sample.problems]
    if errors:
        more = f" (and {len(errors) - 1} more like it; globalconv data check names all)" if errors[1:] else ""
        raise InputError(errors[0] + more)
    warnings = []
    train_images, val_images = ({image_identity(source, i) for i in range(len(source))} for source in (train, val))
    if both := train_images & val_images:
        warnings.append(
            f"{len(both)} of {len(val_images)} validation images are training images too; scores say little then"
        )
    findings = [finding for finding in find_problems(samples, (), train) if finding.kind in REPORTED]
    # A few dark or pale images are no more than a note: a training says nothing of them.
    told = [finding for finding in findings if finding.kind not in KINDS or finding.severity != "note"]
    return warnings + [f"in {len(samples)} samples: {finding.message}" for finding in told]


def _check_headers(source: Source) -> list[str]:
    """Return what the headers of images and masks show to be wrong: no file, no image, another size.

    Of millions of files there is time for some: they are taken in a shuffled order that is always the same.
    """
    errors = []
    end = time.monotonic() + SECONDS
    for index in np.random.default_rng(0).permutation(len(source)).tolist():
        if time.monotonic() > end:
            break
        image, *masks = list_sample_files(source, index)
        try:
            size = image_size(image)
            if masks and (of_mask := mask_size(masks[0])) != size:
                errors.append(size_mismatch(str(masks[0]), "label map", of_mask, image, size))
        except InputError as error:
            errors.append(str(error))
    return errors


def _examine_some(source: Source, split: str) -> list[Facts]:
    end = time.monotonic() + SECONDS
    indices = spread_evenly(len(source), MAX_SAMPLES)
    return [examine(source, index, split) for index in indices if time.monotonic() < end]
