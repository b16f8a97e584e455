"""`globalconv cost`: what a network costs, block by block, or what several cost, over heads and kernel sizes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from globalconv.cost.compare import CostComparison, CostedNetwork, model_variants
from globalconv.cost.count import network_cost
from globalconv.cost.latency import in_turns, inference_call
from globalconv.errors import InputError
from globalconv.model.network import GlobalConvNet
from globalconv.runtime.devices import choose_hardware, processor_name
from globalconv.runtime.progress import Progress
from globalconv.training.recipe import ModelSettings
from globalconv.weights import load_weights

CLASSES = 21
"""Of a network that is neither saved nor given a number of classes: those of VOC."""


@dataclass(frozen=True)
class LatencySettings:
    """How latency is measured: one image at a time, all networks in turns."""

    device: str = "auto"
    precision: str = "float32"
    repeats: int = 5


def compare_costs(
    model: ModelSettings | str | Path,
    height: int,
    width: int,
    classes: int | None = None,
    heads: Sequence[str] = (),
    kernel_sizes: Sequence[int] = (),
    latency: LatencySettings | None = None,
) -> CostComparison:
    """Return what networks cost for one image of `height` x `width`; with `latency`, the time that they take as well.

    `model` is the settings of a network, or the run folder of a saved one; `classes` is 21 by default, and that of a
    saved network. With several `heads` or `kernel_sizes` each combination is compared. The networks have fresh weights,
    which cost what trained ones do. Raises `InputError` for settings that make no network.
    """
    if isinstance(model, str | Path):
        settings = dict(load_weights(Path(model)).network.settings)
        classes = settings.pop("num_classes")
        model = ModelSettings(**settings)
    classes = CLASSES if classes is None else classes

    models = model_variants(model, heads, kernel_sizes)
    networks = []
    for variant in models:
        with torch.device("meta"):
            network = GlobalConvNet(classes, **variant.architecture())
        networks.append(CostedNetwork(variant, network_cost(network, height, width)))
    if latency is None:
        return CostComparison(networks, classes)

    if latency.repeats < 1:
        raise InputError(f"`repeats` {latency.repeats}: must be at least 1")
    hardware = choose_hardware(latency.device, latency.precision)
    calls = {}
    for number, variant in enumerate(models):
        network = GlobalConvNet(classes, **variant.architecture())
        calls[str(number)] = inference_call(network, height, width, hardware)
    with Progress("timed", latency.repeats + 1, "turns") as progress:
        seconds = in_turns(calls, latency.repeats, on_turn=lambda done, turns: progress.update(done))
    timed = [
        replace(network, seconds=statistics.median(taken))
        for network, taken in zip(networks, seconds.values(), strict=True)
    ]
    return CostComparison(timed, classes, f"{processor_name()}: {hardware.description}")
