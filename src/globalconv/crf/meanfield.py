"""Mean field on the CPU: kernels over pixels, and the iterations that refine beliefs.

N pixels, d features, K classes, padded to a multiple of 8. Scores and beliefs are kept pixel by pixel (N, K).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalconv.crf import passes
from globalconv.crf.crew import CHUNK, Crew
from globalconv.crf.lattice import Lattice, build, splat_all
from globalconv.crf.passes import Floats

Normalisation = Literal["none", "before", "after", "symmetric"]


@dataclass(frozen=True)
class Kernel:
    """A normalised Gaussian kernel over the pixels: filter(rows) = after * lattice(before * rows)."""

    lattice: Lattice
    before_N: Floats
    """What pixels are multiplied by before the lattice: their normalisation, or 1."""
    after_N: Floats
    """And after it: the lattice's alpha, times the normalisation."""

    @property
    def nbytes(self) -> int:
        """The memory it holds."""
        return self.lattice.nbytes + self.before_N.nbytes + self.after_N.nbytes


def kernel(features_Nd: Floats, crew: Crew, normalisation: Normalisation = "symmetric") -> Kernel:
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
    matrix_KK: Floats | None = None


class MeanField:
    """The iterations Q <- softmax(scores - sum over the terms of compatibility(filter(Q))); scores are -energies.

    Potts is what the reference makes of it: -weight * filter(Q), which differs from weight * (the others' filter(Q)) by
    a constant per pixel.
    """

    def __init__(self, scores_NK: Floats, classes: int, terms: Sequence[Term], crew: Crew) -> None:
        """Take scores in rows that are padded as `unary` makes them; beliefs are alike, and end with the crew."""
        self._scores_NK, self._classes = scores_NK, classes
        self._terms, self._crew = terms, crew
        self._scales = [term.kernel.after_N * np.float32(term.weight) for term in terms]
        columns = scores_NK.shape[1]
        self._values = [term.kernel.lattice.values(columns, crew.scratch) for term in terms]

    def start(self) -> Floats:
        """Return softmax(scores) (N, K)."""
        beliefs_NK: Floats = self._crew.scratch.empty(self._scores_NK.shape, np.float32)

        def start(begin: int, end: int) -> None:
            beliefs_NK[begin:end] = self._scores_NK[begin:end]
            passes.softmax(beliefs_NK, begin, end)

        self._crew.chunks(len(beliefs_NK), start)
        return beliefs_NK

    def step(self, beliefs_NK: Floats) -> None:
        """Update all beliefs at once, in place."""
        self.filter(beliefs_NK)
        self.update(beliefs_NK)

    def update(self, beliefs_NK: Floats) -> None:
        """Replace the beliefs by what the terms tell: the second half of a step."""

        def update(begin: int, end: int) -> None:
            self._told(beliefs_NK[begin:end], begin, end)
            passes.softmax(beliefs_NK, begin, end)

        self._crew.chunks(len(beliefs_NK), update)

    def divergence(self, beliefs_NK: Floats) -> float:
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

    def filter(self, beliefs_NK: Floats) -> None:
        """Splat and blur the beliefs in all terms' lattices: the first half of a step.

        Lattices are blurred one after the other, so that as much as can be stays in the cache.
        """
        kernels = [term.kernel for term in self._terms]
        filters = [(k.lattice, v, k.before_N) for k, v in zip(kernels, self._values, strict=True)]
        splat_all(filters, beliefs_NK, self._crew)
        for lattice, values_MK, _ in filters:
            lattice.blur(values_MK, self._crew)

    def _told(self, rows_nK: Floats, begin: int, end: int) -> None:
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
