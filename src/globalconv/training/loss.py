"""The loss: cross-entropy over the pixels that count, and soft Dice beside it where a recipe asks for it."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.labels import IGNORE

LANES = 16
"""Floats in a vector of AVX-512. Over fewer classes log_softmax along rows of memory takes four times as long."""


def valid_pixels(labels_NHW: Tensor) -> Tensor:
    """Return how many pixels are not void, as a scalar tensor."""
    return (labels_NHW != IGNORE).sum()


def segmentation_loss(
    logits_NKHW: Tensor,
    labels_NHW: Tensor,
    pixels: Tensor,
    class_weights_K: Tensor | None = None,
    dice_weight: float = 0.0,
    hardest: float | None = None,
) -> Tensor:
    """Return the cross-entropy summed over valid pixels, divided by `pixels`, plus `dice_weight` times `dice_loss`.

    `pixels` is the number of valid pixels in the whole batch of the step, over all its parts, so that accumulated
    parts add up to the loss of one large batch. With class weights the sum is weighted and the divisor is not, so a
    weight is the factor it says. Without any valid pixel the loss is zero, and so is its gradient.

    With `hardest` only that share of these pixels counts, those with the largest (weighted) loss, rounded up, and the
    divisor is their number: online hard example mining (Shrivastava et al. 2016) of pixels. It is not the paper's.

    The paper does not state its normalisation; FCN, whose other numbers it uses, divides by nothing: its learning
    rate is the one here divided by the number of valid pixels. The Dice term is not the paper's.
    """
    scores, labels = (logits_NKHW, labels_NHW) if dice_weight else _as_rows(logits_NKHW, labels_NHW)
    precise = torch.promote_types(scores.dtype, torch.float32)
    # log_softmax wants it contiguous, and converts it apart from that where it is not told so here.
    log_probabilities = scores.to(precise, memory_format=torch.contiguous_format).log_softmax(1)
    if hardest is None:
        summed = _nll(log_probabilities, labels, class_weights_K, "sum")
        loss = summed / pixels.clamp(min=1).to(precise)
    else:
        losses_P = _nll(log_probabilities, labels, class_weights_K, "none")[labels != IGNORE]
        kept = math.ceil(hardest * len(losses_P))
        loss = losses_P.topk(kept).values.sum() / max(kept, 1)
    if dice_weight:
        loss = loss + dice_weight * dice_loss(log_probabilities, labels_NHW)
    return loss


def _as_rows(logits_NKHW: Tensor, labels_NHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits_PK and labels_P where that is how they lie in memory and as fast; else both as they are.

    On a CPU: nll_loss of rows runs in a single block of a GPU.
    """
    lie_so = logits_NKHW.is_contiguous(memory_format=torch.channels_last) and logits_NKHW.device.type == "cpu"
    if logits_NKHW.shape[1] < LANES or not lie_so:
        return logits_NKHW, labels_NHW
    return logits_NKHW.permute(0, 2, 3, 1).flatten(0, 2), labels_NHW.flatten()


def _nll(log_probabilities: Tensor, labels: Tensor, weights_K: Tensor | None, reduction: str) -> Tensor:
    return F.nll_loss(log_probabilities, labels.long(), weights_K, ignore_index=IGNORE, reduction=reduction)


def dice_loss(log_probabilities_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Return the mean over the classes that are labelled of 1 - soft Dice, taken over all valid pixels together.

    Soft Dice of a class (Milletari et al. 2016, V-Net): 2 sum p y / (sum p + sum y), p its probability and y its
    label as 0 or 1; one pixel is added above and below. A class counts alike whether it has ten pixels or a million,
    as it does in the mean IoU. Dice of parts is not that of the whole batch: with accumulation it is their mean.
    """
    classes = log_probabilities_NKHW.shape[1]
    valid_NHW = labels_NHW != IGNORE
    target_NHW = torch.where(valid_NHW, labels_NHW, 0).long()
    valid_NP = valid_NHW.to(torch.float32).flatten(1)
    probabilities_NKHW = log_probabilities_NKHW.exp()
    # A product of matrices: it reads the probabilities once and writes no masked copy of them.
    predicted_K = (probabilities_NKHW.flatten(2) @ valid_NP[:, :, None]).sum((0, 2))
    right_NP = probabilities_NKHW.gather(1, target_NHW[:, None]).flatten(1) * valid_NP
    right_K = predicted_K.new_zeros(classes).index_add(0, target_NHW.flatten(), right_NP.flatten())
    labelled_K = torch.bincount(labels_NHW.flatten(), minlength=IGNORE + 1)[:classes]
    missed_K = 1 - (2 * right_K + 1) / (predicted_K + labelled_K + 1)
    occurs_K = labelled_K > 0
    return (missed_K * occurs_K).sum() / occurs_K.sum().clamp(min=1)
