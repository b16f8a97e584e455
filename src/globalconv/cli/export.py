"""`globalconv export WEIGHTS --out FILE`: the network as one file for ONNX Runtime, OpenVINO or torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class ExportOptions:
    """Options of `globalconv export`."""

    weights: tyro.conf.Positional[Path]
    """Run folder, or folder with weights.safetensors and model.json."""
    out: Path
    """File to write: .onnx, .xml (OpenVINO, its weights beside it in a .bin file) or .pt2 (torch.export)."""
    format: Literal["onnx", "openvino", "torch"] | None = None
    """By default that of the file's suffix."""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """Arithmetic of the file; bfloat16 with openvino, int8 with onnx and openvino."""
    data: DataOption = ()
    """Data to compare on, and to calibrate int8 with; by default those of the training, where they are still there."""
    split: str | None = None
    """Split to compare on (by default that of the training's validation)."""
    layout: str | None = None
    """Layout of the data (docs/data.md); recognised where not given."""
    images: int = 50
    """Images that network and file are compared on, at least 20."""
    max_drop: float = 0.3
    """Points of mIoU that a file of bfloat16 or int8 may lose."""
    probabilities: bool = True
    """Let the file give probabilities too, which tiles, scales, flips and the CRF need."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Export, compare and say what was written."""
    options = read_options(ExportOptions, "export", arguments, "Write a trained network as a file for other runtimes.")
    with fast_imports():
        from globalconv.jobs.export import export

    report = export(
        options.weights, options.out, options.format, options.precision, parse_data(options.data), options.split,
        options.layout, options.images, options.max_drop, options.probabilities,
    )  # fmt: skip
    print_text("\n".join(report.lines()))
    print_text(f"done: {options.out}; use it in place of the run: globalconv predict {options.out} IMAGE --out FOLDER")
    return 0
