"""A model on disk: weights.safetensors beside model.json, which says how to build the network and what it predicts.

Loading reads tensors and JSON and executes nothing. Both files are replaced atomically, but not both at once: each
carries the same digest of the whole, and the tensors' file carries the description a second time. So whatever moment
a save is interrupted at, the tensors are loaded together with the description that was saved with them.
"""

import hashlib
import json
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
from globalconv.model.pretrained import first_names, mismatch
from globalconv.model.wrapped import WrappedNetwork, unwrap
from globalconv.runtime.files import write_atomic, write_text
from globalconv.runtime.text import one_line

FORMAT = 1
"""Raised when earlier versions could no longer read the files of this one."""

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"

BACKBONE_FILE = "backbone.safetensors"
"""What pre-training writes in place of the two above: a backbone for `backbone_weights`, not a whole network."""


@dataclass(frozen=True)
class Model:
    """A network as it was saved, in eval mode, float32, on the CPU; its labels, and what was noted beside it."""

    network: ImageNetwork
    labels: LabelSpace
    info: dict[str, Any]
    folder: Path
    geometry: Geometry = AS_THEY_ARE


def save_weights(
    folder: Path, network: ImageNetwork, labels: LabelSpace, info: dict[str, Any], geometry: Geometry = AS_THEY_ARE
) -> None:
    """Write `network` (parameters and batch-norm statistics) to `folder`, where `load_weights` finds it.

    `info` is free: whatever JSON can hold, such as the split trained on. `geometry` is for those who predict.
    """
    if labels.num_classes != network.settings["num_classes"]:
        raise InputError(f"{labels.num_classes} class names for a network of {network.settings['num_classes']} classes")
    # Copies, because layers may share a tensor, which the format cannot express.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in unwrap(network).state_dict().items()
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
    # A digest of all that is saved, not a random number, so that equal trainings write equal files.
    digest = hashlib.sha256(json.dumps(description).encode())
    for tensor in tensors.values():
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    description["digest"] = digest.hexdigest()
    text = json.dumps(description, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    content = save(tensors, metadata={MODEL_FILE: text})
    write_atomic(folder / WEIGHTS_FILE, lambda file: file.write(content))
    write_text(folder / MODEL_FILE, text + "\n")


def load_weights(path: Path, module: nn.Module | None = None) -> Model:
    """Return the model in `path`: a run folder, any folder with the two files, or one of the two files.

    Where the training was given its network as an `nn.Module`, `module` is another one of the same class, which takes
    the weights. Raises `InputError` naming the file where something is missing, damaged or does not fit together.
    """
    files = _read_files(path)
    network: ImageNetwork
    if (custom_class := files.settings.get("module")) is not None:
        if module is None:
            raise InputError(
                f"{files.model_file}: only Python can make its network:"
                f" globalconv.load(..., network={custom_class}(...))"
            )
        if isinstance(module, ImageNetwork):
            network, network.settings = module, files.settings
        else:
            network = WrappedNetwork(module, files.settings["num_classes"])
    elif module is not None:
        raise InputError(f"{files.model_file}: says itself what its network is; leave out network=")
    else:
        with torch.random.fork_rng(devices=[]), _SkipRandomInit():  # the caller's random numbers stay as they are
            try:
                network = GlobalConvNet(**files.settings)
            except InputError as error:
                raise InputError(f"{files.model_file}: {error}") from error
    files.fill(network)
    return Model(network.eval(), files.labels, dict(files.description["info"]), files.folder, files.geometry)


def init_from(network: GlobalConvNet, path: Path, labels: LabelSpace) -> str:
    """Copy a saved model's tensors and its normalisation into `network`; return one line about what was copied.

    All settings must be equal but the number of classes. If the number or the names of the classes differ from
    `labels`, only the backbone is copied, and all that computes scores keeps the fresh weights of `network`: the score
    of another class is no better a start than none.
    """
    files = _read_files(path)
    folder, tensors = files.folder, files.tensors
    if "module" in files.settings:
        raise InputError(f"{folder}: cannot start from it, its network is a {files.settings['module']}")
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in files.settings.items()}
    if differences := [
        f"{name} {settings[name]!r} there, {network.settings[name]!r} here"
        for name in SETTINGS
        if name != "num_classes" and settings[name] != network.settings[name]
    ]:
        raise InputError(f"{folder}: cannot start from it, its network is another: {'; '.join(differences)}")
    if files.labels.class_names == labels.class_names:
        files.fill(network)
        return f"all {len(tensors)} tensors of {folder}"
    backbone = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    fresh = {name: tensor for name, tensor in network.state_dict().items() if name not in backbone}
    files.fill(network, {**fresh, **backbone})
    if files.labels.num_classes != labels.num_classes:
        difference = f"{files.labels.num_classes} there, {labels.num_classes} here"
    else:
        names = zip(files.labels.class_names, labels.class_names, strict=True)
        there, here = next((there, here) for there, here in names if there != here)
        difference = f"{there!r} there where {here!r} is here"
    return (
        f"the backbone of {folder} ({len(backbone)} of {len(tensors)} tensors); heads, refinements and upsamplings"
        f" start fresh, because its classes are others ({difference})"
    )


