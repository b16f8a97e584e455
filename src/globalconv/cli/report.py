"""`globalconv report RUN [RUN ...]`: a page about a run, or about several side by side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class ReportOptions:
    """Options of `globalconv report`."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folder, or several to compare."""
    out: Path | None = None
    """HTML file to write: by default report.html in the run, for several comparison.html beside the first."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ...; by default where the training recorded it."""
    layout: str | None = None
    """Layout of the data (docs/data.md); by default the training's."""
    split: str | None = None
    """Split to score; by default that of the training's validation."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the network; recorded with the score."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Write the page and print its path."""
    options = read_options(ReportOptions, "report", arguments, "Write a page about a run, or compare several.")
    with fast_imports():
        from globalconv.jobs.report import report

    page = report(
        options.runs,
        parse_data(options.data),
        options.out,
        options.split,
        options.layout,
        options.device,
        options.precision,
    )
    print_text(page.resolve())
    return 0
