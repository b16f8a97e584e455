"""What a network costs: weights and multiply-adds, block by block, and the memory of its activations.

Nothing is computed: the layers run on the meta device, which knows shapes only, so that ResNet-152 at 1024 x 2048 is
counted in seconds and without memory. This is the only place of the project that counts.

Shapes: N images of H x W pixels.
"""

import weakref
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from globalconv.errors import InputError
from globalconv.model.network import GlobalConvNet

LEVELS = {2: "conv-1", 4: "res-2", 8: "res-3", 16: "res-4", 32: "res-5"}
"""Stride -> the paper's name of the level whose features have it."""

TRAINING_BATCH = 2
"""Images of the batch that is counted in training mode: batch norm refuses a single value per channel."""


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
    pooling and interpolation are not counted, as is usual in the literature. For a network that pads its input they are
    those of the padded image.
    """

    height: int
    width: int
    rows: tuple[CostRow, ...]
    """Block by block, in the order of the forward pass; they add up to the whole."""
    inference_bytes: int
    """Most bytes of activations that are alive at one time in a forward pass without gradients, in float32. Input,
    weights and the workspace of a convolution's algorithm are not included."""
    training_bytes: int
    """Bytes of activations that a forward pass in training keeps for the backward pass, per image of a batch, in
    float32. Weights, gradients and the optimiser's state come on top."""

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
    is left as it was, on whatever device. `InputError` where it cannot run on shapes alone.
    """
    if height < 1 or width < 1:
        raise InputError(f"size {height}x{width}: both must be at least 1")
    blocks = network_blocks(network)
    image_13HW = torch.empty(1, 3, height, width, device="meta")
    with _on_meta(network, training=False) as run, torch.no_grad(), LiveBytes() as inference:
        *block_multiply_adds, all_multiply_adds = _multiply_adds(blocks, lambda: run(image_13HW))
    batch_N3HW = torch.empty(TRAINING_BATCH, 3, height, width, device="meta")
    with _on_meta(network, training=True) as run, torch.enable_grad(), LiveBytes() as training:
        output = run(batch_N3HW)
        kept = training.now
        del output

    rows = [CostRow(block.name, block.weights, n) for block, n in zip(blocks, block_multiply_adds, strict=True)]
    all_weights = sum(parameter.numel() for parameter in network.parameters())
    outside = all_weights - sum(row.weights for row in rows), all_multiply_adds - sum(block_multiply_adds)
    rows.append(CostRow("other", *outside))
    rows = [row for row in rows if row.weights or row.multiply_adds]
    return NetworkCost(height, width, tuple(rows), inference.most, kept // TRAINING_BATCH)


@dataclass(frozen=True)
class NetworkBlock:
    """Modules of a network that are counted as one."""

    name: str
    modules: tuple[nn.Module, ...]

    @property
    def weights(self) -> int:
        """Parameters in these modules, each once."""
        parameters = {id(parameter): parameter for module in self.modules for parameter in module.parameters()}
        return sum(parameter.numel() for parameter in parameters.values())


def network_blocks(network: nn.Module) -> list[NetworkBlock]:
    """Return the blocks of Figure 2 for the paper's network; for any other its children, or itself if it has none."""
    if not isinstance(network, GlobalConvNet):
        children = [NetworkBlock(name, (child,)) for name, child in network.named_children()]
        return children or [NetworkBlock(type(network).__name__, (network,))]
    levels = list(LEVELS.values())[1:]
    blocks = [
        *_backbone_blocks(network.backbone.body),
        *(NetworkBlock(f"head {level}", (head,)) for level, head in zip(levels, network.level_heads, strict=True)),
    ]
    if network.decoder is not None:
        return [
            *blocks,
            NetworkBlock("refinements after sums", tuple(network.decoder.refinements)),
            NetworkBlock("scores", (network.decoder.to_scores,)),
        ]
    return [
        *blocks,
        NetworkBlock("refinements after heads", tuple(network.refine_heads)),
        NetworkBlock("refinements after sums", tuple(network.refine_sums)),
        NetworkBlock("refinements at output", tuple(network.refine_output)),
        NetworkBlock("upsamplings", tuple(network.upsamples)),
    ]


