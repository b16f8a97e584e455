"""Mean field on the CPU: Gaussian kernels over the pixels, and the iterations that refine beliefs with them.

N pixels, d features, K classes, padded to a multiple of 8. Scores and beliefs are kept pixel by pixel (N, K). Kernels
over positions do not depend on the image: a few are kept for the next image of the same size.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalconv.arrays import Float32Array
from globalconv.crf import kernels
from globalconv.crf.inputs import CrfProblem, spatial_features
from globalconv.crf.lattice import Lattice, build, splat_all
from globalconv.crf.thread_pool import CHUNK, ThreadPool, lock_over_forks

Normalisation = Literal["none", "before", "after", "symmetric"]


@dataclass(frozen=True)
class GaussianKernel:
    """A normalised Gaussian kernel over the pixels: filter(rows) = after * lattice(before * rows)."""

    lattice: Lattice
    before_N: Float32Array
    """Factor of each pixel before the lattice: its normalisation, or 1."""
    after_N: Float32Array
    """Factor of each pixel after it: the lattice's alpha, times the normalisation."""

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return self.lattice.nbytes + self.before_N.nbytes + self.after_N.nbytes


def build_kernel(
    features_Nd: Float32Array, pool: ThreadPool, normalisation: Normalisation = "symmetric"
) -> GaussianKernel:
    """Return the kernel exp(-|f_i - f_j|^2 / 2), i = j included, divided by its response to 1 everywhere.

    "symmetric" divides by the square root on both sides, the reference's default.
    """
    lattice = build(features_Nd, pool)
    before_N, after_N = np.ones(len(features_Nd), np.float32), np.full(len(features_Nd), lattice.alpha, np.float32)
    if normalisation != "none":
        power = -0.5 if normalisation == "symmetric" else -1.0
        norm_N = (lattice.filter_ones(pool) + np.float32(1e-20)) ** np.float32(power)
        if normalisation != "after":
            before_N = norm_N
        if normalisation != "before":
            after_N *= norm_N
    return GaussianKernel(lattice, before_N, after_N)


KEPT_BYTES = 128 << 20
"""Bound of the memory that kept kernels hold together: several sizes of photographs, or one of 2 megapixels."""

_kept_kernels: OrderedDict[tuple[int, int, float, float], GaussianKernel] = OrderedDict()
_lock = lock_over_forks()


def spatial_kernel(height: int, width: int, sd_x: float, sd_y: float, pool: ThreadPool) -> GaussianKernel:
    """Return the symmetric kernel over the positions in an image, kept from an earlier call where there was one."""
    size = (height, width, sd_x, sd_y)
    with _lock:
        if size in _kept_kernels:
            _kept_kernels.move_to_end(size)
            return _kept_kernels[size]
    kernel = build_kernel(spatial_features(*size), pool)
    with _lock:
        _kept_kernels[size] = kernel
        while sum(kept.nbytes for kept in _kept_kernels.values()) > KEPT_BYTES:
            _kept_kernels.popitem(last=False)
    return kernel


@dataclass(frozen=True)
class PairwiseTerm:
    """A kernel and the costs of disagreement: `weight` times Potts, or times a symmetric matrix (K, K)."""

    kernel: GaussianKernel
    weight: float
    costs_KK: Float32Array | None = None


