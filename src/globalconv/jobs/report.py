"""The job `globalconv report`: score one run, or several together, and write the page about them."""

from collections.abc import Sequence
from pathlib import Path

from globalconv.data.roots import Data
from globalconv.errors import InputError
from globalconv.hub.address import is_address, shown_path
from globalconv.infer.predictor import Predictor, load
from globalconv.jobs.evaluate import open_scored
from globalconv.reports.findings import network_subject
from globalconv.reports.history import recorded_data, run_names, stage_runs
from globalconv.reports.page import check_page
from globalconv.reports.run_report import write_report


def report(
    runs: Sequence[str | Path],
    data: Data = None,
    out: str | Path | None = None,
    split: str | None = None,
    layout: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    names: Sequence[str] = (),
) -> Path:
    """Write a page about a run, or about several side by side, and return its path; of a staged run, its stages.

    `data` is by default where the trainings recorded it. `out` is by default `report.html` in the run's folder, for
    several runs `comparison.html` beside the first run. `names` are what the page calls the runs.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise InputError("report: no run given; name one run folder, or several to compare")
    if out is None and is_address(folders[0]):
        raise InputError(f"`out`: {shown_path(folders[0])} has no folder for its page; name the HTML file to write")
    default = folders[0] / "report.html" if len(folders) == 1 else folders[0].parent / "comparison.html"
    path = default if out is None else Path(out)
    check_page(path)
    stages = stage_runs(folders[0]) if len(folders) == 1 else {}
    if stages:
        folders, names = list(stages.values()), list(stages)
    names = names or run_names(folders)
    predictors = [load(folder, device, precision) for folder in folders]
    check_comparable(folders, predictors, split)
    source = open_scored(predictors[0], recorded_data(folders) if data is None else data, split, layout)
    subjects = [
        network_subject(name, predictor, source, folder)
        for name, predictor, folder in zip(names, predictors, folders, strict=True)
    ]
    write_report(path, subjects, source, stages=bool(stages))
    return path


def check_comparable(folders: Sequence[Path], predictors: Sequence[Predictor], split: str | None) -> None:
    """Refuse to compare networks of other classes, or that held out other images than each other."""

    def listed(names: Sequence[str]) -> str:
        return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")

    def held_out(predictor: Predictor) -> tuple[str | None, list[str]]:
        return predictor.info.get("val_split"), sorted(predictor.info.get("held_out") or ())

    first = predictors[0]
    for folder, other in zip(folders[1:], predictors[1:], strict=True):
        if other.class_names != first.class_names:
            raise InputError(
                f"{folder}: its classes ({listed(other.class_names)}) are not those of {folders[0]}"
                f" ({listed(first.class_names)}); only runs of the same classes can be compared"
            )
        if other.image_format != first.image_format:
            raise InputError(
                f"{folder}: its training read images by another rule ({other.image_format.to_json()}) than {folders[0]}"
                f" ({first.image_format.to_json()}); report each by itself"
            )
        if split is None and held_out(other) != held_out(first):
            raise InputError(
                f"{folder}: was validated on other images than {folders[0]}, which it may have learnt; say with"
                " `split` what to score both on"
            )
