"""`globalconv data JOB`: look at a data set before it costs a night, fetch an official one, or make one of scenes."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import tyro

from globalconv.cli.options import read_options
from globalconv.data.roots import parse_data
from globalconv.errors import InputError, as_options, suggest
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class CheckOptions:
    """Options of `globalconv data check`."""

    path: tyro.conf.Positional[tuple[str, ...]]
    """Root of the data set; or several by their names, voc=PATH sbd=PATH coco=PATH cityscapes=PATH."""
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
    white_level: float | None = None
    """The value that is white in images of more than 8 bits; decided from the images where not given."""


@dataclass(frozen=True)
class ScenesOptions:
    """Options of `globalconv data scenes`."""

    out: Path
    """Folder to make; a call that was stopped goes on there."""
    train: int = 1000
    """Scenes to train on."""
    val: int = 100
    """Scenes to validate on."""
    size: int = 192
    """Width and height in pixels."""
    cue: Literal["far", "local"] = "far"
    """What tells pencil from paintbrush and spoon from fork: the head at one end only, or marks all along as well."""
    distance: int = 0
    """Pixels from the head within which a tool's body does not count (void)."""
    seed: int = 0
    """Sets of different seeds share no scene."""
    workers: int | None = None
    """Processes that draw; one per core where not given."""


@dataclass(frozen=True)
class PrepareOptions:
    """Options of `globalconv data prepare`."""

    name: tyro.conf.Positional[str]
    """voc, sbd, coco, cityscapes or imagenet."""
    out: Path
    """Folder below which the data set gets its official layout; several may share it. The same call goes on."""
    archives: Path | None = None
    """Folder with archives that you downloaded yourself, as those of cityscapes and imagenet have to be."""
    packages: tuple[str, ...] = field(default_factory=tuple)
    """Parts of the data set (docs/data.md); by default the usual ones and those in --archives."""
    mirror: str | None = None
    """Address that holds the public archives under their official names, in place of the official one."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Run the job that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print_text("usage: globalconv data JOB [options]\n")
        print_text("\n".join(f"  {job:<8} {line}" for job, (line, _) in JOBS.items()))
        return 0
    job, *rest = arguments
    if job not in JOBS:
        raise InputError(f"data {job!r}: no such job; {suggest(job, JOBS)}")
    return JOBS[job][1](rest)


def run_check(arguments: list[str]) -> int:
    """Check a data set and print the report."""
    options = read_options(CheckOptions, "data check", arguments, "Read a whole data set; report what is wrong.")
    from globalconv.data.checks.check_report import format_report, report_to_json, write_sheet
    from globalconv.jobs.check_data import check_data
    from globalconv.visual.image_file import check_image_file

    if options.sheet is not None:
        check_image_file("sheet", options.sheet, ".png")
    root = parse_data(options.path)
    if root is None:
        raise InputError("data check: name the root of the data set")
    report = check_data(root, options.layout, options.splits, options.workers, options.white_level)
    findings = tuple(replace(finding, message=as_options(finding.message)) for finding in report.findings)
    report = replace(report, findings=findings)
    print_text(json.dumps(report_to_json(report), indent=2) if options.json else format_report(report))
    if options.sheet is not None:
        write_sheet(report, options.sheet)
    return 0 if report.ready else 2


def run_scenes(arguments: list[str]) -> int:
    """Write a data set of scenes."""
    options = read_options(ScenesOptions, "data scenes", arguments, "Write generated scenes as a folder data set.")
    from globalconv.data.scenes.scene import Dial
    from globalconv.data.scenes.writing import SceneSet, write_scenes
    from globalconv.runtime.progress import Progress

    dial = Dial(options.cue, options.distance)
    scenes = SceneSet(options.train, options.val, options.size, dial, options.seed)
    with Progress("drawn", len(scenes), "scenes") as progress:
        write_scenes(options.out, scenes, options.workers, lambda done, total: progress.update(done))
    print_text(f"done: {options.out}\nnext: globalconv train folder --data {shlex.quote(str(options.out))} --out RUN")
    return 0


def run_prepare(arguments: list[str]) -> int:
    """Prepare an official data set and print what to do next with it."""
    options = read_options(
        PrepareOptions, "data prepare", arguments, "Download, check and unpack an official data set."
    )
    from globalconv.jobs.prepare_data import prepare_data

    root = prepare_data(options.name, options.out, options.archives, options.packages, options.mirror, log=print)
    place = shlex.quote(str(root))
    use = f"pretrain --data {place} --out RUN" if options.name == "imagenet" else f"data check {place}"
    print_text(f"done: {root}\nnext: globalconv {use}")
    return 0


JOBS: dict[str, tuple[str, Callable[[list[str]], int]]] = {
    "check": ("read a whole data set and report what is wrong with it", run_check),
    "prepare": ("download, check and unpack an official data set: voc, sbd, coco, cityscapes, imagenet", run_prepare),
    "scenes": ("write generated scenes as an ordinary folder data set", run_scenes),
}
