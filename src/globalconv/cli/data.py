"""`globalconv data check PATH`: what is wrong with a data set, before it costs anyone a night."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from globalconv.cli.options import read_options
from globalconv.errors import InputError, nearest
from globalconv.stopping import StopRequest

JOBS = {"check": "read a whole data set and report what is wrong with it"}


@dataclass(frozen=True)
class CheckOptions:
    """Options of `globalconv data check`."""

    path: tyro.conf.Positional[Path]
    """Root of the data set."""
    layout: str | None = None
    """Layout of the data (docs/data.md); recognised where not given."""
    splits: tuple[str, ...] = field(default_factory=tuple)
    """Splits to read; by default those that divide the data."""
    sheet: Path | None = None
    """Write a contact sheet of overlays to this PNG."""
    json: bool = False
    """Print everything as JSON instead of text."""
    workers: int | None = None
    """Processes that read; one per core where not given."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Hand over to the job."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: globalconv data JOB [options]\n")
        print("\n".join(f"  {job:<8} {line}" for job, line in JOBS.items()))
        return 0
    job, *rest = arguments
    if job not in JOBS:
        raise InputError(f"data {job!r}: no such job; {nearest(job, JOBS)}")
    return _check(rest)


def _check(arguments: list[str]) -> int:
    options = read_options(CheckOptions, "data check", arguments, "Read a whole data set; report what is wrong.")
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}: give at least 1")
    if options.sheet is not None and options.sheet.suffix.lower() != ".png":
        raise InputError(
            f"--sheet {options.sheet}: is written as PNG; call it {options.sheet.with_suffix('.png').name}"
        )
    from globalconv.checking import check, report_json, report_text, write_sheet

    report = check(options.path, options.layout, options.splits, options.workers)
    print(json.dumps(report_json(report), indent=2) if options.json else report_text(report))
    if options.sheet is not None:
        write_sheet(report, options.sheet)
    return 0 if report.ready else 2
