"""Text for the terminal: measured numbers beside the printed ones, lists of runs, rankings of test servers."""

import statistics
from collections.abc import Mapping, Sequence

from globalconv.paper.plan import Run
from globalconv.paper.results import SCORE_LABELS, RunResult
from globalconv.paper.tables import Ranking, Table
from globalconv.runtime.text import align_columns


def table_text(table: Table, done: Sequence[tuple[Run, RunResult]], planned: Sequence[Run]) -> str:
    """Return a table of the paper: the variants of all `planned` runs, with the results of those that are `done`.

    A score is its mean over runs in per cent, ± its standard deviation where there are several, and the printed one.
    """
    header = ["", "runs", *(f"{SCORE_LABELS[score]} % (paper)" for score in table.scores), "loss", "head", "GMAC"]
    rows = [header]
    for variant in table.variants:
        count = sum(run.table is table and run.variant is variant for run in planned)
        if count == 0:
            continue
        results = [result for run, result in done if run.table is table and run.variant is variant]
        diverged = sum(result.diverged for result in results)
        row = [variant.name, f"{len(results)}/{count}" + (f", {diverged} diverged" if diverged else "")]
        for score in table.scores:
            values = [100 * value for result in results if (value := result.scores[score]) is not None]
            measured = f"{statistics.fmean(values):.1f}" if values else "-"
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            printed = f"{variant.printed[score]:.1f}" if score in variant.printed else "-"
            row.append(f"{measured + spread:>12} ({printed})")
        losses = [result.final_loss for result in results if result.final_loss is not None and not result.diverged]
        row.append(f"{statistics.fmean(losses):.3f}" if losses else "-")
        row += [f"{results[0].head_parameters:,}", f"{results[0].multiply_adds / 1e9:.2f}"] if results else ["-", "-"]
        rows.append(row)
    return "\n".join([table.title, *align_columns(rows), *table.notes])


def list_text(runs: Sequence[tuple[str, Run]], results: Mapping[str, RunResult]) -> str:
    """Return runs in their order, each with its key, whether it is done, and the minutes that it took."""
    rows = [["key", "", "minutes", "run"]]
    for key, run in runs:
        result = results.get(key)
        state = "-" if result is None else "diverged" if result.diverged else "done"
        minutes = "" if result is None else f"{result.minutes:.1f}"
        rows.append([key, state, minutes, f"{run.table.name}: {run.description}"])
    return "\n".join(align_columns(rows))


def ranking_text(ranking: Ranking) -> str:
    """Return the table of a test server as printed, and the command that makes a submission of one's own."""
    rows = [[method, f"{score:.1f}"] for method, score in ranking.printed.items()]
    command = f"globalconv submit {ranking.benchmark} RUN --data PATH --out {ranking.archive}"
    own = f"ours: not submitted; RUN being a training of the recipe {ranking.recipe}:\n  {command}"
    return "\n".join([f"{ranking.title}, mIoU % as printed", *align_columns(rows), own])
