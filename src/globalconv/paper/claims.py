"""What the paper claims: each claim as a sum of scores that its own tables give, and that ours give in the same way.

A sum should be above zero. The claim is confirmed where the whole interval is above, contradicted where the whole
interval is below, and cannot be told where the interval holds zero, or there is none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from globalconv.paper.comparison import Comparison
from globalconv.paper.results import WORDS
from globalconv.paper.statistics import Estimate, combination, slope_weights
from globalconv.paper.tables import Variant

AGREES, DISAGREES, OPEN = "agrees", "disagrees", "cannot be told at this scale"


@dataclass(frozen=True)
class Contrast:
    """Scores with weights, and what their sum is called."""

    words: str
    terms: Sequence[tuple[float, Variant, str]]
    """Weight, network, name of the score."""

    @property
    def printed(self) -> float:
        """The sum in the paper, in points."""
        return sum(weight * variant.printed[score] for weight, variant, score in self.terms)

    def measured(self, comparison: Comparison) -> Estimate | None:
        """Return the sum here, as a share; None where a score is missing, or the networks share no seed."""
        found = [(weight, comparison.row(variant.name).scores(score)) for weight, variant, score in self.terms]
        known = [(weight, scores) for weight, scores in found if scores is not None]
        return combination(known) if len(known) == len(found) else None


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, the table that tests it, and the sum that does; None with too few of its variants."""

    words: str
    table: str
    contrast: Callable[[Sequence[Variant]], Contrast | None]


@dataclass(frozen=True)
class Verdict:
    """What results say about a claim."""

    claim: Claim
    contrast: Contrast | None = None
    estimate: Estimate | None = None

    @property
    def word(self) -> str:
        if self.estimate is None or self.estimate.interval is None:
            return OPEN
        low, high = self.estimate.interval
        return AGREES if low > 0 else DISAGREES if high < 0 else OPEN

    @property
    def lacking(self) -> str:
        """What there is no interval for want of; empty where there is one."""
        if self.contrast is None:
            return "not measured"
        if self.estimate is None:
            return "the networks share no finished seed"
        if self.estimate.interval is None:
            return self.estimate.doubt
        return ""


def verdict(claim: Claim, comparison: Comparison | None) -> Verdict:
    """Test a claim on the results of its table."""
    contrast = claim.contrast([row.variant for row in comparison.measured]) if comparison else None
    if comparison is None or contrast is None:
        return Verdict(claim)
    return Verdict(claim, contrast, contrast.measured(comparison))


def less(one: Variant, other: Variant, score: str = "miou") -> Contrast:
    """Return how much the first is above the second."""
    return Contrast(f"{one.name} less {other.name}", [(1, one, score), (-1, other, score)])


def _series(variants: Sequence[Variant], name: str) -> list[Variant]:
    """Return the variants that a plot joins under this name, by k."""
    return sorted((v for v in variants if v.series == name and v.k is not None), key=lambda v: v.k or 0)


def _rises(variants: Sequence[Variant]) -> Contrast | None:
    line = _series(variants, "GCN")
    if len(line) < 2:
        return None
    kernels = [variant.k or 1 for variant in line]
    weights = slope_weights(kernels)
    words = f"slope over k = {', '.join(map(str, kernels))}, for each doubling of k"
    return Contrast(words, [(weight, variant, "miou") for weight, variant in zip(weights, line, strict=True)])


def _largest_over_baseline(variants: Sequence[Variant]) -> Contrast | None:
    line = _series(variants, "GCN")
    return less(line[-1], line[0]) if len(line) > 1 and line[0].k == 1 else None


def _falls(series: str) -> Callable[[Sequence[Variant]], Contrast | None]:
    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        """The one that the paper has highest, of those that are there, less the largest."""
        line = _series(variants, series)
        if not line or (peak := max(line, key=lambda v: v.printed["miou"])) is line[-1]:
            return None
        return less(peak, line[-1])

    return contrast


def _gcn_over(series: str) -> Callable[[Sequence[Variant]], Contrast | None]:
    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        """At the largest k that both have."""
        ours, theirs = ({v.k or 0: v for v in _series(variants, name)} for name in ("GCN", series))
        shared = ours.keys() & theirs.keys()
        return less(ours[max(shared)], theirs[max(shared)]) if shared else None

    return contrast


def _wide_over_narrow(variants: Sequence[Variant]) -> Contrast | None:
    stacks = sorted((v for v in variants if v.name.startswith("stack")), key=lambda v: v.printed["head_parameters"])
    return less(stacks[-1], stacks[0]) if len(stacks) > 1 else None


def gain(one: Variant, other: Variant, more: str, fewer: str) -> Contrast:
    """Return how much more the first gains over the second in one score than in another."""
    inside, border = less(one, other, more), less(one, other, fewer)
    signs = [*inside.terms, *((-weight, variant, score) for weight, variant, score in border.terms)]
    return Contrast(f"{inside.words}: {WORDS[more]} accuracy less {WORDS[fewer]} accuracy", signs)


def pair(variants: Sequence[Variant], one: str, other: str) -> tuple[Variant, Variant] | None:
    """Return the variants of these names; None where one is missing."""
    found = {variant.name: variant for variant in variants}
    return (found[one], found[other]) if one in found and other in found else None


def _inside(variants: Sequence[Variant]) -> Contrast | None:
    two = pair(variants, "GCN", "Baseline")
    return gain(*two, "internal_accuracy", "boundary_accuracy") if two else None


def _at_borders(variants: Sequence[Variant]) -> Contrast | None:
    two = pair(variants, "GCN + BR", "GCN")
    return gain(*two, "boundary_accuracy", "internal_accuracy") if two else None


def _between(one: str, other: str) -> Callable[[Sequence[Variant]], Contrast | None]:
    def contrast(variants: Sequence[Variant]) -> Contrast | None:
        two = pair(variants, one, other)
        return less(*two) if two else None

    return contrast


CLAIMS = (
    Claim("The score rises with the size of the kernel", "table1", _rises),
    Claim("The largest kernel is above the 1x1 baseline", "table1", _largest_over_baseline),
    Claim("A plain k x k convolution peaks and falls", "table2", _falls("conv")),
    Claim("GCN is above the plain convolution of its size", "table2", _gcn_over("conv")),
    Claim("A stack of 3 x 3 convolutions peaks and falls", "table3", _falls("stack")),
    Claim("GCN is above the stack of its size", "table3", _gcn_over("stack")),
    Claim("Fewer channels make the stack worse", "table4", _wide_over_narrow),
    Claim("GCN gains more inside objects than at their boundaries", "table5", _inside),
    Claim("Boundary Refinement gains more at boundaries than inside", "table5", _at_borders),
    Claim("Boundary Refinement raises the score", "table5", _between("GCN + BR", "GCN")),
    Claim(
        "ResNet50-GCN is above ResNet50 under 1x1 heads",
        "table6",
        _between("ResNet50-GCN, Baseline", "ResNet50, Baseline"),
    ),
    Claim(
        "ResNet50-GCN is above ResNet50 under GCN + BR",
        "table6",
        _between("ResNet50-GCN, GCN + BR", "ResNet50, GCN + BR"),
    ),
)
"""In the order of the tables."""
