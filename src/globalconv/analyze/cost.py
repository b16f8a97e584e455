"""What a network costs: weights and multiply-adds, block by block, and the memory of its activations.

Nothing is computed: the network's layers run on the meta device, which knows shapes only, so that ResNet-152 at
1024 x 2048 is counted in seconds and in no memory. This is the only place of the project that counts.

Shapes: N images of H x W pixels.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from globalconv.analyze.blocks import Block, blocks
from globalconv.analyze.live import LiveBytes
from globalconv.analyze.maps import in_mode
from globalconv.errors import InputError

PAIR = 2
"""Images of a batch that is counted in training mode: batch norm over one value is refused."""


@dataclass(frozen=True)
class CostRow:
    """What one block costs for one image."""

    name: str
    weights: int
    multiply_adds: int


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs for one image of `height` x `width`.

    `multiply_adds` are those of convolutions, deconvolutions, matrix products and attention; sums, activations, norms,
    pooling and interpolation are not counted, as everywhere in the literature. Of a network that pads its input they
    are those of the padded image.
    """

    height: int
    width: int
    rows: tuple[CostRow, ...]
    """Block by block, in the order of the forward pass; they add up to the whole."""
    inference_bytes: int
    """Most bytes of activations that live at one time of a forward pass without gradients, in float32. The input and
    the weights are not among them, nor what a convolution's algorithm needs to work in."""
    training_bytes: int
    """Bytes of activations that a forward pass in training leaves for the backward pass, per image of a batch, in
    float32. Gradients, the optimiser's state and the weights come on top."""

    @property
    def weights(self) -> int:
        """Every parameter, biases and norms included, once."""
        return sum(row.weights for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)


def network_cost(network: nn.Module, height: int, width: int) -> NetworkCost:
    """Return what `network` (images_N3HW -> anything) costs for one image of `height` x `width`.

    The blocks are those of the paper's Figure 2 for a `GlobalConvNet`, of any other network its children. The network
    is left as it was, wherever it is. `InputError` where it cannot run on shapes alone.
    """
    if height < 1 or width < 1:
        raise InputError(f"size {height}x{width}: both must be at least 1")
    image_13HW, pair_23HW = (torch.empty(count, 3, height, width, device="meta") for count in (1, PAIR))
    parts = blocks(network)
    with _on_meta(network, training=False) as run, torch.no_grad(), LiveBytes() as inference:
        multiply_adds = _multiply_adds(parts, lambda: run(image_13HW))
    with _on_meta(network, training=True) as run, torch.enable_grad(), LiveBytes() as training:
        output = run(pair_23HW)
        kept = training.now
        del output
    return NetworkCost(height, width, _rows(network, parts, multiply_adds), inference.most, kept // PAIR)


def matching_width(channels: int, classes: int, kernel_size: int) -> int:
    """Return the m with which a stack of 3 x 3 convolutions (Figure 4 D) has the weights of the GCN head of equal k.

    Both without biases, from `channels` to `classes`; the nearest whole m. This is the fair third width for Table 4,
    whose own, 2048, 1024 and 210 at k = 7, end at seven times the GCN's weights; at 2048 channels and 21 classes it
    is 32. `InputError` for k = 3, where the stack is one convolution and has no width.
    """
    depth = (kernel_size - 1) // 2
    if kernel_size % 2 == 0 or depth < 2:
        raise InputError(f"kernel_size={kernel_size}: a stack has a width of its own from 5 on, for odd numbers")
    wanted = 2 * kernel_size * classes * (channels + classes)

    def stack(width: int) -> int:
        return 9 * width * (channels + (depth - 2) * width + classes)

    least = bisect_left(range(wanted), wanted, key=stack)  # the first width with as many weights
    return min(max(1, least - 1), least, key=lambda width: abs(stack(width) - wanted))


Run = Callable[[Tensor], object]
"""Runs a network on images_N3HW, without computing anything."""


@contextmanager
def _on_meta(network: nn.Module, training: bool) -> Iterator[Run]:
    """Give the network as a function of images without content, in training or evaluation mode; its tensors stay."""
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    on_meta = {name: _meta(tensor) for name, tensor in state.items()}

    def run(images_N3HW: Tensor) -> object:
        try:
            return functional_call(network, on_meta, (images_N3HW,))
        except (RuntimeError, NotImplementedError, ValueError) as error:
            size = "x".join(map(str, images_N3HW.shape[2:]))
            raise InputError(
                f"{type(network).__name__} cannot be counted at {size}, for it does not run on shapes alone: {error}"
            ) from error

    with in_mode(network, training):
        yield run


def _meta(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return torch.empty_like(tensor, device="meta", dtype=dtype).requires_grad_(tensor.requires_grad)


def _multiply_adds(parts: list[Block], run: Callable[[], object]) -> list[int]:
    """Return the multiply-adds of every block in `run`, and of all of it at the end."""
    counts, began = [0 for _ in parts], [0]
    with ExitStack() as hooks, FlopCounterMode(display=False) as counter:

        def before(module: nn.Module, inputs: object) -> None:
            began[0] = counter.get_total_flops()

        for number, part in enumerate(parts):

            def after(module: nn.Module, inputs: object, output: object, number: int = number) -> None:
                counts[number] += counter.get_total_flops() - began[0]

            for module in part.modules:
                hooks.callback(module.register_forward_pre_hook(before).remove)
                hooks.callback(module.register_forward_hook(after).remove)
        run()
    # torch counts a multiply-add as two operations.
    return [count // 2 for count in [*counts, counter.get_total_flops()]]


def _rows(network: nn.Module, parts: list[Block], multiply_adds: list[int]) -> tuple[CostRow, ...]:
    """Return a row for every block that has or does anything, and one for what is outside of all blocks."""
    *each, total = multiply_adds
    rows = [CostRow(part.name, part.weights, count) for part, count in zip(parts, each, strict=True)]
    all_weights = sum(parameter.numel() for parameter in network.parameters())
    rows.append(CostRow("other", all_weights - sum(row.weights for row in rows), total - sum(each)))
    return tuple(row for row in rows if row.weights or row.multiply_adds)
