"""`globalconv paper TABLE ...` and `globalconv paper report`: the paper's tables trained again, and the report on them.

Loads torch only where something is trained, scored, or shown in images: finished tables print at once.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.paper.keys import GridData, data_name, identity
from globalconv.paper.plan import Run, plan
from globalconv.paper.results import RunResult, list_text, read_results, table_text
from globalconv.paper.tables import PaperTable
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe


@dataclass(frozen=True)
class TableSettings:
    """The tables to make, from which data and recipe, and with how many trainings."""

    tables: Sequence[PaperTable]
    recipes: Sequence[Recipe | StagedRecipe]
    """One recipe, on one or several pairs of splits."""
    data: Root | None
    runs: Path
    """Folder of the trainings."""
    results: Path
    """Folder of the results."""
    seeds: int = 1
    first_only: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"`seeds` {self.seeds}: must be at least 1")


def make_tables(settings: TableSettings, stop: StopRequest, log: Callable[[str], None]) -> str:
    """Train and score the missing runs of the tables, and return the tables as text.

    Where every run has a result, no network is built, and the data may be gone.
    """
    runs, results = _plan_runs(settings)
    data = GridData(settings.data)
    is_finished = all(run.identity in results for run in runs)
    if is_finished:
        with contextlib.suppress(InputError):  # where the data are gone, the results stand
            is_finished = all(run.key(data) == results[run.identity].key for run in runs)  # not of other data
    if not is_finished:
        from globalconv.paper.grid import TrainingGrid

        TrainingGrid(data, settings.runs, settings.results, stop, log).complete(runs)
        by_key = read_results(settings.results)
        results = {run.identity: by_key[key] for run in runs if (key := run.key(data)) in by_key}
    done = [(run, results[run.identity]) for run in runs if run.identity in results]
    if missing := len(runs) - len(done):
        log(f"{missing} of {len(runs)} runs are not done: other processes work on them")
    return "\n\n".join(table_text(table, done, runs) for table in settings.tables)


def list_runs(settings: TableSettings) -> str:
    """Return the runs of the tables in their order as text: key, whether it is done, how long it took."""
    runs, _ = _plan_runs(settings)
    data = GridData(settings.data)
    return list_text([(run.key(data), run) for run in runs], read_results(settings.results))


def _plan_runs(settings: TableSettings) -> tuple[list[Run], dict[str, RunResult]]:
    """Return the runs of the tables, and by their identity the results on data of this name.

    Results that differ only in their data, of the same name, are left out: the name does not tell which one is meant.
    """
    results: dict[str, list[RunResult]] = {}
    for result in read_results(settings.results).values():
        if result.data["name"] == data_name(settings.data):
            results.setdefault(identity(result.recipe, result.inference), []).append(result)
    unique = {key: same[0] for key, same in results.items() if len(same) == 1}

    def num_classes() -> int:
        counts = {len(result.data["class_names"]) for result in unique.values()}
        if len(counts) == 1:
            return counts.pop()
        return len(GridData(settings.data).facts(settings.recipes[0])["class_names"])

    return plan(settings.tables, settings.recipes, settings.seeds, settings.first_only, num_classes), unique


def write_reports(
    folders: Sequence[Path],
    page: Path | None,
    markdown: Path | None,
    runs: Path | None = None,
    data: Root | None = None,
    occluders: int | None = None,
    class_names: Sequence[str] = (),
) -> list[Path]:
    """Write the report on the results in `folders` as HTML and as Markdown; return the files that were written.

    Mean IoUs are over the classes of `class_names` where a data set has them, and over all where none are given.

    With `runs`, the folder of the trainings, the page shows images of `data` (None: the built-in scenes) as Figure 6,
    and with a number of `occluders` valid receptive fields as Figure 3.
    """
    from globalconv.paper.paper_report import TITLE, read_results_of_datasets, report_html, report_markdown
    from globalconv.reports.page import check_page, write_page
    from globalconv.runtime.files import check_output, write_text

    if page is None and markdown is None:
        raise InputError("paper report: name a file to write, `out` FILE.html or `markdown` FILE.md")
    if occluders is not None and runs is None:
        raise InputError("`occluders`: measures trained networks; name the folder of the trainings, `runs` FOLDER")
    if occluders is not None and occluders < 1:
        raise InputError(f"`occluders` {occluders}: give at least 1; the paper's Figure 3 has about 5000")
    if page:
        check_page(page)
    if markdown:
        check_output("markdown", markdown, ".md")
        if markdown.exists() and not markdown.read_bytes().startswith(f"# {TITLE}\n".encode()):
            raise InputError(f"`markdown` {markdown}: was not written by globalconv; move it or name another file")
    datasets = read_results_of_datasets(folders, class_names)
    if page:
        figures = {}
        if runs:
            from globalconv.paper.paper_figures import paper_figures

            figures = paper_figures(datasets, runs, data, occluders)
        footer = f"globalconv {version('globalconv')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        write_page(page, report_html(datasets, figures, footer))
    if markdown:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        write_text(markdown, report_markdown(datasets))
    return [file for file in (page, markdown) if file]
