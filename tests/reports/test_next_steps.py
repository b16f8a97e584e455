"""Every rule gives its advice where its numbers are, and none where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.reports.next_steps import Evidence, RunComparison, advise, advise_on_comparison, untried
from globalconv.reports.page import NextStep

GOOD = np.array([[950, 50, 0], [50, 900, 50], [0, 50, 950]])
RUN = Evidence(("sky", "road", "car"), ConfusionMatrix.from_counts(GOOD))


def titles(run: Evidence) -> list[str]:
    return [step.what for step in advise(run)]


def only(run: Evidence) -> NextStep:
    [step] = advise(run)
    return step


def with_counts(counts: list[list[int]], **settings: object) -> Evidence:
    return replace(RUN, matrix=ConfusionMatrix.from_counts(np.array(counts)), settings=settings)


def test_nothing_stands_out_in_a_good_run() -> None:
    assert titles(RUN) == []
    assert titles(replace(RUN, mious=[(10, 0.70), (20, 0.80), (30, 0.802)], interval=(0.79, 0.81))) == []


@pytest.mark.parametrize(
    ("settings", "how"),
    [({"steps": 100, "epochs": 9}, "--steps 200"), ({"steps": None, "epochs": 7.5}, "--epochs 15"), ({}, "")],
)
def test_a_score_that_still_rises_asks_for_more_steps(settings: dict[str, float | None], how: str) -> None:
    step = only(replace(RUN, mious=[(10, 0.5), (20, 0.6), (30, 0.7)], settings=settings))
    assert step.what == "Train longer" and step.how == how and "from 0.600 to 0.700" in step.why


@pytest.mark.parametrize("mious", [[0.7], [0.5, 0.6, 0.604], [0.5, 0.7, 0.69], [0.7, 0.5, 0.72]])
def test_a_score_that_does_not_clearly_rise_does_not(mious: list[float]) -> None:
    assert "Train longer" not in titles(replace(RUN, mious=list(enumerate(mious, 1))))


def test_falling_loss_with_a_falling_score_is_overfitting() -> None:
    losses = [(step, 1.0 / step) for step in range(1, 31)]
    mious = [(10, 0.6), (20, 0.7), (30, 0.6)]
    step = only(replace(RUN, losses=losses, mious=mious))
    assert "augmentation" in step.what and "0.700 to 0.600" in step.why and "step 20" in step.why
    assert titles(replace(RUN, losses=[(step, float(step)) for step in range(1, 31)], mious=mious)) == []
    assert titles(replace(RUN, losses=losses, mious=[(10, 0.6), (20, 0.7), (30, 0.695)])) == []


def test_an_unfinished_run_is_to_be_finished() -> None:
    rising = [(10, 0.5), (20, 0.6), (30, 0.7)]
    assert titles(replace(RUN, finished=False, mious=rising)) == ["Finish the training"]


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"optim.class_weights": "none", "optim.dice_weight": 0}, "--optim.class-weights sqrt-median"),
        ({"optim.class_weights": "median", "optim.dice_weight": 0.0}, "--optim.dice-weight 1"),
        (
            {"optim.class_weights": "median", "optim.dice_weight": 1, "data.augmentation.crop": [64, 96]},
            "--data.augmentation.crop 96 144",
        ),
        ({}, ""),
    ],
)
def test_a_rare_class_that_is_missed_asks_for_the_next_remedy(settings: dict[str, object], how: str) -> None:
    step = only(with_counts([[9000, 100, 0], [100, 9000, 0], [9, 0, 0]], **settings))
    assert step.how == how and "rare" in step.what and "car" in step.why and "sky" not in step.why


def test_a_common_class_that_is_missed_points_to_the_labels_unless_training_is_too_short() -> None:
    run = with_counts([[900, 10, 0], [10, 900, 0], [400, 400, 10]])
    assert titles(run) == ["Look at the labels of what is missed"]
    assert titles(replace(run, mious=[(1, 0.1), (2, 0.3), (3, 0.5)])) == ["Train longer"]


def test_classes_taken_for_each_other_are_named_and_one_way_confusion_is_not() -> None:
    mixed = [[700, 300, 0], [200, 800, 0], [0, 0, 900]]
    step = only(with_counts(mixed, **{"model.head": ["pointwise"]}))
    assert step.what == "Separate sky from road" and "30% of sky" in step.why and step.how == "--model.head gcn"
    kernels = {"model.head": ["gcn"], "model.kernel_size": [3]}
    assert only(with_counts(mixed, **kernels)).how == "--model.kernel-size 15"
    assert only(with_counts(mixed, **{**kernels, "model.kernel_size": [15]})).how == ""
    assert titles(with_counts([[700, 300, 0], [20, 980, 0], [0, 0, 900]])) == []


def test_few_images_and_ragged_borders() -> None:
    assert "0.600 to 0.720" in only(replace(RUN, interval=(0.6, 0.72))).why
    ragged = replace(RUN, outline_share=0.7, settings={"model.boundary_refinement": False})
    assert only(ragged).how == "--model.boundary-refinement"
    assert only(replace(ragged, settings={})).how == ""


def test_a_difference_that_seeds_could_make_is_not_a_difference() -> None:
    runs = RunComparison("b", "a", 0.004, interval=(0.001, 0.007), changed=["model.head"])
    [step] = advise_on_comparison(runs)
    assert not runs.decided and "0.004" in step.why and step.how == "--seed 1"
    larger = replace(runs, difference=0.02, interval=(0.01, 0.03))
    assert larger.decided and advise_on_comparison(larger) == []
    assert replace(larger, interval=None).decided  # too few images for an interval
    assert not replace(larger, interval=(-0.01, 0.03)).decided


def test_several_changes_at_once_explain_nothing() -> None:
    [step] = advise_on_comparison(RunComparison("b", "a", 0.2, (0.1, 0.3), changed=["model.head", "optim.lr"]))
    assert "one setting" in step.what and "model.head, optim.lr" in step.why


def test_what_a_comparison_has_answered_is_not_advised() -> None:
    steps = [
        NextStep("Separate", "mixed up", "--model.head gcn"),
        NextStep("Sharpen", "ragged", "--model.boundary-refinement"),
        NextStep("Train longer", "rising", "--epochs 2"),
        NextStep("Look", "unclear"),
    ]
    assert [step.what for step in untried(steps, ["model.head", "model.boundary_refinement"])] == [
        "Train longer",
        "Look",
    ]
    assert untried(steps, []) == steps
