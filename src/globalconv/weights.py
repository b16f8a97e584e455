"""A model on disk: weights.safetensors beside model.json, which says how to build the network and what it predicts.

Loading reads tensors and JSON and executes nothing. Both files are replaced atomically, but not both at once: each
carries the same digest of the whole, and the tensors' file carries the description a second time. So whatever moment
a save is interrupted at, the tensors are loaded together with the description that was saved with them. Loading
computes the digest again: what was damaged or edited since is refused. Only classes may get other names and colours in
model.json, which a warning tells.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from globalconv.errors import InputError, InputWarning
from globalconv.geometry import AS_THEY_ARE, Geometry
from globalconv.hub.address import is_address, parse_address, shown_path
from globalconv.hub.client import naming_repository
from globalconv.hub.download import Snapshot, fetch
from globalconv.labels import LabelSpace
from globalconv.model.network import LATER_SETTINGS, SETTINGS, GlobalConvNet, ImageNetwork, check_normalisation
from globalconv.model.pretrained import first_names, mismatch, unusable
from globalconv.model.skip_init import SkipRandomInit
from globalconv.model.wrapped import WrappedNetwork, unwrap
from globalconv.runtime.files import write_atomic, write_text
from globalconv.runtime.text import one_line

FORMAT = 1
"""Raised when earlier versions could no longer read the files of this one."""

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"

BACKBONE_FILE = "backbone.safetensors"
"""What pre-training writes in place of the two above: a backbone for `backbone_weights`, not a whole network."""

ORDER = "order"
"""Field of the description in the tensors' file: their names in the order of the digest, because the format sorts them.
Files of earlier versions lack it; theirs is the order of the network's state dict."""


@dataclass(frozen=True)
class Model:
    """A network as it was saved, in eval mode, float32, on the CPU; its labels, and what was noted beside it."""

    network: ImageNetwork
    labels: LabelSpace
    info: dict[str, Any]
    folder: Path
    geometry: Geometry = AS_THEY_ARE
    digest: str = ""
    """Of description and tensors as they were saved; empty where the file has none."""


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
    description["digest"] = _digest(description, tensors.values())
    text = json.dumps(description, indent=2)
    folder.mkdir(parents=True, exist_ok=True)
    # One entry only: the format writes several in an order of chance.
    content = save(tensors, metadata={MODEL_FILE: json.dumps({**description, ORDER: list(tensors)})})
    write_atomic(folder / WEIGHTS_FILE, lambda file: file.write(content))
    write_text(folder / MODEL_FILE, text + "\n")


def _digest(description: Mapping[str, Any], tensors: Iterable[Tensor]) -> str:
    """Return a digest of all that is saved: of nothing random, so that equal trainings write equal files."""
    digest = hashlib.sha256(json.dumps({k: v for k, v in description.items() if k not in ("digest", ORDER)}).encode())
    for tensor in tensors:
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(path: Path, module: nn.Module | None = None) -> Model:
    """Return the model in `path`: a run folder, any folder with the two files, one of the two, or hf://USER/NAME.

    Where the training was given its network as an `nn.Module`, `module` is another one of the same class, which takes
    the weights. Raises `InputError` naming the file where something is missing, damaged, edited or does not fit
    together, or where values are none that a network can have.
    """
    with naming_repository(path), ThreadPoolExecutor(1) as pool:
        files = _read_files(path)
        hashing = pool.submit(files.digest, files.order) if files.order else None  # while the network is built
        network = _build(files, module)
        files.fill(network, hashing=hashing)
    return Model(
        network.eval(),
        files.labels,
        dict(files.description["info"]),
        files.folder,
        files.geometry,
        (files.signed or {}).get("digest", ""),
    )


def weights_folder(path: Path) -> Path:
    """Return the folder of the two files that `path` names; those on the hub are in its cache then.

    Of a repository only these two are ever fetched. `InputError` where the hub has or gives none.
    """
    if is_address(path):
        return _fetch(path).folder
    return path.parent if path.name in (WEIGHTS_FILE, MODEL_FILE) else path


def pinned_weights(path: Path) -> Path:
    """Return `path`; one on the hub with its commit, so that whatever happens there it is the same network."""
    return Path(str(_fetch(path).address)) if is_address(path) else path


def _fetch(path: Path) -> Snapshot:
    return fetch(parse_address(path), (MODEL_FILE, WEIGHTS_FILE), "network of globalconv")


