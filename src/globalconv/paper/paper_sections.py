"""The sections of a report, each from comparisons to parts."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from globalconv.paper.claims import CLAIMS, Verdict
from globalconv.paper.comparison import Comparison, Row
from globalconv.paper.parts import UNBROKEN, Grid, Heading, Part, Plot, Text
from globalconv.paper.results import WORDS, RunResult
from globalconv.paper.statistics import Estimate, Scores, difference, mean
from globalconv.paper.tables import TABLES
from globalconv.reports.curves import Curve
from globalconv.runtime.progress import duration

NONE = "–"

STRIDE = 32
"""Pixels of the image to a cell of res-5."""

PAPER_SIDE = 16
"""Cells along a side of the paper's res-5."""

SERIES = ("GCN", "conv", "stack")
"""Rows that plots over k join, in the order of their colours."""

ASIDE = 0.1
"""By how much each next curve stands aside, so that intervals at one k can be told apart."""

KERNELS = ("table1", "table2", "table3")


def percent(estimate: Estimate | None) -> str:
    """Return a score in per cent and its interval."""
    if estimate is None:
        return NONE
    interval = estimate.interval
    return f"{100 * estimate.value:.1f}" + (
        _range_of(f"{100 * interval[0]:.1f}", f"{100 * interval[1]:.1f}") if interval else ""
    )


def points(estimate: Estimate | None) -> str:
    """Return a difference of scores in points and its interval."""
    if estimate is None:
        return NONE
    interval = estimate.interval
    chance = _range_of(signed(100 * interval[0]), signed(100 * interval[1])) if interval else ""
    return f"{signed(100 * estimate.value)}{chance}"


def _range_of(low: str, high: str) -> str:
    return f" ({low}{UNBROKEN}to{UNBROKEN}{high})"


def signed(value: float) -> str:
    """Return points with their sign; none where nothing is left to show."""
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def verdicts(found: Sequence[Verdict]) -> list[Part]:
    """Return the claims of the paper on one data set."""
    rows = {
        verdict.claim.words: [
            f"{verdict.word}: {verdict.lacking}" if verdict.lacking else verdict.word,
            points(verdict.estimate),
            signed(verdict.contrast.printed) if verdict.contrast else NONE,
            verdict.contrast.words if verdict.contrast else NONE,
        ]
        for verdict in found
    }
    return [Grid(["verdict", "here, points (95%)", "paper", "what is compared"], rows)]


PRINTED = "The paper's points are of all rows of its tables here, and below of those that are measured."


def summary(found: Mapping[str, Sequence[Verdict]]) -> list[Part]:
    """Return the verdicts of all data sets beside each other: data set -> verdict of each claim."""
    rows = {}
    for place, claim in enumerate(CLAIMS):
        of_each = [verdicts[place] for verdicts in found.values()]
        if any(verdict.contrast for verdict in of_each):
            printed = claim.contrast(TABLES[claim.table].variants)
            rows[claim.words] = [signed(printed.printed) if printed else NONE, *map(_in_short, of_each)]
    open_ = [claim.words for place, claim in enumerate(CLAIMS) if claim.words not in rows]
    shown: list[Part] = [Grid(["paper, points", *found], rows), Text(PRINTED)] if rows else []
    return [*shown, Text(f"Not measured: {'; '.join(open_)}.")] if open_ else shown


def _in_short(verdict: Verdict) -> str:
    if verdict.contrast is None:
        return "not measured"
    return f"{verdict.word}: {points(verdict.estimate)}"


def table(comparison: Comparison) -> list[Part]:
    """Return a table of the paper: each row measured, beside the printed numbers."""
    scores = comparison.table.scores
    columns = [part for score in scores for part in (f"{WORDS[score]} %, 95%", "paper")]
    counted = any("head_parameters" in row.variant.printed for row in comparison.rows)
    columns += ["seeds", "final loss", "head weights", *(["paper"] if counted else []), "GMAC", "minutes"]
    wanted = len(comparison.seeds)
    rows = {row.variant.name: _row(row, scores, counted, wanted) for row in comparison.rows}
    return [Grid(columns, rows), *(Text(line) for line in (*missing(comparison), *comparison.table.notes))]


