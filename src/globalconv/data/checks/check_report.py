"""`globalconv data check` as functions: read, then tell a person or a program, and show the masks on the images."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from globalconv.data.checks.check import Finding, Report, check_data
from globalconv.data.roots import Root, format_root, root_to_json
from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic
from globalconv.runtime.progress import Progress
from globalconv.visual.overlay import legend_entries, overlay
from globalconv.visual.panel import panel

NAMED, SIZES = 5, 5
"""Samples that a finding names and sizes that are listed, in text; JSON has all."""

SHOWN, COLUMNS = 12, 4
"""Images on the contact sheet, evenly spaced over the data, and how many stand side by side."""

MARKS = {"error": "ERROR  ", "warning": "warning", "note": "note   "}


def check(root: Root, layout: str | None = None, splits: Sequence[str] = (), workers: int | None = None) -> Report:
    """Return what `globalconv.data.checks.check.check_data` finds at `root`, with progress shown on standard error."""
    with Progress("checked", 0, "images") as progress:
        return check_data(root, layout, splits, workers, lambda done, total: progress.update(done, total=total))


def report_text(report: Report) -> str:
    """Return the report for a person; its last line says whether the data are ready."""
    summary = report.summary
    counts = ", ".join(f"{split} {count}" for split, count in summary.images.items())
    sizes = ", ".join(f"{width}x{height} ({count})" for (width, height), count in summary.sizes[:SIZES])
    width = max(len("class"), *map(len, report.labels.class_names))
    rows = [
        f"{c.name:<{width}}  {c.share:7.2%}  {c.images:6}  {c.objects:7}  {c.typical_size:9.1f}  {c.weight:6.2f}"
        for c in summary.classes
    ]
    errors = sum(finding.severity == "error" for finding in report.findings)
    suggested = [f"{option:<34}  {reason}" for option, reason in summary.options()]
    verdict = "ready" if report.ready else f"not ready: {errors} kind{'s' if errors > 1 else ''} of error to mend first"
    return "\n".join(
        [
            f"{format_root(report.root)}: layout {report.layout}, {report.labels.num_classes} classes; {counts}",
            f"sizes      {sizes}" + (", ..." if summary.sizes[SIZES:] else ""),
            f"void       {summary.void_share:.2%} of all pixels, in {summary.void_images} images (255 is void)",
            "",
            f"{'class':<{width}}   pixels  images  objects  size (px)  weight",
            *rows,
            "",
            *map(_line, report.findings),
            "suggested  " + "\n           ".join(suggested),
            verdict,
        ]
    )


def _line(finding: Finding) -> str:
    where = f"\n           {'; '.join(finding.samples[:NAMED])}" if finding.samples else ""
    more = ", ..." if finding.samples[NAMED:] else ""
    times = f" [{finding.count} times]" if finding.samples[NAMED:] else ""
    return f"{MARKS[finding.severity]}  {finding.message}{times}{where}{more}"


def report_json(report: Report) -> dict[str, Any]:
    """Return the report for a program."""
    return {
        "root": root_to_json(report.root),
        "layout": report.layout,
        "ready": report.ready,
        "labels": report.labels.to_json(),
        **report.summary.to_json(),
        "findings": [asdict(finding) for finding in report.findings],
    }


def _title(root: Root) -> str:
    return root.name if isinstance(root, Path) else ", ".join(root)


def write_sheet(report: Report, file: Path) -> None:
    """Write a contact sheet: images evenly spaced over the data with their masks laid over them."""
    good = {(sample.split, sample.name) for sample in report.samples if not sample.problems}
    found = [
        (split, source, index)
        for split, source in report.sources.items()
        for index in range(len(source))
        if (split, source.sample_name(index)) in good
    ]
    if not found:
        raise InputError(f"`sheet` {file}: no image could be read together with its mask, so there is none to show")
    places = np.linspace(0, len(found) - 1, min(SHOWN, len(found))).round().astype(int)
    shown = [found[place][1:] for place in places]
    images = [overlay(source.image(i), source.label_map(i), source.labels, legend=False) for source, i in shown]
    rows = [images[start : start + COLUMNS] for start in range(0, len(images), COLUMNS)]
    blank = Image.new("RGB", (32, 24), "white")
    columns = min(COLUMNS, len(images))
    sheet = panel(
        [""] * columns,
        [row + [blank] * (columns - len(row)) for row in rows],
        legend_entries(range(report.labels.num_classes), report.labels),
        title=f"{_title(report.root)}: masks over images",
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, lambda stream: sheet.save(stream, format="PNG"))
