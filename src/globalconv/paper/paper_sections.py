"""The blocks of the report on tested claims, measured tables and results, as plain data for the page."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from globalconv.geometry import STRIDE
from globalconv.paper.claims import CLAIMS, TestedClaim
from globalconv.paper.measured_tables import MeasuredRow, MeasuredTable
from globalconv.paper.results import MIOU_OF_ALL, SCORE_LABELS, RunResult
from globalconv.paper.statistics import Estimate, mean_score, paired_difference
from globalconv.paper.tables import TABLES
from globalconv.reports.curves import Curve, Curves
from globalconv.reports.page import Block, Columns, Note, RunLegend, Subheading, Table, TableRow
from globalconv.runtime.progress import duration

NONE = "–"

UNBROKEN = "\N{NO-BREAK SPACE}"
"""Between the words of an interval, which stay on one line of a table."""

PAPER_CELLS = 16
"""Cells along a side of the paper's res-5."""

SERIES = ("GCN", "conv", "stack")
"""Rows that plots over k join, in the order of their colours."""

OFFSET = 0.1
"""By how much the points of each further curve are moved aside, so that intervals at one k do not overlap."""

GAINS = {"GCN over Baseline": ("Baseline", "GCN"), "BR over GCN": ("GCN", "GCN + BR")}
"""Gains of Table 5: label -> rows from and to."""


def with_interval(estimate: Estimate | None, number: Callable[[float], str]) -> str:
    """Return a share or a difference of shares, times 100 and as the text `number`, with its interval."""
    if estimate is None:
        return NONE
    text = number(100 * estimate.value)
    if estimate.interval is None:
        return text
    low, high = (number(100 * end) for end in estimate.interval)
    return f"{text} ({low}{UNBROKEN}to{UNBROKEN}{high})"


def signed(value: float) -> str:
    """Return points with their sign, and zero without."""
    return f"{value:+.2f}".replace("-", "−") if abs(value) >= 0.005 else "0.00"


def summary_blocks(claims: Mapping[str, Sequence[TestedClaim]]) -> list[Block]:
    """Return the verdicts on all data sets side by side: data set -> `CLAIMS`, tested."""
    rows: dict[str, list[str]] = {}
    not_measured = []
    for number, claim in enumerate(CLAIMS):
        tested = [claims_of_dataset[number] for claims_of_dataset in claims.values()]
        contrast = claim.contrast(TABLES[claim.table].variants)
        if contrast and any(one.contrast for one in tested):
            verdicts = [
                f"{one.verdict}: {with_interval(one.estimate, signed)}" if one.contrast else one.missing
                for one in tested
            ]
            rows[claim.sentence] = [signed(contrast.printed), *verdicts]
        else:
            not_measured.append(claim.sentence)
    blocks: list[Block] = []
    if rows:
        blocks.append(_table(["paper, points", *claims], rows))
        blocks.append(
            Note("The paper's points are of all rows of its tables here, and below of those that are measured.")
        )
    if not_measured:
        blocks.append(Note(f"Not measured: {'; '.join(not_measured)}."))
    return blocks


def claims_table(claims: Sequence[TestedClaim]) -> Table:
    """Return the claims of the paper that are measured on one data set."""
    rows = {}
    for tested in claims:
        assert tested.contrast
        rows[tested.claim.sentence] = [
            f"{tested.verdict}: {tested.missing}" if tested.missing else tested.verdict,
            with_interval(tested.estimate, signed),
            signed(tested.contrast.printed),
            tested.contrast.description,
        ]
    return _table(["verdict", "here, points (95%)", "paper", "what is compared"], rows)


