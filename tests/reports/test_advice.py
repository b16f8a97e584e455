"""Every rule speaks where its numbers are, and is silent where they are not."""

from dataclasses import replace

import numpy as np
import pytest

from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.reports.next_steps import Comparison, Evidence, advise, compare, untried
from globalconv.reports.page import NextStep

GOOD = np.array([[950, 50, 0], [50, 900, 50], [0, 50, 950]])
RUN = Evidence(("sky", "road", "car"), ConfusionMatrix.from_counts(GOOD))


def told(run: Evidence) -> list[str]:
    return [advice.what for advice in advise(run)]


def only(run: Evidence) -> NextStep:
    [advice] = advise(run)
    return advice


def with_counts(counts: list[list[int]], **settings: object) -> Evidence:
    return replace(RUN, matrix=ConfusionMatrix.from_counts(np.array(counts)), settings=settings)


def test_nothing_stands_out_in_a_good_run() -> None:
    assert told(RUN) == []
    assert told(replace(RUN, mious=[(10, 0.70), (20, 0.80), (30, 0.802)], interval=(0.79, 0.81))) == []


@pytest.mark.parametrize(
    ("settings", "how"),
    [({"steps": 100, "epochs": 9}, "--steps 200"), ({"steps": None, "epochs": 7.5}, "--epochs 15"), ({}, "")],
)
def test_a_score_that_still_rises_asks_for_more_steps(settings: dict[str, float | None], how: str) -> None:
    advice = only(replace(RUN, mious=[(10, 0.5), (20, 0.6), (30, 0.7)], settings=settings))
    assert advice.what == "Train longer" and advice.how == how and "from 0.600 to 0.700" in advice.why


@pytest.mark.parametrize("mious", [[0.7], [0.5, 0.6, 0.604], [0.5, 0.7, 0.69], [0.7, 0.5, 0.72]])
def test_a_score_that_does_not_clearly_rise_does_not(mious: list[float]) -> None:
    assert "Train longer" not in told(replace(RUN, mious=list(enumerate(mious, 1))))


def test_falling_loss_with_a_falling_score_is_overfitting() -> None:
    losses = [(step, 1.0 / step) for step in range(1, 31)]
    mious = [(10, 0.6), (20, 0.7), (30, 0.6)]
    advice = only(replace(RUN, losses=losses, mious=mious))
    assert "augmentation" in advice.what and "0.700 to 0.600" in advice.why and "step 20" in advice.why
    assert told(replace(RUN, losses=[(step, float(step)) for step in range(1, 31)], mious=mious)) == []
    assert told(replace(RUN, losses=losses, mious=[(10, 0.6), (20, 0.7), (30, 0.695)])) == []


def test_an_unfinished_run_is_to_be_finished() -> None:
    rising = [(10, 0.5), (20, 0.6), (30, 0.7)]
    assert told(replace(RUN, finished=False, mious=rising)) == ["Finish the training"]


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
    advice = only(with_counts([[9000, 100, 0], [100, 9000, 0], [9, 0, 0]], **settings))
    assert advice.how == how and "rare" in advice.what and "car" in advice.why and "sky" not in advice.why


def test_a_common_class_that_is_missed_points_to_the_labels_unless_training_is_too_short() -> None:
    run = with_counts([[900, 10, 0], [10, 900, 0], [400, 400, 10]])
    assert told(run) == ["Look at the labels of what is missed"]
    assert told(replace(run, mious=[(1, 0.1), (2, 0.3), (3, 0.5)])) == ["Train longer"]


def test_classes_taken_for_each_other_are_named_and_one_way_confusion_is_not() -> None:
    mixed = [[700, 300, 0], [200, 800, 0], [0, 0, 900]]
    advice = only(with_counts(mixed, **{"model.head": ["pointwise"]}))
    assert advice.what == "Separate sky from road" and "30% of sky" in advice.why and advice.how == "--model.head gcn"
    kernels = {"model.head": ["gcn"], "model.kernel_size": [3]}
    assert only(with_counts(mixed, **kernels)).how == "--model.kernel-size 15"
    assert only(with_counts(mixed, **{**kernels, "model.kernel_size": [15]})).how == ""
    assert told(with_counts([[700, 300, 0], [20, 980, 0], [0, 0, 900]])) == []


def test_few_images_and_ragged_borders() -> None:
    assert "0.600 to 0.720" in only(replace(RUN, interval=(0.6, 0.72))).why
    ragged = replace(RUN, border_share=0.7, settings={"model.boundary_refinement": False})
    assert only(ragged).how == "--model.boundary-refinement"
    assert only(replace(ragged, settings={})).how == ""


def test_a_difference_that_seeds_could_make_is_not_a_difference() -> None:
    two = Comparison("b", "a", 0.004, decided=False, changed=["model.head"])
    [advice] = compare(two)
    assert "0.004" in advice.why and advice.how == "--seed 1"
    assert compare(replace(two, decided=True)) == []


def test_several_changes_at_once_explain_nothing() -> None:
    [advice] = compare(Comparison("b", "a", 0.2, decided=True, changed=["model.head", "optim.lr"]))
    assert "one setting" in advice.what and "model.head, optim.lr" in advice.why


def test_what_a_comparison_has_answered_is_not_advised() -> None:
    found = [
        NextStep("Separate", "mixed up", "--model.head gcn"),
        NextStep("Sharpen", "ragged", "--model.boundary-refinement"),
        NextStep("Train longer", "rising", "--epochs 2"),
        NextStep("Look", "unclear"),
    ]
    assert [a.what for a in untried(found, ["model.head", "model.boundary_refinement"])] == ["Train longer", "Look"]
    assert untried(found, []) == found
