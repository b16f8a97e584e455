"""Graphs that are easy to get wrong: what is shared, changed in place, used twice, or not to be traced."""

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from globalconv.model.fast.convolutions import RELU, FusedConvolution, is_available
from globalconv.model.fast.graph import add_in_place, fused

pytestmark = pytest.mark.skipif(not is_available(torch.float32), reason="no x86 CPU, or a torch without oneDNN")


class Block(nn.Module):
    """Layers to choose from; batch norms have statistics that change something."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(4, 4, 3, padding=1, bias=bias) for bias in (False, True))
        self.norm, self.other_norm = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.relu, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)
        for norm in (self.norm, self.other_norm):
            norm.running_mean = torch.rand(4) * 2 - 1
            norm.running_var = torch.rand(4) * 1.5 + 0.5
            nn.init.uniform_(norm.weight, -2, 2)
            nn.init.uniform_(norm.bias)


class Residual(Block):
    def forward(self, x: Tensor) -> Any:
        out = self.relu(self.norm(self.one(x)))
        out = self.drop(self.other_norm(self.two(out)))
        out += x
        return F.relu(out, inplace=True)


class BothSides(Block):
    def forward(self, x: Tensor) -> Any:
        return torch.add(self.norm(self.one(x)), self.other_norm(self.two(x)))


class UsedBetween(Block):
    """What a fused convolution would swallow is wanted as well."""

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.one(x)
        normed = self.norm(first)
        total = self.two(normed) + x
        return [first, normed, total, self.relu(total)]


class Doubled(Block):
    def forward(self, x: Tensor) -> Any:
        out = self.one(x)
        return self.relu(out + out)


class Scaled(Block):
    """Sums of other kinds."""

    def forward(self, x: Tensor) -> Any:
        return torch.add(self.one(x), x, alpha=2) + (self.two(x) + 1.0)


class LayerTwice(Block):
    def forward(self, x: Tensor) -> Any:
        return self.norm(self.one(self.norm(self.one(x))))


class LayerUnderTwoNames(Block):
    def __init__(self) -> None:
        super().__init__()
        self.two = self.one

    def forward(self, x: Tensor) -> Any:
        return self.norm(self.one(x)) + self.other_norm(self.two(x))


class ChangedInPlace(Block):
    """The sum reads x after the ReLU, the convolution before it."""

    def forward(self, x: Tensor) -> Any:
        x = x * 1.0
        out = self.one(x)
        self.relu(x)
        return out + x


class ChangedByOperator(Block):
    def forward(self, x: Tensor) -> Any:
        y = x * 1.0
        y *= 2.0
        z = self.one(y)
        z -= x
        return F.relu(self.two(z) + y, True)


class ChangedByMethod(Block):
    def forward(self, x: Tensor) -> Any:
        x = x * 1.0
        out = self.one(x)
        x.mul_(3.0)
        return self.two(out) + x


class Chain(Block):
    """The other summand is read before, or later, or wanted at the end, or the convolution's input."""

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.relu(self.one(x))
        second = self.two(first) + first
        third = self.norm(self.one_more(second)) + first
        return [second, self.relu(self.last(third) + third), self.very_last(third)]

    def __init__(self) -> None:
        super().__init__()
        self.one_more, self.last, self.very_last = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))


class Pooled(Block):
    """What reads a summand before, and may hand it on as it is."""

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.one(x)
        seen = first.view(first.shape)
        return [self.two(x) + first, seen]


class Looks(Block):
    """Cannot be traced: it looks at its values."""

    def forward(self, x: Tensor) -> Any:
        return self.one(x) if x.mean() > 0 else self.two(x)


CASES = [
    Residual, BothSides, UsedBetween, Doubled, Scaled, LayerTwice, LayerUnderTwoNames, ChangedInPlace,
    ChangedByOperator, ChangedByMethod, Chain, Pooled, Looks,
]  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_graphs_compute_the_same(case: type[Block]) -> None:
    torch.manual_seed(0)
    block = case().eval()
    for sign in (1, -1):
        x = (torch.randn(2, 4, 6, 7) + sign).to(memory_format=torch.channels_last)
        expected = block(x.clone())
        torch.testing.assert_close(fused(copied(block), torch.float32)(x.clone()), expected)


def copied(block: Block) -> Block:
    twin = type(block)().eval()
    twin.load_state_dict(block.state_dict())
    return twin


def test_a_residual_block_is_two_calls() -> None:
    layers = list(fused(Residual().eval(), torch.float32).get_submodule("graph").children())
    assert [layer.activation for layer in layers if isinstance(layer, FusedConvolution)] == [RELU, RELU] and len(
        layers
    ) == 2


class Owner(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Any:
        return self.block(x)


class TwoOwners(nn.Module):
    """Looks at its values, so that each owner gets a graph of its own; both call one block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Owner(Residual())
        self.second = Owner(self.first.block)

    def forward(self, x: Tensor) -> Any:
        return self.first(x) + self.second(x) if x.mean() < 9 else x


@torch.no_grad()
def test_a_block_of_two_owners_is_folded_once_for_each() -> None:
    torch.manual_seed(0)
    both = TwoOwners().eval()
    x = torch.randn(2, 4, 6, 7).to(memory_format=torch.channels_last)
    expected = both(x)
    torch.testing.assert_close(fused(both, torch.float32)(x), expected)


@torch.no_grad()
def test_hooks_are_called() -> None:
    block, seen = Residual().eval(), list[Tensor]()
    block.two.register_forward_hook(lambda layer, given, output: seen.append(output))
    x = torch.rand(2, 4, 6, 7).to(memory_format=torch.channels_last)
    expected = block(x)
    actual = fused(block, torch.float32)
    torch.testing.assert_close(actual(x), expected)
    kinds = {name: type(layer) for name, layer in actual.named_children()}
    assert len(seen) == 2 and kinds["one"] is FusedConvolution and kinds["two"] is nn.Conv2d


class Bottlenecks(Block):
    def forward(self, x: Tensor) -> Any:
        first = self.relu(self.norm(self.one(x)))
        return self.relu(self.other_norm(self.two(first)) + first) + 1.0


def in_place(module: nn.Module) -> list[bool]:
    return [layer.in_place for layer in module.modules() if isinstance(layer, FusedConvolution)]


@pytest.mark.parametrize(
    ("block", "places"),
    [(Bottlenecks, [False, False]), (Residual, [False, False]), (Pooled, [False, False]), (BothSides, [True, False])],
)
def test_a_sum_takes_the_place_of_what_nobody_reads_again(block: type[Block], places: list[bool]) -> None:
    """In `Bottlenecks` the convolution's input is the other summand; in `Residual` that is the caller's."""
    assert in_place(fused(block().eval(), torch.float32)) == places


def test_an_input_that_the_graph_owns_is_overwritten() -> None:
    block = fused(Residual().eval(), torch.float32)
    graph = block.get_submodule("graph")
    assert isinstance(graph, fx.GraphModule)
    x = torch.rand(2, 4, 6, 7).to(memory_format=torch.channels_last)
    before = x.clone()
    expected = block(x)
    torch.testing.assert_close(x, before)
    add_in_place(graph, owns_input=True)
    torch.testing.assert_close(block(x), expected)
    assert in_place(block) == [False, True] and not torch.equal(x, before)


def test_parts_of_what_cannot_be_traced_are_fused() -> None:
    actual = fused(Looks().eval(), torch.float32)
    assert type(actual) is Looks
    kinds = {name: type(layer) for name, layer in actual.named_children()}
    assert kinds["one"] is kinds["two"] is FusedConvolution
