"""The report of `globalconv data check`: as text, as JSON, and as a contact sheet of masks over their images."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from globalconv.data.checks.sample import Facts, Finding
from globalconv.data.checks.summary import Summary
from globalconv.data.roots import Root, format_root, root_to_json
from globalconv.data.source import Source, spread_evenly
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.runtime.text import cut_middle
from globalconv.visual.image_file import write_image_file
from globalconv.visual.overlay import legend_entries, overlay
from globalconv.visual.panel import panel

MAX_NAMES, MAX_SIZES = 5, 5
"""Samples of a finding and sizes of images that are listed in text; JSON has all."""

MAX_NAME, MAX_MESSAGE = 80, 800
"""Characters of a name and of a message in text: longer ones lose their middle."""

SHEET_IMAGES, SHEET_COLUMNS = 12, 4
"""Images on the contact sheet, evenly spaced over the data, and how many stand side by side."""

MARKS = {"error": "ERROR  ", "warning": "warning", "note": "note   "}


@dataclass(frozen=True)
class Report:
    """The result of `data check`."""

    root: Root
    layout: str
    """The layout of the data; "by name" where the splits name the data sets."""
    labels: LabelSpace
    sources: dict[str, Source]
    """The readable part of each split."""
    samples: tuple[Facts, ...]
    findings: tuple[Finding, ...]
    summary: Summary

    @property
    def ready(self) -> bool:
        """Whether training can start: there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)


def format_report(report: Report) -> str:
    """Return the report for a person; its last line says whether the data are ready."""
    summary = report.summary
    counts = ", ".join(f"{split} {count}" for split, count in summary.images.items())
    sizes = ", ".join(f"{width}x{height} ({count})" for (width, height), count in summary.sizes[:MAX_SIZES])
    class_names = [cut_middle(c.name, MAX_NAME) for c in summary.classes]
    width = max(len("class"), *map(len, class_names))
    rows = [
        f"{name:<{width}}  {c.share:7.2%}  {c.images:6}  {c.objects:7}  {c.typical_size:9.1f}  {c.weight:6.2f}"
        for name, c in zip(class_names, summary.classes, strict=True)
    ]
    lines = [
        f"{format_root(report.root)}: layout {report.layout}, {report.labels.num_classes} classes; {counts}",
        f"sizes      {sizes}" + (", ..." if summary.sizes[MAX_SIZES:] else ""),
        f"void       {summary.void_share:.2%} of all pixels, in {summary.void_images} images (255 is void)",
        "",
        f"{'class':<{width}}   pixels  images  objects  size (px)  weight",
        *rows,
        "",
    ]
    for finding in report.findings:
        many = finding.samples[MAX_NAMES:]
        times = f" [{finding.count} times]" if many else ""
        lines.append(f"{MARKS[finding.severity]}  {cut_middle(finding.message, MAX_MESSAGE)}{times}")
        if finding.samples:
            below = (name.removeprefix(f"{report.root}/") for name in finding.samples[:MAX_NAMES])
            names = "; ".join(cut_middle(name, MAX_NAME) for name in below)
            lines.append(f"           {names}{', ...' if many else ''}")
    settings = (
        f"`data.augmentation.crop` {summary.crop[0]} {summary.crop[1]}",
        f"`model.kernel_size` {summary.kernel_size}",
        f"`optim.class_weights` {summary.class_weights}",
    )
    suggested = [f"{setting:<34}  {reason}" for setting, reason in zip(settings, summary.reasons, strict=True)]
    lines.append("suggested  " + "\n           ".join(suggested))
    errors = sum(finding.severity == "error" for finding in report.findings)
    lines.append(
        "ready" if report.ready else f"not ready: {errors} kind{'s' if errors > 1 else ''} of error to mend first"
    )
    return "\n".join(lines)


def report_to_json(report: Report) -> dict[str, Any]:
    """Return the report for a program."""
    return {
        "root": root_to_json(report.root),
        "layout": report.layout,
        "ready": report.ready,
        "labels": report.labels.to_json(),
        **report.summary.to_json(),
        "findings": [asdict(finding) for finding in report.findings],
    }


def write_sheet(report: Report, file: Path) -> None:
    """Write a contact sheet, a PNG: images evenly spaced over the data with their masks laid over them."""
    readable = {(sample.split, sample.name) for sample in report.samples if not sample.problems}
    samples = [
        (source, index)
        for split, source in report.sources.items()
        for index in range(len(source))
        if (split, source.sample_name(index)) in readable
    ]
    if not samples:
        raise InputError(f"`sheet` {file}: no image could be read together with its mask, so there is none to show")
    images = []
    for source, index in (samples[place] for place in spread_evenly(len(samples), SHEET_IMAGES)):
        images.append(overlay(source.image(index), source.label_map(index), source.labels, legend=False))
    columns = min(SHEET_COLUMNS, len(images))
    images += [Image.new("RGB", (32, 24), "white")] * (-len(images) % columns)
    title = report.root.name if isinstance(report.root, Path) else ", ".join(report.root)
    sheet = panel(
        [""] * columns,
        [images[start : start + columns] for start in range(0, len(images), columns)],
        legend_entries(range(report.labels.num_classes), report.labels),
        title=f"{title}: masks over images",
    )
    write_image_file(file, sheet)
