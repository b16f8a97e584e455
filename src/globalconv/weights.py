"""A model on disk: weights.safetensors beside model.json, which says how to build the network and what it predicts.

Loading reads tensors and JSON and runs nothing. Both files are replaced atomically, but not both at once: each
carries the same digest of the whole, and the tensors' file carries the description a second time. So whatever moment
a save is interrupted at, the tensors are loaded together with the description that was saved with them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from globalconv.errors import InputError
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.labels import LabelSpace
from globalconv.model.network import LATER_SETTINGS, SETTINGS, GlobalConvNet, ImageNetwork
from globalconv.model.pretrained import mismatch, named
from globalconv.model.wrapped import WrappedNetwork, unwrap
from globalconv.runtime.files import write_atomic, write_text
from globalconv.runtime.text import one_line

FORMAT = 1
"""Raised when a file of today could not be read by yesterday's code."""

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"

BACKBONE_FILE = "backbone.safetensors"
"""What a pre-training leaves in place of the two above: no whole network, but a backbone for `backbone_weights`."""


@dataclass(frozen=True)
class Model:
    """A network as it was saved: in eval mode, float32, on the CPU; with its labels and what was noted beside it."""

    network: ImageNetwork
    labels: LabelSpace
    info: dict[str, Any]
    folder: Path
    geometry: Geometry = AS_THEY_ARE


