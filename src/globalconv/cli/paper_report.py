"""`globalconv paper report`: the results of the tables as one page: what agrees with the paper, and what does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from globalconv.cli.options import read_options


@dataclass(frozen=True)
class PaperReportOptions:
    """Options of `globalconv paper report`."""

    results: tuple[Path, ...]
    """Folders of results, one for each data set."""
    out: Path | None = None
    """HTML file to write."""
    text: Annotated[Path | None, tyro.conf.arg(name="markdown")] = None
    """Markdown file to write, with the same tables and no plots."""


def run(arguments: list[str]) -> int:
    """Write the report and print where it is."""
    options = read_options(
        PaperReportOptions, "paper report", arguments, "Compare the results of the paper's tables with its numbers."
    )
    from globalconv.paper.report import write_reports

    for path in write_reports(options.results, options.out, options.text, {}):
        print(path.resolve())
    return 0