def table_blocks(table: MeasuredTable) -> list[Block]:
    """Return a table of the paper, each row measured beside the printed numbers, and notes on unfinished rows."""
    counts_weights = any("head_parameters" in row.variant.printed for row in table.rows)
    of_all = any(MIOU_OF_ALL in row.scores for row in table.rows)
    columns = []
    for score in table.table.scores:
        columns.append(f"{SCORE_LABELS[score]} %, 95%")
        columns += ["of all classes %, 95%"] if score == "miou" and of_all else []
        columns.append("paper")
    columns += ["seeds", "final loss", "head weights", *(["paper"] if counts_weights else []), "GMAC", "minutes"]
    rows = {}
    for row in table.rows:
        results, printed = row.all_results, row.variant.printed
        cells = []
        for score in table.table.scores:
            for name in (score, MIOU_OF_ALL) if score == "miou" and of_all else (score,):
                measured = mean_score(row.scores[name]) if name in row.scores else None
                cells.append(with_interval(measured, "{:.1f}".format))
            cells.append(f"{printed[score]:.1f}" if score in printed else NONE)
        cells.append(f"{len(row.seeds)} of {len(table.seeds)}")
        losses = [result.final_loss for result in results if result.final_loss is not None and not result.diverged]
        cells.append(f"{statistics.fmean(losses):.3f}" if losses else NONE)
        cells.append(f"{results[0].head_parameters:,}" if results else NONE)
        if counts_weights:
            cells.append(f"{printed['head_parameters']:,.0f}" if "head_parameters" in printed else NONE)
        cells.append(f"{results[0].multiply_adds / 1e9:.2f}" if results else NONE)
        cells.append(f"{statistics.fmean(result.minutes for result in results):.1f}" if results else NONE)
        rows[row.variant.name] = cells
    return [_table(columns, rows), *map(Note, (*missing_results(table), *table.table.notes))]


def _table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> Table:
    return Table(columns, [TableRow(name, cells) for name, cells in rows.items()], "whole")


def missing_results(table: MeasuredTable) -> list[str]:
    """Return in sentences which trainings diverged and which are not finished, of rows that have results."""
    diverged_lines = []
    unfinished: dict[tuple[int, ...], list[str]] = {}
    for row in table.rows:
        diverged = [
            seed for seed, by_fold in row.results.items() if any(result.diverged for result in by_fold.values())
        ]
        if diverged:
            seeds = ", ".join(map(str, sorted(diverged)))
            diverged_lines.append(f"Diverged: {row.variant.name}, seed {seeds}. It has no score and is left out.")
        undone = tuple(seed for seed in table.seeds if seed not in (*row.seeds, *diverged))
        if row.results and undone:
            unfinished.setdefault(undone, []).append(row.variant.name)
    return diverged_lines + [
        f"Not finished: seed {', '.join(map(str, seeds))} of {', '.join(names)}." for seeds, names in unfinished.items()
    ]


def plot_blocks(tables: Mapping[str, MeasuredTable]) -> list[Block]:
    """Return plots of the score over k, of the gain over the baseline beside the paper's, and of gains by region."""
    by_name: dict[str, MeasuredRow] = {}
    for name in ("table1", "table2", "table3"):
        by_name |= {row.variant.name: row for row in tables[name].rows if row.results} if name in tables else {}
    rows = sorted(by_name.values(), key=lambda row: row.variant.k or 0)
    baseline = next((row for row in rows if row.variant.k == 1), None)
    baseline_scores = baseline.scores.get("miou") if baseline else None
    scores, gains = [], []
    for number, series in enumerate(SERIES):
        line = [row for row in rows if row.variant.series == series]
        measured = [(row.variant.k or 1, mean_score(row.scores["miou"])) for row in line if "miou" in row.scores]
        if measured:
            scores.append(_curve(series, number, measured))
        if baseline is None or baseline_scores is None:
            continue
        line = [row for row in line if row is not baseline]
        differences = [
            (row.variant.k or 1, paired_difference(baseline_scores, row.scores["miou"]))
            for row in line
            if "miou" in row.scores
        ]
        measured = [(k, estimate) for k, estimate in differences if estimate]
        if measured:
            baseline_printed = baseline.variant.printed["miou"]
            printed = [(row.variant.k or 1, row.variant.printed["miou"] - baseline_printed) for row in line]
            gains += [_curve(series, number, measured), Curve(f"{series}, paper", number, printed, dashed=True)]
    ticks = {float(row.variant.k or 1): str(row.variant.k) for row in rows if row.seeds}
    plots = []
    if scores:
        plots.append(Curves("mIoU % by the size of the kernel", "k", scores, ticks=ticks))
    if gains:
        plots.append(Curves("mIoU above the 1x1 baseline, points; dashed: the paper", "k", gains, ticks=ticks))
    if "table5" in tables and (gains_by_region := _gains_by_region(tables["table5"])):
        ticks = {place + 2 * OFFSET: label for place, label in enumerate(GAINS)}
        title = "Gain in accuracy by region, points; hollow: the paper"
        plots.append(Curves(title, "", gains_by_region, ticks=ticks))
    columns: list[list[Block]] = []
    for plot in plots:
        names = {curve.run: curve.name for curve in plot.lines if not curve.dashed}
        columns.append([plot, RunLegend([names.get(run, "") for run in range(max(names) + 1)])])
    return [Columns(columns)] if columns else []


