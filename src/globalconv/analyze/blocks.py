"""Which modules of a network make one block of a figure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from globalconv.model.network import GlobalConvNet

LEVELS = {2: "conv-1", 4: "res-2", 8: "res-3", 16: "res-4", 32: "res-5"}
"""Stride -> the paper's name of the level whose features have it."""


@dataclass(frozen=True)
class Block:
    """Modules of a network that are shown as one."""

    name: str
    modules: tuple[nn.Module, ...]

    @property
    def weights(self) -> int:
        """Parameters in these modules, each once."""
        parameters = {id(parameter): parameter for module in self.modules for parameter in module.parameters()}
        return sum(parameter.numel() for parameter in parameters.values())


def blocks(network: nn.Module) -> list[Block]:
    """Return the blocks of Figure 2 for the paper's network; for any other its children, or itself if it has none."""
    if isinstance(network, GlobalConvNet):
        return [*_levels(network.backbone.body), *_decoder(network)]
    children = [Block(name, (child,)) for name, child in network.named_children()]
    return children or [Block(type(network).__name__, (network,))]


def _decoder(network: GlobalConvNet) -> Iterator[Block]:
    for level, head in zip(list(LEVELS.values())[1:], network.heads, strict=True):
        yield Block(f"head {level}", (head,))
    yield Block("refinements after heads", tuple(network.refine_heads))
    yield Block("refinements after sums", tuple(network.refine_sums))
    yield Block("refinements at output", tuple(network.refine_output))
    yield Block("upsamplings", tuple(network.upsamples))


def _levels(body: Any) -> list[Block]:
    """Return a block per level of a timm backbone: its children up to the one whose output timm declares for a stride.

    Where its children are not in that order, the backbone is one block.
    """
    ends = {info["module"].replace(".", "_"): LEVELS.get(info["reduction"]) for info in body.feature_info.info}
    found: dict[str, list[nn.Module]] = {}
    waiting: list[nn.Module] = []
    for name, child in body.named_children():
        waiting.append(child)
        if level := ends.get(name):
            found.setdefault(level, []).extend(waiting)
            waiting = []
    if waiting or not found.keys() >= set(list(LEVELS.values())[1:]):
        return [Block("backbone", (body,))]
    return [Block(level, tuple(modules)) for level, modules in found.items()]
