"""The loss of a segmentation network: cross-entropy over valid pixels, optionally with soft Dice beside it.

To add a loss, compute it in `segmentation_loss` and give it a field in `globalconv.training.recipe.LossSettings`, which
makes it an option of `globalconv train`.

Shapes: N images, K classes, H x W pixels, P = N * H * W.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.labels import IGNORE
from globalconv.training.recipe import LossSettings

LANES = 16
"""Floats in a vector of AVX-512. With fewer classes, log_softmax along rows of memory takes four times as long."""


def valid_pixels(labels_NHW: Tensor) -> Tensor:
    """Return the number of pixels that are not void, as a scalar tensor."""
    return (labels_NHW != IGNORE).sum()


def segmentation_loss(
    logits_NKHW: Tensor,
    labels_NHW: Tensor,
    pixels: Tensor,
    settings: LossSettings = LossSettings(),  # noqa: B008 (frozen)
    class_weights_K: Tensor | None = None,
    parts: int = 1,
) -> Tensor:
    """Return the cross-entropy summed over valid pixels, divided by `pixels`, plus the weighted `dice_loss`.

    `pixels` is the number of valid pixels in all `parts` of the step's batch, so that the losses of accumulated parts
    add up to that of one large batch. With class weights the sum is weighted and the divisor is not: the weight of a
    class is the factor of its pixels' gradient. Without any valid pixel the loss is zero, and so is its gradient.

    With `settings.hardest` only that share of the valid pixels counts, those with the largest (weighted) loss, rounded
    up, and the divisor is their number: online hard example mining (Shrivastava et al. 2016) of pixels.

    Deviations: the paper does not state its normalisation. FCN, whose other settings it uses, divides by nothing, so
    FCN's learning rate is the one here divided by the number of valid pixels. Dice and mining are not the paper's.
    """
    scores, labels = logits_NKHW, labels_NHW
    contiguous_rows = logits_NKHW.is_contiguous(memory_format=torch.channels_last) and logits_NKHW.device.type == "cpu"
    if contiguous_rows and logits_NKHW.shape[1] >= LANES and not settings.dice_weight:
        # As rows (P, K), which is how they lie in memory. Only on a CPU: nll_loss of rows runs in one block of a GPU.
        scores, labels = logits_NKHW.permute(0, 2, 3, 1).flatten(0, 2), labels_NHW.flatten()
    # log_softmax needs contiguous memory: converting layout and precision in one step saves a copy.
    dtype = torch.promote_types(scores.dtype, torch.float32)
    log_probabilities = scores.to(dtype, memory_format=torch.contiguous_format).log_softmax(1)
    reduction = "sum" if settings.hardest is None else "none"
    loss = F.nll_loss(log_probabilities, labels.long(), class_weights_K, ignore_index=IGNORE, reduction=reduction)
    if settings.hardest is None:
        loss = loss / pixels.clamp(min=1).to(dtype)
    else:
        losses_P = loss[labels != IGNORE]
        kept = math.ceil(settings.hardest * len(losses_P))
        loss = losses_P.topk(kept).values.sum() / max(kept, 1)
    if settings.dice_weight:
        loss = loss + settings.dice_weight / parts * dice_loss(log_probabilities, labels_NHW)
    return loss


def dice_loss(log_probabilities_NKHW: Tensor, labels_NHW: Tensor) -> Tensor:
    """Return the mean of 1 - soft Dice over the classes that occur, each computed over all valid pixels of the batch.

    Soft Dice of a class (Milletari et al. 2016, V-Net) is 2 sum p y / (sum p + sum y), p its probability and y its
    label as 0 or 1; one pixel is added to numerator and denominator. Every class has the same influence, whether it has
    ten pixels or a million, as in the mean IoU. With accumulation the loss of a step is the mean over its parts, which
    is not that of the whole batch. Class weights take no part in it.
    """
    classes = log_probabilities_NKHW.shape[1]
    valid_NHW = labels_NHW != IGNORE
    target_NHW = torch.where(valid_NHW, labels_NHW, 0).long()
    valid_NP = valid_NHW.to(torch.float32).flatten(1)
    probabilities_NKHW = log_probabilities_NKHW.exp()
    # As a product of matrices, which reads the probabilities once and writes no masked copy of them.
    predicted_K = (probabilities_NKHW.flatten(2) @ valid_NP[:, :, None]).sum((0, 2))
    correct_NP = probabilities_NKHW.gather(1, target_NHW[:, None]).flatten(1) * valid_NP
    correct_K = predicted_K.new_zeros(classes).index_add(0, target_NHW.flatten(), correct_NP.flatten())
    labelled_K = torch.bincount(labels_NHW.flatten(), minlength=IGNORE + 1)[:classes]
    losses_K = 1 - (2 * correct_K + 1) / (predicted_K + labelled_K + 1)
    occurs_K = labelled_K > 0
    return (losses_K * occurs_K).sum() / occurs_K.sum().clamp(min=1)