def _build(files: "_SavedFiles", module: nn.Module | None) -> ImageNetwork:
    """Return the network that the saved weights belong to, without them."""
    if (custom_class := files.settings.get("module")) is not None:
        if module is None:
            raise InputError(
                f"{files.model_file}: only Python can make its network:"
                f" globalconv.load(..., network={custom_class}(...))"
            )
        if isinstance(module, ImageNetwork):
            module.settings = files.settings
            return module
        return WrappedNetwork(module, files.settings["num_classes"])
    if module is not None:
        raise InputError(f"{files.model_file}: says itself what its network is; leave out network=")
    with torch.random.fork_rng(devices=[]), SkipRandomInit():  # the caller's random numbers stay as they are
        try:
            return GlobalConvNet(**files.settings)
        except InputError as error:
            raise InputError(f"{files.model_file}: {error}") from error


def init_from(network: GlobalConvNet, path: Path, labels: LabelSpace) -> str:
    """Copy a saved model's tensors and its normalisation into `network`; return one line about what was copied.

    All settings must be equal but the number of classes. If the number or the names of the classes differ from
    `labels`, only the backbone is copied, and all that computes scores keeps the fresh weights of `network`: the score
    of another class is no better a start than none.
    """
    with naming_repository(path):
        files = _read_files(path)
    tensors, folder = files.tensors, shown_path(path) if is_address(path) else str(files.folder)
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
    backbone = [name for name in tensors if name.startswith("backbone.")]
    files.fill(network, {name: tensor for name, tensor in network.state_dict().items() if name not in backbone})
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
    signed: dict[str, Any] | None
    """The description that the digest was computed with, and in it the digest; None where there is no digest."""
    order: list[str]
    """Names of the tensors in the order of the digest; empty where the file does not say it."""

    @property
    def model_file(self) -> Path:
        return self.folder / MODEL_FILE

    def digest(self, order: Iterable[str]) -> str:
        """Return the digest of what was read."""
        return _digest(self.signed or {}, (self.tensors[name] for name in order if name in self.tensors))

    def fill(
        self,
        network: ImageNetwork,
        fresh: Mapping[str, Tensor] | None = None,
        hashing: Future[str] | None = None,
    ) -> None:
        """Copy the tensors and the normalisation into `network`; with `fresh`, those tensors in place of the saved.

        `hashing` is the digest where a thread is computing it already.
        """
        module, weights_file = unwrap(network), self.folder / WEIGHTS_FILE
        expected = module.state_dict()
        tensors = self.tensors if fresh is None else {**self.tensors, **fresh}
        if difference := mismatch(expected, tensors):
            raise InputError(
                f"{weights_file}: does not fit the network of {MODEL_FILE}: {difference}; copy both files of one model"
            )
        if problem := unusable(module, self.tensors):
            raise InputError(f"{weights_file}: {problem}; restore the file from where it was saved")
        if self.signed is not None:
            found = hashing.result() if hashing else self.digest(self.order or expected)
            if found != self.signed["digest"]:
                raise InputError(
                    f"{weights_file}: edited or damaged since it was saved (its digest is another); copy both files"
                    " again, or, where a program changed the tensors on purpose, let it write them without metadata and"
                    f' remove "digest" from {MODEL_FILE}'
                )
        module.load_state_dict(tensors)
        network.mean_C11.copy_(torch.tensor(self.description["mean"]).view(-1, 1, 1))
        network.std_C11.copy_(torch.tensor(self.description["std"]).view(-1, 1, 1))


def _read_files(path: Path) -> _SavedFiles:
    """Read a model's tensors and the description that was saved with them; `InputError` names the file at fault."""
    folder = weights_folder(path)
    weights_file, model_file = folder / WEIGHTS_FILE, folder / MODEL_FILE
    if folder.is_file():
        raise InputError(
            f"{folder}: is a file, and the weights of a network are wanted; give the run folder that it was exported"
            f" from, or a folder with {WEIGHTS_FILE} and {MODEL_FILE}"
        )
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
            metadata = file.metadata() or {}  # empty where another program wrote the file
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{weights_file}: damaged or not a safetensors file ({one_line(error)}); copy it again"
        ) from error
    embedded = _parse_description(weights_file, metadata[MODEL_FILE]) if MODEL_FILE in metadata else None
    if embedded is not None and not isinstance(embedded.get("digest"), str):
        embedded = None  # none that was written here
    try:
        text = model_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{model_file}: cannot be read ({one_line(error)}); copy it again") from error
    description = _parse_description(model_file, text)
    if embedded is not None and description.get("digest") not in (None, embedded.get("digest")):
        description = embedded  # a save was interrupted between the two files
    labels, settings, geometry = _check_description(model_file, description)
    if embedded is not None:
        _compare_descriptions(model_file, embedded, description)
    signed: dict[str, Any] | None = description if embedded is None else embedded
    if signed is None or not isinstance(signed.get("digest"), str):
        signed = None
    order: Any = [] if signed is None else signed.get(ORDER)
    known = isinstance(order, list) and sorted(map(str, order)) == sorted(tensors)
    return _SavedFiles(folder, tensors, description, labels, settings, geometry, signed, order if known else [])


