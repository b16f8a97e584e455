"""`globalconv predict WEIGHTS IMAGE|FOLDER|GLOB ... --out FOLDER`: class map and overlay of every image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import read_options, with_value
from globalconv.errors import InputError, print_line
from globalconv.infer.inference_settings import CRF, PLAIN, InferenceSettings
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import one_line, print_text


@dataclass(frozen=True)
class PredictOptions:
    """Options of `globalconv predict`."""

    weights: tyro.conf.Positional[Path]
    """Run folder, folder with weights.safetensors and model.json, hf://USER/NAME, or a file of `globalconv export`."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Image files, folders (with their subfolders) and globs."""
    out: Path
    """Folder for NAME.png (class map with palette) and NAME.overlay.jpg; subfolders are mirrored."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network; auto is bfloat16 where the hardware has it natively."""
    inference: tyro.conf.OmitArgPrefixes[InferenceSettings] = PLAIN


def run(arguments: list[str], stop: StopRequest) -> int:
    """Predict; exit code 2 if some images had to be skipped."""
    given = with_value(arguments, "--crf", CRF)
    options = read_options(PredictOptions, "predict", given, "Segment images with a trained network.")
    if not options.images:
        raise InputError("predict: no image given; name image files, folders or globs after WEIGHTS")
    with fast_imports():
        from globalconv.jobs.predict import predict

    failures = predict(
        options.weights, options.images, options.out, options.device, options.precision, options.inference
    )
    for failure in failures:
        if failure.left_out:  # a warning says so, in one line
            continue
        path = "" if failure.path in failure.error else f"{failure.path}: "
        line = one_line(f"{path}{failure.error}", limit=None)  # a file's name may hold line breaks
        print_line(f"globalconv: skipped {line}")
    print_text(f"done: {options.out}" + (f"; {len(failures)} skipped, listed in failures.json" if failures else ""))
    return 2 if failures else 0
