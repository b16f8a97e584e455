"""One function that turns a trained network into a faster equal one."""

import copy

import torch
from torch import fx, nn

from globalconv.errors import InputError, suggest
from globalconv.model.blocks import BoundaryRefinement, ConvStack, DenseConv, GlobalConv, PointwiseHead
from globalconv.model.fast.convolutions import is_available
from globalconv.model.fast.graph import add_in_place, fused, listened_to
from globalconv.model.network import GlobalConvNet

_GIVERS = (GlobalConv, PointwiseHead, DenseConv, ConvStack, nn.ConvTranspose2d, nn.Upsample)
"""Make a tensor of their own at every call."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def optimised(network: nn.Module, precision: str = "float32") -> nn.Module:
    """Return a copy of `network` that computes the same faster, for inference on a CPU; `network` stays as it is.

    Batch norms are folded into the convolutions before them; sums and ReLUs after a convolution are computed with it;
    weights are stored in "float32" or "bfloat16", channels last and in the order that oneDNN wants; the first
    convolutions of a Global Convolutional Network block compute neighbouring outputs together. The network's own
    `forward` is kept: only what it calls is replaced, and what cannot be traced stays. Nothing is compiled.

    It takes what `network` takes and returns what `network` returns, in "bfloat16" under autocast of that precision,
    which it sets itself. Results differ by rounding alone. Elsewhere than on an x86 CPU, or where oneDNN lacks the
    precision, the copy is `network`'s own with its weights channels last. It is to be called as a whole: refinements
    that are called by themselves overwrite what they get.
    """
    dtype = _DTYPES.get(precision)
    if dtype is None:
        raise InputError(f"precision={precision!r}: {suggest(precision, tuple(_DTYPES))}")
    copied = copy.deepcopy(network).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    on_cpu = all(tensor.device.type == "cpu" for tensor in copied.parameters())
    fast = _fused(copied, dtype) if on_cpu and is_available(dtype) else copied
    if dtype != torch.float32:
        device = next((tensor.device.type for tensor in copied.parameters()), "cpu")
        fast.forward = torch.autocast(device, dtype)(fast.forward)
    return fast


def _fused(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return `network` with its parts fused; refinements of ours overwrite what they get where nobody else reads it."""
    spare = _spare_inputs(network) if type(network) is GlobalConvNet else []
    fast = fused(network, dtype)
    for refinement in spare:
        graph = refinement.get_submodule("graph")
        assert isinstance(graph, fx.GraphModule)
        add_in_place(graph, input_is_spare=True)
    return fast


def _spare_inputs(network: GlobalConvNet) -> list[nn.Module]:
    """Return the refinements that get what a sum, or a block of ours, has made for them alone."""
    behind = (*zip(network.refine_heads, network.heads, strict=True),)
    behind += (*zip(network.refine_output, network.upsamples[3:], strict=True),)
    of_ours = [refinement for refinement, giver in behind if type(giver) in _GIVERS and not listened_to(giver)]
    return [
        refinement
        for refinement in (*network.refine_sums, *of_ours)
        if type(refinement) is BoundaryRefinement and not listened_to(refinement)
    ]