def _row(row: Row, scores: Sequence[str], counted: bool, wanted: int) -> list[str]:
    cells = []
    for score in scores:
        cells += [percent(_mean(row.scores(score))), _number(row.variant.printed.get(score), "{:.1f}")]
    losses = [r.final_loss for r in row.every_result if r.final_loss is not None and not r.diverged]
    first = next(iter(row.every_result), None)
    cells += [f"{len(row.seeds)} of {wanted}", _number(statistics.fmean(losses) if losses else None, "{:.3f}")]
    cells.append(_number(first.head_parameters if first else None, "{:,}"))
    if counted:
        cells.append(_number(row.variant.printed.get("head_parameters"), "{:,.0f}"))
    minutes = statistics.fmean(result.minutes for result in row.every_result) if first else None
    cells.append(_number(first.multiply_adds / 1e9 if first else None, "{:.2f}"))
    return [*cells, _number(minutes, "{:.1f}")]


def _mean(scores: Scores | None) -> Estimate | None:
    return mean(scores) if scores else None


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def missing(comparison: Comparison) -> Iterator[str]:
    """Yield what diverged, and what is not finished; what was never begun has no score in its row."""
    unfinished: dict[tuple[int, ...], list[str]] = {}
    for row in comparison.rows:
        diverged = [seed for seed, found in row.results.items() if any(result.diverged for result in found.values())]
        if diverged:
            yield f"Diverged: {row.variant.name}, seed {_listed(diverged)}. It has no score and is left out."
        undone = tuple(seed for seed in comparison.seeds if seed not in (*row.seeds, *diverged))
        if row.results and undone:
            unfinished.setdefault(undone, []).append(row.variant.name)
    for seeds, names in unfinished.items():
        yield f"Not finished: seed {_listed(seeds)} of {', '.join(names)}."


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def plots(by_table: Mapping[str, Comparison]) -> list[Part]:
    """Return the score over k, the same above the baseline beside the paper's, and gains by region."""
    rows = _over_k(by_table)
    absolute = [line for number, name in enumerate(SERIES) if (line := _scores_over_k(name, number, rows))]
    above = [line for number, name in enumerate(SERIES) for line in _gains_over_k(name, number, rows)]
    ticks = {float(row.variant.k or 1): str(row.variant.k) for row in rows if row.seeds}
    found: list[Part] = []
    if absolute:
        found.append(Plot("mIoU % by the size of the kernel", "k", absolute, ticks))
    if above:
        found.append(Plot("mIoU above the 1x1 baseline, points; dashed: the paper", "k", above, ticks))
    return [*found, *_regions(by_table.get("table5"))]


def _over_k(by_table: Mapping[str, Comparison]) -> list[Row]:
    """Return the rows of Tables 1 to 3 once each, by k."""
    rows = {row.variant.name: row for name in KERNELS if name in by_table for row in by_table[name].rows if row.results}
    return sorted(rows.values(), key=lambda row: row.variant.k or 0)


def _scores_over_k(name: str, number: int, rows: Sequence[Row]) -> Curve | None:
    known = [(row.variant.k or 1, row.scores("miou")) for row in rows if row.variant.series == name]
    found = [(k, mean(scores)) for k, scores in known if scores]
    return _curve(name, number, found) if found else None


def _curve(name: str, number: int, found: Sequence[tuple[float, Estimate]], joined: bool = True) -> Curve:
    spans = [_hundred(estimate.interval) for _, estimate in found]
    values = [(x + ASIDE * number, 100 * estimate.value) for x, estimate in found]
    return Curve(name, number, values, marked=True, joined=joined, spans=spans)


