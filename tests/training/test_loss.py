"""The loss: by hand, over valid pixels only, the same for parts and layouts in memory."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.labels import IGNORE
from globalconv.training.loss import LANES, dice_loss, segmentation_loss, valid_pixels
from globalconv.training.recipe import LossSettings


def sample(seed: int = 0, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits_NKHW = torch.randn(2, classes, 5, 6, generator=generator)
    labels_NHW = torch.randint(0, classes, (2, 5, 6), generator=generator, dtype=torch.uint8)
    labels_NHW[:, :2, :3] = IGNORE
    return logits_NKHW, labels_NHW


def by_hand(logits_NKHW: torch.Tensor, labels_NHW: torch.Tensor, weights: list[float]) -> float:
    total, count = 0.0, 0
    for n, y, x in np.ndindex(*labels_NHW.shape):
        label = int(labels_NHW[n, y, x])
        if label != IGNORE:
            scores = logits_NKHW[n, :, y, x].double()
            total += weights[label] * float(torch.logsumexp(scores, 0) - scores[label])
            count += 1
    return total / count


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 3.0]])
def test_equals_a_loop_over_pixels(weights: list[float] | None) -> None:
    logits_NKHW, labels_NHW = sample()
    class_weights_K = None if weights is None else torch.tensor(weights)
    loss = segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), class_weights_K=class_weights_K)
    assert loss.item() == pytest.approx(by_hand(logits_NKHW, labels_NHW, weights or [1.0] * 4), rel=1e-5)


@pytest.mark.parametrize("classes", [LANES - 1, LANES, LANES + 5])
@pytest.mark.parametrize("options", [{}, {"dice_weight": 0.5}, {"hardest": 0.3}], ids=str)
def test_the_layout_in_memory_does_not_matter(options: dict[str, Any], classes: int) -> None:
    logits_NKHW, labels_NHW = sample(classes=classes)
    weights_K = torch.linspace(0.5, 2, classes)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        scores_NKHW = logits_NKHW.clone(memory_format=layout).requires_grad_()
        loss = segmentation_loss(scores_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(**options), weights_K)
        loss.backward()
        results.append((loss.detach(), scores_NKHW.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def dice_by_hand(logits_NKHW: torch.Tensor, labels_NHW: torch.Tensor) -> float:
    probabilities_NKHW = logits_NKHW.double().softmax(1)
    losses = []
    for label in range(logits_NKHW.shape[1]):
        right = predicted = labelled = 0.0
        for n, y, x in np.ndindex(*labels_NHW.shape):
            if int(labels_NHW[n, y, x]) != IGNORE:
                probability = float(probabilities_NKHW[n, label, y, x])
                predicted += probability
                if int(labels_NHW[n, y, x]) == label:
                    right, labelled = right + probability, labelled + 1
        if labelled:
            losses.append(1 - (2 * right + 1) / (predicted + labelled + 1))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("absent", [None, 2])
def test_dice_equals_a_loop_over_classes_and_pixels(absent: int | None) -> None:
    logits_NKHW, labels_NHW = sample()
    if absent is not None:
        labels_NHW[labels_NHW == absent] = 0
    loss = dice_loss(logits_NKHW.log_softmax(1), labels_NHW)
    assert loss.item() == pytest.approx(dice_by_hand(logits_NKHW, labels_NHW), rel=1e-5)


def test_dice_is_added_with_its_weight() -> None:
    logits_NKHW, labels_NHW = sample()
    plain, with_dice = (
        segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(dice_weight=weight)).item()
        for weight in (0.0, 0.5)
    )
    assert with_dice == pytest.approx(plain + 0.5 * dice_by_hand(logits_NKHW, labels_NHW), rel=1e-5)


def test_dice_of_a_perfect_prediction_is_zero() -> None:
    logits_NKHW, labels_NHW = sample()
    certain_NKHW = torch.zeros_like(logits_NKHW).scatter(1, labels_NHW.clamp(max=3).long()[:, None], 100.0)
    assert dice_loss(certain_NKHW.log_softmax(1), labels_NHW).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
@given(seed=st.integers(0, 1000))
def test_ignored_pixels_change_neither_loss_nor_gradient(seed: int, dice_weight: float) -> None:
    logits_NKHW, labels_NHW = sample(seed)
    changed_NKHW = torch.where((labels_NHW == IGNORE)[:, None], torch.full((), 9.0), logits_NKHW)
    results = []
    for scores in (logits_NKHW, changed_NKHW):
        scores = scores.clone().requires_grad_()
        loss = segmentation_loss(scores, labels_NHW, valid_pixels(labels_NHW), LossSettings(dice_weight=dice_weight))
        loss.backward()
        assert scores.grad is not None
        results.append((loss.item(), scores.grad))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_no_valid_pixel_is_zero_loss_and_zero_gradient(dice_weight: float) -> None:
    logits_NKHW, labels_NHW = sample()
    logits_NKHW.requires_grad_()
    labels_NHW.fill_(IGNORE)
    loss = segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(dice_weight=dice_weight))
    loss.backward()
    assert loss.item() == 0.0
    assert logits_NKHW.grad is not None
    assert not logits_NKHW.grad.any()


def test_parts_add_up_to_the_whole_batch() -> None:
    logits_NKHW, labels_NHW = sample()
    labels_NHW[1] = IGNORE
    labels_NHW[1, 0, 0] = 1  # one part with a single valid pixel: a mean of means would be wrong
    pixels = valid_pixels(labels_NHW)
    whole = segmentation_loss(logits_NKHW, labels_NHW, pixels)
    parts = sum(segmentation_loss(logits_NKHW[i : i + 1], labels_NHW[i : i + 1], pixels) for i in range(2))
    assert float(parts) == pytest.approx(whole.item(), rel=1e-6)


def test_reduced_in_float32_from_low_precision() -> None:
    logits_NKHW, labels_NHW = sample()
    loss = segmentation_loss(logits_NKHW.bfloat16(), labels_NHW, valid_pixels(labels_NHW))
    assert loss.dtype == torch.float32


def hardest_by_hand(logits_NKHW: torch.Tensor, labels_NHW: torch.Tensor, share: float) -> float:
    losses = sorted(
        by_hand(logits_NKHW[n : n + 1, :, y : y + 1, x : x + 1], labels_NHW[n : n + 1, y : y + 1, x : x + 1], [1.0] * 4)
        for n, y, x in np.ndindex(*labels_NHW.shape)
        if int(labels_NHW[n, y, x]) != IGNORE
    )
    kept = math.ceil(share * len(losses))
    return sum(losses[-kept:]) / kept


@pytest.mark.parametrize("share", [0.01, 0.25, 1.0])
def test_the_hardest_pixels_are_those_with_the_largest_loss(share: float) -> None:
    logits_NKHW, labels_NHW = sample()
    loss = segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(hardest=share))
    assert loss.item() == pytest.approx(hardest_by_hand(logits_NKHW, labels_NHW, share), rel=1e-5)


def test_only_the_hardest_pixels_have_a_gradient() -> None:
    logits_NKHW, labels_NHW = sample()
    logits_NKHW.requires_grad_()
    segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(hardest=0.25)).backward()
    assert logits_NKHW.grad is not None
    moved_NHW = logits_NKHW.grad.abs().sum(1) > 0
    assert int(moved_NHW.sum()) == math.ceil(0.25 * int(valid_pixels(labels_NHW)))


def test_the_hardest_of_no_pixels_have_zero_loss() -> None:
    logits_NKHW, labels_NHW = sample()
    logits_NKHW.requires_grad_()
    labels_NHW.fill_(IGNORE)
    loss = segmentation_loss(logits_NKHW, labels_NHW, valid_pixels(labels_NHW), LossSettings(hardest=0.25))
    loss.backward()
    assert loss.item() == 0.0
    assert logits_NKHW.grad is not None and not logits_NKHW.grad.any()
