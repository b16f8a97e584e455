"""The report on a network, or on several side by side: scored, put into sections, written as one page."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from globalconv.cost.count import network_cost
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.evaluation.bootstrap import difference_interval, miou_interval
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.reports import sections
from globalconv.reports.findings import Findings, Result, Subject, gather
from globalconv.reports.next_steps import OUTLINE, Evidence, RunComparison, advise, advise_on_comparison, untried
from globalconv.reports.page import (
    Block,
    Folded,
    NextStep,
    NextSteps,
    Note,
    Points,
    Section,
    Table,
    TableRow,
    Text,
    Tile,
    Tiles,
    check_page,
    render_page,
    signed,
    write_page,
)  # fmt: skip
from globalconv.reports.sentences import classes_in_mean, describe, summarise_one, summarise_several
from globalconv.runtime.progress import Progress, duration
from globalconv.training.recipe import FREE

UNKNOWN = "–"


def write_report(
    path: Path,
    subjects: list[Subject],
    source: Source,
    regions: RegionSettings = REGIONS,
    stages: bool = False,
) -> list[Result]:
    """Score `subjects` on `source`, write the page about them to `path` and return the results, with progress shown.

    `regions` says what is near a boundary. With `stages` the subjects are no rivals: each began where the one before
    ended.
    """
    check_page(path)
    with Progress("reported on", len(source), "images") as progress:

        def on_image(done: int, matrix: ConfusionMatrix) -> None:  # of the first subject only
            progress.update(done, {"mIoU": f"{matrix.miou():.4f}"} if len(subjects) == 1 else {})

        findings = gather(subjects, source, on_image, regions)
        write_page(path, render_report(findings, stages))
    return findings.results


def render_report(findings: Findings, stages: bool = False) -> str:
    """Return the page about one subject, or about several side by side."""
    if len(findings.results) == 1:
        title = f"Report: {findings.names[0]}"
        opening = about_one(findings)
    else:
        title = (", then " if stages else " against ").join(findings.names)
        opening = about_several(findings, stages)
    best = max(findings.results, key=lambda result: result.score.miou)
    parts = [
        *opening,
        sections.class_scores(findings),
        sections.regions(findings),
        sections.training_curves(findings),
        *([sections.disputed_images(findings)] if len(findings.results) > 1 else []),
        sections.confusion(findings, best),
        sections.images(findings),
        data_section(findings),
        cost_section(findings),
        environment_section(findings),
        settings_section(findings),
    ]
    described = "; ".join(describe(result.subject) for result in findings.results)
    lead = f"{described}. Scored on {findings.source.name}: {len(findings.source)} images."
    footer = f"globalconv {version('globalconv')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return render_page(title, lead, [section for section in parts if section.blocks], footer)


def about_one(findings: Findings) -> list[Section]:
    """Return how well a network does, and what to try next."""
    result = findings.results[0]
    matrix = result.score.matrix
    tiles = [
        Tile("mIoU", f"{result.score.miou:.3f}", f"mean over {classes_in_mean(result)} classes", winner=True),
        Tile("pixel accuracy", f"{matrix.pixel_accuracy():.3f}", "of all pixels that count"),
        Tile("mean accuracy", f"{matrix.mean_accuracy():.3f}", "mean over classes"),
        Tile("images", str(len(findings.source)), result.score.precision),
    ]
    return [
        Section("In short", [Tiles(tiles), Points(summarise_one(findings))]),
        Section("What to try next", [_cards(_advice(result))]),
    ]


def about_several(findings: Findings, stages: bool) -> list[Section]:
    """Return which network is better, what to try next, and in which settings they differ."""
    best, second = sorted(findings.results, key=lambda result: -result.score.miou)[:2]
    comparison = RunComparison(
        better=best.name,
        worse=second.name,
        difference=best.score.miou - second.score.miou,
        interval=difference_interval((second.hits_NK, second.unions_NK), (best.hits_NK, best.unions_NK)),
        changed=[row.name for row in changed_settings([best, second])],
    )
    first = findings.results[0]
    tiles = [
        Tile(
            f"{result.name}, mIoU",
            f"{result.score.miou:.3f}",
            "" if result is first else f"{signed(result.score.miou - first.score.miou)} to {first.name}",
            winner=result is best and comparison.decided,
        )
        for result in findings.results
    ]
    if stages:
        last = findings.results[-1]
        note, steps = f"For {last.name}, the last stage:", _advice(last)
    else:
        note = f"From the comparison, and for {best.name}:"
        steps = advise_on_comparison(comparison) + untried(_advice(best), comparison.changed)
    changed = changed_settings(findings.results)
    same = Note("The runs have the same settings, or none are known.")
    return [
        Section("In short", [Tiles(tiles), Points(summarise_several(findings, best, second, comparison))]),
        Section("What to try next", [Note(note), _cards(steps)]),
        Section("Settings that differ", [Table(findings.names, changed, "words") if changed else same]),
    ]


def _cards(steps: Sequence[NextStep]) -> Block:
    if steps:
        return NextSteps(steps)
    return Text("No rule found anything that stands out: a larger backbone or more data are the usual next steps.")


def _advice(result: Result) -> list[NextStep]:
    history = result.subject.history
    evidence = Evidence(
        class_names=result.score.labels.class_names,
        matrix=result.score.matrix,
        interval=miou_interval(result.hits_NK, result.unions_NK),
        outline_share=result.regions.wrong_share_within(OUTLINE),
        settings=history.settings,
        losses=history.losses,
        mious=history.mious,
        finished=history.finished,
    )
    return advise(evidence)


def changed_settings(results: Sequence[Result]) -> list[TableRow]:
    """Return the settings that decide what comes out and differ between the runs, with their values."""
    settings = [result.subject.history.settings for result in results]
    names = dict.fromkeys(name for each in settings for name in each if name not in FREE)
    rows = [TableRow(name, [_plain(each.get(name)) for each in settings]) for name in names]
    return [row for row in rows if len(set(row.cells)) > 1]


def settings_section(findings: Findings) -> Section:
    """Return the recipe of each run that has one."""
    blocks = []
    for result in findings.results:
        if settings := result.subject.history.settings:
            rows = [TableRow(name, [_plain(value)]) for name, value in settings.items()]
            blocks.append(Folded(result.name, [Table([], rows, "words")]))
    return Section("All settings", blocks)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def data_section(findings: Findings) -> Section:
    """Return what was scored, and what the networks were trained on."""
    sizes = [f"{width}x{height} ({count})" for (width, height), count in findings.sizes.most_common(4)]
    more = f" and {len(findings.sizes) - 4} other sizes" if len(findings.sizes) > 4 else ""
    facts = {
        "scored": f"{findings.source.name}: {len(findings.source)} images",
        "sizes": ", ".join(sizes) + more,
        "pixels that count": f"{findings.counted_N.sum() / max(1, findings.pixels):.1%}; the others are void",
        "classes": f"{findings.source.labels.num_classes}",
    }
    for result in findings.results:
        if split := result.subject.history.dataset.get("train"):
            facts[f"training of {result.name}"] = f"{split['images']} images ({split['split']})"
    return Section("Data", [Table([], [TableRow(name, [fact]) for name, fact in facts.items()], "words")])


def cost_section(findings: Findings) -> Section:
    """Return what each network costs, in use and in training."""
    width, height = findings.sizes.most_common(1)[0][0]
    columns = []
    for result in findings.results:
        weights = multiply_adds = UNKNOWN
        predictor = result.subject.predictor
        if predictor is not None and predictor.network is not None:
            try:
                counts = network_cost(predictor.network, height, width)
            except InputError:  # of a network of somebody else's that does not run on shapes alone
                pass
            else:
                weights, multiply_adds = f"{counts.weights / 1e6:.2f} M", f"{counts.multiply_adds / 1e9:.2f} G"
        history, score = result.subject.history, result.score
        seconds, each, peak = history.training_seconds, history.seconds_per_step, history.peak_memory
        columns.append(
            {
                "parameters": weights,
                f"multiply-adds, {width}x{height}": multiply_adds,
                "time per image, with reading": f"{score.seconds / score.images:.3f} s ({score.precision})",
                "training, evaluations left out": duration(seconds) if seconds else UNKNOWN,
                "time per step": f"{each:.3f} s" if each else UNKNOWN,
                "peak memory in training": f"{peak / 2**30:.2f} GiB" if peak else UNKNOWN,
            }
        )
    return Section("Cost", [_facts(findings, columns)])


def environment_section(findings: Findings) -> Section:
    """Return where and with what the trainings ran and the scores were made."""
    columns = []
    for result in findings.results:
        start: dict[str, Any] = next(reversed(result.subject.history.events_of("start")), {})
        versions = ", ".join(f"{name} {number}" for name, number in start.get("versions", {}).items())
        predictor = result.subject.predictor
        columns.append(
            {
                "training started": start.get("date", UNKNOWN).replace("T", " ").replace("+00:00", " UTC"),
                "machine": start.get("machine", UNKNOWN),
                "computed by": start.get("hardware", UNKNOWN),
                "versions": versions or UNKNOWN,
                "scored by": predictor.description if predictor else UNKNOWN,
            }
        )
    return Section("Environment", [_facts(findings, columns)])


def _facts(findings: Findings, columns: Sequence[Mapping[str, str]]) -> Table:
    """Return a table with a column of facts per network, under its name where there are several."""
    rows = [TableRow(name, [facts[name] for facts in columns]) for name in columns[0]]
    return Table(findings.names if len(columns) > 1 else [], rows, "words")
