"""A report in sentences: what a network is, how well it does, where, and how several compare."""

from collections.abc import Iterator, Sequence

import numpy as np

from globalconv.evaluation.bootstrap import Interval, difference_interval, miou_interval
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import custom_class
from globalconv.reports.findings import Findings, Result, Subject
from globalconv.reports.next_steps import SEED, row_shares
from globalconv.reports.page import signed

LEAST = 0.0005
"""A loss of a class below this is shown as zero, so it is not spoken of."""


def describe(subject: Subject) -> str:
    """Return what a subject is, in the paper's words where it has some."""
    if subject.predictor is not None and (name := custom_class(subject.predictor.network)):
        return f"{subject.name}: {name}"
    if subject.predictor is None or not isinstance(subject.predictor.network, GlobalConvNet):
        return f"{subject.name}: class maps made elsewhere"
    built = subject.predictor.network.settings
    heads = built["head"]
    sizes = f"k = {', '.join(map(str, dict.fromkeys(built['kernel_size'])))}"
    words = {
        "gcn": f"Global Convolutional Network (GCN), {sizes}",
        "pointwise": "Baseline with 1 x 1 heads",
        "conv": f"k x k convolutions, {sizes}",
        "stack": f"stacks of 3 x 3 convolutions, {sizes}",
    }.get(heads[0] if len(set(heads)) == 1 else "", f"heads {', '.join(heads)}, {sizes}")
    refined = "with Boundary Refinement" if built["boundary_refinement"] else "without Boundary Refinement"
    width = f", heads of {built['head_width']} channels" if built["head_width"] else ""
    return f"{subject.name}: {words}{width}, {refined}, over {built['backbone']}"


def ranked(findings: Findings) -> list[Result]:
    """Return the results, the best first."""
    return sorted(findings.results, key=lambda result: -result.score.miou)


def one_in_short(findings: Findings) -> list[str]:
    """Return how well the only subject does, and where."""
    result = findings.results[0]
    matrix, wrong_N = result.score.matrix, findings.shares(result.wrong_N)
    interval = miou_interval(result.hits_NK, result.unions_NK)
    chance = f" (95% over the images: {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    whole = f"mIoU {matrix.miou():.3f} over {known(result)} classes{chance}"
    return [
        f"{whole}; {matrix.pixel_accuracy():.1%} of the pixels are right.",
        *(line[0].upper() + line[1:] for line in (*_extremes(result), *_most_confused(result))),
        f"The middle image has {np.nanmedian(wrong_N):.1%} of its pixels wrong, the worst {np.nanmax(wrong_N):.1%}.",
        _near_boundaries(result),
    ]


def _near_boundaries(result: Result) -> str:
    width, counts = result.regions.settings.width, result.regions.counts()
    pixels = counts.boundary + counts.internal
    wrong = pixels - counts.boundary_right - counts.internal_right
    near_wrong = (counts.boundary - counts.boundary_right) / max(1, wrong)
    return (
        f"{near_wrong:.0%} of the wrong pixels lie within {width:g} pixels of a boundary between areas, as do"
        f" {counts.boundary / max(1, pixels):.0%} of all pixels."
    )


def several_in_short(findings: Findings) -> list[str]:
    """Return which of several subjects is better than the next, by how much, and where."""
    best, second = ranked(findings)[:2]
    wrong = [findings.shares(result.wrong_N) for result in (best, second)]
    ahead = int((wrong[0] < wrong[1]).sum())
    behind = int((wrong[0] > wrong[1]).sum())
    return [
        _verdict(best, second),
        *_by_class(best, second),
        f"It has fewer wrong pixels in {ahead} of {len(findings.source)} images, more in {behind}.",
        _at_boundaries(best, second),
        *(f"{best.name}: {line}" for line in (*_extremes(best), *_most_confused(best))),
    ]


