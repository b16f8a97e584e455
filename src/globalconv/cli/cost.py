"""`globalconv cost`: what a network costs, block by block, or several over kernel sizes and heads."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import read_options
from globalconv.errors import InputError
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text
from globalconv.training.recipe import ModelSettings

NETWORK = ModelSettings()


@dataclass(frozen=True)
class CostOptions:
    """Options of `globalconv cost`."""

    weights: tyro.conf.Positional[Path | None] = None
    """Run folder, or folder with weights and model.json, whose network is meant; without it, that of --model."""
    size: str = "512x512"
    """Height x width of the image in pixels."""
    classes: int | None = None
    """Classes of the network; 21 where neither this nor WEIGHTS says."""
    kernel_sizes: tuple[int, ...] = ()
    """Compare networks with these k."""
    heads: tuple[str, ...] = ()
    """Compare networks with these heads of Figure 4: gcn, pointwise, conv, stack."""
    latency: bool = False
    """Measure the time of one image as well, the networks in turns."""
    repeats: int = 5
    """Turns whose median is the latency."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N; where latency is measured."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic in which latency is measured."""
    json: bool = False
    """Print all figures, blocks included, as JSON."""
    model: ModelSettings = NETWORK


def run(arguments: list[str], stop: StopRequest) -> int:
    """Count, measure where asked, and print."""
    options = read_options(CostOptions, "cost", arguments, "Say what a network costs, or compare several.")
    size = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", options.size)
    if not size:
        raise InputError(f"--size {options.size}: give height x width in pixels, such as 512x512, each below a million")
    without_cost = ("backbone_weights", "backbone_norm", "drop_path", "frozen_stages")
    if any(getattr(options.model, name) != getattr(NETWORK, name) for name in without_cost):
        names = ", ".join(f"--model.{name.replace('_', '-')}" for name in without_cost)
        raise InputError(f"{names}: change no cost; leave them out")
    if options.weights is not None and (options.model != NETWORK or options.classes is not None):
        raise InputError(
            f"cost {options.weights}: its model.json says what the network is; leave out --model, --classes"
        )
    with fast_imports():
        from globalconv.jobs.cost import LatencySettings, compare_costs

    latency = LatencySettings(options.device, options.precision, options.repeats) if options.latency else None
    comparison = compare_costs(
        options.weights or options.model, int(size[1]), int(size[2]), options.classes, options.heads,
        options.kernel_sizes, latency,
    )  # fmt: skip
    print_text(json.dumps(comparison.to_json(), indent=2) if options.json else comparison.text())
    return 0
