"""`globalconv advise --data PATH`: which kernel size the objects of a data set ask for."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class AdviseOptions:
    """Options of `globalconv advise`."""

    weights: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Run folders to measure; without any, untrained networks with the kernels of --kernel-sizes."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ..."""
    layout: str | None = None
    """Layout of the data (docs/data.md); recognised where not given."""
    split: str = "train"
    """Split whose label maps and images are looked at."""
    kernel_sizes: tuple[int, ...] = (1, 3, 7, 15, 25)
    """k of the untrained networks; 1 is the Baseline's pointwise head."""
    backbone: str = "resnet18"
    """Backbone of the untrained networks."""
    maps: int = 500
    """Label maps that are looked at, at most, evenly spread over the split."""
    images: int = 4
    """Images in which fields are measured."""
    seed: int = 0
    """Of the untrained weights."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    json: bool = False
    """Print all numbers as JSON."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Measure and print."""
    options = read_options(
        AdviseOptions, "advise", arguments, "Say which kernel size the objects of your data ask for."
    )
    with fast_imports():
        from globalconv.jobs.receptive_field import advise

    advice = advise(
        parse_data(options.data), options.weights, options.kernel_sizes, options.backbone, options.split,
        options.layout, options.maps, options.images, options.seed, options.device,
    )  # fmt: skip
    print_text(json.dumps(advice.to_json(), indent=2) if options.json else advice.text())
    return 0
