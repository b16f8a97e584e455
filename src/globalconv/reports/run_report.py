"""The report as a page: of one network, or of several side by side.

What a network costs and where it ran: the facts at the end of a report.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from globalconv.cost.count import NetworkCost, network_cost
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.evaluation.bootstrap import miou_interval
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import Score
from globalconv.infer.predictor import Predictor
from globalconv.reports import page, sections
from globalconv.reports.findings import Findings, OnImage, Result, Subject, gather
from globalconv.reports.next_steps import OUTLINE, Advice, Comparison, Evidence, advise, compare, untried
from globalconv.reports.sentences import ahead_by, decided, describe, known, one_in_short, ranked, several_in_short
from globalconv.runtime.progress import duration

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


NOTHING = "No rule found anything that stands out: a larger backbone or more data are the usual next steps."


def write_report(
    path: Path,
    subjects: list[Subject],
    source: Source,
    on_image: OnImage,
    regions: RegionSettings = REGIONS,
    stages: bool = False,
) -> list[Score]:
    """Score `subjects` on `source`, write the page about it to `path`, and return the scores.

    `regions` says what is near a boundary. `stages`: they are no rivals, but each began where the one before ended.
    """
    page.check_page(path)
    findings = gather(subjects, source, on_image, regions)
    page.write_page(path, render(findings, stages))
    return [result.score for result in findings.results]


def render(findings: Findings, stages: bool = False) -> str:
    """Return the page."""
    several = len(findings.results) > 1
    parts = [*(_several(findings, stages) if several else _one(findings)), *_ending(findings)]
    titles = {anchor: words for anchor, words in _TITLES.items() if f'id="{anchor}"' in "".join(parts)}
    joined = (", then " if stages else " against ").join(sections.names(findings))
    title = joined if several else f"Report: {findings.results[0].name}"
    lead = f"{'; '.join(describe(result.subject) for result in findings.results)}."
    scored = f"Scored on {findings.source.name}: {len(findings.source)} images."
    made = f"globalconv {version('globalconv')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return page.page(title, f"{lead} {scored}", [page.contents(titles), *parts], made)


_TITLES = {
    "short": "In short",
    "next": "What to try next",
    "differ": "Settings that differ",
    "classes": "Scores per class",
    "regions": "At boundaries and inside areas",
    "curves": "Curves",
    "disputed": "Where they disagree most",
    "confusion": "What is taken for what",
    "images": "Worst and best images",
    "data": "Data",
    "cost": "Cost",
    "environment": "Environment",
    "settings": "All settings",
}
"""Anchor -> heading, in the order of the page."""


def _section(anchor: str, *parts: str) -> list[str]:
    return [page.heading(_TITLES[anchor], anchor), *parts]


def _one(findings: Findings) -> list[str]:
    result = findings.results[0]
    matrix = result.score.matrix
    numbers = [
        page.tile("mIoU", f"{result.score.miou:.3f}", f"mean over {known(result)} classes", winner=True),
        page.tile("pixel accuracy", f"{matrix.pixel_accuracy():.3f}", "of all pixels that count"),
        page.tile("mean accuracy", f"{matrix.mean_accuracy():.3f}", "mean over classes"),
        page.tile("images", str(len(findings.source)), result.score.precision),
    ]
    return [
        *_section("short", page.tiles(numbers), page.points(one_in_short(findings))),
        *_section("next", _cards(advise(_evidence(result)))),
        *_section("classes", page.note(_ONE_CLASSES), sections.class_scores(findings)),
        *_section("regions", *_regions(findings)),
        *_curves(findings),
        *_section("confusion", sections.confusion(result)),
        *_section("images", page.note(_IMAGES), sections.images(findings, result)),
    ]


_ONE_CLASSES = (
    "IoU: right pixels among all that are of the class or were taken for it. Found: share of the class that was"
    " predicted as it (accuracy, recall). Trusted: share of what was predicted as it that is it (precision)."
)
_IMAGES = "By the share of wrong pixels. Last column: wrong pixels red, pixels that do not count hatched."


def _several(findings: Findings, stages: bool) -> list[str]:
    best, second = ranked(findings)[:2]
    changed = sections.changed_settings(findings.results)
    unlike = list(sections.changed_settings([best, second]))
    two = Comparison(best.name, second.name, ahead_by(best, second), decided(best, second), unlike)
    folded = [page.folded(result.name, sections.confusion(result), result is best) for result in findings.results]
    same = page.note("The runs have the same settings, or none are known.")
    return [
        *_section(
            "short",
            page.tiles(_tiles(findings, best if two.decided else None)),
            page.points(several_in_short(findings)),
        ),
        *_section(
            "next",
            *(_after_stages(findings.results[-1]) if stages else _after_comparison(best, two)),
        ),
        *_section("differ", page.facts(changed, sections.names(findings)) if changed else same),
        *_section("classes", page.note(_SEVERAL_CLASSES), sections.class_scores(findings)),
        *_section("regions", *_regions(findings)),
        *_curves(findings),
        *_section("disputed", page.note(_DISPUTED), sections.disputed(findings)),
        *_section("confusion", *folded),
        *_section("images", page.note(_IMAGES), *(sections.images(findings, r) for r in findings.results)),
    ]


def _after_comparison(best: Result, two: Comparison) -> list[str]:
    found = compare(two) + untried(advise(_evidence(best)), two.changed)
    return [page.note(f"From the comparison, and for {best.name}:"), _cards(found)]


def _after_stages(last: Result) -> list[str]:
    return [page.note(f"For {last.name}, the last stage:"), _cards(advise(_evidence(last)))]


_SEVERAL_CLASSES = "IoU of each class; the best of a row is marked. Pixels: the class's share of all that count."
_DISPUTED = "Images by the share of pixels to which the networks give different classes."


def _tiles(findings: Findings, best: Result | None) -> list[str]:
    first = findings.results[0]
    return [
        page.tile(
            f"{result.name}, mIoU",
            f"{result.score.miou:.3f}",
            "" if result is first else f"{page.signed(result.score.miou - first.score.miou)} to {first.name}",
            winner=result is best,
        )
        for result in findings.results
    ]


def _regions(findings: Findings) -> list[str]:
    return [
        page.note(about_boundaries(findings.results[0].regions.settings)),
        sections.regions(findings),
        page.subheading("Inside objects of different sizes"),
        page.note(_SIZES),
        sections.object_sizes(findings),
    ]


def about_boundaries(settings: RegionSettings) -> str:
    """Return what a boundary is, and how the distance from it is measured."""
    void = "void between them is bridged" if settings.void == "fill" else "the edge of void is one too"
    distances = "" if settings.metric == "euclidean" else f" Distances are those of a {settings.metric}."
    return f"Boundaries are those of the truth, between areas of different class; {void}.{distances}"


_SIZES = "Accuracy further inside, by the square root of the area of the connected region that a pixel belongs to."


def _curves(findings: Findings) -> list[str]:
    drawn = sections.training_curves(findings)
    return _section("curves", drawn) if drawn else []


def _cards(found: list[Advice]) -> str:
    if not found:
        return page.paragraph(NOTHING)
    return page.advice([(advice.what, advice.why, advice.how) for advice in found])


def _evidence(result: Result) -> Evidence:
    history = result.subject.history
    return Evidence(
        result.score.labels.class_names, result.score.matrix, miou_interval(result.hits_NK, result.unions_NK),
        result.regions.wrong_share_within(OUTLINE), history.settings, history.losses, history.mious, history.finished,
    )  # fmt: skip


def _ending(findings: Findings) -> list[str]:
    titles = sections.names(findings) if len(findings.results) > 1 else ()
    settings = [
        page.folded(result.name, sections.all_settings(result))
        for result in findings.results
        if result.subject.history.settings
    ]
    return [
        *_section("data", sections.data(findings)),
        *_section("cost", page.facts(cost(findings), titles)),
        *_section("environment", page.facts(environments(findings), titles)),
        *(_section("settings", *settings) if settings else []),
    ]