def _compare_descriptions(model_file: Path, saved: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Refuse a model.json that says otherwise than what was saved with the tensors; warn of edited classes."""
    before, now = map(_by_dotted_names, (saved, description))
    differing = [
        name for name in dict.fromkeys([*before, *now]) if json.dumps(before.get(name)) != json.dumps(now.get(name))
    ]
    if others := [name for name in differing if name not in ("labels.class_names", "labels.palette")]:
        raise InputError(
            f"{model_file}: not as it was saved with {WEIGHTS_FILE}, edited or damaged: {first_names(others)}; undo the"
            " edit, or copy both files again (only class names and colours may be edited)"
        )
    if differing:
        pairs = zip(before.get("labels.class_names", ()), now["labels.class_names"], strict=False)
        changes = [f"{then!r} is called {name!r}" for then, name in pairs if then != name]
        warnings.warn(
            InputWarning(
                f"{model_file}: classes were edited since it was saved with {WEIGHTS_FILE} ("
                f"{first_names(changes) or 'their colours'}); undo the edit if it was none of yours, or save the"
                " network with them by globalconv.weights.save_weights",
                "network",
            ),
            stacklevel=2,
        )


def _by_dotted_names(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a description but its digest, and those of the objects in it under "network.head"."""
    flat: dict[str, Any] = {}
    for field, value in description.items():
        flat |= (
            {f"{field}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {field: value}
        )
    return {name: value for name, value in flat.items() if name not in ("digest", ORDER)}


def _parse_description(path: Path, text: str) -> dict[str, Any]:
    try:
        description = json.loads(text)
        json.dumps(description)  # its limit of nesting is another
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({one_line(error)}); copy it again, or undo the edit") from error
    if not isinstance(description, dict):
        raise InputError(f"{path}: holds no JSON object; this is not the description of a model")
    return description


def _check_description(path: Path, description: dict[str, Any]) -> tuple[LabelSpace, dict[str, Any], Geometry]:
    """Return the labels, the network's settings and the geometry; `InputError` says which field is wrong."""
    if description.get("format") != FORMAT:
        raise InputError(
            f"{path}: format={one_line(repr(description.get('format')))}, this globalconv ({version('globalconv')})"
            f" reads {FORMAT}; use the version that wrote it ({one_line(description.get('globalconv', 'unknown'))})"
        )
    for field in ("network", "labels", "info"):
        if not isinstance(description.get(field), dict):
            value = one_line(repr(description.get(field)))
            raise InputError(f"{path}: {field}={value}: expected a JSON object; copy the file again")
    _check_noted(path, description["info"])
    try:
        check_normalisation(description.get("mean"), description.get("std"))
    except InputError as error:
        raise InputError(f"{path}: {error}; copy the file again") from error
    try:
        labels = LabelSpace.from_json(description["labels"])
    except (InputError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: labels: {one_line(error)}; copy the file again") from error
    settings: dict[str, Any] = description["network"]
    settings = settings if "module" in settings else {**LATER_SETTINGS, **settings}
    if settings.keys() not in (set(SETTINGS), {"module", "num_classes"}):
        differing = first_names(sorted(settings.keys() ^ set(SETTINGS)))
        raise InputError(f"{path}: network: {differing} missing or unknown; it has {', '.join(SETTINGS)}")
    if settings["num_classes"] != labels.num_classes:
        raise InputError(
            f"{path}: {labels.num_classes} class names for num_classes={one_line(repr(settings['num_classes']))};"
            " undo the edit"
        )
    try:
        geometry = Geometry.from_json(description.get("geometry"))  # files of earlier versions have none
    except InputError as error:
        raise InputError(f"{path}: {error}; copy the file again") from error
    return labels, settings, geometry


def _check_noted(path: Path, info: Mapping[str, Any]) -> None:
    """Raise `InputError` for what no training notes beside a network, where others look for something in it."""
    recipe, held_out = info.get("recipe", {}), info.get("held_out") or []
    if not (isinstance(recipe, dict) and isinstance(recipe.get("data", {}), dict)):
        raise InputError(f"{path}: info.recipe={one_line(repr(recipe))}: is no recipe; copy the file again")
    if not (isinstance(held_out, list) and all(isinstance(name, str) for name in held_out)):
        raise InputError(f"{path}: info.held_out={one_line(repr(held_out))}: are no names; copy the file again")
