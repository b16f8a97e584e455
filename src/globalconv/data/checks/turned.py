"""Images that EXIF turns: cameras write the pixels as they lie on the sensor, and beside them which side is up."""

from collections import Counter
from collections.abc import Sequence

from globalconv.data.checks.sample import Facts, Finding, count_of

FEWEST_EDGES, CLEAR = 5, 0.75
"""Masks whose edges are worth a word, and the share of them that has to fit one image better: see `fits_unturned`."""


def find_turned(samples: Sequence[Facts], drawn: bool) -> list[Finding]:
    """Find images and masks that EXIF turns, and masks whose size does not tell whether they are of the turned image.

    `drawn` says that shapes were drawn on the images.
    """
    findings = []
    turned = [sample for sample in samples if sample.orientation != 1]
    unclear = tuple(sample.name for sample in turned if not sample.sizes_tell)
    what = "annotations" if drawn else "masks"
    if unclear:
        compared = [sample.fits_unturned for sample in turned if sample.fits_unturned is not None]
        fitting = max(compared.count(True), compared.count(False))
        edges = ""
        if len(compared) >= FEWEST_EDGES and fitting >= CLEAR * len(compared):
            likely = "image before that" if fitting == compared.count(True) else "turned image, as is assumed"
            edges = f" (the edges of {fitting} of {len(compared)} {what} fit the {likely})"
        message = (
            f"EXIF turns {count_of(len(unclear), 'image')} whose size does not tell whether the {what} are of the"
            f" turned image or of the one before, and tools differ{edges}; look at them with `sheet`, and save the"
            f" images without EXIF orientation if the {what} do not fit"
        )
        findings.append(Finding("warning", "turned", message, len(unclear), unclear))
    if turned:
        orientations = Counter(sample.orientation for sample in turned)
        counts = ", ".join(f"orientation {value}: {count}" for value, count in sorted(orientations.items()))
        message = (
            f"{len(turned)} of {len(samples)} images are turned by their EXIF orientation ({counts}), as viewers show"
            f" them; nothing to do where {what} were made on images that were shown upright"
        )
        findings.append(Finding("note", "exif", message, len(turned), tuple(sample.name for sample in turned)))
    if masks := tuple(sample.name for sample in samples if sample.mask_orientation != 1):
        message = (
            f"{count_of(len(masks), 'mask')} turned by an EXIF orientation of the mask's own; save masks without EXIF"
            " where that is not meant"
        )
        findings.append(Finding("warning", "turned-masks", message, len(masks), masks))
    return findings