@dataclass(frozen=True)
class _SavedFiles:
    """The two files of a model, read and checked: all but whether the tensors fit the network."""

    folder: Path
    tensors: dict[str, Tensor]
    description: dict[str, Any]
    labels: LabelSpace
    settings: dict[str, Any]
    geometry: Geometry

    @property
    def model_file(self) -> Path:
        return self.folder / MODEL_FILE

    def fill(self, network: ImageNetwork, tensors: dict[str, Tensor] | None = None) -> None:
        """Copy the tensors (or others of these names) and the normalisation into `network`."""
        tensors = self.tensors if tensors is None else tensors
        if difference := mismatch(unwrap(network).state_dict(), tensors):
            raise InputError(
                f"{self.folder / WEIGHTS_FILE}: does not fit the network of {MODEL_FILE}: {difference}; copy both files"
                f" of one model"
            )
        unwrap(network).load_state_dict(tensors)
        network.mean_C11.copy_(torch.tensor(self.description["mean"]).view(-1, 1, 1))
        network.std_C11.copy_(torch.tensor(self.description["std"]).view(-1, 1, 1))


def _read_files(path: Path) -> _SavedFiles:
    """Read a model's tensors and the description that was saved with them; `InputError` names the file at fault."""
    folder = path.parent if path.name in (WEIGHTS_FILE, MODEL_FILE) else path
    weights_file, model_file = folder / WEIGHTS_FILE, folder / MODEL_FILE
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a run folder, or one with {WEIGHTS_FILE} and {MODEL_FILE}")
    if (folder / BACKBONE_FILE).is_file() and not model_file.is_file():
        raise InputError(
            f"{folder}: holds a pre-trained backbone, no segmentation network; train one from it with"
            f" globalconv train ... --model.backbone-weights {folder / BACKBONE_FILE}"
        )
    if missing := [file.name for file in (weights_file, model_file) if not file.is_file()]:
        inside = sorted(file.parent.name for file in folder.glob(f"*/{MODEL_FILE}"))
        raise InputError(
            f"{folder}: no {' and no '.join(missing)} in it; give a run folder whose training has been evaluated at"
            f" least once, or a folder with {WEIGHTS_FILE} and {MODEL_FILE}"
            f"{f' (in it: {first_names(inside)})' if inside else ''}"
        )
    try:
        with safe_open(weights_file, framework="pt") as file:
            embedded_text = (file.metadata() or {}).get(MODEL_FILE)  # None where another program wrote the file
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{weights_file}: damaged or not a safetensors file ({one_line(error)}); copy it again"
        ) from error
    embedded = None if embedded_text is None else _parse_description(weights_file, embedded_text)
    try:
        text = model_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{model_file}: cannot be read ({one_line(error)}); copy it again") from error
    description = _parse_description(model_file, text)
    if embedded is not None and description.get("digest") not in (None, embedded.get("digest")):
        description = embedded  # a save was interrupted between the two files
    labels, settings, geometry = _check_description(model_file, description)
    return _SavedFiles(folder, tensors, description, labels, settings, geometry)


def _parse_description(path: Path, text: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({one_line(error)}); copy it again, or undo the edit") from error
    if not isinstance(description, dict):
        raise InputError(f"{path}: holds no JSON object; this is not the description of a model")
    return description


def _check_description(path: Path, description: dict[str, Any]) -> tuple[LabelSpace, dict[str, Any], Geometry]:
    """Return the labels, the network's settings and the geometry; `InputError` says which field is wrong."""
    if description.get("format") != FORMAT:
        raise InputError(
            f"{path}: format={description.get('format')!r}, this globalconv ({version('globalconv')}) reads"
            f" {FORMAT}; use the version that wrote it ({description.get('globalconv', 'unknown')})"
        )
    for field in ("network", "labels", "info"):
        if not isinstance(description.get(field), dict):
            raise InputError(f"{path}: {field}={description.get(field)!r}: expected a JSON object; copy the file again")
    for field in ("mean", "std"):
        rgb = description.get(field)
        if not (isinstance(rgb, list) and len(rgb) == 3 and all(isinstance(v, float) and isfinite(v) for v in rgb)):
            raise InputError(f"{path}: {field}={rgb!r}: expected three finite numbers; copy the file again")
    try:
        labels = LabelSpace.from_json(description["labels"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: labels: {one_line(error)}; copy the file again") from error
    settings: dict[str, Any] = description["network"]
    settings = settings if "module" in settings else {**LATER_SETTINGS, **settings}
    if settings.keys() not in (set(SETTINGS), {"module", "num_classes"}):
        differing = first_names(sorted(settings.keys() ^ set(SETTINGS)))
        raise InputError(f"{path}: network: {differing} missing or unknown; it has {', '.join(SETTINGS)}")
    if settings["num_classes"] != labels.num_classes:
        raise InputError(
            f"{path}: {labels.num_classes} class names for num_classes={settings['num_classes']!r}; undo the edit"
        )
    try:
        geometry = Geometry.from_json(description.get("geometry"))  # files of earlier versions have none
    except InputError as error:
        raise InputError(f"{path}: {error}; copy the file again") from error
    return labels, settings, geometry


class _SkipRandomInit(TorchFunctionMode):
    """Builds layers without drawing their random weights, which takes most of the time; all are overwritten anyway.

    Building on the meta device with `load_state_dict(assign=True)` takes 1.4 times as long for a ResNet-50, because
    every operation on that device goes through Python, and buffers outside the state dict (timm's BlurPool) would stay
    without values.
    """

    RANDOM = (Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_normal_, init.kaiming_uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