def _hundred(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return interval and (100 * interval[0], 100 * interval[1])


def _gains_over_k(name: str, number: int, rows: Sequence[Row]) -> Iterator[Curve]:
    """Yield the gains of a series over the baseline, and the paper's."""
    base = next((row for row in rows if row.variant.k == 1), None)
    if base is None or (zero := base.scores("miou")) is None:
        return
    line = [row for row in rows if row.variant.series == name and row.variant.k != 1]
    found = [(row.variant.k or 1, difference(zero, scores)) for row in line if (scores := row.scores("miou"))]
    known = [(k, estimate) for k, estimate in found if estimate]
    if known:
        yield _curve(name, number, known)
        printed = [(row.variant.k or 1, row.variant.printed["miou"] - base.variant.printed["miou"]) for row in line]
        yield Curve(f"{name}, paper", number, printed, dashed=True)


STEPS = {"GCN over Baseline": ("Baseline", "GCN"), "BR over GCN": ("GCN", "GCN + BR")}
"""Gains of Table 5: words -> rows from and to."""


def _regions(comparison: Comparison | None) -> list[Part]:
    """Return the gains of Table 5 by region, ours beside the paper's."""
    if comparison is None:
        return []
    lines = [
        line
        for number, score in enumerate(("internal_accuracy", "boundary_accuracy"))
        for line in _gains_of(comparison, score, number)
    ]
    ticks = {place + 0.2: words for place, words in enumerate(STEPS)}
    return [Plot("Gain in accuracy by region, points; hollow: the paper", "", lines, ticks)] if lines else []


def _gains_of(comparison: Comparison, score: str, number: int) -> Iterator[Curve]:
    """Yield the gains of `STEPS` in one score, and the paper's."""
    found, printed = [], []
    for place, (start, end) in enumerate(STEPS.values()):
        before, after = comparison.row(start), comparison.row(end)
        ours = before.scores(score), after.scores(score)
        if ours[0] and ours[1] and (gained := difference(ours[0], ours[1])):
            found.append((place, gained))
            theirs = after.variant.printed[score] - before.variant.printed[score]
            printed.append((place + 0.3 + ASIDE * number, theirs))
    if found:
        yield _curve(WORDS[score], number, found, joined=False)
        yield Curve(f"{WORDS[score]}, paper", number, printed, marked=True, dashed=True, joined=False)


def padding(result: RunResult, kernels: Sequence[int]) -> list[Part]:
    """Return how much of each kernel lies on padding after res-5, here and in the paper."""
    cells = [-(-side // STRIDE) for side in result.crop]
    rows = {f"k = {k}": [f"{_beside(cells, k):.0%}", f"{_beside([PAPER_SIDE] * 2, k):.0%}"] for k in kernels}
    here = f"here, {cells[0]} x {cells[1]} cells"
    words = (
        f"A training crop of {result.crop[0]} x {result.crop[1]} pixels is {cells[0]} x {cells[1]} cells after res-5,"
        f" the paper's {PAPER_SIDE} x {PAPER_SIDE}. Of a kernel's cells along one axis, averaged over all places, so"
        " many lie outside the map, on zeros:"
    )
    return [Heading("Kernels against the map", 3), Text(words), Grid([here, "paper"], rows)] if kernels else []


def _beside(sides: Sequence[int], k: int) -> float:
    """Return the share of a kernel's cells that lie on padding: the mean over places and both axes."""
    reach = k // 2
    inside = [min(side - 1, at + reach) - max(0, at - reach) + 1 for side in sides for at in range(side)]
    return 1 - statistics.fmean(inside) / k


def cost(results: Sequence[RunResult]) -> list[Part]:
    """Return where, when and how long all of it was computed."""
    by_machine: dict[str, float] = {}
    for result in results:
        by_machine[result.machine] = by_machine.get(result.machine, 0) + result.minutes
    dates = sorted(result.date[:10] for result in results)
    rows = {
        "trainings": [f"{len(results)}, of which {sum(result.diverged for result in results)} diverged"],
        "steps each": [_range([result.steps for result in results])],
        "minutes each": [_range([round(result.minutes, 1) for result in results])],
        "in training and scoring together": [duration(60 * sum(by_machine.values()))],
        **{machine: [duration(60 * minutes)] for machine, minutes in by_machine.items()},
        "precision of the training": [", ".join(sorted({result.precision for result in results}))],
        "versions": ["; ".join(sorted({_versions(result) for result in results}))],
        "days": [" to ".join(sorted({dates[0], dates[-1]}))],
    }
    return [Heading("What it took", 3), Grid([""], rows)]


def _range(numbers: Sequence[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _versions(result: RunResult) -> str:
    return ", ".join(f"{name} {number}" for name, number in result.versions.items())
