"""`globalconv paper report`: the results of the tables as one page: what agrees with the paper, and what does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from globalconv.cli.options import DataOption, each_by_itself, read_options
from globalconv.data.roots import parse_data
from globalconv.errors import InputError


@dataclass(frozen=True)
class PaperReportOptions:
    """Options of `globalconv paper report`."""

    results: tyro.conf.UseAppendAction[tuple[Path, ...]] = ()
    """Folders of results, one for each data set; at least one is needed."""
    out: Path | None = None
    """HTML file to write."""
    text: Annotated[Path | None, tyro.conf.arg(name="markdown")] = None
    """Markdown file to write, with the same tables and no plots."""
    runs: Path | None = None
    """Folder of the trainings: the page then shows images of Table 5's networks, on the data of --data."""
    occluders: int | None = None
    """Show valid receptive fields, too, measured with about so many occluders (the paper: 5000, minutes on a CPU)."""
    data: DataOption = ()
    """Root of the data of those images, or voc=PATH sbd=PATH ...; the built-in scenes need none."""


def run(arguments: list[str]) -> int:
    """Write the report and print where it is."""
    about = "Compare the results of the paper's tables with its numbers."
    options = read_options(PaperReportOptions, "paper report", each_by_itself(arguments, "--results", "(?!-)"), about)
    if not options.results:
        raise InputError("paper report: name the folders of results, --results FOLDER ...")
    from globalconv.paper.paper_report import write_reports

    root = parse_data(options.data)
    for path in write_reports(options.results, options.out, options.text, options.runs, root, options.occluders):
        print(path.resolve())
    return 0
