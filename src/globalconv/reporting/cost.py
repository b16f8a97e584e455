"""What a network costs and where it ran: the facts at the end of a report."""

from collections.abc import Mapping, Sequence
from typing import Any

from globalconv.analyze.cost import NetworkCost, network_cost
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.progress import duration
from globalconv.reporting.gather import Findings, Result

UNKNOWN = "–"


def cost(findings: Findings) -> dict[str, Sequence[str]]:
    """Return name -> value per result."""
    width, height = findings.sizes.most_common(1)[0][0]
    return _rows([_cost(result, width, height) for result in findings.results])


def _cost(result: Result, width: int, height: int) -> dict[str, str]:
    predictor = result.subject.predictor
    history, score = result.subject.history, result.score
    each, total, peak = history.seconds_per_step, history.training_seconds, history.peak_memory
    found = None if predictor is None else _counted(predictor, height, width)
    return {
        "parameters": f"{found.weights / 1e6:.2f} M" if found else UNKNOWN,
        f"multiply-adds, {width}x{height}": f"{found.multiply_adds / 1e9:.2f} G" if found else UNKNOWN,
        "time per image, with reading": f"{score.seconds / score.images:.3f} s ({score.precision})",
        "training, evaluations left out": duration(total) if total else UNKNOWN,
        "time per step": f"{each:.3f} s" if each else UNKNOWN,
        "peak memory in training": f"{peak / 2**30:.2f} GiB" if peak else UNKNOWN,
    }


def _counted(predictor: Predictor, height: int, width: int) -> NetworkCost | None:
    """Return what a network costs; None of one of somebody else's that does not run on shapes alone."""
    try:
        return network_cost(predictor.network, height, width)
    except InputError:
        return None


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