def _verdict(best: Result, second: Result) -> str:
    interval = between(second, best)
    chance = f"; 95% over the images: {signed(interval[0])} to {signed(interval[1])}" if interval else ""
    ahead = f"{ahead_by(best, second):.3f} mIoU ({best.score.miou:.3f} against {second.score.miou:.3f}{chance})"
    if decided(best, second):
        return f"{best.name} is better than {second.name} by {ahead}."
    return f"{best.name} is ahead of {second.name} by {ahead}: too little to call it better."


def ahead_by(best: Result, second: Result) -> float:
    """Return how much the mIoU of one is larger than the other's."""
    return best.score.miou - second.score.miou


def decided(best: Result, second: Result) -> bool:
    """Return whether one is ahead by more than another seed or other images might change."""
    interval = between(second, best)
    return ahead_by(best, second) >= SEED and (interval is None or interval[0] > 0)


def between(one: Result, other: Result) -> Interval | None:
    """Return where the difference lies on other images of the same kind: `other` less `one`."""
    return difference_interval((one.hits_NK, one.unions_NK), (other.hits_NK, other.unions_NK))


def _by_class(best: Result, second: Result) -> Iterator[str]:
    gains_K = best.score.matrix.iou() - second.score.matrix.iou()
    names = best.score.labels.class_names
    order = [int(k) for k in np.argsort(-gains_K) if not np.isnan(gains_K[k])]
    better = [f"{names[k]} ({signed(gains_K[k])})" for k in order if gains_K[k] > 0]
    worse = [f"{names[k]} ({signed(gains_K[k])})" for k in reversed(order) if gains_K[k] <= -LEAST]
    gained = f", most on {', '.join(better[:3])}" if better else ""
    lost = f"; it is worse on {', '.join(worse[:3])}{_more(worse)}" if worse else ""
    yield f"It is better on {len(better)} of {len(order)} classes{gained}{lost}."


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 3} more" if len(names) > 3 else ""


def _at_boundaries(best: Result, second: Result) -> str:
    (near, inside), (their_near, their_inside) = error_rates(best), error_rates(second)
    return (
        f"Within {best.regions.settings.width:g} pixels of a boundary between areas it has {near} of the pixels wrong"
        f" ({second.name} {their_near}), further inside {inside} ({their_inside})."
    )


def error_rates(result: Result) -> tuple[str, str]:
    """Return the share of wrong pixels near boundaries and inside areas, in percent; a dash where there are none."""
    counts = result.regions.counts()
    return _percent(1 - counts.boundary_accuracy()), _percent(1 - counts.internal_accuracy())


def _percent(share: float) -> str:
    return "–" if np.isnan(share) else f"{share:.1%}"


def known(result: Result) -> int:
    """Return the number of classes that take part in the mean."""
    return result.score.labels.num_classes - len(result.score.absent_classes)


def _extremes(result: Result) -> Iterator[str]:
    iou_K, names = result.score.matrix.iou(), result.score.labels.class_names
    order = [int(k) for k in np.argsort(-iou_K) if not np.isnan(iou_K[k])]
    few = min(3, len(order) // 2)
    if few:
        best, worst = ([f"{names[k]} ({iou_K[k]:.2f})" for k in part] for part in (order[:few], order[: -few - 1 : -1]))
        yield f"best by IoU: {', '.join(best)}; worst: {', '.join(worst)}."


def _most_confused(result: Result) -> Iterator[str]:
    pairs = [f"{share:.0%} of {true} is taken for {taken}" for true, taken, share, _ in confusions(result)[:3]]
    if pairs:
        yield f"most confused: {'; '.join(pairs)}."


def confusions(result: Result, count: int = 10) -> list[tuple[str, str, float, int]]:
    """Return the largest shares of a true class that were taken for another: both names, the share, its pixels."""
    counts, names = result.score.matrix.counts, result.score.labels.class_names
    shares_KK = row_shares(counts)
    np.fill_diagonal(shares_KK, 0)
    order = np.argsort(-shares_KK, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [
        (names[a], names[b], float(shares_KK[a, b]), int(counts[a, b])) for a, b in pairs if shares_KK[a, b] >= 0.005
    ]
