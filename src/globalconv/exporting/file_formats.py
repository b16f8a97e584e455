"""An image program as a file: ONNX, OpenVINO IR or torch.export, with the metadata that `infer.exported` reads."""

import contextlib
import importlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from globalconv.errors import InputError
from globalconv.exporting.program import ImageProgram
from globalconv.infer.exported import FORMATS, METADATA, ExportMetadata

OPSET = 20
"""Of the ONNX files."""

MODULES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",), "torch": ()}
"""Format -> what writing and checking it imports."""


def require_modules(kind: str, precision: str) -> None:
    """Raise `InputError` where a package is missing that this export needs, or where the two do not go together."""
    if precision == "bfloat16" and kind != "openvino":
        reason = "ONNX Runtime has no convolutions of it on a CPU" if kind == "onnx" else "its types are fixed in it"
        raise InputError(f"`precision` bfloat16, `format` {kind}: {reason}; give `format` openvino, or float32")
    if precision == "int8" and kind == "torch":
        raise InputError("`precision` int8, `format` torch: give `format` onnx or openvino")
    needed = [*MODULES[kind], *(("openvino", "nncf") if precision == "int8" else ())]
    for name in needed:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InputError(
                f"`format` {kind}, `precision` {precision}: needs {name}, which is not installed;"
                " pip install 'globalconv[export]'"
            ) from error


def write_program(program: ImageProgram, path: Path, metadata: ExportMetadata) -> None:
    """Write `program` to `path` in the format of its suffix, as float32; `metadata` say how it is to be computed.

    For a file of OpenVINO a second one is written beside it, of the same name with .bin.
    """
    text = json.dumps(metadata.to_json())
    kind = FORMATS[path.suffix.lower()]
    if kind == "torch":
        torch.export.save(program.program, path, extra_files={METADATA: text})
        return
    with tempfile.TemporaryDirectory() as folder:
        # OpenVINO reads the ONNX file as well as the program itself, and in a tenth of the time.
        onnx_file = path if kind == "onnx" else Path(folder) / "program.onnx"
        _write_onnx(program, onnx_file, metadata, text)
        if kind == "openvino":
            import openvino

            _save_openvino(openvino.Core().read_model(onnx_file), path, metadata, text)


def save_quantised(model: Any, path: Path, metadata: ExportMetadata) -> None:
    """Write a model in int8, of OpenVINO or ONNX, over the file that it was made from."""
    text = json.dumps(metadata.to_json())
    if FORMATS[path.suffix.lower()] == "openvino":
        _save_openvino(model, path, metadata, text)
        return
    import onnx

    onnx.helper.set_model_props(model, {METADATA: text})
    onnx.save(model, path)


def _save_openvino(model: Any, path: Path, metadata: ExportMetadata, text: str) -> None:
    """Write a model of OpenVINO; the weights of one that computes in bfloat16 as halves."""
    import openvino

    model.set_rt_info(text, [METADATA])
    openvino.save_model(model, path, compress_to_fp16=metadata.precision == "bfloat16")


def _write_onnx(program: ImageProgram, path: Path, metadata: ExportMetadata, text: str) -> None:
    names = ["classes", "probabilities"] if metadata.has_probabilities else ["classes"]
    sizes = {1: "H", 2: "W"} | ({0: "N"} if program.any_batch else {})
    with _quiet():
        written = torch.onnx.export(
            program.program,
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=names,
            dynamic_shapes=(sizes,),
            verbose=False,
        )
    assert written is not None
    written.model.metadata_props[METADATA] = text
    written.model.producer_name, written.model.producer_version = METADATA, metadata.version
    written.save(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says about its own steps from the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
