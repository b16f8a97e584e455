"""A DenseCRF's iterations on the CPU.

Mean field on the CPU: kernels over pixels, and the iterations that refine beliefs.

N pixels, d features, K classes, padded to a multiple of 8. Scores and beliefs are kept pixel by pixel (N, K).

Kernels over places alone do not depend on the image: a few are kept for the next image of the same size.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from globalconv.arrays import AnyArray, Float32Array
from globalconv.crf import inputs, kernels
from globalconv.crf.lattice import Lattice, build, splat_all
from globalconv.crf.thread_pool import CHUNK, Crew, lock_over_forks

Normalisation = Literal["none", "before", "after", "symmetric"]


@dataclass(frozen=True)
class Kernel:
    """A normalised Gaussian kernel over the pixels: filter(rows) = after * lattice(before * rows)."""

    lattice: Lattice
    before_N: Float32Array
    """What pixels are multiplied by before the lattice: their normalisation, or 1."""
    after_N: Float32Array
    """And after it: the lattice's alpha, times the normalisation."""

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return self.lattice.nbytes + self.before_N.nbytes + self.after_N.nbytes


def kernel(features_Nd: Float32Array, crew: Crew, normalisation: Normalisation = "symmetric") -> Kernel:
    """Return the kernel exp(-|f_i - f_j|^2 / 2), i = j included, divided by its answer to 1 everywhere.

    "symmetric" divides by the square root on both sides, as the reference does unless told otherwise.
    """
    lattice = build(features_Nd, crew)
    before_N, after_N = np.ones(len(features_Nd), np.float32), np.full(len(features_Nd), lattice.alpha, np.float32)
    if normalisation != "none":
        power = -0.5 if normalisation == "symmetric" else -1.0
        norm_N = (lattice.filter_ones(crew) + np.float32(1e-20)) ** np.float32(power)
        if normalisation != "after":
            before_N = norm_N
        if normalisation != "before":
            after_N *= norm_N
    return Kernel(lattice, before_N, after_N)


@dataclass(frozen=True)
class Term:
    """A kernel and what disagreement costs: `weight` times Potts, or times a symmetric matrix (K, K)."""

    kernel: Kernel
    weight: float
    matrix_KK: Float32Array | None = None


class MeanField:
    """The iterations Q <- softmax(scores - sum over the terms of compatibility(filter(Q))); scores are -energies.

    Potts is what the reference makes of it: -weight * filter(Q), which differs from weight * (the others' filter(Q)) by
    a constant per pixel.
    """

    def __init__(self, scores_NK: Float32Array, classes: int, terms: Sequence[Term], crew: Crew) -> None:
        """Take scores in rows that are padded as `unary` makes them; beliefs are alike, and end with the crew."""
        self._scores_NK, self._classes = scores_NK, classes
        self._terms, self._crew = terms, crew
        self._scales = [term.kernel.after_N * np.float32(term.weight) for term in terms]
        columns = scores_NK.shape[1]
        self._values = [term.kernel.lattice.values(columns, crew.scratch) for term in terms]

    def start(self) -> Float32Array:
        """Return softmax(scores) (N, K)."""
        beliefs_NK: Float32Array = self._crew.scratch.empty(self._scores_NK.shape, np.float32)

        def start(begin: int, end: int) -> None:
            beliefs_NK[begin:end] = self._scores_NK[begin:end]
            kernels.softmax(beliefs_NK, begin, end)

        self._crew.chunks(len(beliefs_NK), start)
        return beliefs_NK

    def step(self, beliefs_NK: Float32Array) -> None:
        """Update all beliefs at once, in place."""
        self.filter(beliefs_NK)
        self.update(beliefs_NK)

    def update(self, beliefs_NK: Float32Array) -> None:
        """Replace the beliefs by what the terms tell: the second half of a step."""

        def update(begin: int, end: int) -> None:
            self._told(beliefs_NK[begin:end], begin, end)
            kernels.softmax(beliefs_NK, begin, end)

        self._crew.chunks(len(beliefs_NK), update)

    def divergence(self, beliefs_NK: Float32Array) -> float:
        """Return the reference's KL divergence: sum of Q log Q - scores Q + Q compatibility(filter(Q)).

        It is the divergence from the model up to a constant, with every pair counted twice.
        """
        self.filter(beliefs_NK)
        total = 0.0
        for first in range(0, len(beliefs_NK), CHUNK):
            last = min(len(beliefs_NK), first + CHUNK)
            told = np.empty((last - first, beliefs_NK.shape[1]), np.float32)
            self._told(told, first, last)
            q = beliefs_NK[first:last, : self._classes]
            entropy = np.log(np.maximum(q, np.float32(1e-20)))
            total += float(np.einsum("nk,nk->", q, entropy - told[:, : self._classes], dtype=np.float64))
        return total

    def filter(self, beliefs_NK: Float32Array) -> None:
        """Splat and blur the beliefs in all terms' lattices: the first half of a step.

        Lattices are blurred one after the other, so that as much as can be stays in the cache.
        """
        kernels = [term.kernel for term in self._terms]
        filters = [(k.lattice, v, k.before_N) for k, v in zip(kernels, self._values, strict=True)]
        splat_all(filters, beliefs_NK, self._crew)
        for lattice, values_MK, _ in filters:
            lattice.blur(values_MK, self._crew)

    def _told(self, rows_nK: Float32Array, begin: int, end: int) -> None:
        """Write what pixels begin .. end-1 are told: their scores and the messages of all terms."""
        more_nK = self._scores_NK[begin:end]
        for term, values_MK, scale_N in zip(self._terms, self._values, self._scales, strict=True):
            lattice = term.kernel.lattice
            if term.matrix_KK is None:
                lattice.gather(rows_nK, more_nK, values_MK, scale_N, begin, end)
            else:
                heard_nK = np.zeros(rows_nK.shape, np.float32)
                lattice.gather(heard_nK, heard_nK, values_MK, scale_N, begin, end)
                rows_nK[:] = more_nK
                rows_nK[:, : self._classes] -= heard_nK[:, : self._classes] @ term.matrix_KK
            more_nK = rows_nK
        if not self._terms:
            rows_nK[:] = more_nK