def _backbone_blocks(body: Any) -> list[NetworkBlock]:
    """Return a block per level of a timm backbone: its children up to the one whose output timm declares for a stride.

    Where its children are not in that order, the backbone is one block.
    """
    ends = {info["module"].replace(".", "_"): LEVELS.get(info["reduction"]) for info in body.feature_info.info}
    modules_of: dict[str, list[nn.Module]] = {}
    since_last: list[nn.Module] = []
    for name, child in body.named_children():
        since_last.append(child)
        if level := ends.get(name):
            modules_of.setdefault(level, []).extend(since_last)
            since_last = []
    if hasattr(body, "conv_head"):  # the last convolution of an EfficientNet, which belongs to no level of timm's
        modules_of.setdefault(LEVELS[32], []).extend(since_last)
        since_last = []
    if since_last or not modules_of.keys() >= set(list(LEVELS.values())[1:]):
        return [NetworkBlock("backbone", (body,))]
    return [NetworkBlock(level, tuple(modules)) for level, modules in modules_of.items()]


def _multiply_adds(blocks: list[NetworkBlock], run: Callable[[], object]) -> list[int]:
    """Return the multiply-adds of every block in `run`, and those of all of it at the end."""
    counts, before_block = [0 for _ in blocks], 0
    with ExitStack() as hooks, FlopCounterMode(display=False) as counter:

        def before(module: nn.Module, inputs: object) -> None:
            nonlocal before_block
            before_block = counter.get_total_flops()

        for number, block in enumerate(blocks):

            def after(module: nn.Module, inputs: object, output: object, number: int = number) -> None:
                counts[number] += counter.get_total_flops() - before_block

            for module in block.modules:
                hooks.callback(module.register_forward_pre_hook(before).remove)
                hooks.callback(module.register_forward_hook(after).remove)
        run()
    # torch counts a multiply-add as two operations.
    return [count // 2 for count in [*counts, counter.get_total_flops()]]


@contextmanager
def _on_meta(network: nn.Module, training: bool) -> Iterator[Callable[[Tensor], object]]:
    """Yield a function that runs `network` on images_N3HW without content, in training or eval mode.

    The network's own tensors stay where they are: meta tensors of their shapes take their place.
    """
    on_meta = {}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        on_meta[name] = torch.empty_like(tensor, device="meta", dtype=dtype).requires_grad_(tensor.requires_grad)

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


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put `network` into training or eval mode inside the block; afterwards every part is in its own mode again."""
    modes = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, before in modes.items():
            module.training = before


class LiveBytes(TorchDispatchMode):
    """While entered, counts the bytes of tensors that are alive; also on the meta device, where they take no memory.

    Views share their storage and count once; storages from before do not count.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        """Bytes that are alive."""
        self.most = 0
        """Most bytes that were ever alive at one time."""
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        for argument in tree_leaves((args, kwargs)):
            if isinstance(argument, Tensor):
                self._known.add(argument.untyped_storage())

        def release(size: int) -> None:
            self.now -= size

        outputs = func(*args, **(kwargs or {}))
        for output in tree_leaves(outputs):
            if isinstance(output, Tensor) and (storage := output.untyped_storage()) not in self._known:
                self._known.add(storage)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, release, storage.nbytes())
        return outputs


def matching_width(channels: int, classes: int, kernel_size: int) -> int:
    """Return the m with which a stack of 3 x 3 convolutions (Figure 4 D) has the weights of the GCN head of equal k.

    Both without biases, from `channels` to `classes`; the nearest whole m. This is the fair third width for Table 4,
    whose own, 2048, 1024 and 210 at k = 7, end at seven times the GCN's weights; at 2048 channels and 21 classes it
    is 32. `InputError` for k = 3, where the stack is one convolution and has no width.
    """
    depth = (kernel_size - 1) // 2
    if kernel_size % 2 == 0 or depth < 2:
        raise InputError(f"kernel_size={kernel_size}: a stack has a width of its own from 5 on, for odd numbers")
    target = 2 * kernel_size * classes * (channels + classes)

    def stack(width: int) -> int:
        return 9 * width * (channels + (depth - 2) * width + classes)

    least = bisect_left(range(target), target, key=stack)  # the first width with as many weights
    return min(max(1, least - 1), least, key=lambda width: abs(stack(width) - target))
