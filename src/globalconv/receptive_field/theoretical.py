"""The theoretical receptive field: which pixels can change one cell of a network's map, whatever the weights are.

The network is probed as it is built, with one forward and one backward pass in which operations do not compute values
but pass on dependence:

- forward, each result is replaced by random numbers between 0.1 and 0.9, for which no ReLU, clamp or gate is closed;
- backward, each gradient that is not zero is replaced by a random positive number, so that nothing cancels, vanishes
  or underflows, however deep the network is;
- weights are random and positive as well;
- a maximum or minimum, whose gradient reaches the chosen value only, becomes a mean over all of its inputs.

The gradient that arrives at the image is then not zero exactly where a path leads from a pixel to the cell. Operations
without a derivative hide paths: `detach`, comparisons, and the choice made by `topk`, `sort` or `argmax`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from globalconv.arrays import BoolArray
from globalconv.cost.count import in_mode
from globalconv.receptive_field.target import Layer, Position, position_in, select_map

Extent = int | tuple[int, ...]


def theoretical_receptive_field(
    network: nn.Module, height: int, width: int, at: Position | None = None, layer: Layer = None, seed: int = 0
) -> BoolArray:
    """Return which pixels (H, W) of an image of `height` x `width` can change the cell `at` of a map, in eval mode.

    `network` maps images_N3HW to a map_NChw, or to several, of which `layer` names one. `at` is the row and column of
    the cell, by default the middle one. All pixels are True where an operation looks at the whole image, and where the
    field is larger than the image. `InputError` for a layer or cell that does not exist. The network is not changed.
    """
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with forked, torch.enable_grad(), in_mode(network, training=False):
        torch.manual_seed(seed)
        image_13HW = torch.rand(1, 3, height, width, device=device).requires_grad_()
        weights = {name: torch.rand_like(tensor) + 0.5 for name, tensor in network.named_parameters()}
        # cuDNN may compute by transforms, which leave rounding errors where there is zero.
        with torch.backends.cudnn.flags(enabled=False):
            with _PassOnDependence():
                map_NChw = select_map(functional_call(network, weights, (image_13HW,)), layer)
            row, column = position_in(map_NChw, at)
            (reached_13HW,) = torch.autograd.grad(map_NChw[0, :, row, column].sum(), image_13HW)
    reached: BoolArray = (reached_13HW[0] != 0).any(0).cpu().numpy()
    return reached


class _Scramble(torch.autograd.Function):
    """Random values forward; backward a random positive number for every gradient that is not zero."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        return torch.rand_like(values) * 0.8 + 0.1

    @staticmethod
    def backward(ctx: FunctionCtx, gradients: Tensor) -> Tensor:
        return (gradients != 0) * (torch.rand_like(gradients) + 0.5)


def _scrambled(result: Any) -> Any:
    if isinstance(result, Tensor):
        return _Scramble.apply(result) if result.requires_grad and result.is_floating_point() else result
    if type(result) in (list, tuple):
        return type(result)(map(_scrambled, result))
    return result


class _PassOnDependence(TorchFunctionMode):
    """Inside, every torch function scrambles its results, and those of `_MEANS` take a mean."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _scrambled(_MEANS.get(function, function)(*args, **(kwargs or {})))


def _sum_pool(
    input: Tensor,  # noqa: A002 (the name that callers of max_pool2d may use)
    kernel_size: Extent,
    stride: Extent | None = None,
    padding: Extent = 0,
    dilation: Extent = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Return the sums over the windows of the max pooling that has these arguments."""
    assert not return_indices, "the choice of a pooling that returns indices is no derivative"
    windows, steps = _pair(kernel_size), _pair(stride or kernel_size)
    with torch.no_grad():
        rows, columns = F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode).shape[-2:]
    (top, left), taps = _pair(padding), _pair(dilation)
    # With ceil_mode the last window may hang over the edge.
    needed = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip((rows, columns), steps, windows, taps, strict=True)]
    bottom, right = (max(0, n - size - p) for n, size, p in zip(needed, input.shape[-2:], (top, left), strict=True))
    channels = input.shape[1]
    kernel = input.new_ones(channels, 1, *windows)
    padded = F.pad(input, (left, right, top, bottom))
    return F.conv2d(padded, kernel, None, steps, 0, taps, channels)[..., :rows, :columns]


def _pair(value: Extent) -> tuple[int, int]:
    both = (value, value) if isinstance(value, int) else tuple(value) * 2
    return both[0], both[1]


def _mean_over(input: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:  # noqa: A002
    return input.mean(dim or None, keepdim)


def _mean_or_sum(input: Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
    """Stand for `max` and `min` in their three forms: of everything, over a dimension, of two tensors."""
    largest = torch.max(input, *args, **kwargs)
    if not isinstance(largest, Tensor):
        return type(largest)((_mean_over(input, *args, **kwargs), largest.indices))
    return sum((*args, *kwargs.values()), input) if args or kwargs else input.mean()


_MEANS: dict[Any, Callable[..., Any]] = {
    torch.max_pool2d: _sum_pool,
    F.max_pool2d: _sum_pool,
    F.adaptive_max_pool2d: lambda input, output_size, return_indices=False: F.adaptive_avg_pool2d(input, output_size),  # noqa: A006
    **dict.fromkeys((torch.amax, torch.amin, Tensor.amax, Tensor.amin), _mean_over),
    **dict.fromkeys((torch.max, torch.min, Tensor.max, Tensor.min), _mean_or_sum),
    **dict.fromkeys((torch.maximum, torch.minimum, Tensor.maximum, Tensor.minimum), torch.add),
}
"""Functions that take the largest or smallest of several values -> what depends on all of them instead."""
