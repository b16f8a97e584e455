"""`export`: a trained network as one file for other runtimes, kept only if it agrees with the network."""

import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from globalconv.data.datasets import open_source
from globalconv.data.roots import Data, Root, as_root
from globalconv.data.scenes.scene import open_scenes
from globalconv.data.source import Source
from globalconv.errors import InputError, InputWarning, print_line, suggest
from globalconv.exporting.file_formats import require_modules, save_quantised, write_program
from globalconv.exporting.parity import LEAST_IMAGES, ParityImages, ParityReport, compare_predictors
from globalconv.exporting.program import ImageProgram, export_program
from globalconv.exporting.quantise import quantise
from globalconv.hub.address import shown_path
from globalconv.infer.exported import FILE_PRECISIONS, FORMATS, ExportMetadata, is_exported, seal
from globalconv.infer.predictor import Predictor, load
from globalconv.jobs.evaluate import open_scored
from globalconv.reports.history import recorded_data
from globalconv.runtime.files import as_path, check_output, write_json
from globalconv.runtime.progress import Progress
from globalconv.weights import load_weights

if TYPE_CHECKING:
    from torch import nn

INFO, DATA_INFO = ("images", "held_out", "val_split"), ("layout", "val_split")
"""What an exported file keeps of what was noted at the training, and of its data settings: how images are read, and
what it was validated on, so that `evaluate` scores it on the same."""


