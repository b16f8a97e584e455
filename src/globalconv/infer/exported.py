"""Networks in files that `globalconv export` wrote, computed by ONNX Runtime, OpenVINO or torch.

Shapes: N images, K classes, H x W pixels.

Such a file takes images_NHW3 (RGB, uint8) and gives class_maps_NHW (uint8) and, unless it was exported without them,
probabilities_NKHW (float32): normalisation, padding, cropping and the maximum are inside. What it says about itself is
JSON in the file's own metadata. None of the three libraries is imported before a file of its kind is opened.
"""

import hashlib
import importlib
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from globalconv.arrays import Float32Array, Uint8Array
from globalconv.errors import InputError, suggest
from globalconv.geometry import Geometry
from globalconv.labels import LabelSpace
from globalconv.runtime.text import one_line

FORMATS = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch"}
"""Suffix of an exported file -> its format. OpenVINO keeps the weights in a .bin file beside the .xml file."""

METADATA = "globalconv"
"""The key of the file's metadata that holds ours."""

MODULES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
PRECISIONS = ("auto", "float32", "bfloat16")
FILE_PRECISIONS = ("float32", "bfloat16", "int8")

SIGNS = {".onnx": b"\x08", ".xml": b"<?xml", ".pt2": b"PK\x03\x04"}
"""Suffix of an exported file -> what it begins with."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""Probabilities below are taken for it, so that their logarithms are finite."""

UNSEALED = "0" * 64
_CONTENT = re.compile(rb'content(?:"|&quot;): (?:"|&quot;)([0-9a-f]{64})')

Run = Callable[[Uint8Array, bool], tuple[Uint8Array, Float32Array | None]]
"""(images_NHW3, whether probabilities are wanted) -> class_maps_NHW, probabilities_NKHW."""


@dataclass(frozen=True)
class ExportMetadata:
    """What an exported file says about itself."""

    labels: LabelSpace
    geometry: Geometry
    """The padding of training, which the file does by itself to whatever is smaller."""
    precision: str
    digest: str
    """Of the weights that it was made from (`globalconv.weights`)."""
    network: Mapping[str, Any]
    """Settings of the network."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Of the training: the rule by which images are read, the validation split."""
    least_side: int = 1
    """Pixels that the shorter side of an image has at least."""
    any_batch: bool = True
    """Whether several images of one size are taken at once."""
    has_probabilities: bool = True
    version: str = ""
    """Of the globalconv that wrote it."""
    content: str = UNSEALED
    """A digest of the whole file, made with `UNSEALED` in its place."""

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**fields, "format": 1, "labels": self.labels.to_json(), "geometry": self.geometry.to_json()}

    @classmethod
    def from_json(cls, text: object) -> "ExportMetadata":
        """Return the metadata that `text` holds; `InputError` says what is wrong with them."""
        try:
            fields = json.loads(str(text))
            if not isinstance(fields, dict):
                raise InputError("no JSON object")
            if fields.pop("format", None) != 1:
                raise InputError("of another version of globalconv, which has to read it")
            labels, geometry = LabelSpace.from_json(fields.pop("labels")), Geometry.from_json(fields.pop("geometry"))
            metadata = cls(labels, geometry, **fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise InputError(f"its metadata are not what globalconv export writes ({one_line(error)})") from error
        kinds = {"precision": str, "digest": str, "network": dict, "info": dict, "least_side": int, "any_batch": bool}
        wrong = [name for name, kind in kinds.items() if type(getattr(metadata, name)) is not kind]
        wrong += [] if metadata.precision in FILE_PRECISIONS else ["precision"]
        if wrong:
            raise InputError(f"its metadata are not what globalconv export writes ({wrong[0]})")
        return metadata


class ExportedBackend:
    """Computes scores by an exported file; see `globalconv.infer.backend.Backend`."""

    def __init__(self, path: Path, run: Run, metadata: ExportMetadata, precision: str, runtime: str) -> None:
        self.path, self.run, self.metadata = path, run, metadata
        self.precision = precision
        self.description = f"{runtime}, {precision}"
        self.device = "cpu"

    def class_maps(self, images_NHW3: Uint8Array) -> Uint8Array:
        """Return class_maps_NHW of images of one size."""
        return np.concatenate([classes for classes, _ in self._passes(images_NHW3, False)])

    def probabilities(self, images_NHW3: Uint8Array) -> Float32Array:
        """Return probabilities_NKHW of images of one size; `InputError` where the file has none."""
        if not self.metadata.has_probabilities:
            raise InputError(
                f"{self.path}: was exported without probabilities, which tiles, scales, flips and the CRF need; export"
                " it with `probabilities`"
            )
        return np.concatenate([scores for _, scores in self._passes(images_NHW3, True) if scores is not None])

    def logits(self, images_NHW3: Uint8Array) -> Float32Array:
        """Return logits_NKHW up to a constant of each pixel: the logarithms of the probabilities."""
        probabilities_NKHW = self.probabilities(images_NHW3)
        return np.log(np.maximum(probabilities_NKHW, SMALLEST, out=probabilities_NKHW), out=probabilities_NKHW)

    def _passes(self, images_NHW3: Uint8Array, probabilities: bool) -> list[tuple[Uint8Array, Float32Array | None]]:
        height, width = images_NHW3.shape[1:3]
        if min(height, width) < self.metadata.least_side:
            raise InputError(
                f"image of {width}x{height}: {self.path} takes images of at least {self.metadata.least_side} pixels a"
                " side; enlarge it, or predict it with the run that the file was exported from"
            )
        rows, columns = self.metadata.geometry.pad_to or (0, 0)
        if height < rows or width < columns:  # whole images come padded, so this is a tile, which a run leaves as it is
            raise InputError(
                f"tile of {width}x{height}: {self.path} pads all it sees to {columns}x{rows} pixels, as its training"
                " did; give a larger `tile`, or predict with the run that the file was exported from"
            )
        images_NHW3 = np.ascontiguousarray(images_NHW3)
        parts = [images_NHW3] if self.metadata.any_batch else [image[None] for image in images_NHW3]
        try:
            return [self.run(part, probabilities) for part in parts]
        except Exception as error:  # each runtime has classes of its own, and none for memory
            size = f"{len(parts[0])} images of {width}x{height}" if len(parts[0]) > 1 else f"image of {width}x{height}"
            raise InputError(
                f"{size}: cannot be computed by {self.path} ({one_line(error)}); reduce the image, or give a `tile` or"
                " a smaller `batch_size`"
            ) from error


def open_backend(path: Path, device: str = "auto", precision: str = "auto") -> ExportedBackend:
    """Return the network in the file `path`; `InputError` for what is missing, damaged or not of `globalconv export`.

    `precision` is by default the file's own, which "float32" leaves as it is too; "bfloat16" makes OpenVINO compute
    a file of float32 in it.
    """
    if (kind := FORMATS.get(path.suffix.lower())) is None:
        raise InputError(f"{path}: no exported file; give one that ends in {', '.join(FORMATS)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; give one that globalconv export wrote")
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}: {suggest(precision, PRECISIONS)}")
    if precision == "bfloat16" and kind != "openvino":
        raise InputError(f"{path}: is computed as it was exported; leave out `precision` bfloat16")
    _refuse_renamed(path)
    opener = {"onnx": _open_onnx, "openvino": _open_openvino, "torch": _open_torch}[kind]
    try:
        return opener(path, importlib.import_module(MODULES[kind]), device, precision)
    except ImportError as error:
        extra = {"onnx": "runtime", "openvino": "openvino", "torch": "train"}[kind]
        raise InputError(
            f"{path}: needs {MODULES[kind]}, which is not installed; pip install 'globalconv[{extra}]'"
        ) from error


