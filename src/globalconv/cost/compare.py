"""`globalconv cost` as functions: the networks that are compared, what each costs, and that as text and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from globalconv.cost.count import NetworkCost, network_cost
from globalconv.cost.latency import in_turns, inference_call
from globalconv.errors import InputError
from globalconv.model.network import GlobalConvNet
from globalconv.runtime.devices import choose_hardware, processor_name
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import align_columns
from globalconv.training.recipe import ModelSettings
from globalconv.weights import load_weights

LAST_HEAD = "head res-5"
"""The block whose weights the paper prints."""


@dataclass(frozen=True)
class Clock:
    """How latency is measured: one image at a time, all networks in turns."""

    device: str = "auto"
    precision: str = "float32"
    repeats: int = 5


@dataclass(frozen=True)
class Costed:
    """A network and what it costs; its latency where that was measured."""

    model: ModelSettings
    cost: NetworkCost
    seconds: float | None = None
    """Median over the repeats."""

    @property
    def head(self) -> str:
        return " ".join(self.model.head)

    @property
    def kernel_size(self) -> str:
        return " ".join(map(str, self.model.kernel_size))

    @property
    def last_head(self) -> int:
        """Weights of the head after res-5, with biases."""
        return next(row.weights for row in self.cost.rows if row.name == LAST_HEAD)


@dataclass(frozen=True)
class Comparison:
    """Networks side by side."""

    networks: list[Costed]
    classes: int
    hardware: str | None = None
    """Where latency was measured, where it was."""

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        first = self.networks[0].cost
        return {
            "size": [first.height, first.width],
            "classes": self.classes,
            "hardware": self.hardware,
            "networks": [self._fields(network) for network in self.networks],
        }

    def _fields(self, network: Costed) -> dict[str, Any]:
        cost, first = network.cost, self.networks[0].seconds
        return {
            **{name: value for name, value in asdict(network.model).items() if not name.startswith("backbone_")},
            "weights": cost.weights,
            "last_head_weights": network.last_head,
            "multiply_adds": cost.multiply_adds,
            "inference_bytes": cost.inference_bytes,
            "training_bytes": cost.training_bytes,
            "seconds": network.seconds,
            "ratio": network.seconds / first if network.seconds and first else None,
            "blocks": [asdict(row) for row in cost.rows],
        }

    def text(self) -> str:
        """Return the figures for a person: block by block of one network, a row each of several."""
        first, cost = self.networks[0], self.networks[0].cost
        about = f"{first.model.backbone}, {self.classes} classes, one image of {cost.height}x{cost.width}"
        if len(self.networks) > 1:
            lines = [about, "", *self._rows(), "", *LEGEND]
        else:
            memory = f"inference {_mib(cost.inference_bytes)}, training {_mib(cost.training_bytes)}"
            lines = [
                f"{about}, head {first.head}, k {first.kernel_size}",
                "",
                *_blocks(cost),
                "",
                f"activations  {memory}",
            ]
            lines += [f"latency      {_ms(first.seconds)}"] * (first.seconds is not None) + ["", *LEGEND]
        return "\n".join(lines + [f"latency      median of one image at a time; {self.hardware}"] * bool(self.hardware))

    def _rows(self) -> list[str]:
        first = self.networks[0].seconds
        titles = ["head", "k", "weights", LAST_HEAD, "multiply-adds", "inference", "training"]
        rows = [titles + ["latency", "ratio"] * (first is not None)]
        for network in self.networks:
            cost = network.cost
            row = [
                network.head, network.kernel_size, _millions(cost.weights), f"{network.last_head:,}",
                _billions(cost.multiply_adds), _mib(cost.inference_bytes), _mib(cost.training_bytes),
            ]  # fmt: skip
            if network.seconds is not None and first is not None:
                row += [_ms(network.seconds), f"{network.seconds / first:.2f}"]
            rows.append(row)
        return align_columns(rows)


LEGEND = (
    "weights      all parameters, with biases",
    "activations  float32: inference, the most that lives at one time; training, what is kept for the backward pass,",
    "             per image; weights, gradients and the optimiser's state come on top",
)


def compare_costs(
    models: Sequence[ModelSettings], classes: int, height: int, width: int, clock: Clock | None = None
) -> Comparison:
    """Return what networks of these settings cost for one image of `height` x `width`; with a `clock`, their latency.

    Fresh weights, which cost what trained ones do. Raises `InputError` for settings that make no network.
    """
    costs = [Costed(model, network_cost(_on_meta(model, classes), height, width)) for model in models]
    if clock is None:
        return Comparison(costs, classes)
    if clock.repeats < 1:
        raise InputError(f"`repeats` {clock.repeats}: must be at least 1")
    hardware = choose_hardware(clock.device, clock.precision)
    networks = [GlobalConvNet(classes, **model.architecture()) for model in models]
    calls = {str(number): inference_call(network, height, width, hardware) for number, network in enumerate(networks)}
    with Progress("timed", clock.repeats + 1, "turns") as progress:
        seconds = in_turns(calls, clock.repeats, on_turn=lambda done, turns: progress.update(done))
    timed = [
        replace(costed, seconds=statistics.median(taken)) for costed, taken in zip(costs, seconds.values(), strict=True)
    ]
    return Comparison(timed, classes, f"{processor_name()}: {hardware.description}")


def variants(model: ModelSettings, heads: Sequence[str], kernel_sizes: Sequence[int]) -> list[ModelSettings]:
    """Return `model` with each of the heads and kernel sizes (none given: its own); a 1 x 1 head has but one size.

    `InputError` for a width of a stack where there is none.
    """
    kinds: list[tuple[str, ...]] = [(head,) for head in heads] or [model.head]
    sizes: list[tuple[int, ...]] = [(size,) for size in kernel_sizes] or [model.kernel_size]
    if model.stack_width is not None and not any("stack" in head for head in kinds):
        raise InputError(
            f"`model.stack_width` {model.stack_width}: no head is a stack; leave it out, or add `heads` stack"
        )
    found = [
        replace(model, head=head, kernel_size=(1,) if head == ("pointwise",) else size)
        for head, size in product(kinds, sizes)
    ]
    return list(dict.fromkeys(_without_width(each) for each in found))


def saved_model(path: Path) -> tuple[ModelSettings, int]:
    """Return the settings and the number of classes of the network that is saved in `path`."""
    settings = dict(load_weights(path).network.settings)
    classes = settings.pop("num_classes")
    return ModelSettings(**settings), classes


def _without_width(model: ModelSettings) -> ModelSettings:
    """Return settings whose width of a stack is left out where no head is one."""
    return model if "stack" in model.head else replace(model, stack_width=None)


def _on_meta(model: ModelSettings, classes: int) -> GlobalConvNet:
    with torch.device("meta"):
        return GlobalConvNet(classes, **model.architecture())


def _blocks(cost: NetworkCost) -> list[str]:
    total = (cost.weights, cost.multiply_adds)
    rows = [["block", "weights", "", "multiply-adds", ""]]
    for name, *figures in [*((row.name, row.weights, row.multiply_adds) for row in cost.rows), ("total", *total)]:
        shares = [f"{figure / whole:.1%}" if whole else "-" for figure, whole in zip(figures, total, strict=True)]
        rows.append([name, f"{figures[0]:,}", shares[0], _billions(figures[1]), shares[1]])
    return align_columns(rows)


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _billions(count: int) -> str:
    return f"{count / 1e9:.3f} G"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.1f} ms"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