def export(
    weights: str | Path,
    out: str | Path,
    format: Literal["onnx", "openvino", "torch"] | None = None,  # noqa: A002 (the name of the option)
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
    data: Data = None,
    split: str | None = None,
    layout: str | None = None,
    images: int = 50,
    max_drop: float = 0.3,
    probabilities: bool = True,
    network: "nn.Module | None" = None,
) -> ParityReport:
    """Write the network saved in `weights` to the file `out`, and return how far both agree.

    The file takes images_NHW3 (RGB, uint8, any size) and gives class_maps_NHW (uint8) and, with `probabilities`,
    probabilities_NKHW (float32); `globalconv.load` and the verbs take it in place of a run. `format` is by default that
    of the suffix: .onnx, .xml (OpenVINO) or .pt2 (torch.export). "bfloat16" and "int8" compute in these; int8 is
    calibrated on images of the training split, which are never those that it is compared on.

    Network and file see up to `images` images (at least 20, cut to odd sizes) of the split that the training was
    validated on, or of `split` of `data`; where these are not there, generated ones without labels. A file that does
    not agree is removed and refused (`InputError`): at float32 below 99.99 % equal pixels or above 1e-3 between two
    probabilities, at a lower precision where the mIoU drops by more than `max_drop` points. The report is written
    beside the file, as NAME.parity.json (mine.onnx.parity.json).

    `network` is needed where the training was given one, as in `load`.
    """
    path = as_path("out", out)
    _check_request(path, format, precision)
    folder = as_path("weights", weights)
    if folder.suffix.lower() in FORMATS and not folder.is_dir():
        raise InputError(f"{folder}: is exported already; give the run that it was made from")
    model = load_weights(folder, network)
    reference = Predictor(model.network, model.labels, "cpu", "float32", info=model.info, geometry=model.geometry)
    root, compared = _images_to_compare(folder, reference, data, split, layout, images)
    if precision == "int8" and not compared.labelled:
        raise InputError("`precision` int8: needs the data of the training to calibrate on; give `data`")
    print_line(f"exporting {shown_path(folder)}")
    program = export_program(model.network, model.geometry, probabilities)
    info = {name: model.info[name] for name in INFO if name in model.info}
    recorded = recorded_settings(model.info)
    metadata = ExportMetadata(
        model.labels, model.geometry, precision, model.digest, model.network.settings,
        info | {"recipe": {"data": {name: recorded[name] for name in DATA_INFO if name in recorded}}},
        program.least_side, program.any_batch, probabilities, version("globalconv"),
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        written, kept = Path(beside) / path.name, None
        if precision == "int8":
            training = open_source(
                root, recorded.get("train_split", "train"), layout or recorded.get("layout"), model.labels,
                image_format=reference.image_format,
            )  # fmt: skip
            kept = _write_int8(program, written, metadata, training, compared, max_drop)
        else:
            write_program(program, written, metadata)
        seal(written)
        files = sorted(Path(beside).iterdir(), key=lambda file: file.suffix == path.suffix)  # the file itself last
        with Progress("compared", len(compared.indices), "images") as progress:
            report = compare_predictors(reference, load(written), compared, probabilities, progress.update)
        report = replace(report, bytes=sum(file.stat().st_size for file in files), float32_layers=kept)
        if (reason := report.failure(max_drop)) is not None:
            worst = f" (least alike: {', '.join(report.least_equal)})" if report.least_equal else ""
            remedy = "; allow more by `max_drop`, look at more `images`, or export float32"
            raise InputError(
                f"{path}: is not kept, it does not agree with {shown_path(folder)}: {reason}{worst}"
                f"{remedy if precision != 'float32' else '; export it in another `format`'}"
            )
        for file in files:
            os.replace(file, path.parent / file.name)
    write_json(path.with_name(f"{path.name}.parity.json"), report.to_json())
    return report


def _check_request(path: Path, format: str | None, precision: str) -> None:  # noqa: A002 (as in `export`)
    """Raise `InputError` for a file that cannot be written so, or that would replace what is none of our exports."""
    check_output("out", path, *FORMATS)
    if path.suffix not in FORMATS:  # OpenVINO writes no .XML
        raise InputError(f"`out` {path}: call it {path.with_suffix(path.suffix.lower()).name}")
    kind = FORMATS[path.suffix]
    if format is not None and format != kind:
        suffix = next((suffix for suffix, name in FORMATS.items() if name == format), None)
        known = (
            suggest(format, FORMATS.values()) if suffix is None else f"call the file {path.with_suffix(suffix).name}"
        )
        raise InputError(f"`format` {format}, `out` {path}: {known}")
    if precision not in FILE_PRECISIONS:
        raise InputError(f"`precision` {precision}: {suggest(precision, FILE_PRECISIONS)}")
    for file in (path, path.with_suffix(".bin")) if kind == "openvino" else (path,):
        if file.exists() and not (path.exists() and is_exported(path)):
            raise InputError(f"`out` {file}: is there, and globalconv export did not write it; name another file")
    require_modules(kind, precision)


def _write_int8(
    program: ImageProgram,
    path: Path,
    metadata: ExportMetadata,
    training: Source,
    compared: ParityImages,
    max_drop: float,
) -> str:
    """Write `program` in int8 to `path`; return how many of its convolutions are not, of how many."""
    print_line(f"calibrating int8 on {training.name}")
    with tempfile.TemporaryDirectory() as folder:  # OpenVINO maps what it reads into memory: it is not written over
        exact = Path(folder) / path.name
        write_program(program, exact, replace(metadata, precision="float32"))
        quantised = quantise(exact, training, compared.source, compared.indices, compared.most, max_drop)
        save_quantised(quantised.model, path, metadata)
    return f"{quantised.kept} of {quantised.convolutions}"


def recorded_settings(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data settings of the training that a saved network came from; {} where it notes none."""
    recipe = info.get("recipe")
    data = recipe.get("data") if isinstance(recipe, dict) else None
    return data if isinstance(data, dict) else {}


def _images_to_compare(
    folder: Path, reference: Predictor, data: Data, split: str | None, layout: str | None, most: int
) -> tuple[Root | None, ParityImages]:
    """Return the data that are named, or that the training recorded, and its images; else generated ones."""
    root = as_root(data)
    if root is None and layout is None:
        try:
            root = recorded_data([folder])
        except (InputError, OSError):  # gone, or a folder of weights alone, which records none
            root = None
        if root is None and recorded_settings(reference.info).get("layout") != "scenes":
            print_line("no data are named and those of the training are not there: comparing on generated images")
            return None, ParityImages(open_scenes("val"), False, most)
    source = open_scored(reference, root, split, layout)
    if len(source) < LEAST_IMAGES:
        warnings.warn(
            InputWarning(
                f"{source.name}: {len(source)} of the {LEAST_IMAGES} images that a comparison wants at least;"
                " name more by `data` and `split`",
                "export",
            ),
            stacklevel=2,
        )
    return root, ParityImages(source, True, most)