def _refuse_renamed(path: Path) -> None:
    """Raise `InputError` for an exported file whose suffix is that of another format."""
    with path.open("rb") as file:
        start = file.read(5)
    written = next((suffix for suffix, sign in SIGNS.items() if start.startswith(sign)), None)
    if written not in (None, path.suffix.lower()) and is_exported(path):
        raise InputError(f"{path}: was written as {written}; call it {path.with_suffix(str(written)).name}")


def is_exported(path: Path) -> bool:
    """Return whether `globalconv export` wrote the file, whole or not: other exports of our networks name us too."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    is_archive = content.startswith(SIGNS[".pt2"])
    return f"/extra/{METADATA}".encode() in content if is_archive else _CONTENT.search(content) is not None


def seal(path: Path) -> None:
    """Write into an exported file, and for OpenVINO over its weights too, the digest by which damage is found.

    An archive of torch has checksums of its own.
    """
    if path.suffix.lower() != ".pt2":
        content = path.read_bytes()
        found = _CONTENT.search(content)
        assert found is not None
        digest = _content_digest(path, content, found).encode()
        path.write_bytes(content[: found.start(1)] + digest + content[found.end(1) :])


def _refuse_damaged(path: Path) -> None:
    """Raise `InputError` for an exported file that is not as it was written; one of other origin is left to others."""
    if path.suffix.lower() == ".pt2":
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() is not None
    else:
        content = path.read_bytes()
        found = _CONTENT.search(content)
        damaged = found is not None and _content_digest(path, content, found) != found[1].decode()
    if damaged:
        raise InputError(f"{path}: is damaged, or was edited since it was written; export or copy it again")


def _content_digest(path: Path, content: bytes, found: re.Match[bytes]) -> str:
    digest = hashlib.sha256(content[: found.start(1)])
    digest.update(UNSEALED.encode())
    digest.update(content[found.end(1) :])
    if path.suffix.lower() == ".xml":
        digest.update(path.with_suffix(".bin").read_bytes())
    return digest.hexdigest()


def threads() -> int:
    """Return how many threads a runtime of the CPU takes: OMP_NUM_THREADS, as torch does, else one per core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_onnx(path: Path, onnxruntime: Any, device: str, precision: str) -> ExportedBackend:
    providers = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
    wanted = "cpu" if device == "auto" else device
    if providers.get(wanted) not in onnxruntime.get_available_providers():
        raise InputError(
            f"device={device!r}: onnxruntime {onnxruntime.__version__} here computes on the CPU; use 'cpu'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    _refuse_damaged(path)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[providers[wanted]])
    except Exception as error:  # the library raises classes of its own, without a common base
        raise InputError(f"{path}: is damaged or no ONNX file ({one_line(error)}); export or copy it again") from error
    metadata = _metadata(path, session.get_modelmeta().custom_metadata_map.get(METADATA))
    classes_alone = onnxruntime.RunOptions()
    classes_alone.only_execute_path_to_fetches = True

    def run(images_NHW3: Uint8Array, probabilities: bool) -> tuple[Uint8Array, Float32Array | None]:
        if probabilities:
            classes_NHW, probabilities_NKHW = session.run(["classes", "probabilities"], {"images": images_NHW3})
            return classes_NHW, probabilities_NKHW
        return session.run(["classes"], {"images": images_NHW3}, classes_alone)[0], None

    runtime = f"ONNX Runtime {onnxruntime.__version__} ({wanted}, {_count(threads())})"
    return ExportedBackend(path, run, metadata, metadata.precision, runtime)


def _open_openvino(path: Path, openvino: Any, device: str, precision: str) -> ExportedBackend:
    if device not in ("auto", "cpu"):
        raise InputError(f"device={device!r}: OpenVINO computes exported files on the CPU here; use 'cpu'")
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"{path.with_suffix('.bin')}: no such file; it holds the weights of {path.name}: copy both")
    _refuse_damaged(path)
    core = openvino.Core()
    try:
        model = core.read_model(path)
        text = model.get_rt_info([METADATA]).astype(str) if model.has_rt_info([METADATA]) else None
    except RuntimeError as error:
        raise InputError(f"{path}: is damaged or no OpenVINO file ({one_line(error)}); export it again") from error
    metadata = _metadata(path, text)
    computed = "bfloat16" if precision == "bfloat16" and metadata.precision == "float32" else metadata.precision
    settings = {"INFERENCE_NUM_THREADS": threads(), "PERFORMANCE_HINT": "LATENCY"}
    if computed != "int8":  # what is not int8 in such a file is computed as the processor does it best
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if computed == "bfloat16" else "f32"
    compiled: dict[bool, Any] = {}

    def run(images_NHW3: Uint8Array, probabilities: bool) -> tuple[Uint8Array, Float32Array | None]:
        if probabilities not in compiled:  # one network for class maps alone, because OpenVINO computes every output
            wanted = model if probabilities else openvino.Model([model.output("classes")], model.get_parameters())
            compiled[probabilities] = core.compile_model(wanted, "CPU", settings)
        results = compiled[probabilities](images_NHW3)
        return np.array(results["classes"]), np.array(results["probabilities"]) if probabilities else None

    runtime = f"OpenVINO {openvino.__version__.partition('-')[0]} (cpu, {_count(threads())})"
    return ExportedBackend(path, run, metadata, computed, runtime)


