"""A report in sentences: what a network is, how well it does, where, and how several compare."""

from collections.abc import Iterator

import numpy as np
from torch import nn

from globalconv.evaluation.bootstrap import miou_interval
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import custom_class
from globalconv.reports.findings import Findings, Result, Subject
from globalconv.reports.next_steps import RunComparison, row_shares
from globalconv.reports.page import signed

LEAST = 0.0005
"""A loss of a class below this reads 0.000, so it is not mentioned."""


def describe(subject: Subject) -> str:
    """Return what a subject is, in the paper's words where it has some."""
    if subject.predictor is None:
        return f"{subject.name}: class maps made elsewhere"
    if subject.predictor.network is None:
        return f"{subject.name}: computed by {subject.predictor.description}"
    return f"{subject.name}: {describe_network(subject.predictor.network)}"


def describe_network(network: nn.Module) -> str:
    """Return what a network is, in the paper's words where it has some."""
    if network_class := custom_class(network):
        return network_class
    if not isinstance(network, GlobalConvNet):
        return "class maps made elsewhere"
    settings = network.settings
    heads = settings["head"]
    sizes = f"k = {', '.join(map(str, dict.fromkeys(settings['kernel_size'])))}"
    words = {
        "gcn": f"Global Convolutional Network (GCN), {sizes}",
        "pointwise": "Baseline with 1 x 1 heads",
        "conv": f"k x k convolutions, {sizes}",
        "stack": f"stacks of 3 x 3 convolutions, {sizes}",
    }.get(heads[0] if len(set(heads)) == 1 else "", f"heads {', '.join(heads)}, {sizes}")
    width = f", heads of {settings['head_width']} channels" if settings["head_width"] else ""
    if settings["decoder"] == "features":
        levels = zip(heads, settings["kernel_size"], range(2, 6), strict=True)
        large = [f"k = {k} after res-{level}" for head, k, level in levels if head == "gcn"]
        words = f"Global Convolutional Network (GCN), {', '.join(large)}" if large else "1 x 1 heads"
        width = f", sum of features of {settings['head_width']} channels"
    refined = "with Boundary Refinement" if settings["boundary_refinement"] else "without Boundary Refinement"
    return f"{words}{width}, {refined}, over {settings['backbone']}"


def summarise_one(findings: Findings) -> list[str]:
    """Return how well the only subject does, and where."""
    result = findings.results[0]
    matrix, wrong_N = result.score.matrix, findings.shares(result.wrong_N)
    interval = miou_interval(result.hits_NK, result.unions_NK)
    spread = f" (95% over the images: {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    counts = result.regions.counts()
    pixels = counts.boundary + counts.internal
    wrong = pixels - counts.boundary_right - counts.internal_right
    near_wrong = (counts.boundary - counts.boundary_right) / max(1, wrong)
    overall = f"mIoU {matrix.miou():.3f} over {classes_in_mean(result)} classes{spread}"
    width, near = result.regions.settings.width, counts.boundary / max(1, pixels)
    return [
        f"{overall}; {matrix.pixel_accuracy():.1%} of the pixels are right.",
        *(line[0].upper() + line[1:] for line in _about_classes(result)),
        f"The middle image has {np.nanmedian(wrong_N):.1%} of its pixels wrong, the worst {np.nanmax(wrong_N):.1%}.",
        (
            f"{near_wrong:.0%} of the wrong pixels lie within {width:g} pixels of a boundary between areas, as do"
            f" {near:.0%} of all pixels."
        ),
    ]


def summarise_several(findings: Findings, best: Result, second: Result, comparison: RunComparison) -> list[str]:
    """Return whether the best of several subjects is better than the second, by how much, and where."""
    interval = comparison.interval
    spread = f"; 95% over the images: {signed(interval[0])} to {signed(interval[1])}" if interval else ""
    scores = f"{comparison.difference:.3f} mIoU ({best.score.miou:.3f} against {second.score.miou:.3f}{spread})"
    if comparison.decided:
        verdict = f"{best.name} is better than {second.name} by {scores}."
    else:
        verdict = f"{best.name} is ahead of {second.name} by {scores}: too little to call it better."

    gains_K, names = best.score.matrix.iou() - second.score.matrix.iou(), best.score.labels.class_names
    order = [int(k) for k in np.argsort(-gains_K) if not np.isnan(gains_K[k])]
    better = [f"{names[k]} ({signed(gains_K[k])})" for k in order if gains_K[k] > 0]
    worse = [f"{names[k]} ({signed(gains_K[k])})" for k in reversed(order) if gains_K[k] <= -LEAST]
    gained = f", most on {', '.join(better[:3])}" if better else ""
    more = f" and {len(worse) - 3} more" if len(worse) > 3 else ""
    lost = f"; it is worse on {', '.join(worse[:3])}{more}" if worse else ""

    best_N, second_N = findings.shares(best.wrong_N), findings.shares(second.wrong_N)
    ahead, behind = (best_N < second_N).sum(), (best_N > second_N).sum()
    (near, inside), (second_near, second_inside) = error_rates(best), error_rates(second)
    return [
        verdict,
        f"It is better on {len(better)} of {len(order)} classes{gained}{lost}.",
        f"It has fewer wrong pixels in {ahead} of {len(findings.source)} images, more in {behind}.",
        (
            f"Within {best.regions.settings.width:g} pixels of a boundary between areas it has {near} of the pixels"
            f" wrong ({second.name} {second_near}), further inside {inside} ({second_inside})."
        ),
        *(f"{best.name}: {line}" for line in _about_classes(best)),
    ]


def classes_in_mean(result: Result) -> int:
    """Return the number of classes that take part in the mean."""
    return result.score.labels.num_classes - len(result.score.absent_classes)


def error_rates(result: Result) -> tuple[str, str]:
    """Return the share of wrong pixels near boundaries and inside areas, in percent; a dash where there are none."""
    counts = result.regions.counts()
    near, inside = (
        "–" if np.isnan(accuracy) else f"{1 - accuracy:.1%}"
        for accuracy in (counts.boundary_accuracy(), counts.internal_accuracy())
    )
    return near, inside


def _about_classes(result: Result) -> Iterator[str]:
    """Yield the best and worst classes and the most confused ones, as far as there are such."""
    iou_K, names = result.score.matrix.iou(), result.score.labels.class_names
    order = [int(k) for k in np.argsort(-iou_K) if not np.isnan(iou_K[k])]
    if few := min(3, len(order) // 2):
        best, worst = ([f"{names[k]} ({iou_K[k]:.2f})" for k in part] for part in (order[:few], order[: -few - 1 : -1]))
        yield f"best by IoU: {', '.join(best)}; worst: {', '.join(worst)}."
    if pairs := confusions(result)[:3]:
        confused = [f"{share:.0%} of {true} is taken for {taken}" for true, taken, share, _ in pairs]
        yield f"most confused: {'; '.join(confused)}."


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
