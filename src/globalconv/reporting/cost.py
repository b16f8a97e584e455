"""What a network costs and where it ran: the facts at the end of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from globalconv.progress import duration
from globalconv.reporting.gather import Findings, Result

UNKNOWN = "–"


def multiplications(network: nn.Module, device: torch.device, width: int, height: int) -> int:
    """Return how often `network`, which is on `device`, multiplies and adds for one image of this size."""
    image_N3HW = torch.zeros(1, 3, height, width, dtype=torch.uint8, device=device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image_N3HW)
    return int(counter.get_total_flops()) // 2


def cost(findings: Findings) -> dict[str, Sequence[str]]:
    """Return name -> value per result."""
    width, height = findings.sizes.most_common(1)[0][0]
    return _rows([_cost(result, width, height) for result in findings.results])


def _cost(result: Result, width: int, height: int) -> dict[str, str]:
    predictor = result.subject.predictor
    history, score = result.subject.history, result.score
    each, total, peak = history.seconds_per_step, history.training_seconds, history.peak_memory
    parameters = predictor and sum(parameter.numel() for parameter in predictor.network.parameters())
    macs = predictor and multiplications(predictor.network, predictor.device, width, height)
    return {
        "parameters": f"{parameters / 1e6:.2f} M" if parameters else UNKNOWN,
        f"multiply-adds, {width}x{height}": f"{macs / 1e9:.2f} G" if macs else UNKNOWN,
        "time per image, with reading": f"{score.seconds / score.images:.3f} s ({score.precision})",
        "training, evaluations left out": duration(total) if total else UNKNOWN,
        "time per step": f"{each:.3f} s" if each else UNKNOWN,
        "peak memory in training": f"{peak / 2**30:.2f} GiB" if peak else UNKNOWN,
    }


def environments(findings: Findings) -> dict[str, Sequence[str]]:
    """Return where and with what the trainings ran and the scores were made: name -> value per result."""
    return _rows([_environment(result) for result in findings.results])


def _environment(result: Result) -> dict[str, str]:
    start: dict[str, Any] = next(reversed(result.subject.history.of("start")), {})
    versions = ", ".join(f"{name} {number}" for name, number in start.get("versions", {}).items())
    predictor = result.subject.predictor
    return {
        "training started": start.get("date", UNKNOWN).replace("T", " ").replace("+00:00", " UTC"),
        "machine": start.get("machine", UNKNOWN),
        "computed by": start.get("hardware", UNKNOWN),
        "versions": versions or UNKNOWN,
        "scored by": predictor.description if predictor else UNKNOWN,
    }


def _rows(results: Sequence[Mapping[str, str]]) -> dict[str, Sequence[str]]:
    return {name: [fields[name] for fields in results] for name in results[0]}
