"""What numbers the options take at most and at least: a typing error is refused before it fills the memory.

Each is far above what anybody needs, or the bound of what the number goes to. What a value means for others (an even
kernel, an overlap above the tile) is checked by those who use it.
"""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from globalconv.errors import InputError

ANY_COUNT = (1, 10**9)
STRENGTH = (0, 1)
FACTOR = (1e-3, 1e3)

LIMITS: dict[str, tuple[float, float]] = {
    # work, and how it is divided
    "workers": (1, 512),
    "data.workers": (0, 512),
    "devices": (1, 1024),
    "nodes": (1, 10**4),
    "batch_size": (1, 10**5),
    "repeats": (1, 10**4),
    "seed": (0, 2**32 - 1),
    "seeds": (1, 1000),
    # how many
    "train": (1, 10**7),
    "val": (0, 10**7),
    "scenes": (1, 10**6),
    "images": ANY_COUNT,
    "maps": ANY_COUNT,
    "classes": (1, 10**5),
    "occluders": (1, 10**7),
    # pixels
    "size": (48, 4096),
    "distance": (0, 4096),
    "crop": (1, 2**15),
    "tile": (32, 2**15),
    "overlap": (0, 2**15),
    "occluder": (1, 2**15),
    "max_pixels": (1, 2**40),
    "white_level": (1e-30, 1e30),
    "max_drop": (0, 100),
    "width": (0, 100),
    # serving
    "port": (0, 65_535),
    "max_bytes": (1, 2**40),
    "max_seconds": (0.1, 86_400),
    "max_queue": (1, 10**5),
    # networks
    "kernel_size": (1, 1023),
    "kernel_sizes": (1, 1023),
    "stack_width": (1, 2**14),
    "head_width": (1, 2**14),
    "drop_path": STRENGTH,
    "frozen_stages": (0, 4),
    # trainings
    "steps": ANY_COUNT,
    "budget": ANY_COUNT,
    "epochs": (0, 10**6),
    "warmup_steps": (0, 10**9),
    "evaluate_every": ANY_COUNT,
    "checkpoint_every": ANY_COUNT,
    "log_every": ANY_COUNT,
    "accumulate": (1, 10**5),
    "lr": (0, 1e30),
    "momentum": STRENGTH,
    "weight_decay": (0, 1e3),
    "clip_norm": (0, 1e30),
    "ema_decay": STRENGTH,
    "dice_weight": (0, 1e6),
    "hardest": STRENGTH,
    "backbone_lr_scale": (0, 1e6),
    "layer_decay": STRENGTH,
    "freeze_steps": (0, 10**9),
    "label_smoothing": STRENGTH,
    "brightness": STRENGTH,
    "contrast": STRENGTH,
    "saturation": STRENGTH,
    "scale": FACTOR,
    "scales": FACTOR,
    "area": STRENGTH,
    "aspect": FACTOR,
    # receptive fields and CRFs
    "threshold": STRENGTH,
    "appearance_weight": (0, 1e6),
    "appearance_xy": (1e-3, 1e6),
    "appearance_rgb": (1e-3, 1e6),
    "smoothness_weight": (0, 1e6),
    "smoothness_xy": (1e-3, 1e6),
    "iterations": (0, 10**4),
}
"""Name of a setting, or of an option -> the least and the most that it takes, both included."""

UNNAMED = ("recipe", "inference", "settings", "grid", "limits")
"""Groups of settings whose name is no part of their options."""


def check_limits(options: Any) -> None:
    """Raise `InputError` for the first number of `options`, a dataclass, that its limits do not hold."""
    for name, value in _numbers(options):
        least, most = LIMITS.get(name) or LIMITS.get(name.rpartition(".")[2]) or (-math.inf, math.inf)
        if not least <= value <= most:  # nor is NaN
            raise InputError(f"`{name}` {value}: give {least:,} to {most:,}")


def _numbers(options: Any, within: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a dataclass and of those in it, with the names of their options."""
    for field in fields(options):
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from _numbers(value, within if field.name in UNNAMED else f"{within}{field.name}.")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                yield f"{within}{field.name}", number
