"""`globalconv submit voc|cityscapes WEIGHTS --data PATH --out FILE`: the archive that a test server takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import DataOption, read_options, with_value
from globalconv.data.roots import parse_data
from globalconv.infer.inference_settings import CRF, PLAIN, InferenceSettings
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class SubmitOptions:
    """Options of `globalconv submit`."""

    benchmark: tyro.conf.Positional[Literal["voc", "cityscapes"]]
    """Whose server."""
    weights: tyro.conf.Positional[Path]
    """Run folder, folder with weights.safetensors and model.json, hf://USER/NAME, or a file of `globalconv export`."""
    out: Path
    """Archive to write: .tgz, .tar.gz or .tar for voc, .zip for cityscapes. The same call goes on where one stopped."""
    data: DataOption = ()
    """Root of the official data set (VOCdevkit/VOC2012, or what holds leftImg8bit), or voc=PATH, cityscapes=PATH."""
    split: Literal["test", "val"] = "test"
    """Split to predict."""
    competition: Literal["comp5", "comp6"] = "comp6"
    """Of voc: comp5 if the network has learned from VOC 2012's trainval and nothing else, comp6 otherwise."""
    trial: bool = False
    """Pack an incomplete split or images of other sizes too, which the server would refuse."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the network."""
    inference: tyro.conf.OmitArgPrefixes[InferenceSettings] = PLAIN


def run(arguments: list[str], stop: StopRequest) -> int:
    """Predict, check and pack; say where to upload it."""
    arguments = with_value(arguments, "--crf", CRF)
    options = read_options(SubmitOptions, "submit", arguments, "Predict a test split for a benchmark's server.")
    with fast_imports():
        from globalconv.jobs.submit import submit
        from globalconv.submission.servers import BENCHMARKS

    count = submit(
        options.benchmark, options.weights, parse_data(options.data), options.out, options.split, options.competition,
        options.device, options.precision, options.inference, options.trial,
    )  # fmt: skip
    print_text(f"done: {options.out} with {count} predictions; {options.out}.predictions is not needed any more")
    server = BENCHMARKS[options.benchmark]
    if options.trial or options.split != "test":
        print_text(f"next: look at it; the server takes the whole test split only, {server.counts['test']} images")
    else:
        print_text(f"next: upload it at {server.upload}")
    return 0
