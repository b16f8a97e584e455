"""Weights for a backbone: found in a file or fetched by timm's tag, and fitted to the names of the cut model.

The one place in this room that sees a file's path: `backbone_weights` may be one.

Named tensors: read from a file without running anything in it, and compared with what a module expects.

torchvision's names for the tensors of ConvNeXt and MobileNetV2, translated into timm's.

Its ResNets share timm's names. Its MobileNetV3 is not translated: it was trained with another batch-norm epsilon
(1e-3 against 1e-5), so that equal weights would give another network.
"""

import argparse
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, split_model_name_tag
from torch import Tensor, nn

from globalconv.errors import InputError, suggest
from globalconv.runtime.text import one_line

WRAPPED = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the tensors, the one to prefer first."""

PREFIXES = ("module.", "_orig_mod.", "module.")
"""What DistributedDataParallel and torch.compile put before every name, in either order."""

NAMED_AT_MOST = 4


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors in a .safetensors file or in one of `torch.save` (any other suffix), on the CPU.

    A pickle is read by torch's restricted unpickler: a file that asks for anything but tensors is refused.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'} of weights")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _restricted_load(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); copy or download it again") from error
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise InputError(
            f"{path}: not a file of tensors, or damaged; give one written by torch.save(model.state_dict(), ...) or a"
            f" .safetensors file ({one_line(error)})"
        ) from error
    return _unwrap(path, content)


def _restricted_load(path: Path) -> object:
    # timm's training checkpoints carry their command line, a plain Namespace.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle protocols: the file is read or refused all the same
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    return content


def _unwrap(path: Path, content: object) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        content = next((content[key] for key in WRAPPED if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds {type(content).__name__}, not named tensors; give a state dict")
    strange = [
        repr(name) for name, value in content.items() if not isinstance(name, str) or not isinstance(value, Tensor)
    ]
    if strange:
        raise InputError(f"{path}: {named(strange)}: not a tensor with a name; give a plain state dict")
    return {_bare(name): tensor for name, tensor in content.items()}


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def mismatch(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """Return in words how `given` differs from `expected` in names and shapes; an empty string if it does not."""
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    reshaped = [
        f"{name}: {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    groups = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    return "; ".join(f"{len(names)} {what} ({named(names)})" for what, names in groups.items() if names)


def named(names: Iterable[str]) -> str:
    """Return the first few names, and that there are more."""
    listed = list(names)
    return ", ".join(listed[:NAMED_AT_MOST]) + (", ..." if len(listed) > NAMED_AT_MOST else "")


_MOBILENETV2_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
_FIRST_BLOCK = {"conv.0.0": "conv_dw", "conv.0.1": "bn1", "conv.1": "conv_pw", "conv.2": "bn2"}
_OTHER_BLOCKS = {
    "conv.0.0": "conv_pw", "conv.0.1": "bn1", "conv.1.0": "conv_dw", "conv.1.1": "bn2", "conv.2": "conv_pwl",
    "conv.3": "bn3",
}  # fmt: skip
_CONVNEXT_LAYERS = {
    "block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2", "layer_scale": "gamma",
}  # fmt: skip


def from_torchvision(architecture: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` under timm's names where `architecture` has others in torchvision; unknown names stay."""
    if architecture.startswith("convnext"):
        return {_convnext(name): _without_space(name, tensor) for name, tensor in state.items()}
    if architecture.startswith("mobilenetv2"):
        renamed = _mobilenetv2_names()
        return {_replace_start(name, renamed): tensor for name, tensor in state.items()}
    return dict(state)


def _without_space(name: str, tensor: Tensor) -> Tensor:
    """Return torchvision's (C, 1, 1) scale of a block as timm's (C,)."""
    return tensor.flatten() if name.endswith("layer_scale") else tensor


def _convnext(name: str) -> str:
    """features: 0 is the stem, odd numbers are stages, even ones the downsampling before a stage."""
    name = re.sub(r"^features\.0\.", "stem.", name)
    name = name.replace("classifier.0.", "head.norm.").replace("classifier.2.", "head.fc.")
    if found := re.match(r"features\.(\d+)\.(\d+)\.(.*)", name):
        feature, index, rest = int(found[1]), found[2], found[3]
        if feature % 2 == 0:
            return f"stages.{feature // 2}.downsample.{index}.{rest}"
        return f"stages.{feature // 2}.blocks.{index}.{_replace_start(rest, _CONVNEXT_LAYERS)}"
    return name


def _mobilenetv2_names() -> dict[str, str]:
    """features: 0 is the stem, then the blocks of all stages in one row, 18 the last convolution."""
    names = {
        "features.0.0": "conv_stem", "features.0.1": "bn1", "features.18.0": "conv_head", "features.18.1": "bn2",
        "classifier.1": "classifier",
    }  # fmt: skip
    places = [(stage, block) for stage, count in enumerate(_MOBILENETV2_BLOCKS) for block in range(count)]
    for feature, (stage, block) in enumerate(places, start=1):
        layers = _FIRST_BLOCK if stage == 0 else _OTHER_BLOCKS
        names |= {f"features.{feature}.{old}": f"blocks.{stage}.{block}.{new}" for old, new in layers.items()}
    return names


def _replace_start(name: str, renamed: Mapping[str, str]) -> str:
    """Return `name` with its longest beginning of whole parts that occurs in `renamed` replaced."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if (new := renamed.get(".".join(parts[:count]))) is not None:
            return ".".join([new, *parts[count:]])
    return name


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
        hint = "; train from a whole network with `init_from`" if any(n.startswith("backbone.") for n in given) else ""
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
    return suggest(tag, tags) if tags else "it has none for this model"


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
