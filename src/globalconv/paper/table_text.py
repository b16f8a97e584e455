"""A table as text: what was measured beside what is printed."""

import math
import statistics
from collections.abc import Sequence

from globalconv.paper.plan import Run
from globalconv.paper.results import WORDS, RunResult
from globalconv.paper.tables import Table, Variant
from globalconv.runtime.progress import duration
from globalconv.runtime.text import align_columns

Done = tuple[Run, RunResult]


def table_text(table: Table, done: Sequence[Done], planned: Sequence[Run]) -> str:
    """Return a table of the paper: its variants, of which `done` runs are measured and `planned` would be."""
    header = ["", "runs", *(f"{WORDS[score]} % (paper)" for score in table.scores), "loss", "head", "GMAC"]
    rows = []
    for variant in table.variants:
        wanted = sum(run.table is table and run.variant is variant for run in planned)
        results = [result for run, result in done if run.table is table and run.variant is variant]
        rows += [_row(table, variant, results, wanted)] if wanted else []
    return "\n".join([table.title, *align_columns([header, *rows]), *table.notes])


def _row(table: Table, variant: Variant, results: Sequence[RunResult], wanted: int) -> list[str]:
    cells = [f"{_percent(results, score):>12} ({_printed(variant, score)})" for score in table.scores]
    losses = [result.final_loss for result in results if result.final_loss is not None and not result.diverged]
    diverged = sum(result.diverged for result in results)
    runs = f"{len(results)}/{wanted}" + (f", {diverged} diverged" if diverged else "")
    size = [f"{results[0].head_parameters:,}", f"{results[0].multiply_adds / 1e9:.2f}"] if results else ["-", "-"]
    return [variant.name, runs, *cells, f"{statistics.fmean(losses):.3f}" if losses else "-", *size]


def _percent(results: Sequence[RunResult], score: str) -> str:
    """Return the mean over runs in per cent, with the standard deviation where there are several."""
    found = [100 * value for result in results if (value := result.scores[score]) is not None]
    if not found:
        return "-"
    spread = f" ± {statistics.stdev(found):.1f}" if len(found) > 1 else ""
    return f"{statistics.fmean(found):.1f}{spread}"


def _printed(variant: Variant, score: str) -> str:
    return f"{variant.printed[score]:.1f}" if score in variant.printed else "-"


def list_text(runs: Sequence[tuple[str, Run]], found: dict[str, RunResult]) -> str:
    """Return the runs in their order, each with its key and whether it is done."""
    rows = [["key", "", "minutes", "run"]]
    for key, run in runs:
        result = found.get(key)
        state = "-" if result is None else "diverged" if result.diverged else "done"
        rows.append([key, state, "" if result is None else f"{result.minutes:.1f}", f"{run.table.name}: {run.words}"])
    return "\n".join(align_columns(rows))


def time_left(done: Sequence[Done], left: Sequence[Run]) -> str:
    """Return an estimate of the time that `left` runs take one after the other: what runs of equal variant took."""
    if not done:
        return "time left unknown before the first is done"
    overall = statistics.fmean(result.minutes for _, result in done)
    by_variant: dict[str, list[float]] = {}
    for run, result in done:
        by_variant.setdefault(run.variant.name, []).append(result.minutes)
    minutes = [statistics.fmean(by_variant.get(run.variant.name, [overall])) for run in left]
    return f"about {duration(60 * math.fsum(minutes))} left in this process alone"