class MeanField:
    """The iterations Q <- softmax(scores - sum over the terms of compatibility(filter(Q))); scores are -energies.

    Potts is computed as the reference does: -weight * filter(Q), which differs from weight * filter(1 - Q) by a
    constant per pixel.
    """

    def __init__(self, scores_NK: Float32Array, classes: int, terms: Sequence[PairwiseTerm], pool: ThreadPool) -> None:
        """Take scores in rows that are padded as `inputs` does; beliefs are padded alike, and valid with the pool."""
        self._scores_NK, self._classes = scores_NK, classes
        self._terms, self._pool = terms, pool
        self._scales = [term.kernel.after_N * np.float32(term.weight) for term in terms]
        columns = scores_NK.shape[1]
        self._values = [term.kernel.lattice.values(columns, pool.buffers) for term in terms]

    def start(self) -> Float32Array:
        """Return softmax(scores) (N, K)."""
        beliefs_NK: Float32Array = self._pool.buffers.empty(self._scores_NK.shape, np.float32)

        def start(begin: int, end: int) -> None:
            beliefs_NK[begin:end] = self._scores_NK[begin:end]
            kernels.softmax(beliefs_NK, begin, end)

        self._pool.run_chunks(len(beliefs_NK), start)
        return beliefs_NK

    def step(self, beliefs_NK: Float32Array) -> None:
        """Update all beliefs at once, in place."""
        self.filter(beliefs_NK)
        self.update(beliefs_NK)

    def filter(self, beliefs_NK: Float32Array) -> None:
        """Splat and blur the beliefs in all terms' lattices: the first half of a step.

        Lattices are blurred one after the other, so that as much as can be stays in the cache.
        """
        kernels = [term.kernel for term in self._terms]
        filters = [(k.lattice, v, k.before_N) for k, v in zip(kernels, self._values, strict=True)]
        splat_all(filters, beliefs_NK, self._pool)
        for lattice, values_MK, _ in filters:
            lattice.blur(values_MK, self._pool)

    def update(self, beliefs_NK: Float32Array) -> None:
        """Replace the beliefs, from the filtered values: the second half of a step."""

        def update(begin: int, end: int) -> None:
            self._add_messages(beliefs_NK[begin:end], begin, end)
            kernels.softmax(beliefs_NK, begin, end)

        self._pool.run_chunks(len(beliefs_NK), update)

    def divergence(self, beliefs_NK: Float32Array) -> float:
        """Return the reference's KL divergence: sum of Q log Q - scores Q + Q compatibility(filter(Q)).

        It is the divergence from the model up to a constant, with every pair counted twice.
        """
        self.filter(beliefs_NK)
        total = 0.0
        for first in range(0, len(beliefs_NK), CHUNK):
            last = min(len(beliefs_NK), first + CHUNK)
            sums_nK = np.empty((last - first, beliefs_NK.shape[1]), np.float32)
            self._add_messages(sums_nK, first, last)
            q = beliefs_NK[first:last, : self._classes]
            log_q = np.log(np.maximum(q, np.float32(1e-20)))
            total += float(np.einsum("nk,nk->", q, log_q - sums_nK[:, : self._classes], dtype=np.float64))
        return total

    def _add_messages(self, rows_nK: Float32Array, begin: int, end: int) -> None:
        """Write the sum of scores and messages of all terms, of pixels begin .. end-1, into their rows."""
        sum_nK = self._scores_NK[begin:end]
        for term, values_MK, scale_N in zip(self._terms, self._values, self._scales, strict=True):
            lattice = term.kernel.lattice
            slices = (values_MK, lattice.offsets_Nr, lattice.weights_Nr, scale_N, begin, end)
            if term.costs_KK is None:
                kernels.gather(rows_nK, sum_nK, *slices)
            else:
                filtered_nK = np.zeros(rows_nK.shape, np.float32)
                kernels.gather(filtered_nK, filtered_nK, *slices)
                rows_nK[:] = sum_nK
                rows_nK[:, : self._classes] -= filtered_nK[:, : self._classes] @ term.costs_KK
            sum_nK = rows_nK
        if not self._terms:
            rows_nK[:] = sum_nK


def refine(problem: CrfProblem, pool: ThreadPool, divergences: list[float] | None = None) -> Float32Array:
    """Return beliefs (K, N) after the iterations; `divergences` receives one number before and after each."""
    terms = pairwise_terms(problem, pool) if problem.iterations or divergences is not None else []
    field = MeanField(problem.scores_NK, problem.classes, terms, pool)
    beliefs_NK = field.start()
    for step in range(problem.iterations + 1):
        if step:
            field.step(beliefs_NK)
        if divergences is not None:
            divergences.append(field.divergence(beliefs_NK))
    return class_planes(beliefs_NK, problem.classes, pool)


def pairwise_terms(problem: CrfProblem, pool: ThreadPool) -> list[PairwiseTerm]:
    """Return the terms of one image whose weights are not 0."""
    terms = []
    if problem.appearance_weight:
        kernel = build_kernel(problem.appearance_features(pool), pool)
        terms.append(PairwiseTerm(kernel, problem.appearance_weight, problem.costs_KK))
    if problem.smoothness_weight:
        height, width, _ = problem.image_HWC.shape
        kernel = spatial_kernel(height, width, problem.smoothness_xy, problem.smoothness_xy, pool)
        terms.append(PairwiseTerm(kernel, problem.smoothness_weight, problem.costs_KK))
    return terms


def class_planes(beliefs_NK: Float32Array, classes: int, pool: ThreadPool) -> Float32Array:
    """Return rows of beliefs class by class (K, N), without the padding."""
    beliefs_KN = np.empty((classes, len(beliefs_NK)), np.float32)

    def transpose(begin: int, end: int) -> None:
        beliefs_KN[:, begin:end] = beliefs_NK[begin:end, :classes].T

    pool.run_chunks(len(beliefs_NK), transpose)
    return beliefs_KN
