"""The paper's claims, each a weighted sum of scores that is computed from the paper's numbers and from ours alike.

The sum should be above zero. A claim is confirmed where the whole 95 % interval is above zero, contradicted where the
whole interval is below, and inconclusive where the interval holds zero or there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from globalconv.paper.measured_tables import MeasuredTable
from globalconv.paper.results import SCORE_LABELS
from globalconv.paper.statistics import Estimate, linear_combination, slope_weights
from globalconv.paper.tables import Variant

AGREES, DISAGREES, INCONCLUSIVE = "agrees", "disagrees", "inconclusive at this scale"


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of scores."""

    description: str
    terms: Sequence[tuple[float, Variant, str]]
    """Weight, network, name of the score."""

    @property
    def printed(self) -> float:
        """The sum of the paper's numbers, in points."""
        return sum(weight * variant.printed[score] for weight, variant, score in self.terms)

    def measured(self, table: MeasuredTable) -> Estimate | None:
        """Return the sum of our scores, as a share; None where a score is missing, or the networks share no seed."""
        terms = []
        for weight, variant, name in self.terms:
            scores = table.row(variant.name).scores.get(name)
            if scores is None:
                return None
            terms.append((weight, scores))
        return linear_combination(terms)


ContrastOf = Callable[[Sequence[Variant]], Contrast | None]
"""Returns the contrast of a claim over those of its table's variants that there are; None where they are too few."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, the table that tests it, and the contrast that does."""

    sentence: str
    table: str
    contrast: ContrastOf


@dataclass(frozen=True)
class TestedClaim:
    """A claim with what the results say about it."""

    __test__ = False  # not a test of pytest

    claim: Claim
    contrast: Contrast | None = None
    estimate: Estimate | None = None

    @property
    def verdict(self) -> str:
        if self.estimate is None or self.estimate.interval is None:
            return INCONCLUSIVE
        low, high = self.estimate.interval
        return AGREES if low > 0 else DISAGREES if high < 0 else INCONCLUSIVE

    @property
    def missing(self) -> str:
        """The reason why there is no interval; "" where there is one."""
        if self.contrast is None:
            return "not measured"
        if self.estimate is None:
            return "the networks share no finished seed"
        return self.estimate.reason


def evaluate_claim(claim: Claim, table: MeasuredTable | None) -> TestedClaim:
    """Return a claim tested on the results of its table (None: there are none)."""
    contrast = claim.contrast([row.variant for row in table.complete_rows]) if table else None
    if table is None or contrast is None:
        return TestedClaim(claim)
    return TestedClaim(claim, contrast, contrast.measured(table))


def difference(first: Variant, second: Variant, score: str = "miou") -> Contrast:
    """Return how much the first is above the second."""
    return Contrast(f"{first.name} less {second.name}", [(1, first, score), (-1, second, score)])


def by_kernel_size(variants: Sequence[Variant], series: str) -> list[Variant]:
    """Return the variants of a series by k."""
    return sorted((v for v in variants if v.series == series and v.k is not None), key=lambda v: v.k or 0)


def slope_over_k(series: str) -> ContrastOf:
    """Claim that the score rises with k: the slope over log2 k, where the baseline is k = 1."""

    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        line = by_kernel_size(variants, series)
        if len(line) < 2:
            return None
        kernels = [variant.k or 1 for variant in line]
        description = f"slope over k = {', '.join(map(str, kernels))}, for each doubling of k"
        weights = slope_weights(kernels)
        return Contrast(description, [(weight, v, "miou") for weight, v in zip(weights, line, strict=True)])

    return contrast


def largest_over_baseline(series: str) -> ContrastOf:
    """Claim that the largest k is above k = 1."""

    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        line = by_kernel_size(variants, series)
        return difference(line[-1], line[0]) if len(line) > 1 and line[0].k == 1 else None

    return contrast


def peak_over_largest(series: str) -> ContrastOf:
    """Claim that a series peaks and falls: the k that is highest in the paper (not in our noise) less the largest k."""

    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        line = by_kernel_size(variants, series)
        peak = max(line, key=lambda v: v.printed["miou"], default=None)
        return None if peak is None or peak is line[-1] else difference(peak, line[-1])

    return contrast


def at_largest_common_k(first: str, second: str) -> ContrastOf:
    """Claim that one series is above another: at the largest k that both have."""

    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        firsts, seconds = ({v.k or 0: v for v in by_kernel_size(variants, series)} for series in (first, second))
        common = firsts.keys() & seconds.keys()
        return difference(firsts[max(common)], seconds[max(common)]) if common else None

    return contrast


def widest_over_narrowest(variants: Sequence[Variant]) -> Contrast | None:
    """Claim that fewer channels make the stack of Table 4 worse."""
    stacks = sorted((v for v in variants if v.name.startswith("stack")), key=lambda v: v.printed["head_parameters"])
    return difference(stacks[-1], stacks[0]) if len(stacks) > 1 else None


def gain(first: str, second: str, score: str = "miou", over: str | None = None) -> ContrastOf:
    """Claim that one network gains over another in a score; with `over`, that it gains more than in that score."""

    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        by_name = {variant.name: variant for variant in variants}
        if first not in by_name or second not in by_name:
            return None
        networks = by_name[first], by_name[second]
        gained = difference(*networks, score)
        if over is None:
            return gained
        opposite = [(-weight, variant, name) for weight, variant, name in difference(*networks, over).terms]
        description = f"{gained.description}: {SCORE_LABELS[score]} accuracy less {SCORE_LABELS[over]} accuracy"
        return Contrast(description, [*gained.terms, *opposite])

    return contrast


CLAIMS = (
    Claim("The score rises with the size of the kernel", "table1", slope_over_k("GCN")),
    Claim("The largest kernel is above the 1x1 baseline", "table1", largest_over_baseline("GCN")),
    Claim("A plain k x k convolution peaks and falls", "table2", peak_over_largest("conv")),
    Claim("GCN is above the plain convolution of its size", "table2", at_largest_common_k("GCN", "conv")),
    Claim("A stack of 3 x 3 convolutions peaks and falls", "table3", peak_over_largest("stack")),
    Claim("GCN is above the stack of its size", "table3", at_largest_common_k("GCN", "stack")),
    Claim("Fewer channels make the stack worse", "table4", widest_over_narrowest),
    Claim(
        "GCN gains more inside objects than at their boundaries",
        "table5",
        gain("GCN", "Baseline", "internal_accuracy", over="boundary_accuracy"),
    ),
    Claim(
        "Boundary Refinement gains more at boundaries than inside",
        "table5",
        gain("GCN + BR", "GCN", "boundary_accuracy", over="internal_accuracy"),
    ),
    Claim("Boundary Refinement raises the score", "table5", gain("GCN + BR", "GCN")),
    Claim(
        "ResNet50-GCN is above ResNet50 under 1x1 heads",
        "table6",
        gain("ResNet50-GCN, Baseline", "ResNet50, Baseline"),
    ),
    Claim(
        "ResNet50-GCN is above ResNet50 under GCN + BR",
        "table6",
        gain("ResNet50-GCN, GCN + BR", "ResNet50, GCN + BR"),
    ),
)
"""In the order of the tables."""
