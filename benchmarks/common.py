"""What every benchmark shares: the hardware in words, interleaved timing, results as JSON named after the hardware.

Cases that are compared are measured in turns (a b c a b c ...), so that whatever else the machine does falls on all of
them; medians and their ratios are what to read.
"""

import json
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from globalconv.cost.latency import in_turns
from globalconv.runtime.devices import processor_name
from globalconv.runtime.processes import usable_cores

RESULTS = Path(__file__).resolve().parent / "results"


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Return what the figures depend on."""
    facts = {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts


def measure(cases: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Return the seconds of `repeats` calls of every case, taken in turns after `warmup` calls of each."""

    def tell_turn(turn: int, turns: int) -> None:
        print(f"  turn {turn} of {turns}", file=sys.stderr, flush=True)

    return in_turns(cases, repeats, warmup, tell_turn)


def compare(seconds: Mapping[str, list[float]], reference: str) -> list[dict[str, Any]]:
    """Return a row per case: median, fastest and slowest in ms, and the median as a multiple of the reference's."""
    base = statistics.median(seconds[reference])
    return [
        {
            "case": name,
            "median_ms": round(1e3 * statistics.median(taken), 2),
            "min_ms": round(1e3 * min(taken), 2),
            "max_ms": round(1e3 * max(taken), 2),
            "ratio": round(statistics.median(taken) / base, 3),
            "repeats": len(taken),
        }
        for name, taken in seconds.items()
    ]


def ratio(rows: Iterable[Mapping[str, Any]], backbone: str, network: str) -> dict[str, Any]:
    """Return the figure that a goal is set for: the case `network` as a multiple of the case `backbone`."""
    medians = {row["case"]: row["median_ms"] for row in rows}
    return {
        "backbone_ms": medians[backbone],
        "network_ms": medians[network],
        "ratio": round(medians[network] / medians[backbone], 3),
        "path": f"{network}, over {backbone}",
    }


def print_rows(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a table that pastes into a sheet."""
    print(f"\n{title}")
    widths = [max(len(str(cell)) for cell in [key, *(row[key] for row in rows)]) for key in rows[0]]
    for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
        print("  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def machine(facts: Mapping[str, Any]) -> str:
    """Return the hardware in a few words."""
    return f"{facts.get('gpu') or facts['cpu']}, {facts['threads']} threads on {facts['cores']} cores"


def write_results(name: str, device: str, settings: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
    """Write results/NAME.HARDWARE.json: the command, the hardware, the settings and the tables.

    `name` is that of the script, or SCRIPT.WHAT.
    """
    facts = hardware(device)
    words = facts.get("gpu") or f"{facts['cpu']} {facts['threads']} threads"
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\([^)]*\)|@.*?(?= \d+ threads|$)", "", words).lower()).strip("-")
    command = f"python benchmarks/{name.partition('.')[0]}.py {' '.join(sys.argv[1:])}".strip()
    report = {"command": command, "hardware": facts, "settings": dict(settings), "tables": dict(tables)}
    write_report(RESULTS / f"{name}.{slug}.json", report)


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write one results file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(f"\nwritten: {path}")
