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
from globalconv.training.recipe import ModelSettings

CLASSES = 21

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
    height, width = _size(options.size)
    with fast_imports():
        from globalconv.cost.compare import Clock, compare_costs, variants

    model, classes = _network(options)
    clock = Clock(options.device, options.precision, options.repeats) if options.latency else None
    compared = variants(model, options.heads, options.kernel_sizes)
    comparison = compare_costs(compared, classes, height, width, clock)
    print(json.dumps(comparison.to_json(), indent=2) if options.json else comparison.text())
    return 0


def _size(words: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", words)
    if not found:
        raise InputError(f"--size {words}: give height x width in pixels, such as 512x512, each below a million")
    return int(found[1]), int(found[2])


def _network(options: CostOptions) -> tuple[ModelSettings, int]:
    """Return the settings of the network that is meant, and its number of classes."""
    if (options.model.backbone_weights, options.model.backbone_norm) != (None, "train"):
        raise InputError("--model.backbone-weights, --model.backbone-norm: change no cost; leave them out")
    if options.weights is None:
        return options.model, CLASSES if options.classes is None else options.classes
    if options.model != NETWORK or options.classes is not None:
        raise InputError(
            f"cost {options.weights}: its model.json says what the network is; leave out --model, --classes"
        )
    from globalconv.cost.compare import saved_model

    return saved_model(options.weights)
