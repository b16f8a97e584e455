"""How much memory a training step takes, of a process of its own for each case.

    python benchmarks/step_memory.py [--backbone resnet50] [--size 512] [--batch 2]

GCN + BR in bfloat16 and channels_last, the same in float32 and NCHW as re-implementations run it, and the backbone
alone in the former; "MB" is the peak over two steps of SGD less what the process had before it made the network.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

import training_step
import tyro
from common import print_rows, write_results
from tiles import peak, resident

CASES = {
    "network, bfloat16": ("GCN + BR", True),
    "network, float32, NCHW": ("GCN + BR", False),
    "backbone, bfloat16": ("backbone", True),
}


@dataclass(frozen=True)
class Settings:
    backbone: str = "resnet50"
    size: int = 512
    batch: int = 2
    one: str | None = None
    """Measure this case, here."""


def main(settings: Settings) -> None:
    if settings.one is not None:
        print(json.dumps({"case": settings.one, "MB": round(taken(settings, *CASES[settings.one]))}))
        return
    rows = [alone(settings, case) for case in CASES]
    print_rows(f"a training step, {settings.backbone}, {settings.batch} x {settings.size} x {settings.size}", rows)
    asked = {name: value for name, value in asdict(settings).items() if name != "one"}
    write_results("step_memory", "cpu", asked, {"memory of a training step": rows})


def taken(settings: Settings, name: str, fast: bool) -> float:
    """Return what two steps take at most, in MB."""
    timing = training_step.Settings(settings.backbone, size=settings.size, batch=settings.batch)
    before = resident()
    step = training_step.training_step(timing, training_step.networks(timing)[name], fast)
    for _ in range(2):
        step()
    return peak() - before


def alone(settings: Settings, case: str) -> dict[str, Any]:
    """Return the row that a process of its own makes."""
    sizes = ("--backbone", settings.backbone, "--size", str(settings.size), "--batch", str(settings.batch))
    command = [sys.executable, __file__, *sizes, "--one", case]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return row


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
