"""A DenseCRF's iterations on the CPU."""

from typing import TYPE_CHECKING

import numpy as np

from globalconv.crf import features
from globalconv.crf.checks import Array
from globalconv.crf.crew import Crew
from globalconv.crf.meanfield import MeanField, Term, kernel
from globalconv.crf.passes import Floats
from globalconv.crf.spatial import spatial_kernel

if TYPE_CHECKING:
    from globalconv.crf.dense import DenseCRF


def refine(
    crf: "DenseCRF", image_HWC: Array, scores_NK: Floats, classes: int, divergences: list[float] | None, crew: Crew
) -> Floats:
    """Return beliefs (K, N) after the iterations; `divergences` receives one number before and after each.

    `scores_NK` are padded rows, as `unary` makes them.
    """
    terms = make_terms(crf, image_HWC, crew) if crf.iterations or divergences is not None else []
    field = MeanField(scores_NK, classes, terms, crew)
    beliefs_NK = field.start()
    for step in range(crf.iterations + 1):
        if step:
            field.step(beliefs_NK)
        if divergences is not None:
            divergences.append(field.divergence(beliefs_NK))
    return planes(beliefs_NK, classes, crew)


def planes(beliefs_NK: Floats, classes: int, crew: Crew) -> Floats:
    """Return rows of beliefs class by class (K, N), without the padding."""
    beliefs_KN = np.empty((classes, len(beliefs_NK)), np.float32)

    def turn(begin: int, end: int) -> None:
        beliefs_KN[:, begin:end] = beliefs_NK[begin:end, :classes].T

    crew.chunks(len(beliefs_NK), turn)
    return beliefs_KN


def make_terms(crf: "DenseCRF", image_HWC: Array, crew: Crew) -> list[Term]:
    """Return the kernels of one image that are switched on."""
    height, width, channels = image_HWC.shape
    terms = []
    if crf.appearance_weight:
        rgb = crf.deviations(channels)
        near = features.bilateral(image_HWC, crf.appearance_xy, crf.appearance_xy, rgb, crew)
        terms.append(Term(kernel(near, crew), crf.appearance_weight, crf.compatibility))
    if crf.smoothness_weight:
        places = spatial_kernel(height, width, crf.smoothness_xy, crf.smoothness_xy, crew)
        terms.append(Term(places, crf.smoothness_weight, crf.compatibility))
    return terms
