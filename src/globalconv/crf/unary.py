"""From probabilities, labels or energies to the scores (-energies) that mean field starts from.

K classes, H x W pixels; N = H * W pixels row by row. Rows of scores are padded to a multiple of 8 columns, with a score
so low that these belong to nobody.
"""

import numpy as np
import numpy.typing as npt

from globalconv.crf import checks, passes
from globalconv.crf.crew import Crew
from globalconv.crf.passes import Floats
from globalconv.errors import InputError

CLIP = 1e-5
"""Probabilities below this count as this, so that no logarithm is infinite; as the usual helper for unaries does."""

TOLERANCE = 0.01
"""How far from 1 the probabilities of a pixel may add up to: half precision rounds that much."""

_NOBODY = np.float32(-1e38)
_MOST = np.float32(1e30)
"""Energies beyond are cut to this; the probability is 0 long before."""


def scores_from_probabilities(probabilities_KHW: npt.NDArray[np.generic], crew: Crew) -> Floats:
    """Return log(probabilities), clipped to `CLIP` .. 1, pixel by pixel (N, K), valid as long as the crew.

    `InputError` where a probability is negative (by more than rounding) or nan, or those of a pixel do not add up to 1.
    """
    given_KN = probabilities_KHW.reshape(len(probabilities_KHW), -1)
    classes = len(given_KN)
    scores_NK = _padded(crew.scratch.empty((given_KN.shape[1], passes.padded(classes)), np.float32), classes)

    def convert(begin: int, end: int) -> None:
        part = given_KN[:, begin:end].astype(np.float32)
        _check_sums(part)
        np.clip(part, CLIP, 1, out=part)
        scores_NK[begin:end, :classes] = np.log(part, out=part).T

    crew.chunks(len(scores_NK), convert)
    return scores_NK


def _check_sums(part_KN: Floats) -> None:
    sums_N = part_KN.sum(0)
    worst = float(sums_N[np.abs(sums_N - 1).argmax()])  # argmax finds nan first
    if not abs(worst - 1) <= TOLERANCE:
        raise InputError(
            f"probabilities of a pixel add up to {worst:.6g}: they are to add up to 1 (within {TOLERANCE}); apply a"
            " softmax over the classes, or hand energies to `from_energies`"
        )
    if part_KN.min() < -CLIP:  # 1 - p, or what an interpolation gives, may be a rounding below 0
        raise InputError(f"probabilities hold {float(part_KN.min()):.6g}: none may be negative")


def scores_from_energies(energies_KHW: npt.NDArray[np.generic]) -> Floats:
    """Return -energies, pixel by pixel (N, K); `InputError` where one is not finite in float32."""
    checks.finite("energies", energies_KHW)
    energies_KN = energies_KHW.reshape(len(energies_KHW), -1)
    scores_NK = _rows(*energies_KN.shape[::-1])
    filled_NK = scores_NK[:, : len(energies_KN)]
    filled_NK[:] = energies_KN.T
    np.negative(filled_NK, out=filled_NK)
    np.clip(filled_NK, -_MOST, _MOST, out=filled_NK)
    return scores_NK


def _rows(pixels: int, classes: int) -> Floats:
    """Return rows whose first columns are yet to be filled."""
    return _padded(np.empty((pixels, passes.padded(classes)), np.float32), classes)


def _padded(scores_NK: Floats, classes: int) -> Floats:
    scores_NK[:, classes:] = _NOBODY
    return scores_NK


def scores_from_labels(labels_HW: npt.NDArray[np.generic], num_classes: int, confidence: float, unknown: int) -> Floats:
    """Return the logarithms of probabilities (N, K): `confidence` for a pixel's label, the rest for all others alike.

    Pixels labelled `unknown` have the same probability of every class. `InputError` for any other label.
    """
    checks.whole("num_classes", num_classes, least=1)
    checks.number("confidence", confidence)
    if not 0 < confidence < 1:
        raise InputError(f"confidence={confidence}: give a probability between 0 and 1, e.g. 0.7")
    if labels_HW.dtype.kind not in "iu":
        raise InputError(f"labels hold {labels_HW.dtype}: give class indices, whole numbers")
    labels_N = labels_HW.reshape(-1).astype(np.int64)
    known_N = labels_N != unknown
    wrong = np.unique(labels_N[known_N & ((labels_N < 0) | (labels_N >= num_classes))])
    if len(wrong):
        raise InputError(
            f"labels hold {', '.join(map(str, wrong[:5]))}: expected 0 to {num_classes - 1}, or {unknown} (unknown)"
        )
    other = (1 - confidence) / max(1, num_classes - 1)
    scores_NK = _rows(len(labels_N), num_classes)
    scores_NK[:, :num_classes] = np.log(other)
    scores_NK[known_N, labels_N[known_N]] = np.log(confidence)
    scores_NK[~known_N, :num_classes] = -np.log(num_classes)
    return scores_NK
