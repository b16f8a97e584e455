"""What to try next: each rule looks at the numbers of one run, or of several, and says what it would do and why.

A rule that does not apply, or has no numbers to judge by, returns None. Its limits are constants; they are choices, not
laws.

Shapes: K classes; confusion counts are (K, K), rows = truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from globalconv.arrays import Float64Array, Int64Array
from globalconv.evaluation.bootstrap import Interval
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.reports.page import NextStep

Points = Sequence[tuple[float, float]]

RISE, FALL = 0.005, 0.01
"""Least rise and fall of mIoU between evaluations that is taken for a trend."""
SEED_EFFECT = 0.01
"""What another seed of the same training may change (LOG.md)."""
MISSED, RARE = 0.1, 0.01
"""IoU below which a class counts as missed; share of pixels below which it is rare."""
CONFUSED = 0.1
"""Share of a class's pixels predicted as another class, in both directions, from which the two are confused."""
WIDE = 0.06
"""Width of the mIoU's interval from which the images are too few."""
OUTLINE, OUTLINE_SHARE = 3, 0.6
"""Pixels that count as at a boundary; share of the wrong pixels there from which boundaries are what is missing."""


@dataclass(frozen=True)
class Evidence:
    """What the rules judge one run by; empty where it is not known."""

    class_names: Sequence[str]
    matrix: ConfusionMatrix
    interval: Interval | None = None
    outline_share: float = 0.0
    """Of the wrong pixels, within `OUTLINE` pixels of a boundary between areas."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    losses: Points = ()
    mious: Points = ()
    finished: bool = True


def advise(run: Evidence) -> list[NextStep]:
    """Return what the numbers of one run suggest, the most pressing first."""
    return [step for rule in RULES if (step := rule(run))]


def unfinished(run: Evidence) -> NextStep | None:
    """A run that did not reach its last step is finished first."""
    if run.finished:
        return None
    return NextStep("Finish the training", "The run stopped before its last step.", "globalconv train ... --resume")


def overfitted(run: Evidence) -> NextStep | None:
    """At the end the score is lower than at the best evaluation, although the loss is lower as well."""
    if len(run.mious) < 3:
        return None
    best_step, best = max(run.mious, key=lambda point: point[1])
    last_step, last = run.mious[-1]
    window = max(1, len(run.losses) // 10)
    at_best, at_last = ([loss for at, loss in run.losses if at <= step][-window:] for step in (best_step, last_step))
    if last >= best - FALL or not at_best or np.mean(at_last) >= np.mean(at_best):
        return None
    why = (
        f"From step {best_step} on the loss went on falling ({np.mean(at_best):.3f} to {np.mean(at_last):.3f}) while"
        f" mIoU fell from {best:.3f} to {last:.3f}: the training images are learnt by heart. The weights kept are the"
        " best."
    )
    return NextStep("More data, stronger augmentation, or fewer steps", why, "--data.augmentation.scale 0.5 2")


def still_rising(run: Evidence) -> NextStep | None:
    """The training ended before the score stopped rising."""
    if not run.finished or not _rising(run):
        return None
    steps, epochs = run.settings.get("steps"), run.settings.get("epochs")
    before, after = run.mious[-2][1], run.mious[-1][1]
    why = f"mIoU was still rising at the end: from {before:.3f} to {after:.3f} between the last two evaluations."
    how = f"--steps {2 * steps}" if steps else f"--epochs {2 * epochs:g}" if epochs else ""
    return NextStep("Train longer", why, how)


def _rising(run: Evidence) -> bool:
    """Return whether the last evaluation is the best by far, and the one before it the best until then."""
    scores = [miou for _, miou in run.mious]
    return len(scores) > 1 and scores[-1] - RISE > scores[-2] == max(scores[:-1])


def rare_classes_missed(run: Evidence) -> NextStep | None:
    """Rare classes get more weight: by the first of the remedies that the run has not used."""
    names = _missed_classes(run, rare=True)
    if not names:
        return None
    crop = run.settings.get("data.augmentation.crop")
    if run.settings.get("optim.class_weights") == "none":
        how = "--optim.class-weights sqrt-median"
    elif run.settings.get("optim.dice_weight") == 0:
        how = "--optim.dice-weight 1"
    else:
        how = f"--data.augmentation.crop {' '.join(str(round(side * 1.5)) for side in crop)}" if crop else ""
    why = f"{listed(names)}: IoU below {MISSED}, and less than {RARE:.0%} of the pixels each."
    return NextStep("Give rare classes more weight", why, how)


def common_classes_missed(run: Evidence) -> NextStep | None:
    """A class that is missed although it is common, in a training that was long enough, has a problem in its labels."""
    names = _missed_classes(run, rare=False)
    if not names or _rising(run):
        return None
    why = f"{listed(names)}: IoU below {MISSED} although not rare. Are the labels right, and alike in both splits?"
    return NextStep("Look at the labels of what is missed", why, "globalconv data check DATA --sheet sheet.png")


def _missed_classes(run: Evidence, rare: bool) -> list[str]:
    """Return the rare, or the common classes with a very low IoU; none where the network misses everything."""
    counts = run.matrix.counts
    share_K = counts.sum(1) / counts.sum()
    missed_K = (run.matrix.iou() < MISSED) & (share_K > 0) & ((share_K < RARE) == rare)
    return [run.class_names[int(k)] for k in np.flatnonzero(missed_K)] if run.matrix.miou() > MISSED else []


def confused_classes(run: Evidence) -> NextStep | None:
    """The two classes that are most confused with each other may need more context."""
    shares_KK = row_shares(run.matrix.counts)
    both_KK = np.triu(np.minimum(shares_KK, shares_KK.T), 1)
    a, b = divmod(int(both_KK.argmax()), len(run.class_names))
    if both_KK[a, b] < CONFUSED:
        return None
    first, second = run.class_names[a], run.class_names[b]
    why = (
        f"{shares_KK[a, b]:.0%} of {first} is taken for {second}, {shares_KK[b, a]:.0%} of {second} for {first}. If a"
        " person can tell them apart in the images below, more context may help; if not, the labels or classes need"
        " care."
    )
    kernels = run.settings.get("model.kernel_size") or [15]
    pointwise = "gcn" not in (run.settings.get("model.head") or ["gcn"])
    how = "--model.head gcn" if pointwise else "--model.kernel-size 15" if max(kernels) < 15 else ""
    return NextStep(f"Separate {first} from {second}", why, how)


def few_images(run: Evidence) -> NextStep | None:
    """A wide interval comes from few images."""
    if run.interval is None or run.interval[1] - run.interval[0] <= WIDE:
        return None
    low, high = run.interval
    why = f"Other images of the same kind might score anything from {low:.3f} to {high:.3f} (95%)."
    return NextStep("Score on more images before you trust small gains", why)


def blurred_boundaries(run: Evidence) -> NextStep | None:
    """Most wrong pixels lie at boundaries, so these are what is missing."""
    if run.outline_share < OUTLINE_SHARE:
        return None
    refined = run.settings.get("model.boundary_refinement", True)
    near = f"{run.outline_share:.0%} of the wrong pixels lie within {OUTLINE} pixels of a boundary between areas"
    why = f"{near}: what is where is mostly right."
    return NextStep("Sharpen boundaries", why, "" if refined else "--model.boundary-refinement")


RULES = (
    unfinished, overfitted, still_rising, rare_classes_missed, common_classes_missed, confused_classes, few_images,
    blurred_boundaries,
)  # fmt: skip
"""The rules about one run, the most pressing first."""


@dataclass(frozen=True)
class RunComparison:
    """What the two best runs of several are compared by."""

    better: str
    worse: str
    difference: float
    """mIoU of the better one less that of the worse."""
    interval: Interval | None
    """Where the difference lies on other images of the same kind; None for too few images."""
    changed: Sequence[str]
    """Settings that differ, of all that decide what comes out."""

    @property
    def decided(self) -> bool:
        """Whether the difference is more than another seed or other images might change."""
        return self.difference >= SEED_EFFECT and (self.interval is None or self.interval[0] > 0)


def advise_on_comparison(runs: RunComparison) -> list[NextStep]:
    """Return what keeps the difference from meaning what it seems to mean."""
    steps = []
    if not runs.decided:
        why = (
            f"{runs.better} is ahead of {runs.worse} by {runs.difference:.3f} mIoU. Another seed may change as much as"
            f" {SEED_EFFECT}, and other images more or less: one run of each cannot tell which network is better."
        )
        steps.append(NextStep("Repeat both with other seeds before choosing", why, "--seed 1"))
    if len(runs.changed) > 1:
        why = f"{runs.better} and {runs.worse} differ in {len(runs.changed)} settings: {listed(runs.changed)}."
        steps.append(NextStep("Change one setting at a time to know which one it was", why))
    return steps


def untried(steps: Sequence[NextStep], changed: Sequence[str]) -> list[NextStep]:
    """Return the steps less those that the comparison has answered: options for settings in which the runs differ."""
    answered = {f"--{name.replace('_', '-')}" for name in changed}
    return [step for step in steps if step.how.partition(" ")[0] not in answered]


def row_shares(counts: Int64Array) -> Float64Array:
    """Return each count as a share of its true class."""
    return np.asarray(counts / np.maximum(1, counts.sum(1, keepdims=True)))


def listed(names: Sequence[str]) -> str:
    """Return the first six names, and how many more there are."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
