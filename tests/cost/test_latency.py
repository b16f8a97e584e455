"""Calls take turns, and a network's call leaves it ready and answers."""

import torch
from torch import nn

from globalconv.cost.latency import in_turns, inference_call
from globalconv.runtime.devices import choose_hardware


def test_calls_take_turns_and_the_first_turns_do_not_count() -> None:
    calls: list[str] = []
    turns: list[tuple[int, int]] = []
    named = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = in_turns(named, repeats=2, warmup=1, on_turn=lambda done, turns_: turns.append((done, turns_)))
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}
    assert turns == [(1, 3), (2, 3), (3, 3)]


class Seen(nn.Module):
    shape: tuple[int, ...] = ()

    def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        assert not self.training and torch.is_inference_mode_enabled()
        self.shape, self.kind = tuple(images_N3HW.shape), torch.mm(images_N3HW[0, 0], images_N3HW[0, 0].T).dtype
        return images_N3HW


def test_a_call_is_one_image_in_the_precision_asked_for() -> None:
    for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        network = Seen().train()
        inference_call(network, 5, 7, choose_hardware("cpu", precision))()
        assert (network.shape, network.kind) == ((1, 3, 5, 7), kind)
