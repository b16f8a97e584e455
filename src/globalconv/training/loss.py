"""The loss: cross-entropy over the pixels that count."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.labels import IGNORE


def valid_pixels(labels_NHW: Tensor) -> Tensor:
    """Return how many pixels are not void, as a scalar tensor."""
    return (labels_NHW != IGNORE).sum()


def segmentation_loss(
    logits_NKHW: Tensor, labels_NHW: Tensor, pixels: Tensor, class_weights_K: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy summed over valid pixels, divided by `pixels`.

    `pixels` is the number of valid pixels in the whole batch of the step, over all its parts, so that accumulated
    parts add up to the loss of one large batch. With class weights the sum is weighted and the divisor is not, so a
    weight is the factor it says. Without any valid pixel the loss is zero, and so is its gradient.

    The paper does not state its normalisation; FCN, whose other numbers it uses, divides by nothing: its learning
    rate is the one here divided by the number of valid pixels.
    """
    summed = F.cross_entropy(
        logits_NKHW.float(), labels_NHW.long(), class_weights_K, ignore_index=IGNORE, reduction="sum"
    )
    return summed / pixels.clamp(min=1).to(torch.float32)
