"""`globalconv evaluate WEIGHTS --data PATH`: mIoU and other scores of a network, or of a folder of class maps."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import DataOption, read_options, with_value
from globalconv.data.roots import parse_data
from globalconv.errors import InputError
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.infer.inference_settings import CRF, PLAIN, InferenceSettings
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of `globalconv evaluate`."""

    weights: tyro.conf.Positional[Path | None] = None
    """Run folder, folder with weights.safetensors and model.json, hf://USER/NAME, or a file of `globalconv export`."""
    predictions: Path | None = None
    """Score a folder of class maps (palette or index PNGs named like the images) instead of a network."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ...; the built-in scenes need none."""
    layout: str | None = None
    """Layout of the data (docs/data.md); recognised where not given."""
    split: str | None = None
    """Split to score (by default that of the training's validation); in list-file layouts the list without `.txt`."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the network; recorded with the score."""
    report: Path | None = None
    """Write a page about it to this HTML file."""
    json: bool = False
    """Print the scores as JSON instead of a table."""
    regions: RegionSettings = REGIONS
    inference: tyro.conf.OmitArgPrefixes[InferenceSettings] = PLAIN


def run(arguments: list[str], stop: StopRequest) -> int:
    """Score and print."""
    arguments = with_value(arguments, "--crf", CRF)
    options = read_options(EvaluateOptions, "evaluate", arguments, "Score a network or a folder of class maps.")
    if (options.weights is None) == (options.predictions is None):
        raise InputError("evaluate: give either WEIGHTS (a run folder) or --predictions DIR")
    with fast_imports():
        from globalconv.jobs.evaluate import evaluate, evaluate_predictions

    if options.predictions is not None:
        other_settings = replace(options.inference, max_pixels=None)
        if (options.device, options.precision, other_settings) != ("auto", "float32", PLAIN):
            raise InputError("evaluate --predictions: no network runs, so leave out --device, --tile and their like")
        score = evaluate_predictions(
            options.predictions, parse_data(options.data), options.split or "val", options.layout, options.report,
            options.inference.max_pixels, options.regions,
        )  # fmt: skip
    else:
        score = evaluate(
            options.weights, parse_data(options.data), options.split, options.layout, options.device, options.precision,
            options.report, options.inference, options.regions,
        )  # fmt: skip
    print_text(json.dumps(score.to_json(), indent=2) if options.json else score.table())
    return 0
