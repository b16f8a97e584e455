"""`globalconv serve WEIGHTS`: the network behind HTTP, with a page to try it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import read_options, with_value
from globalconv.infer.inference_settings import CRF, InferenceSettings
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.serving.serve_settings import BATCH_SIZE, MAX_PIXELS, ServeSettings


@dataclass(frozen=True)
class ServeOptions:
    """Options of `globalconv serve`."""

    weights: tyro.conf.Positional[Path]
    """Run folder, folder with weights.safetensors and model.json, hf://USER/NAME, or a file of `globalconv export`."""
    host: str = "127.0.0.1"
    """Address to listen at: 127.0.0.1 is this machine alone, 0.0.0.0 all networks."""
    port: int = 8000
    """Port to listen at; 0 is any free one."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is bfloat16 where the hardware has it natively."""
    limits: tyro.conf.OmitArgPrefixes[ServeSettings] = field(default_factory=ServeSettings)
    inference: tyro.conf.OmitArgPrefixes[InferenceSettings] = field(
        default_factory=lambda: InferenceSettings(batch_size=BATCH_SIZE, max_pixels=MAX_PIXELS)
    )


def run(arguments: list[str], stop: StopRequest) -> int:
    """Serve until a signal comes."""
    given = with_value(arguments, "--crf", CRF)
    options = read_options(ServeOptions, "serve", given, "Serve a trained network over HTTP, with a page to try it.")
    with fast_imports():
        from globalconv.jobs.serve import serve

    serve(
        options.weights, options.host, options.port, options.device, options.precision, options.inference,
        options.limits,
    )  # fmt: skip
    return 0
