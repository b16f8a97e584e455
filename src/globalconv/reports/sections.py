"""The sections of a report, each from the findings to HTML. A comparison of one is the report of one."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from globalconv.arrays import Float64Array, Int64Array, Uint8Array
from globalconv.evaluation.region_curves import SIZE_NAMES
from globalconv.labels import LabelSpace
from globalconv.reports import page
from globalconv.reports.curves import Curve, curves, run_legend
from globalconv.reports.findings import Findings, Result
from globalconv.reports.page import Row, gallery, legend
from globalconv.reports.sentences import confusions, error_rates
from globalconv.training.recipe import FREE
from globalconv.visual.overlay import LegendEntry, error_map, legend_entries, overlay

WORST, BEST, DISPUTED = 4, 2, 5
"""Images that are shown."""


def names(findings: Findings) -> list[str]:
    """Return what the subjects are called."""
    return [result.name for result in findings.results]


def class_scores(findings: Findings) -> str:
    """Return the table of all classes: of one network with its accuracies, of several with their differences."""
    return _side_by_side(findings) if len(findings.results) > 1 else _alone(findings.results[0])


def _alone(result: Result) -> str:
    matrix, labels = result.score.matrix, result.score.labels
    columns = [list(map(_known, values)) for values in (matrix.iou(), matrix.accuracy(), _precision(matrix.counts))]
    rows = [
        page.ScoreRow(name, [column[k] for column in columns], labels.palette[k], [share])
        for k, (name, share) in enumerate(zip(labels.class_names, _pixel_shares(result), strict=True))
    ]
    mean = page.ScoreRow("mean", [result.score.miou, matrix.mean_accuracy(), None], None, [""], strong=True)
    return page.scores(["pixels", "IoU", "found", "trusted"], [*rows, mean])


def _side_by_side(findings: Findings) -> str:
    first = findings.results[0]
    labels = first.score.labels
    ious = [list(map(_known, result.score.matrix.iou())) for result in findings.results]
    rows = [
        page.ScoreRow(name, values, labels.palette[k], [share], _differences(values))
        for k, (name, share, values) in enumerate(
            zip(labels.class_names, _pixel_shares(first), zip(*ious, strict=True), strict=True)
        )
    ]
    mious = [result.score.miou for result in findings.results]
    mean = page.ScoreRow("mIoU", mious, None, [""], _differences(mious), strong=True)
    return page.scores(["pixels", *names(findings), *_against(findings)], [*rows, mean])


def _against(findings: Findings) -> list[str]:
    """Return the titles of the columns of differences."""
    first, *others = names(findings)
    return [f"{other} less {first}" for other in others] if len(others) > 1 else ["difference"] * len(others)


def _pixel_shares(result: Result) -> list[str]:
    counts = result.score.matrix.counts
    return [f"{share:.1%}" for share in counts.sum(1) / counts.sum()]


def _differences(values: Sequence[float | None]) -> list[float | None]:
    """Return what the others have more than the first."""
    base, *others = values
    return [None if base is None or value is None else value - base for value in others]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _precision(counts: Int64Array) -> Float64Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(counts.diagonal() / counts.sum(0))


def regions(findings: Findings) -> str:
    """Return where pixels are wrong: near boundaries and inside, the trimap curve, and by the size of objects."""
    titles, tallies = names(findings) if len(findings.results) > 1 else (), [r.regions for r in findings.results]
    near, inside = zip(*map(error_rates, findings.results), strict=True)
    rows = {
        f"within {tallies[0].settings.width:g} pixels of a boundary": [f"{share} wrong" for share in near],
        "further inside": [f"{share} wrong" for share in inside],
        "Boundary IoU, mean over classes": [f"{tally.mean_boundary_iou():.3f}" for tally in tallies],
    }
    key = run_legend(names(findings)) if titles else ""
    return page.facts(rows, titles) + page.subheading("Nearer and further") + key + _region_curves(findings)


def _region_curves(findings: Findings) -> str:
    trimaps, steps = [], []
    for number, result in enumerate(findings.results):
        mious = [(width, matrix.miou()) for width, matrix in enumerate(result.regions.trimap(), 1)]
        accuracies = [(place + 0.5, value) for place, value in enumerate(result.regions.accuracy_by_distance()[0][:-1])]
        trimaps.append(Curve(result.name, number, [point for point in mious if not np.isnan(point[1])]))
        steps.append(Curve(result.name, number, [point for point in accuracies if not np.isnan(point[1])]))
    if not trimaps[0].points:
        return page.note("There is no boundary between areas.")
    return page.columns(
        [
            curves("mIoU of the pixels within a distance of a boundary", "pixels", trimaps),
            curves("Accuracy of the pixels at a distance from a boundary", "pixels", steps),
        ]
    )


def object_sizes(findings: Findings) -> str:
    """Return the table of internal accuracy by the size of the object."""
    columns = [list(map(_known, result.regions.internal_by_size()[0])) for result in findings.results]
    pixels_S = findings.results[0].regions.internal_by_size()[1]
    rows = [
        page.ScoreRow(f"{name} pixels", values, None, [f"{share:.1%}"], _differences(values) if len(values) > 1 else ())
        for name, values, share in zip(
            SIZE_NAMES, zip(*columns, strict=True), pixels_S / max(1, pixels_S.sum()), strict=True
        )
    ]
    several = names(findings) if len(columns) > 1 else ["internal accuracy"]
    return page.scores(["internal pixels", *several, *_against(findings)], rows)


def training_curves(findings: Findings) -> str:
    """Return loss and mIoU of all runs over each other; nothing where there is no log."""
    runs = [(number, result.name, result.subject.history) for number, result in enumerate(findings.results)]
    losses = [Curve(name, number, history.losses) for number, name, history in runs if len(history.losses) > 1]
    mious = [Curve(name, number, history.mious, marked=True) for number, name, history in runs if history.mious]
    drawn = [curves("Training loss", "step", losses, logarithmic=True)] if losses else []
    if any(len(line.points) > 1 for line in mious):
        drawn.append(curves("mIoU on the validation split during training", "step", mious))
    key = run_legend(names(findings)) if drawn and len(runs) > 1 else ""
    return key + page.columns(drawn) if drawn else ""


def confusion(result: Result) -> str:
    """Return the most confused pairs and the matrix."""
    rows = {f"{true} → {taken}": [f"{share:.1%}", f"{pixels:,}"] for true, taken, share, pixels in confusions(result)}
    listed = page.facts(rows, ["of the true class", "pixels"]) if rows else page.note("Nothing is confused.")
    how = "Each row is a true class; its numbers say what percent of its pixels were predicted as what."
    matrix = page.confusion_matrix(result.score.matrix.counts, result.score.labels.class_names)
    return listed + page.note(how) + matrix


def disputed(findings: Findings) -> str:
    """Return the images on which the class maps differ most."""
    shares_N = findings.shares(findings.disputed_N)
    shown = [index for index in _ordered(shares_N)[:DISPUTED] if shares_N[index] > 0]
    if not shown:
        return page.note("All class maps are alike.")
    rows, maps = [], []
    for index in shown:
        found = [findings.source.label_map(index), *(r.subject.predictions.class_map(index) for r in findings.results)]
        wrong = [f"{r.name} {findings.shares(r.wrong_N)[index]:.0%} wrong" for r in findings.results]
        note = f"{shares_N[index]:.0%} of the pixels disputed; {', '.join(wrong)}"
        rows.append(_row(findings, index, note, found))
        maps += found
    return gallery(["Image", "Truth", *names(findings)], rows, _legend(maps, findings.source.labels))


def images(findings: Findings, result: Result) -> str:
    """Return the images with the largest and the smallest share of wrong pixels."""
    order = _ordered(findings.shares(result.wrong_N))
    worst = order[:WORST]
    best = [index for index in reversed(order[-BEST:]) if index not in worst]
    parts, maps = [], []
    for title, chosen in (("Worst", worst), ("Best", best)):
        rows = []
        for index in chosen:
            truth, found = findings.source.label_map(index), result.subject.predictions.class_map(index)
            note = f"{findings.shares(result.wrong_N)[index]:.1%} wrong, mIoU {result.image_mious()[index]:.3f}"
            rows.append(_row(findings, index, note, [truth, found], errors=True))
            maps += [truth, found]
        if rows:
            parts += [
                page.subheading(title if len(findings.results) == 1 else f"{title} of {result.name}"),
                gallery(["Image", "Truth", "Prediction", "Wrong pixels"], rows),
            ]
    return "\n".join(parts) + legend(_legend(maps, findings.source.labels))


def _ordered(shares_N: Float64Array) -> list[int]:
    """Return the images from the largest share to the smallest; those without a pixel that counts are left out."""
    return [int(index) for index in np.argsort(-shares_N, kind="stable") if not np.isnan(shares_N[index])]


def _row(findings: Findings, index: int, note: str, maps: list[Uint8Array], errors: bool = False) -> Row:
    image, labels = findings.source.image(index), findings.source.labels
    shown = [Image.fromarray(image), *(overlay(image, class_map, labels, legend=False) for class_map in maps)]
    if errors:
        shown.append(error_map(image, maps[1], maps[0]))
    return Row(findings.source.sample_name(index), note, shown)


def _legend(maps: list[Uint8Array], labels: LabelSpace) -> list[LegendEntry]:
    return legend_entries(sorted({int(value) for class_map in maps for value in np.unique(class_map)}), labels)


def data(findings: Findings) -> str:
    """Return what was scored, and what the networks learnt from."""
    sizes = [f"{width}x{height} ({count})" for (width, height), count in findings.sizes.most_common(4)]
    more = f" and {len(findings.sizes) - 4} other sizes" if len(findings.sizes) > 4 else ""
    rows = {
        "scored": f"{findings.source.name}: {len(findings.source)} images",
        "sizes": ", ".join(sizes) + more,
        "pixels that count": f"{findings.counted_N.sum() / max(1, findings.pixels):.1%}; the others are void",
        "classes": f"{findings.source.labels.num_classes}",
    }
    for result in findings.results:
        if learnt := result.subject.history.dataset.get("train"):
            rows[f"training of {result.name}"] = f"{learnt['images']} images ({learnt['split']})"
    return page.facts(rows)


def changed_settings(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the settings that decide what comes out and differ between the runs: name -> value per run."""
    known = [result.subject.history.settings for result in results]
    every = dict.fromkeys(name for settings in known for name in settings)
    rows = {name: [_plain(settings.get(name)) for settings in known] for name in every if name not in FREE}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def all_settings(result: Result) -> str:
    """Return the recipe of a run."""
    return page.facts({name: _plain(value) for name, value in result.subject.history.settings.items()})


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
