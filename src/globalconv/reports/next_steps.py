"""What to try next: each rule looks at the numbers of one run, or of several, and says what it would do and why.

A rule that has nothing to go by is silent. Its limits stand beside it; they are choices, not laws.

Shapes: K classes; confusion counts are (K, K), rows = truth.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.evaluation.bootstrap import Interval
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.reports.page import NextStep

Points = Sequence[tuple[float, float]]

RISE, FALL = 0.005, 0.01
"""Changes of mIoU between evaluations that are taken for one."""
SEED = 0.01
"""What another seed of the same training may change (LOG.md)."""
MISSED, RARE = 0.1, 0.01
"""IoU below which a class counts as missed; share of pixels below which it is rare."""
TAKEN = 0.1
"""Share of a class's pixels given to another class, in both directions, that counts as mixed up."""
WIDE = 0.06
"""Width of the mIoU's interval from which the images are too few."""
OUTLINE, BORDER = 3, 0.6
"""Pixels that count as at a border; share of the wrong pixels there from which sharper borders are what is missing."""


@dataclass(frozen=True)
class Evidence:
    """What the rules look at; empty where it is not known."""

    class_names: Sequence[str]
    matrix: ConfusionMatrix
    interval: Interval | None = None
    border_share: float = 0.0
    """Of the wrong pixels, within `OUTLINE` pixels of a boundary between areas."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: Points = ()
    mious: Points = ()
    finished: bool = True


def advise(run: Evidence) -> list[NextStep]:
    """Return what the numbers of one run suggest, the most pressing first."""
    rules = (_unfinished, _overfitted, _still_rising, _missed_classes, _mixed_up, _few_images, _ragged_borders)
    return [advice for rule in rules for advice in rule(run)]


def _unfinished(run: Evidence) -> Iterator[NextStep]:
    if not run.finished:
        yield NextStep("Finish the training", "The run stopped before its last step.", "globalconv train ... --resume")


def _still_rising(run: Evidence) -> Iterator[NextStep]:
    if not run.finished or not _rising(run):
        return
    steps, epochs = run.settings.get("steps"), run.settings.get("epochs")
    before, after = run.mious[-2][1], run.mious[-1][1]
    why = f"mIoU was still rising at the end: from {before:.3f} to {after:.3f} between the last two evaluations."
    yield NextStep(
        "Train longer", why, f"--steps {2 * steps}" if steps else f"--epochs {2 * epochs:g}" if epochs else ""
    )


def _rising(run: Evidence) -> bool:
    """Return whether the last evaluation is the best by far, and the one before it the best until then."""
    scores = [miou for _, miou in run.mious]
    return len(scores) > 1 and scores[-1] - RISE > scores[-2] == max(scores[:-1])


def _overfitted(run: Evidence) -> Iterator[NextStep]:
    """Compare the end with the best evaluation: a lower score at a lower loss."""
    if len(run.mious) < 3:
        return
    best_step, best = max(run.mious, key=lambda point: point[1])
    last_step, last = run.mious[-1]
    then, now = _loss_around(run.losses, best_step), _loss_around(run.losses, last_step)
    if last < best - FALL and then is not None and now is not None and now < then:
        why = (
            f"From step {best_step} on the loss went on falling ({then:.3f} to {now:.3f}) while mIoU fell from"
            f" {best:.3f} to {last:.3f}: the training images are learnt by heart. The weights kept are the best."
        )
        yield NextStep("More data, stronger augmentation, or fewer steps", why, "--data.augmentation.scale 0.5 2")


def _loss_around(losses: Points, step: float) -> float | None:
    """Return the mean loss of the tenth of the log that ends at `step`."""
    before = [loss for at, loss in losses if at <= step]
    size = max(1, len(losses) // 10)
    return float(np.mean(before[-size:])) if before else None


def _missed_classes(run: Evidence) -> Iterator[NextStep]:
    counts = run.matrix.counts
    share_K, iou_K = counts.sum(1) / counts.sum(), run.matrix.iou()
    missed = [int(k) for k in np.flatnonzero((iou_K < MISSED) & (share_K > 0)) if run.matrix.miou() > MISSED]
    rare = [run.class_names[k] for k in missed if share_K[k] < RARE]
    common = [run.class_names[k] for k in missed if share_K[k] >= RARE]
    if rare:
        why = f"{_listed(rare)}: IoU below {MISSED}, and less than {RARE:.0%} of the pixels each."
        yield NextStep("Give rare classes more weight", why, _for_rare(run.settings))
    if common and not _rising(run):
        why = (
            f"{_listed(common)}: IoU below {MISSED} although not rare. Are the labels right, and alike in both splits?"
        )
        yield NextStep("Look at the labels of what is missed", why, "globalconv data check DATA --sheet sheet.png")


def _for_rare(settings: Mapping[str, Any]) -> str:
    """Return the first of the remedies that the run has not used."""
    if settings.get("optim.class_weights") == "none":
        return "--optim.class-weights sqrt-median"
    if settings.get("optim.dice_weight") == 0:
        return "--optim.dice-weight 1"
    crop = settings.get("data.augmentation.crop")
    return f"--data.augmentation.crop {' '.join(str(round(side * 1.5)) for side in crop)}" if crop else ""


def _mixed_up(run: Evidence) -> Iterator[NextStep]:
    """Find the two classes that are most taken for each other."""
    shares_KK = row_shares(run.matrix.counts)
    both_KK = np.triu(np.minimum(shares_KK, shares_KK.T), 1)
    a, b = divmod(int(both_KK.argmax()), len(run.class_names))
    if both_KK[a, b] < TAKEN:
        return
    one, other = run.class_names[a], run.class_names[b]
    why = (
        f"{shares_KK[a, b]:.0%} of {one} is taken for {other}, {shares_KK[b, a]:.0%} of {other} for {one}. If a person"
        " can tell them apart in the images below, more context may help; if not, the labels or classes need care."
    )
    kernels = run.settings.get("model.kernel_size") or [15]
    pointwise = "gcn" not in (run.settings.get("model.head") or ["gcn"])
    how = "--model.head gcn" if pointwise else "--model.kernel-size 15" if max(kernels) < 15 else ""
    yield NextStep(f"Separate {one} from {other}", why, how)


def _few_images(run: Evidence) -> Iterator[NextStep]:
    if run.interval is not None and run.interval[1] - run.interval[0] > WIDE:
        low, high = run.interval
        why = f"Other images of the same kind might score anything from {low:.3f} to {high:.3f} (95%)."
        yield NextStep("Score on more images before you trust small gains", why)


def _ragged_borders(run: Evidence) -> Iterator[NextStep]:
    if run.border_share < BORDER:
        return
    refined = run.settings.get("model.boundary_refinement", True)
    near = f"{run.border_share:.0%} of the wrong pixels lie within {OUTLINE} pixels of a boundary between areas"
    why = f"{near}: what is where is mostly right."
    yield NextStep("Sharpen boundaries", why, "" if refined else "--model.boundary-refinement")


@dataclass(frozen=True)
class Comparison:
    """What the rules about the two best runs of several look at."""

    better: str
    worse: str
    difference: float
    """mIoU of the better one less that of the worse."""
    decided: bool
    """Whether that is more than another seed or other images might change."""
    changed: Sequence[str]
    """Settings that differ, of all that decide what comes out."""


def compare(two: Comparison) -> list[NextStep]:
    """Return what keeps the difference from meaning what it seems to mean."""
    found = []
    if not two.decided:
        why = (
            f"{two.better} is ahead of {two.worse} by {two.difference:.3f} mIoU. Another seed may change as much as"
            f" {SEED}, and other images more or less: one run of each cannot tell which network is better."
        )
        found.append(NextStep("Repeat both with other seeds before choosing", why, "--seed 1"))
    if len(two.changed) > 1:
        why = f"{two.better} and {two.worse} differ in {len(two.changed)} settings: {_listed(two.changed)}."
        found.append(NextStep("Change one setting at a time to know which one it was", why))
    return found


def untried(found: Sequence[NextStep], changed: Sequence[str]) -> list[NextStep]:
    """Return the advice less what the comparison has answered: options for settings in which the runs differ."""
    answered = {f"--{name.replace('_', '-')}" for name in changed}
    return [advice for advice in found if advice.how.partition(" ")[0] not in answered]


def row_shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return each count as a share of its true class."""
    return np.asarray(counts / np.maximum(1, counts.sum(1, keepdims=True)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
