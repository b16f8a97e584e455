"""Mean field on the CPU: kernels over pixels, and the iterations that refine beliefs.

N pixels, d features, K classes, padded to a multiple of 8. Scores and beliefs are kept pixel by pixel (N, K).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalconv.crf import passes
from globalconv.crf.crew import CHUNK, Crew
from globalconv.crf.lattice import Lattice, build
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
        """Take scores in rows that are padded as `unary` makes them; beliefs have the same shape."""
        self._scores_NK, self._classes = scores_NK, classes
        self._terms, self._crew = terms, crew
        self._scales = [term.kernel.after_N * np.float32(term.weight) for term in terms]
        columns = scores_NK.shape[1]
        self._values = [passes.empty_rows(term.kernel.lattice.vertices, columns) for term in terms]

    def start(self) -> Floats:
        """Return softmax(scores) (N, K)."""
        beliefs_NK = passes.empty_rows(*self._scores_NK.shape)
        beliefs_NK[:] = self._scores_NK
        self._crew.ranges(len(beliefs_NK), lambda begin, end: passes.softmax(beliefs_NK, begin, end))
        return beliefs_NK

    def step(self, beliefs_NK: Floats) -> None:
        """Update all beliefs at once, in place."""
        self.filter(beliefs_NK)
        self.update(beliefs_NK)

    def update(self, beliefs_NK: Floats) -> None:
        """Replace the beliefs by what the terms tell: the second half of a step."""

        def update(begin: int, end: int) -> None:
            beliefs_NK[begin:end] = self._scores_NK[begin:end]
            for index in range(len(self._terms)):
                self._receive(beliefs_NK, index, begin, end)
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
            message = np.zeros((last - first, beliefs_NK.shape[1]), np.float32)
            for index in range(len(self._terms)):
                self._receive(message, index, first, last, to=0)
            q = beliefs_NK[first:last, : self._classes]
            told = self._scores_NK[first:last, : self._classes] + message[:, : self._classes]
            entropy = np.log(np.maximum(q, np.float32(1e-20)))
            total += float(np.einsum("nk,nk->", q, entropy - told, dtype=np.float64))
        return total

    def filter(self, beliefs_NK: Floats) -> None:
        """Splat and blur the beliefs in all terms' lattices: the first half of a step."""
        lattices = [(term.kernel.lattice, values) for term, values in zip(self._terms, self._values, strict=True)]

        def splat(part: int) -> None:
            for term, values in zip(self._terms, self._values, strict=True):
                term.kernel.lattice.splat(values, beliefs_NK, term.kernel.before_N, part, self._crew.threads)

        self._crew.every(splat)
        for axis in range(max((len(lattice.orders) for lattice, _ in lattices), default=0)):

            def blur(part: int, axis: int = axis) -> None:
                for lattice, values in lattices:
                    if axis < len(lattice.orders):
                        lattice.blur(values, axis, part, self._crew.threads)

            self._crew.every(blur)

    def _receive(self, rows_NK: Floats, index: int, begin: int, end: int, to: int | None = None) -> None:
        """Add what one term tells pixels begin .. end-1 to the rows from `to` on (their own, unless told otherwise)."""
        term, values, scale_N = self._terms[index], self._values[index], self._scales[index]
        to = begin if to is None else to
        if term.matrix_KK is None:
            term.kernel.lattice.gather(rows_NK, values, scale_N, begin, end, to)
            return
        message = np.zeros((end - begin, rows_NK.shape[1]), np.float32)
        term.kernel.lattice.gather(message, values, scale_N, begin, end, 0)
        rows_NK[to : to + end - begin, : self._classes] -= message[:, : self._classes] @ term.matrix_KK
