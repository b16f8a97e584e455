"""What several networks cost, side by side: the settings that are compared, and the figures as text and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from globalconv.cost.count import NetworkCost
from globalconv.errors import InputError
from globalconv.runtime.text import align_columns
from globalconv.training.recipe import ModelSettings

LAST_HEAD = "head res-5"
"""The block whose weights the paper prints."""

LEGEND = (
    "weights      all parameters, with biases",
    "activations  float32: inference, the most that lives at one time; training, what is kept for the backward pass,",
    "             per image; weights, gradients and the optimiser's state come on top",
)


def model_variants(model: ModelSettings, heads: Sequence[str], kernel_sizes: Sequence[int]) -> list[ModelSettings]:
    """Return `model` with each of the heads and kernel sizes (none: its own), each variant once.

    A 1 x 1 head has one kernel size only, and the width of a stack is left out where no head is one. `InputError` for a
    width where there is no stack at all.
    """
    heads_of: list[tuple[str, ...]] = [(head,) for head in heads] or [model.head]
    sizes_of: list[tuple[int, ...]] = [(size,) for size in kernel_sizes] or [model.kernel_size]
    if model.stack_width is not None and not any("stack" in head for head in heads_of):
        raise InputError(
            f"`model.stack_width` {model.stack_width}: no head is a stack; leave it out, or add `heads` stack"
        )
    variants = [
        replace(
            model,
            head=head,
            kernel_size=(1,) if head == ("pointwise",) else size,
            stack_width=model.stack_width if "stack" in head else None,
        )
        for head, size in product(heads_of, sizes_of)
    ]
    return list(dict.fromkeys(variants))


@dataclass(frozen=True)
class CostedNetwork:
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
class CostComparison:
    """Networks side by side."""

    networks: list[CostedNetwork]
    classes: int
    hardware: str | None = None
    """Where latency was measured, if it was."""

    def to_json(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        first, networks = self.networks[0], []
        for network in self.networks:
            cost = network.cost
            networks.append(
                {
                    **{
                        name: value for name, value in asdict(network.model).items() if not name.startswith("backbone_")
                    },
                    "weights": cost.weights,
                    "last_head_weights": network.last_head,
                    "multiply_adds": cost.multiply_adds,
                    "inference_bytes": cost.inference_bytes,
                    "training_bytes": cost.training_bytes,
                    "seconds": network.seconds,
                    "ratio": network.seconds / first.seconds if network.seconds and first.seconds else None,
                    "blocks": [asdict(row) for row in cost.rows],
                }
            )
        return {
            "size": [first.cost.height, first.cost.width],
            "classes": self.classes,
            "hardware": self.hardware,
            "networks": networks,
        }

    def text(self) -> str:
        """Return the figures for a person: block by block of one network, a row each of several."""
        first = self.networks[0]
        cost = first.cost
        about = f"{first.model.backbone}, {self.classes} classes, one image of {cost.height}x{cost.width}"
        if len(self.networks) > 1:
            lines = [about, "", *align_columns(self._network_rows()), ""]
        else:
            lines = [f"{about}, head {first.head}, k {first.kernel_size}", "", *align_columns(self._block_rows()), ""]
            lines += [f"activations  inference {_mib(cost.inference_bytes)}, training {_mib(cost.training_bytes)}"]
            lines += [] if first.seconds is None else [f"latency      {_ms(first.seconds)}"]
            lines += [""]
        lines += LEGEND
        if self.hardware:
            lines += [f"latency      median of one image at a time; {self.hardware}"]
        return "\n".join(lines)

    def _network_rows(self) -> list[list[str]]:
        """Return a title row and a row for each network."""
        first_seconds = self.networks[0].seconds
        titles = ["head", "k", "weights", LAST_HEAD, "multiply-adds", "inference", "training"]
        rows = [titles + ["latency", "ratio"] * (first_seconds is not None)]
        for network in self.networks:
            cost = network.cost
            row = [
                network.head, network.kernel_size, f"{cost.weights / 1e6:.2f} M", f"{network.last_head:,}",
                _giga(cost.multiply_adds), _mib(cost.inference_bytes), _mib(cost.training_bytes),
            ]  # fmt: skip
            if network.seconds is not None and first_seconds is not None:
                row += [_ms(network.seconds), f"{network.seconds / first_seconds:.2f}"]
            rows.append(row)
        return rows

    def _block_rows(self) -> list[list[str]]:
        """Return a title row, a row for each block of the first network, and their totals."""
        cost = self.networks[0].cost
        figures = [(row.name, row.weights, row.multiply_adds) for row in cost.rows]
        rows = [["block", "weights", "", "multiply-adds", ""]]
        for name, weights, multiply_adds in [*figures, ("total", cost.weights, cost.multiply_adds)]:
            shares = [
                f"{part / whole:.1%}" if whole else "-"
                for part, whole in ((weights, cost.weights), (multiply_adds, cost.multiply_adds))
            ]
            rows.append([name, f"{weights:,}", shares[0], _giga(multiply_adds), shares[1]])
        return rows


def _giga(count: int) -> str:
    return f"{count / 1e9:.3f} G"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"
