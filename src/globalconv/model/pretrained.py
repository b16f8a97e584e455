"""Weights for a backbone: from a file or by timm's tag, under whatever names, into the cut model of `Backbone`.

`globalconv.model.weights_lookup` finds the file, `read_tensors` reads it without running anything in it, and
`_fit_names` translates the names of its tensors, which may be timm's, torchvision's, or those of a training script.
"""

import argparse
import contextlib
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import split_model_name_tag
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.model.weights_lookup import FoundWeights, find_weights
from globalconv.runtime.text import one_line

STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training scripts keep the tensors, the one to prefer first."""

PREFIXES = ("module.", "_orig_mod.", "module.")
"""What DistributedDataParallel and torch.compile put before every name, in either order."""

CLASSIFIERS = ("fc.", "classifier.", "head.")
FLOATING = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Types of weights, also of files that other programs converted; the network computes with them as float32."""


def load_pretrained(body: nn.Module, name: str, weights: str) -> FoundWeights:
    """Fill `body`, the timm model `name` cut into levels, from `weights`: "imagenet", a timm tag or a file.

    The classifier may be absent from a file or of any shape; every other difference raises `InputError`.
    Return what the weights were taken from.
    """
    found = find_weights(name, weights)
    expected, tensors = body.state_dict(), read_tensors(found.path)
    if found.package is not None:
        tensors = found.package.in_names_of(_whole_model(name).state_dict(), tensors)
    tensors = _fit_names(name, tensors, expected)
    if difference := mismatch(expected, tensors):
        whole = any(tensor_name.startswith("backbone.") for tensor_name in tensors)
        hint = "; train from a whole network with `init_from`" if whole else ""
        raise InputError(f"backbone_weights={weights}: not the weights of backbone {name!r}: {difference}{hint}")
    if problem := unusable(body, tensors):
        raise InputError(f"backbone_weights={weights}: {problem}; copy or download the file again, or give another")
    body.load_state_dict(tensors)
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors in a .safetensors file or in one of `torch.save` (any other suffix), on the CPU.

    A pickle is read by torch's restricted unpickler: a file that asks for anything but tensors is refused.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'} of weights")
    content: object
    try:
        content = load_file(path) if path.suffix == ".safetensors" else load_pickle(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); copy or download it again") from error
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        reason = one_line(str(error).rpartition("WeightsUnpickler error: ")[2] or error)
        raise InputError(
            f"{path}: not a file of tensors, or damaged; give one written by torch.save(model.state_dict(), ...) or a"
            f" .safetensors file ({reason})"
        ) from error
    for _ in STATE_KEYS:
        if not isinstance(content, Mapping):
            break
        content = next((content[key] for key in STATE_KEYS if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds {type(content).__name__}, not named tensors; give a state dict")
    if strange := _strange(content):
        raise InputError(f"{path}: {strange}; give a plain state dict")
    tensors = {}
    for name, tensor in content.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        tensors[name] = tensor
    return tensors


def load_pickle(path: Path) -> Any:
    """Return what `torch.save` wrote to `path`, on the CPU, without running anything in it or allocating more than it.

    Besides what torch allows, a plain Namespace may be in it: the command line in timm's training checkpoints. Raises
    nearly anything for what is damaged, and a `ValueError` for an archive that would grow when it is read.
    """
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its entries are compressed, which torch.save never does")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("its entries are larger than the file")
        if (damaged := archive.testzip()) is not None:  # torch does not look at the checksums that it writes
            raise ValueError(f"the checksum of {damaged} differs")
    # torch warns about the protocols of some pickles, which are read or refused all the same.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _strange(content: Mapping[Any, Any]) -> str:
    """Return in words what in `content` is no tensor with a name; an empty string if all are.

    A tensor is one that holds a number in memory for each of its elements.
    """

    def is_plain(tensor: Tensor) -> bool:
        is_array = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        return is_array and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()

    strange = [
        one_line(repr(name)) if isinstance(name, str | int) else f"a {type(name).__name__} in place of a name"
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Tensor) and is_plain(value))
    ]
    what = "not a tensor with a name, or one that is sparse, quantised or without data"
    return f"{first_names(strange)}: {what}" if strange else ""


def misfit(module: nn.Module, tensors: object) -> str:
    """Return in words what keeps `tensors`, of any origin, from being the state dict of `module`; "" if nothing."""
    if not isinstance(tensors, Mapping):
        return f"a {type(tensors).__name__} in place of tensors"
    return _strange(tensors) or mismatch(module.state_dict(), tensors) or unusable(module, tensors)


