"""A table from what a user asks to its text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError, Log
from globalconv.paper.grid_data import Datasets
from globalconv.paper.keys import data_name, identity
from globalconv.paper.plan import Run, plan
from globalconv.paper.results import RunResult, read_results
from globalconv.paper.table_text import list_text, table_text
from globalconv.paper.tables import Table
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe


@dataclass(frozen=True)
class Asked:
    """Which tables, of what, and how much of them."""

    tables: Sequence[Table]
    bases: Sequence[Recipe | StagedRecipe]
    """One recipe, or one on several pairs of splits."""
    data: Root | None
    runs: Path
    results: Path
    seeds: int = 1
    first_only: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"`seeds` {self.seeds}: must be at least 1")


def run_tables(asked: Asked, stop: StopRequest, log: Log) -> str:
    """Make what is missing of the tables, and return them as text.

    Where every run has a result, no network is looked at, and the data only if they are there still.
    """
    known = _known(asked)
    runs = _planned(asked, known)
    if not all(run.identity in known for run in runs) or _is_of_other_data(asked, runs, known):
        known = _worked(asked, runs, stop, log)
    done = [(run, known[run.identity]) for run in runs if run.identity in known]
    if missing := len(runs) - len(done):
        log(f"{missing} of {len(runs)} runs are not done: other processes are at them")
    return "\n\n".join(table_text(table, done, runs) for table in asked.tables)


def list_tables(asked: Asked) -> str:
    """Return the runs of the tables in their order as text: key, whether it is done, what it took."""
    data = Datasets(asked.data)
    return list_text([(data.key_of(run), run) for run in _planned(asked, _known(asked))], read_results(asked.results))


def _worked(asked: Asked, runs: Sequence[Run], stop: StopRequest, log: Log) -> dict[str, RunResult]:
    """Train and score what is missing; return all results by the identity of their runs."""
    from globalconv.paper.grid import Grid

    data = Datasets(asked.data)
    Grid(data, asked.runs, asked.results, stop, log).work(runs)
    found = read_results(asked.results)
    return {run.identity: found[key] for run in runs if (key := data.key_of(run)) in found}


def _is_of_other_data(asked: Asked, runs: Sequence[Run], known: Mapping[str, RunResult]) -> bool:
    """Return whether the data are there, and are not those that the results are of."""
    data = Datasets(asked.data)
    try:
        return any(data.key_of(run) != known[run.identity].key for run in runs)
    except InputError:
        return False


def _known(asked: Asked) -> dict[str, RunResult]:
    """Return the results on data of this name by the identity of their runs, but for those of which there are two."""
    found: dict[str, list[RunResult]] = {}
    for result in read_results(asked.results).values():
        if result.data["name"] == data_name(asked.data):
            found.setdefault(identity(result.recipe, result.inference), []).append(result)
    return {same: results[0] for same, results in found.items() if len(results) == 1}


def _planned(asked: Asked, known: Mapping[str, RunResult]) -> list[Run]:
    def width(name: str, backbone: str) -> tuple[int, ...] | None:
        from globalconv.paper.keys import channels_of, stack_width

        return stack_width(name, channels_of(backbone), _classes(asked, known))

    return plan(asked.tables, asked.bases, asked.seeds, asked.first_only, width)


def _classes(asked: Asked, known: Mapping[str, RunResult]) -> int:
    """Return how many classes the data have, by the results if they agree."""
    counts = {len(result.data["class_names"]) for result in known.values()}
    if len(counts) == 1:
        return counts.pop()
    return len(Datasets(asked.data).facts(asked.bases[0])["class_names"])
