"""The device and precision of a computation, chosen and checked once; the machine and versions it ran with."""

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

PACKAGES = ("globalconv", "torch", "timm", "lightning-fabric", "numpy", "pillow")
"""Those whose versions every run records."""


@dataclass(frozen=True)
class Hardware:
    """A device and a precision that work together. `description` names them and the reason, for the log."""

    device: torch.device
    precision: str
    description: str


def choose_hardware(device: str = "auto", precision: str = "auto") -> Hardware:
    """Return the requested device and precision, or the best available; `InputError` for what this machine lacks."""
    chosen = choose_device(device)
    kind = choose_precision(precision, chosen)
    native = native_bfloat16(chosen)
    reason = f"native: {native}" if native else "no native bfloat16 here"
    if precision != "auto":
        reason = "as asked" if native or kind == "float32" else f"as asked, but {reason}: expect it to be slow"
    if chosen.type == "cuda":
        model = torch.cuda.get_device_name(chosen)
    else:
        threads = torch.get_num_threads()
        model = f"{threads} thread{'s' if threads != 1 else ''}"
    return Hardware(chosen, kind, f"{chosen} ({model}), torch {torch.__version__}, {kind} ({reason})")


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
        if not torch.cuda.is_available():
            raise InputError(f"device={name!r}: torch {torch.__version__} sees no CUDA GPU; use 'cpu' or 'auto'")
        if int(number or 0) >= (count := torch.cuda.device_count()):
            raise InputError(f"device={name!r}: this machine has {count} CUDA GPU(s), numbered from 0")
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
    """Return the name of what computes bfloat16 natively on `device`, or None. torch cannot tell for MPS: None."""
    if device.type == "cpu":
        query = getattr(torch.cpu, "get_capabilities", None)
        if query is not None:
            features = {name for name, value in query().items() if value is True}
        else:  # older torch: x86 only, and not public
            features = {"avx512_bf16"} if torch.cpu._is_avx512_bf16_supported() else set()
        return next((title for name, title in _CPU_BFLOAT16.items() if name in features), None)
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_name(device) if native else None
    return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch ran out of memory: a GPU raises a class of its own, a CPU only a message."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def environment() -> dict[str, Any]:
    """Return date, machine and versions, as JSON values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{processor_name()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def processor_name() -> str:
    """Return the model name of the processor."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int | None:
    """Return the peak memory so far in bytes: of the GPU that computes, else of this process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