def mismatch(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Return in words how `tensors` differ from `expected` in names and shapes; an empty string if they do not."""
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    reshaped = [
        f"{name}: {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    groups = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
    return "; ".join(f"{len(names)} {kind} ({first_names(names)})" for kind, names in groups.items() if names)


def unusable(module: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """Return in words which of `tensors` hold what no tensor of `module` may; an empty string if none does.

    Weights and statistics are finite numbers of a floating type, variances are not negative, and the other buffers of a
    module are of the kind that they are there. Counters of batches, which nothing reads, may be anything.
    """
    weights = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    kinds, values, variances = [], [], []
    for name, expected in module.state_dict().items():
        tensor = tensors.get(name)
        if tensor is None or name.endswith("num_batches_tracked"):
            continue
        types = (expected.dtype, *(FLOATING if expected.is_floating_point() else ()))
        if tensor.dtype not in types:
            kinds.append(f"{name}: {str(tensor.dtype).removeprefix('torch.')}")
        elif name in weights or name.endswith(("running_mean", "running_var")):
            # The sum takes a tenth of the time of isfinite; a finite one has only finite summands.
            if not isfinite(tensor.sum().item()) and not bool(tensor.isfinite().all()):
                values.append(name)
            elif name.endswith("running_var") and tensor.numel() and tensor.min().item() < 0:
                variances.append(name)
    groups = {"of a type that weights do not have": kinds, "not finite": values, "with a negative variance": variances}
    return "; ".join(f"{len(names)} tensors {kind} ({first_names(names)})" for kind, names in groups.items() if names)


def first_names(names: Iterable[str], limit: int = 4) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    listed = list(names)
    return ", ".join(listed[:limit]) + (", ..." if len(listed) > limit else "")


def _fit_names(name: str, state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` under the names of `expected`, without the parts of the model `name` that were cut off.

    timm renames a model's parts when it cuts it ("stages.0" becomes "stages_0", or "model.stages.0"), so names are
    compared with every dot as an underscore and without the prefix. Names that are not timm's are translated:
    torchvision's by us, others by timm's own `checkpoint_filter_fn` of the model.
    """
    whole = _whole_model(name)
    whole_names = {_flatten(key) for key in whole.state_dict()}
    expected_by_flat_name = {}
    for key in expected:
        unwrapped = key.removeprefix("model.").removeprefix("body.")
        expected_by_flat_name[_flatten(key) if _flatten(key) in whole_names else _flatten(unwrapped)] = key
    if not expected_by_flat_name.keys() <= {_flatten(key) for key in state}:
        architecture, _ = split_model_name_tag(name)
        renamed = from_torchvision(architecture, state)
        translate = getattr(sys.modules[timm.model_entrypoint(architecture).__module__], "checkpoint_filter_fn", None)
        if translate is None or renamed.keys() != state.keys():
            state = renamed
        else:
            with contextlib.suppress(
                Exception
            ):  # timm's translators assume their own input; `mismatch` will say what is wrong
                state = dict(translate(dict(state), whole))
    cut_off = whole_names - expected_by_flat_name.keys()
    # Files from before torch 0.4.1 (torchvision's ResNets) lack this counter, which nothing here reads.
    fitted = {key: torch.zeros_like(value) for key, value in expected.items() if key.endswith("num_batches_tracked")}
    for key, tensor in state.items():
        flat = _flatten(key)
        is_classifier = key.startswith(CLASSIFIERS) and flat not in expected_by_flat_name
        if flat not in cut_off and not is_classifier:
            fitted[expected_by_flat_name.get(flat, key)] = tensor
    return fitted


def _whole_model(name: str) -> Any:
    """Return timm's model `name`, uncut, without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False)


def _flatten(name: str) -> str:
    return name.replace(".", "_")


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
    """Return `state` under timm's names where `architecture` has others in torchvision; unknown names stay.

    These are ConvNeXt and MobileNetV2; torchvision's ResNets share timm's names. Its MobileNetV3 is not translated: it
    was trained with another batch-norm epsilon (1e-3 against 1e-5), so that equal weights would give another network.
    """
    if architecture.startswith("convnext"):
        # features: 0 is the stem, odd numbers are stages, even ones the downsampling before a stage.
        tensors = {}
        for name, tensor in state.items():
            if name.endswith("layer_scale"):
                tensor = tensor.flatten()  # (C, 1, 1) in torchvision
            name = re.sub(r"^features\.0\.", "stem.", name)
            name = name.replace("classifier.0.", "head.norm.").replace("classifier.2.", "head.fc.")
            if match := re.match(r"features\.(\d+)\.(\d+)\.(.*)", name):
                feature, index, rest = int(match[1]), match[2], match[3]
                part = f"downsample.{index}.{rest}"
                if feature % 2:
                    part = f"blocks.{index}.{_replace_start(rest, _CONVNEXT_LAYERS)}"
                name = f"stages.{feature // 2}.{part}"
            tensors[name] = tensor
        return tensors
    if architecture.startswith("mobilenetv2"):
        # features: 0 is the stem, then the blocks of all stages in one row, 18 the last convolution.
        renamed = {
            "features.0.0": "conv_stem", "features.0.1": "bn1", "features.18.0": "conv_head", "features.18.1": "bn2",
            "classifier.1": "classifier",
        }  # fmt: skip
        blocks = [(stage, block) for stage, count in enumerate(_MOBILENETV2_BLOCKS) for block in range(count)]
        for feature, (stage, block) in enumerate(blocks, start=1):
            layers = _FIRST_BLOCK if stage == 0 else _OTHER_BLOCKS
            for theirs, ours in layers.items():
                renamed[f"features.{feature}.{theirs}"] = f"blocks.{stage}.{block}.{ours}"
        return {_replace_start(name, renamed): tensor for name, tensor in state.items()}
    return dict(state)


def _replace_start(name: str, renamed: Mapping[str, str]) -> str:
    """Return `name` with its longest beginning of whole parts that occurs in `renamed` replaced."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if (new := renamed.get(".".join(parts[:count]))) is not None:
            return ".".join([new, *parts[count:]])
    return name