def _gains_by_region(table: MeasuredTable) -> list[Curve]:
    """Return the `GAINS` of Table 5 inside objects and at boundaries, ours beside the paper's."""
    curves = []
    for number, score in enumerate(("internal_accuracy", "boundary_accuracy")):
        measured, printed = [], []
        for place, (start, end) in enumerate(GAINS.values()):
            before, after = table.row(start), table.row(end)
            if score not in before.scores or score not in after.scores:
                continue
            if gain := paired_difference(before.scores[score], after.scores[score]):
                measured.append((place, gain))
                printed_gain = after.variant.printed[score] - before.variant.printed[score]
                printed.append((place + (3 + number) * OFFSET, printed_gain))
        if measured:
            label = SCORE_LABELS[score]
            curves.append(_curve(label, number, measured, joined=False))
            curves.append(Curve(f"{label}, paper", number, printed, marked=True, dashed=True, joined=False))
    return curves


def _curve(name: str, number: int, estimates: Sequence[tuple[float, Estimate]], joined: bool = True) -> Curve:
    """Return estimates over x in per cent, with their intervals; `number` is the colour of the curve."""
    values = [(x + OFFSET * number, 100 * estimate.value) for x, estimate in estimates]
    intervals = [
        estimate.interval and (100 * estimate.interval[0], 100 * estimate.interval[1]) for _, estimate in estimates
    ]
    return Curve(name, number, values, marked=True, joined=joined, spans=intervals)


def padding_blocks(result: RunResult, kernels: Sequence[int]) -> list[Block]:
    """Return how much of each kernel lies on padding after res-5, here and in the paper."""
    if not kernels:
        return []
    height, width = (-(-side // STRIDE) for side in result.crop)

    def padded_share(k: int, *sides: int) -> float:
        """Mean over places and both axes."""
        inside = [min(side - 1, at + k // 2) - max(0, at - k // 2) + 1 for side in sides for at in range(side)]
        return 1 - statistics.fmean(inside) / k

    words = (
        f"A training crop of {result.crop[0]} x {result.crop[1]} pixels is {height} x {width} cells after res-5,"
        f" the paper's {PAPER_CELLS} x {PAPER_CELLS}. Of a kernel's cells along one axis, averaged over all places, so"
        " many lie outside the map, on zeros:"
    )
    rows = {
        f"k = {k}": [f"{padded_share(k, height, width):.0%}", f"{padded_share(k, PAPER_CELLS):.0%}"] for k in kernels
    }
    return [
        Subheading("Kernels against the map"),
        Note(words),
        _table([f"here, {height} x {width} cells", "paper"], rows),
    ]


def cost_blocks(results: Sequence[RunResult]) -> list[Block]:
    """Return where and when the results were computed, and how long it took."""
    machines: dict[str, float] = {}
    for result in results:
        machines[result.machine] = machines.get(result.machine, 0) + result.minutes
    steps = [result.steps for result in results]
    minutes = [round(result.minutes, 1) for result in results]
    versions = {", ".join(f"{name} {number}" for name, number in result.versions.items()) for result in results}
    days = [result.date[:10] for result in results]
    rows = {
        "trainings": f"{len(results)}, of which {sum(result.diverged for result in results)} diverged",
        "steps each": " to ".join(f"{value:g}" for value in sorted({min(steps), max(steps)})),
        "minutes each": " to ".join(f"{value:g}" for value in sorted({min(minutes), max(minutes)})),
        "in training and scoring together": duration(60 * sum(machines.values())),
        **{machine: duration(60 * total) for machine, total in machines.items()},
        "precision of the training": ", ".join(sorted({result.precision for result in results})),
        "versions": "; ".join(sorted(versions)),
        "days": " to ".join(sorted({min(days), max(days)})),
    }
    return [Subheading("What it took"), _table([], {name: [value] for name, value in rows.items()})]