def _open_torch(path: Path, torch: Any, device: str, precision: str) -> ExportedBackend:
    from globalconv.runtime.devices import choose_device

    chosen = choose_device(device)
    extra_files = {METADATA: ""}
    try:
        _refuse_damaged(path)
        _refuse_pickles(path, torch)
        program = torch.export.load(path, extra_files=extra_files)
    except InputError:
        raise
    except Exception as error:  # of a damaged archive, anything
        raise InputError(f"{path}: is damaged or no torch.export file ({one_line(error)}); export it again") from error
    metadata = _metadata(path, extra_files[METADATA] or None)
    if chosen.type != "cpu":
        program = importlib.import_module("torch.export.passes").move_to_device_pass(program, chosen)
    module = program.module()

    def run(images_NHW3: Uint8Array, probabilities: bool) -> tuple[Uint8Array, Float32Array | None]:
        images = torch.from_numpy(images_NHW3).to(chosen)
        with torch.inference_mode():
            results = module(images)
        outputs = [output.cpu().numpy() for output in (results if metadata.has_probabilities else [results])]
        return outputs[0], outputs[1] if probabilities else None

    runtime = f"torch {torch.__version__} ({chosen}, exported)"
    return ExportedBackend(path, run, metadata, metadata.precision, runtime)


def _refuse_pickles(path: Path, torch: ModuleType) -> None:
    """Raise `InputError` for an archive whose loading would unpickle more than tensors: torch does not refuse it."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            pickled = False
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(name))["config"].values()
                pickled = any(entry.get("use_pickle", True) for entry in entries)
            elif name.endswith((".pt", ".pkl", ".bin")) or "custom_obj" in name:
                try:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                except Exception:  # whatever it is, it is no tensor
                    pickled = True
            if pickled:
                raise InputError(
                    f"{path}: {name.rpartition('/')[2]} could run code when it is loaded, and globalconv export writes"
                    " no such file; do not use it"
                )


def _metadata(path: Path, text: object) -> ExportMetadata:
    if text is None:
        raise InputError(f"{path}: was not written by globalconv export; its classes and geometry are not known")
    try:
        return ExportMetadata.from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}; export or copy it again") from error


def _count(number: int) -> str:
    return f"{number} thread{'s' if number != 1 else ''}"
