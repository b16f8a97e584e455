"""Weights for a backbone: found in a file or fetched by timm's tag, and fitted to the names of the cut model.

The one place in this room that sees a file's path: `backbone_weights` may be one.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, split_model_name_tag
from torch import Tensor, nn

from globalconv.errors import InputError, nearest
from globalconv.model.state import mismatch, one_line, read_tensors
from globalconv.model.torchvision_names import from_torchvision

CLASSIFIERS = ("fc.", "classifier.", "head.")
FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
HUB_TIMEOUT_S = 5.0


def load_pretrained(body: nn.Module, name: str, weights: str) -> Any:
    """Fill `body`, the timm model `name` cut into levels, from `weights`: "imagenet", a timm tag or a file.

    The classifier may be absent from a file or of any shape; every other difference raises `InputError`.
    Return timm's configuration of the weights, None for a file.
    """
    path, config = Path(weights).expanduser(), None
    if weights == "imagenet" or not path.is_file():
        config = _hub_config(name, weights)
        path = _from_hub(weights, config)
    expected = body.state_dict()
    given = _fitted(name, read_tensors(path), expected)
    if difference := mismatch(expected, given):
        hint = "; train from a whole network with --init-from" if any(n.startswith("backbone.") for n in given) else ""
        raise InputError(f"backbone_weights={weights}: not the weights of backbone {name!r}: {difference}{hint}")
    body.load_state_dict(given)
    return config


def pretrained_config(name: str) -> Any:
    """Return timm's configuration of the model `name`, which may end in a tag; None where timm has none."""
    try:
        return get_pretrained_cfg(name)
    except RuntimeError as error:
        architecture, _ = split_model_name_tag(name)
        raise InputError(f"backbone={name!r}: timm has no such weights; {_nearest_tag(architecture, name)}") from error


def _hub_config(name: str, weights: str) -> Any:
    """Return timm's configuration of "imagenet" (what timm takes by default) or of a tag, if the hub has its file."""
    architecture, _ = split_model_name_tag(name)
    config = pretrained_config(name) if weights == "imagenet" else _tagged_config(architecture, weights)
    if config is None or not config.hf_hub_id:
        raise InputError(
            f"backbone_weights={weights}: timm has no weights for {architecture!r} on the hub; give a file of them,"
            f" or train from scratch with backbone_weights=None"
        )
    return config


def _tagged_config(architecture: str, weights: str) -> Any:
    """Return timm's configuration for `weights`, a tag of `architecture` with or without its name before it."""
    tagged = get_arch_pretrained_cfgs(architecture)
    for full_name in (weights, f"{architecture}.{weights}"):
        if full_name in tagged:
            return tagged[full_name]
    given = f"backbone_weights={weights}"
    if Path(weights).is_dir():
        raise InputError(f"{given}: a folder; give the file of weights in it")
    if Path(weights).suffix in FILE_SUFFIXES or len(Path(weights).parts) > 1:
        raise InputError(f"{given}: no such file")
    if timm.is_model(weights) and split_model_name_tag(weights)[0] != architecture:
        raise InputError(f"{given}: these are not weights of the backbone {architecture!r}")
    raise InputError(
        f"{given}: neither a file that exists, nor 'imagenet', nor a timm tag of {architecture!r};"
        f" {_nearest_tag(architecture, weights)}"
    )


def _nearest_tag(architecture: str, tag: str) -> str:
    tags = get_arch_pretrained_cfgs(architecture)
    return nearest(tag, tags) if tags else "it has none for this model"


def _from_hub(weights: str, config: Any) -> Path:
    """Return the file of timm's configuration `config` from the hub's cache, else download it.

    The hub's own client retries a dead network for most of a minute, so one request without retries goes first.
    """
    repository, _, revision = config.hf_hub_id.partition("@")
    revision = revision or None
    files = (config.hf_hub_filename,) if config.hf_hub_filename else HUB_FILES
    for file in files:
        if isinstance(cached := try_to_load_from_cache(repository, file, revision=revision), str):
            return Path(cached)
    try:
        for file in files:
            if _is_on_hub(repository, revision, file):
                return Path(hf_hub_download(repository, file, revision=revision))
        reason = f"the repository has none of {', '.join(files)}"
    except Exception as error:  # whatever the client's transport raises: no network, no rights, no space
        reason = one_line(error)
    raise InputError(
        f"backbone_weights={weights}: could not fetch {repository} ({reason}); go online once, or download its"
        f" {files[0]} elsewhere and give backbone_weights=PATH"
    )


def _is_on_hub(repository: str, revision: str | None, file: str) -> bool:
    try:
        get_hf_file_metadata(hf_hub_url(repository, file, revision=revision), timeout=HUB_TIMEOUT_S)
    except EntryNotFoundError:
        return False
    return True


def _fitted(name: str, state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` under the names of `expected`, less what belongs to parts of the model that were cut off.

    timm renames a model's parts when it cuts it ("stages.0" becomes "stages_0", or "model.stages.0"), so names are
    compared with every dot as an underscore and without what was put before them.
    """
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False)
    of_whole = {_flat(key) for key in whole.state_dict()}
    places = {_flat(key) if _flat(key) in of_whole else _flat(_unwrapped(key)): key for key in expected}
    if not places.keys() <= {_flat(key) for key in state}:
        state = _to_timm_names(name, state, whole)
    cut_off = of_whole - places.keys()
    fitted = {
        places.get(_flat(key), key): tensor
        for key, tensor in state.items()
        if _flat(key) not in cut_off and not (key.startswith(CLASSIFIERS) and _flat(key) not in places)
    }
    # Files from before torch 0.4.1 (torchvision's ResNets) lack this counter, which nothing here reads.
    counters = {k: torch.zeros_like(v) for k, v in expected.items() if k.endswith("num_batches_tracked")}
    return counters | fitted


def _to_timm_names(name: str, state: dict[str, Tensor], whole: nn.Module) -> dict[str, Tensor]:
    """Return `state` in timm's names if it is in torchvision's or in a form timm itself knows how to translate."""
    architecture, _ = split_model_name_tag(name)
    renamed = from_torchvision(architecture, state)
    translate = getattr(sys.modules[timm.model_entrypoint(architecture).__module__], "checkpoint_filter_fn", None)
    if translate is None or renamed.keys() != state.keys():
        return renamed
    try:
        return dict(translate(dict(state), whole))
    except Exception:  # timm's translators assume their own input; the comparison to come says what is wrong
        return state


def _unwrapped(name: str) -> str:
    return name.removeprefix("model.").removeprefix("body.")


def _flat(name: str) -> str:
    return name.replace(".", "_")
