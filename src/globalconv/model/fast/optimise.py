"""`optimised` turns a trained network into a faster equal one, for inference."""

import copy

import torch
from torch import fx, nn

from globalconv.errors import InputError, suggest
from globalconv.model.blocks import BoundaryRefinement, ConvStack, DenseConv, GlobalConv, PointwiseHead
from globalconv.model.fast.convolutions import is_available
from globalconv.model.fast.graph import add_in_place, fused, has_hooks
from globalconv.model.network import GlobalConvNet

_FRESH_OUTPUTS = (GlobalConv, PointwiseHead, DenseConv, ConvStack, nn.ConvTranspose2d, nn.Upsample)
"""Blocks that return a new tensor at every call."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def optimised(network: nn.Module, precision: str = "float32") -> nn.Module:
    """Return a copy of `network` that computes the same faster, for inference on a CPU; `network` stays as it is.

    Batch norms are folded into the convolutions before them; sums and activations after them are computed with them;
    weights are stored in "float32" or "bfloat16", channels last and in the order that oneDNN wants; the first
    convolutions of a Global Convolutional Network block compute neighbouring outputs together. The network's own
    `forward` is kept: only what it calls is replaced, and what cannot be traced stays. Nothing is compiled.

    The copy takes and returns what `network` does, in "bfloat16" under autocast of that precision, which it sets
    itself. Results differ by rounding alone. Elsewhere than on an x86 CPU, or where oneDNN lacks the precision, the
    copy is `network`'s own with its weights channels last. It is to be called as a whole: refinements that are called
    by themselves overwrite their input.
    """
    dtype = _DTYPES.get(precision)
    if dtype is None:
        raise InputError(f"precision={precision!r}: {suggest(precision, tuple(_DTYPES))}")
    fast = copy.deepcopy(network).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    device = next((tensor.device.type for tensor in fast.parameters()), "cpu")
    if all(tensor.device.type == "cpu" for tensor in fast.parameters()) and is_available(dtype):
        owners = _refinements_that_own_their_input(fast) if type(fast) is GlobalConvNet else []
        fast = fused(fast, dtype)
        for refinement in owners:
            graph = refinement.get_submodule("graph")
            assert isinstance(graph, fx.GraphModule)
            add_in_place(graph, owns_input=True)
    if dtype != torch.float32:
        fast.forward = torch.autocast(device, dtype)(fast.forward)
    return fast


def _refinements_that_own_their_input(network: GlobalConvNet) -> list[nn.Module]:
    """Return the refinements whose input, of a sum or of a block of ours, nobody else reads: it may be overwritten."""
    if network.decoder is not None:  # its refinements are no single convolution's to overwrite
        return []
    after_blocks = [
        *zip(network.refine_heads, network.heads, strict=True),
        *zip(network.refine_output, network.upsamples[3:], strict=True),
    ]
    fed_by_ours = [
        refinement for refinement, block in after_blocks if type(block) in _FRESH_OUTPUTS and not has_hooks(block)
    ]
    return [
        refinement
        for refinement in (*network.refine_sums, *fed_by_ours)
        if type(refinement) is BoundaryRefinement and not has_hooks(refinement)
    ]
