"""Named tensors: read from a file without running anything in it, and compared with what a module expects."""

import argparse
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from globalconv.errors import InputError

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


def one_line(error: BaseException, length: int = 160) -> str:
    """Return an exception's text on one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= length else text[: length - 3] + "..."