KEPT_BYTES = 128 << 20
"""Bound of the memory that kept kernels hold together: several sizes of photographs, or one of 2 megapixels."""

_kept: OrderedDict[tuple[int, int, float, float], Kernel] = OrderedDict()
_lock = lock_over_forks()


def spatial_kernel(height: int, width: int, sd_x: float, sd_y: float, crew: Crew) -> Kernel:
    """Return the symmetric kernel over the places of an image, kept from an earlier call where there was one."""
    size = (height, width, sd_x, sd_y)
    with _lock:
        if size in _kept:
            _kept.move_to_end(size)
            return _kept[size]
    made = kernel(inputs.spatial(*size), crew)
    with _lock:
        _kept[size] = made
        while sum(one.nbytes for one in _kept.values()) > KEPT_BYTES:
            _kept.popitem(last=False)
    return made


if TYPE_CHECKING:
    from globalconv.crf.dense import DenseCRF


def refine(
    crf: "DenseCRF",
    image_HWC: AnyArray,
    scores_NK: Float32Array,
    classes: int,
    divergences: list[float] | None,
    crew: Crew,
) -> Float32Array:
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


def planes(beliefs_NK: Float32Array, classes: int, crew: Crew) -> Float32Array:
    """Return rows of beliefs class by class (K, N), without the padding."""
    beliefs_KN = np.empty((classes, len(beliefs_NK)), np.float32)

    def turn(begin: int, end: int) -> None:
        beliefs_KN[:, begin:end] = beliefs_NK[begin:end, :classes].T

    crew.chunks(len(beliefs_NK), turn)
    return beliefs_KN


def make_terms(crf: "DenseCRF", image_HWC: AnyArray, crew: Crew) -> list[Term]:
    """Return the kernels of one image that are switched on."""
    height, width, channels = image_HWC.shape
    terms = []
    if crf.appearance_weight:
        rgb = crf.deviations(channels)
        near = inputs.bilateral(image_HWC, crf.appearance_xy, crf.appearance_xy, rgb, crew)
        terms.append(Term(kernel(near, crew), crf.appearance_weight, crf.compatibility))
    if crf.smoothness_weight:
        places = spatial_kernel(height, width, crf.smoothness_xy, crf.smoothness_xy, crew)
        terms.append(Term(places, crf.smoothness_weight, crf.compatibility))
    return terms
