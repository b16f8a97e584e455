"""Where and with what something ran: noted by every training, shown by every report.

Which device computes and in which precision: chosen once, checked here, told in one line of the log.
"""

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from globalconv.errors import InputError, suggest

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")

_CPU_BFLOAT16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "bf16": "Arm BF16"}
"""The processor features that compute bfloat16 natively, by torch's names."""


@dataclass(frozen=True)
class Hardware:
    """A device and a precision that work together. `description` says what they are and why, for the log."""

    device: torch.device
    precision: str
    description: str


def choose_hardware(device: str = "auto", precision: str = "auto") -> Hardware:
    """Return the device and precision asked for, or the best there are; `InputError` for what this machine lacks."""
    chosen = choose_device(device)
    kind = choose_precision(precision, chosen)
    native = native_bfloat16(chosen)
    reason = f"native: {native}" if native else "no native bfloat16 here"
    if precision != "auto":
        reason = "as asked" if native or kind == "float32" else f"as asked, but {reason}: expect it to be slow"
    return Hardware(chosen, kind, f"{_device_line(chosen)}, torch {torch.__version__}, {kind} ({reason})")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`: "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name in ("cpu:0", "mps:0"):  # how torch and Fabric name the only one there is
        name = name.removesuffix(":0")
    kind, _, number = name.partition(":")
    if kind not in DEVICES[1:] or (number and (kind != "cuda" or not number.isdecimal())) or name.endswith(":"):
        raise InputError(f"device={name!r}: {suggest(name, (*DEVICES, 'cuda:1'))}")
    if kind == "cuda":
        _check_cuda(name, int(number or 0))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError("device='mps': this machine has no Apple GPU that torch can use; use 'cpu' or 'auto'")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """Return "float32" or "bfloat16"; "auto" is bfloat16 where `device` computes it natively, else float32."""
    if name not in PRECISIONS:
        raise InputError(f"precision={name!r}: {suggest(name, PRECISIONS)}")
    if name != "auto":
        return name
    return "bfloat16" if native_bfloat16(device) else "float32"


def native_bfloat16(device: torch.device) -> str | None:
    """Return what computes bfloat16 natively on `device`, or None. On MPS torch cannot tell, so None."""
    if device.type == "cpu":
        features = _cpu_features()
        return next((words for name, words in _CPU_BFLOAT16.items() if name in features), None)
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_name(device) if native else None
    return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch could not get memory: on a GPU it has an exception for that, on a CPU only words."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _cpu_features() -> set[str]:
    query = getattr(torch.cpu, "get_capabilities", None)
    if query is not None:
        return {name for name, value in query().items() if value is True}
    # Older torch: x86 only, and not public.
    return {"avx512_bf16"} if torch.cpu._is_avx512_bf16_supported() else set()


def _check_cuda(name: str, number: int) -> None:
    if not torch.cuda.is_available():
        raise InputError(f"device={name!r}: torch {torch.__version__} sees no CUDA GPU; use 'cpu' or 'auto'")
    if number >= (count := torch.cuda.device_count()):
        raise InputError(f"device={name!r}: this machine has {count} CUDA GPU(s), numbered from 0")


def _device_line(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({threads} thread{'s' if threads != 1 else ''})"


PACKAGES = ("globalconv", "torch", "timm", "lightning-fabric", "numpy", "pillow")


def environment() -> dict[str, Any]:
    """Return date, machine and versions, as JSON values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def processor() -> str:
    """Return what the processor calls itself."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int | None:
    """Return the most bytes held so far: of the GPU where that computes, else of this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
