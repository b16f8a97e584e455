"""How the time of the four heads grows with the size of their kernels.

    python benchmarks/heads.py

The heads of Figure 4 A (GCN) and C (one dense k x k convolution) on the four levels of a ResNet-50 of one image, in
their optimised form, bfloat16. Random weights and features. The slope is that of a straight line through the times of
GCN, and `off` how far the time lies from that line; a dense kernel's time grows with the square of k. Dense kernels are
measured up to --largest-dense, as 63 x 63 takes minutes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import tyro
from common import compare, measure, print_rows, write_results
from torch import Tensor, nn

from globalconv import DenseConv, GlobalConv, optimised
from globalconv.model.backbone import STRIDES
from globalconv.runtime.memory import keep_freed_memory

CHANNELS = (256, 512, 1024, 2048)
"""Of res-2 to res-5."""


@dataclass(frozen=True)
class Settings:
    kernel_sizes: tuple[int, ...] = (3, 7, 15, 31, 47, 63)
    largest_dense: int = 15
    size: int = 512
    classes: int = 21
    repeats: int = 5


def main(settings: Settings) -> None:
    torch.manual_seed(0)
    seconds = measure(cases(settings), settings.repeats)
    rows = compare(seconds, f"GCN, k = {settings.kernel_sizes[0]}")
    print_rows(f"four heads, {settings.size}x{settings.size}", rows)
    line = straight(settings.kernel_sizes, rows)
    print_rows("straight line through GCN's", line)
    write_results("heads", "cpu", asdict(settings), {"four heads": rows, "four heads of GCN: a straight line": line})


def cases(settings: Settings) -> dict[str, Callable[[], object]]:
    """Return the four heads of every kind and size, as calls."""
    features = [
        torch.randn(1, channels, settings.size // stride, settings.size // stride, dtype=torch.bfloat16)
        for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]
    features = [level_NChw.to(memory_format=torch.channels_last) for level_NChw in features]
    kinds = {"GCN": GlobalConv, "dense": DenseConv}
    return {
        f"{name}, k = {k}": partial(
            _scores, [optimised(kind(c, settings.classes, k), "bfloat16") for c in CHANNELS], features
        )
        for name, kind in kinds.items()
        for k in settings.kernel_sizes
        if name == "GCN" or k <= settings.largest_dense
    }


@torch.inference_mode()
def _scores(heads: list[nn.Module], features: list[Tensor]) -> None:
    for head, features_NChw in zip(heads, features, strict=True):
        head(features_NChw)


def straight(kernel_sizes: tuple[int, ...], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the line of least squares through the medians of GCN, and how far each is off it."""
    medians = {row["case"]: row["median_ms"] for row in rows}
    times = np.array([medians[f"GCN, k = {k}"] for k in kernel_sizes])
    slope, start = np.polyfit(kernel_sizes, times, 1)
    return [
        {"k": k, "ms": time, "line": f"{start:.2f} + {slope:.3f} k", "off": f"{time / (start + slope * k) - 1:+.1%}"}
        for k, time in zip(kernel_sizes, times.tolist(), strict=True)
    ]


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    main(tyro.cli(Settings, description=__doc__))