def save_weights(
    folder: Path, network: ImageNetwork, labels: LabelSpace, info: dict[str, Any], geometry: Geometry = AS_THEY_ARE
) -> None:
    """Write `network` (parameters and batch-norm statistics) to `folder` so that `load_weights` gives it back.

    `info` is free: whatever JSON can hold, such as the split trained on. `geometry` is obeyed by who predicts.
    """
    if labels.num_classes != network.settings["num_classes"]:
        raise InputError(f"{labels.num_classes} class names for a network of {network.settings['num_classes']} classes")
    # Copies, because layers may share a tensor, which the format does not know.
    state = unwrap(network).state_dict()
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    description = {
        "format": FORMAT,
        "globalconv": version("globalconv"),
        "network": network.settings,
        "mean": network.mean_C11.flatten().tolist(),
        "std": network.std_C11.flatten().tolist(),
        "labels": labels.to_json(),
        "geometry": geometry.to_json(),
        "info": info,
    }
    description["digest"] = _digest(description, tensors)
    text = json.dumps(description, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    content = save(tensors, metadata={MODEL_FILE: text})
    write_atomic(folder / WEIGHTS_FILE, lambda file: file.write(content))
    write_text(folder / MODEL_FILE, text + "\n")


def load_weights(path: Path, module: nn.Module | None = None) -> Model:
    """Return the model in `path`: a run folder, any folder with the two files, or one of the two files.

    A network that was given to the training as an `nn.Module` is filled into `module`, another of its make.
    Raises `InputError` naming the file where something is missing, damaged or does not fit together.
    """
    folder = path.parent if path.name in (WEIGHTS_FILE, MODEL_FILE) else path
    tensors, description = _read(folder)
    labels, settings = _checked(folder / MODEL_FILE, description)
    network = _build(folder / MODEL_FILE, settings, module)
    _fill(network, tensors, description, folder)
    try:
        geometry = Geometry.from_json(description.get("geometry"))
    except InputError as error:
        raise InputError(f"{folder / MODEL_FILE}: {error}; copy the file again") from error
    return Model(network.eval(), labels, dict(description["info"]), folder, geometry)


def init_from(network: GlobalConvNet, path: Path, labels: LabelSpace) -> str:
    """Copy a saved model's tensors and its normalisation into `network`; return what was taken over, for people.

    All settings must be equal but the number of classes. With another number, or other class names than `labels`, the
    backbone is taken over and all that computes scores keeps the fresh weights of `network`: a score of another class
    is no better a start than none.
    """
    folder = path.parent if path.name in (WEIGHTS_FILE, MODEL_FILE) else path
    tensors, description = _read(folder)
    their_labels, settings = _checked(folder / MODEL_FILE, description)
    if "module" in settings:
        raise InputError(f"{folder}: cannot start from it, its network is a {settings['module']}")
    theirs = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    if different := [
        f"{name} {theirs[name]!r} there, {network.settings[name]!r} here"
        for name in SETTINGS
        if name != "num_classes" and theirs[name] != network.settings[name]
    ]:
        raise InputError(f"{folder}: cannot start from it, its network is another: {'; '.join(different)}")
    if their_labels.class_names == labels.class_names:
        _fill(network, tensors, description, folder)
        return f"all {len(tensors)} tensors of {folder}"
    backbone = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    kept = {name: tensor for name, tensor in network.state_dict().items() if name not in backbone}
    _fill(network, {**kept, **backbone}, description, folder)
    return (
        f"the backbone of {folder} ({len(backbone)} of {len(tensors)} tensors); heads, refinements and upsamplings"
        f" start fresh, because its classes are others ({_unlike(their_labels, labels)})"
    )


def _unlike(theirs: LabelSpace, ours: LabelSpace) -> str:
    if theirs.num_classes != ours.num_classes:
        return f"{theirs.num_classes} there, {ours.num_classes} here"
    there, here = next((a, b) for a, b in zip(theirs.class_names, ours.class_names, strict=True) if a != b)
    return f"{there!r} there where {here!r} is here"


def _digest(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of everything saved: a pure function of it, so that equal trainings write equal files."""
    state = hashlib.sha256(json.dumps(description).encode())
    for tensor in tensors.values():
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a folder and the description that belongs to them."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a run folder, or one with {WEIGHTS_FILE} and {MODEL_FILE}")
    if (folder / BACKBONE_FILE).is_file() and not (folder / MODEL_FILE).is_file():
        raise InputError(
            f"{folder}: holds a pre-trained backbone, no segmentation network; train one from it with"
            f" globalconv train ... --model.backbone-weights {folder / BACKBONE_FILE}"
        )
    if missing := [name for name in (WEIGHTS_FILE, MODEL_FILE) if not (folder / name).is_file()]:
        inside = sorted(file.parent.name for file in folder.glob(f"*/{MODEL_FILE}"))
        raise InputError(
            f"{folder}: no {' and no '.join(missing)} in it; give a run folder whose training has been evaluated at"
            f" least once, or a folder with {WEIGHTS_FILE} and {MODEL_FILE}"
            f"{f' (in it: {named(inside)})' if inside else ''}"
        )
    tensors, embedded = _read_tensors(folder / WEIGHTS_FILE)
    description = _read_description(folder / MODEL_FILE)
    if embedded is not None and description.get("digest") not in (None, embedded.get("digest")):
        description = embedded  # a save was interrupted between the two files
    return tensors, description


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return the tensors of a file and the description written into it, None where another program wrote the file."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(MODEL_FILE)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: damaged or not a safetensors file ({one_line(error)}); copy it again") from error
    return tensors, None if text is None else _parse(path, text)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        return _parse(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); copy it again") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({one_line(error)}); copy it again, or undo the edit") from error
    if not isinstance(description, dict):
        raise InputError(f"{path}: holds no JSON object; this is not the description of a model")
    return description


def _checked(path: Path, description: Mapping[str, Any]) -> tuple[LabelSpace, dict[str, Any]]:
    """Return the labels and the network's settings of a description, or say which field is wrong."""
    if description.get("format") != FORMAT:
        raise InputError(
            f"{path}: format={description.get('format')!r}, this globalconv ({version('globalconv')}) reads"
            f" {FORMAT}; use the version that wrote it ({description.get('globalconv', 'unknown')})"
        )
    for field in ("network", "labels", "info"):
        if not isinstance(description.get(field), dict):
            raise InputError(f"{path}: {field}={description.get(field)!r}: expected a JSON object; copy the file again")
    for field in ("mean", "std"):
        _check_colour(path, field, description.get(field))
    try:
        labels = LabelSpace.from_json(description["labels"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: labels: {one_line(error)}; copy the file again") from error
    settings: dict[str, Any] = description["network"]
    settings = settings if "module" in settings else {**LATER_SETTINGS, **settings}
    if settings.keys() not in (set(SETTINGS), {"module", "num_classes"}):
        differing = named(sorted(settings.keys() ^ set(SETTINGS)))
        raise InputError(f"{path}: network: {differing} missing or unknown; it has {', '.join(SETTINGS)}")
    if settings["num_classes"] != labels.num_classes:
        raise InputError(
            f"{path}: {labels.num_classes} class names for num_classes={settings['num_classes']!r}; undo the edit"
        )
    return labels, settings


def _check_colour(path: Path, field: str, values: object) -> None:
    if not (
        isinstance(values, list) and len(values) == 3 and all(isinstance(v, float) and isfinite(v) for v in values)
    ):
        raise InputError(f"{path}: {field}={values!r}: expected three finite numbers; copy the file again")


def _build(path: Path, settings: dict[str, Any], module: nn.Module | None) -> ImageNetwork:
    """Return a network of these settings whose weights are yet to be read, or one around `module`."""
    if (made_by := settings.get("module")) is not None:
        if module is None:
            raise InputError(f"{path}: only Python can make its network: globalconv.load(..., network={made_by}(...))")
        if not isinstance(module, ImageNetwork):
            return WrappedNetwork(module, settings["num_classes"])
        module.settings = settings
        return module
    if module is not None:
        raise InputError(f"{path}: says itself what its network is; leave out network=")
    with torch.random.fork_rng(devices=[]), _Undrawn():  # the caller's random numbers stay as they are
        try:
            return GlobalConvNet(**settings)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


class _Undrawn(TorchFunctionMode):
    """Leaves out the random numbers of fresh layers, which take most of the time of making them."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_normal_, init.kaiming_uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _fill(network: ImageNetwork, tensors: dict[str, Tensor], description: Mapping[str, Any], folder: Path) -> None:
    if difference := mismatch(unwrap(network).state_dict(), tensors):
        raise InputError(
            f"{folder / WEIGHTS_FILE}: does not fit the network of {MODEL_FILE}: {difference}; copy both files of one"
            f" model"
        )
    unwrap(network).load_state_dict(tensors)
    for buffer_C11, field in ((network.mean_C11, "mean"), (network.std_C11, "std")):
        buffer_C11.copy_(torch.tensor(description[field]).view(-1, 1, 1))
