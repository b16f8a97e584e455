"""What was measured, as sections of a page: tables of scores, curves and images, each from the findings.

A report on several networks has the sections of a report on one, with a column, a row of images or a part for each.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from globalconv.arrays import Float64Array, Int64Array
from globalconv.evaluation.region_curves import SIZE_NAMES
from globalconv.reports.curves import Curve, Curves
from globalconv.reports.findings import Findings, Result
from globalconv.reports.page import (
    Block,
    Cell,
    ClassLegend,
    Columns,
    DifferenceCell,
    Folded,
    Gallery,
    GalleryRow,
    Note,
    RunLegend,
    ScoreCell,
    Section,
    ShareCell,
    Subheading,
    Table,
    TableRow,
    embed,
)  # fmt: skip
from globalconv.reports.sentences import confusions, error_rates
from globalconv.visual.overlay import error_map, legend_entries, overlay

WORST, BEST, DISPUTED = 4, 2, 5
"""Numbers of images on the page."""

MATRIX_SIDE = 24
"""Most classes that a confusion matrix shows one by one."""


def class_scores(findings: Findings) -> Section:
    """Return the scores of all classes: of one network with its accuracies, of several with their differences."""
    first, several = findings.results[0], len(findings.results) > 1
    labels, matrix = first.score.labels, first.score.matrix
    cells: list[list[Cell]]
    if several:
        note = "IoU of each class; the best of a row is marked. Pixels: the class's share of all that count."
        columns = [*findings.names, *_difference_titles(findings)]
        ious = [result.score.matrix.iou() for result in findings.results]
        cells = [compare(values) for values in zip(*ious, strict=True)]
        mean = TableRow("mIoU", ["", *compare([result.score.miou for result in findings.results])], strong=True)
    else:
        note = (
            "IoU: right pixels among all that are of the class or were taken for it. Found: share of the class that was"
            " predicted as it (accuracy, recall). Trusted: share of what was predicted as it that is it (precision)."
        )
        columns = ["IoU", "found", "trusted"]
        with np.errstate(invalid="ignore"):
            precision_K = matrix.counts.diagonal() / matrix.counts.sum(0)
        values = zip(matrix.iou(), matrix.accuracy(), precision_K, strict=True)
        cells = [[ScoreCell(iou), ScoreCell(accuracy), ScoreCell(precision)] for iou, accuracy, precision in values]
        mean = TableRow("mean", ["", ScoreCell(first.score.miou), ScoreCell(matrix.mean_accuracy()), "–"], strong=True)
    pixels_K = matrix.counts.sum(1)
    rows = [
        TableRow(name, [f"{pixels_K[k] / pixels_K.sum():.1%}", *cells[k]], labels.palette[k])
        for k, name in enumerate(labels.class_names)
    ]
    table = Table(["pixels", *columns], [*rows, mean], "rivals" if several else "numbers")
    return Section("Scores per class", [Note(note), table])


def compare(scores: Sequence[float]) -> list[Cell]:
    """Return cells for the scores of networks, the best one marked, and for what each has more than the first."""
    digits = {f"{score:.3f}" for score in scores if not math.isnan(score)}
    best = max(digits) if len(digits) > 1 else None  # none where all are alike
    differences = [DifferenceCell(score - scores[0]) for score in scores[1:]]
    return [*(ScoreCell(score, f"{score:.3f}" == best) for score in scores), *differences]


def _difference_titles(findings: Findings) -> list[str]:
    first, *others = findings.names
    return [f"{other} less {first}" for other in others] if len(others) > 1 else ["difference"] * len(others)


def regions(findings: Findings) -> Section:
    """Return where pixels are wrong: near boundaries and inside, over the distance, and by the size of objects."""
    results, names = findings.results, findings.names if len(findings.results) > 1 else []
    settings = results[0].regions.settings
    void = "void between them is bridged" if settings.void == "fill" else "the edge of void is one too"
    metric = "" if settings.metric == "euclidean" else f" Distances are those of a {settings.metric}."
    near, inside = zip(*map(error_rates, results), strict=True)
    rates = [
        TableRow(f"within {settings.width:g} pixels of a boundary", [f"{share} wrong" for share in near]),
        TableRow("further inside", [f"{share} wrong" for share in inside]),
        TableRow(
            "Boundary IoU, mean over classes", [f"{result.regions.mean_boundary_iou():.3f}" for result in results]
        ),
    ]
    trimaps, accuracies = [], []
    for number, result in enumerate(results):
        up_to = [(width, matrix.miou()) for width, matrix in enumerate(result.regions.trimap(), 1)]
        between = [(place + 0.5, value) for place, value in enumerate(result.regions.accuracy_by_distance()[0][:-1])]
        trimaps.append(Curve(result.name, number, [point for point in up_to if not np.isnan(point[1])]))
        accuracies.append(Curve(result.name, number, [point for point in between if not np.isnan(point[1])]))
    curves = Columns(
        [
            [Curves("mIoU of the pixels within a distance of a boundary", "pixels", trimaps)],
            [Curves("Accuracy of the pixels at a distance from a boundary", "pixels", accuracies)],
        ]
    )
    accuracies_S = zip(*(result.regions.internal_by_size()[0] for result in results), strict=True)
    pixels_S = results[0].regions.internal_by_size()[1]
    sizes = [
        TableRow(f"{name} pixels", [f"{pixels / max(1, pixels_S.sum()):.1%}", *compare(scores)])
        for name, pixels, scores in zip(SIZE_NAMES, pixels_S, accuracies_S, strict=True)
    ]
    columns = ["internal pixels", *(names or ["internal accuracy"]), *_difference_titles(findings)]
    return Section(
        "At boundaries and inside areas",
        [
            Note(f"Boundaries are those of the truth, between areas of different class; {void}.{metric}"),
            Table(names, rates, "words"),
            Subheading("Nearer and further"),
            *([RunLegend(names)] if names else []),
            curves if trimaps[0].points else Note("There is no boundary between areas."),
            Subheading("Inside objects of different sizes"),
            Note(
                "Accuracy further inside, by the square root of the area of the connected region that a pixel"
                " belongs to."
            ),
            Table(columns, sizes, "rivals" if names else "numbers"),
        ],
    )


def training_curves(findings: Findings) -> Section:
    """Return loss and mIoU of all runs over each other; without a block where there is no log."""
    losses, mious = [], []
    for number, result in enumerate(findings.results):
        history = result.subject.history
        if len(history.losses) > 1:
            losses.append(Curve(result.name, number, history.losses))
        if history.mious:
            mious.append(Curve(result.name, number, history.mious, marked=True))
    curves: list[list[Block]] = []
    if losses:
        curves.append([Curves("Training loss", "step", losses, logarithmic=True)])
    if any(len(curve.points) > 1 for curve in mious):
        curves.append([Curves("mIoU on the validation split during training", "step", mious)])
    legend = [RunLegend(findings.names)] if curves and len(findings.results) > 1 else []
    return Section("Curves", [*legend, Columns(curves)] if curves else [])


def disputed_images(findings: Findings) -> Section:
    """Return the images on which the class maps differ most."""
    note = Note("Images by the share of pixels to which the networks give different classes.")
    labels, shares_N = findings.source.labels, findings.shares(findings.disputed_N)
    rows, classes = [], set[int]()
    for index in _descending(shares_N)[:DISPUTED]:
        if shares_N[index] == 0:
            break
        image = findings.source.image(index)
        maps = [findings.source.label_map(index), *(r.subject.predictions.class_map(index) for r in findings.results)]
        wrong = [f"{r.name} {findings.shares(r.wrong_N)[index]:.0%} wrong" for r in findings.results]
        rows.append(
            GalleryRow(
                findings.source.sample_name(index),
                f"{shares_N[index]:.0%} of the pixels disputed; {', '.join(wrong)}",
                [embed(Image.fromarray(image)), *(embed(overlay(image, m, labels, legend=False)) for m in maps)],
            )
        )
        classes.update(int(value) for class_map in maps for value in np.unique(class_map))
    gallery = [Gallery(["Image", "Truth", *findings.names], rows), ClassLegend(legend_entries(sorted(classes), labels))]
    return Section("Where they disagree most", [note, *(gallery if rows else [Note("All class maps are alike.")])])


def confusion(findings: Findings, best: Result) -> Section:
    """Return the most confused pairs and the matrix, of several networks each folded, that of the best one open."""
    blocks = []
    for result in findings.results:
        pairs = [
            TableRow(f"{true} → {taken}", [f"{share:.1%}", f"{pixels:,}"])
            for true, taken, share, pixels in confusions(result)
        ]
        listed = Table(["of the true class", "pixels"], pairs, "words") if pairs else Note("Nothing is confused.")
        note = Note("Each row is a true class; its numbers say what percent of its pixels were predicted as what.")
        matrix = confusion_matrix(result.score.matrix.counts, result.score.labels.class_names)
        blocks.append(Folded(result.name, [listed, note, matrix], result is best))
    return Section("What is taken for what", blocks if len(blocks) > 1 else blocks[0].blocks)


def confusion_matrix(counts: Int64Array, names: Sequence[str]) -> Table:
    """Return counts (K, K) as a table of percents of each true class.

    Of many classes it shows those with the most wrong pixels, and the sum of the others.
    """
    if len(names) > MATRIX_SIDE:
        wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
        kept = np.sort(np.argsort(-wrong, kind="stable")[: MATRIX_SIDE - 1])
        place = np.full(len(names), len(kept))
        place[kept] = np.arange(len(kept))
        summed = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
        np.add.at(summed, (place[:, None], place[None, :]), counts)
        counts, names = summed, [*(names[index] for index in kept), f"{len(names) - len(kept)} others"]
    shares_KK = counts / np.maximum(1, counts.sum(1, keepdims=True))
    rows = [
        TableRow(name, [ShareCell(share, right=row == column) for column, share in enumerate(shares_KK[row])])
        for row, name in enumerate(names)
    ]
    return Table(names, rows, "matrix", corner="true ↓ predicted →")


def images(findings: Findings) -> Section:
    """Return the images of each network with the largest and with the smallest share of wrong pixels."""
    blocks: list[Block] = [
        Note("By the share of wrong pixels. Last column: wrong pixels red, pixels that do not count hatched.")
    ]
    for result in findings.results:
        shares_N, mious_N = findings.shares(result.wrong_N), result.image_mious()
        order = _descending(shares_N)
        worst = order[:WORST]
        best = [index for index in reversed(order[-BEST:]) if index not in worst]
        classes = set[int]()
        for title, chosen in (("Worst", worst), ("Best", best)):
            rows = []
            for index in chosen:
                image, truth = findings.source.image(index), findings.source.label_map(index)
                predicted = result.subject.predictions.class_map(index)
                panels = [
                    Image.fromarray(image),
                    *(
                        overlay(image, class_map, findings.source.labels, legend=False)
                        for class_map in (truth, predicted)
                    ),
                    error_map(image, predicted, truth),
                ]
                note = f"{shares_N[index]:.1%} wrong, mIoU {mious_N[index]:.3f}"
                rows.append(GalleryRow(findings.source.sample_name(index), note, list(map(embed, panels))))
                classes.update(int(value) for value in np.unique([truth, predicted]))
            if rows:
                blocks += [
                    Subheading(title if len(findings.results) == 1 else f"{title} of {result.name}"),
                    Gallery(["Image", "Truth", "Prediction", "Wrong pixels"], rows),
                ]
        blocks.append(ClassLegend(legend_entries(sorted(classes), findings.source.labels)))
    return Section("Worst and best images", blocks)


def _descending(shares_N: Float64Array) -> list[int]:
    """Return the images from the largest share to the smallest; those without a pixel that counts are left out."""
    return [int(index) for index in np.argsort(-shares_N, kind="stable") if not np.isnan(shares_N[index])]
