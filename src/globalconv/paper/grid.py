"""The grid: every run that has no result yet is trained, scored, and its result written, one after the other.

RUNS/KEY/ belongs to the trainings that start with the one of that key; `run/` in it is its run folder, those of later
stages lie beside that under their own keys. Whoever works there locks RUNS/KEY, so that several processes can work on
one grid; a training that was stopped or killed goes on where it was.
"""

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import DivergedError, Log, StoppedError
from globalconv.paper.grid_data import Datasets
from globalconv.paper.keys import identity, portable, run_key
from globalconv.paper.measure import counts_of, history_of, nothing_counted, size_of
from globalconv.paper.plan import Run, prefixes, stages_of
from globalconv.paper.results import RunResult, read_results, result_file, write_result
from globalconv.paper.table_text import time_left
from globalconv.runtime.files import FolderLock
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.checkpoint import checkpoints
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.run_folder import RunFolder


@dataclass(frozen=True)
class Grid:
    """Where a grid is worked on, and on what."""

    data: Datasets
    runs: Path
    results: Path
    stop: StopRequest
    log: Log

    def work(self, runs: Sequence[Run]) -> None:
        """Make every result that is not there, but for those that other processes are at."""
        first: dict[str, Run] = {}
        for run in runs:  # of those that tables share, the first
            first.setdefault(self.data.key_of(run), run)
        wanted, made = list(first.items()), True
        while made:  # once more: what another process was at may have been left by it
            made = sum(self._make(key, run, wanted) for key, run in wanted) > 0

    def _make(self, key: str, run: Run, wanted: Sequence[tuple[str, Run]]) -> bool:
        """Return whether the result was made now: it may be there, or be another process's."""
        if result_file(self.results, key).exists():
            return False
        with self._held(run) as held:
            if not held or result_file(self.results, key).exists():
                return False
            self._announce(key, run, wanted)
            try:
                write_result(self.results, self._result(key, run))
            except StoppedError as stopped:
                message = f"stopped; what is trained is kept in {self.runs}, and the same command goes on"
                raise StoppedError(message, stopped.exit_code - 128) from None
            return True

    @contextmanager
    def _held(self, run: Run) -> Iterator[bool]:
        """Keep other processes from the trainings that begin as this one does; yield whether we have it."""
        folder = self._folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        held = lock.try_take()
        try:
            yield held
        finally:
            lock.release()

    def _folder(self, run: Run) -> Path:
        return self.runs / self._training_key(next(prefixes(run.recipe)))

    def _training_key(self, recipe: Recipe | StagedRecipe) -> str:
        return run_key(identity(portable(recipe), {}), self.data.facts(recipe))

    def _announce(self, key: str, run: Run, wanted: Sequence[tuple[str, Run]]) -> None:
        found = read_results(self.results)
        done = [(other, found[name]) for name, other in wanted if name in found]
        left = [other for name, other in wanted if name not in found]
        self.log(f"{len(done)} of {len(wanted)} done  now {run.words}; {time_left(done, left)}")

    def _result(self, key: str, run: Run) -> RunResult:
        """Train what is not trained, score it, and return the result."""
        source = self.data.splits(run.last.data)[1]
        trained, diverged = self._train(run)
        began = time.monotonic()
        counted = nothing_counted() if diverged else counts_of(trained, run.inference, source, run.last.device)
        scoring = time.monotonic() - began
        return RunResult(
            key=key, recipe=portable(run.recipe), data=self.data.facts(run.recipe), seed=run.last.seed,
            inference=run.inference.changes(), diverged=diverged,
            **counted, **history_of(trained, scoring), **size_of(run.last, source.labels.num_classes),
        )  # fmt: skip

    def _train(self, run: Run) -> tuple[RunFolder, bool]:
        """Train the stages that are not trained; return the run folder of the last one, and whether it diverged."""
        place, start = self._folder(run) / "run", None
        for recipe in prefixes(run.recipe):
            if start is not None:
                place = place.parent / self._training_key(recipe)
            trained = RunFolder(place)
            try:
                self._train_stage(list(stages_of(recipe).values())[-1], trained, start)
            except DivergedError as error:
                self.log(f"diverged    {error}")
                return trained, True
            start = place
        return trained, False

    def _train_stage(self, recipe: Recipe, run: RunFolder, start: Path | None) -> None:
        if not run.is_finished():
            resume = run.is_started()
            recipe = _as_begun(run, recipe) if resume else recipe
            run_training(recipe, self.data.root, run.path, Execution(self.stop, lambda line: None), resume, start)
        for checkpoint in checkpoints(run.checkpoints):  # of no use any more, and twice as large as the rest
            checkpoint.unlink()


def _as_begun(run: RunFolder, recipe: Recipe) -> Recipe:
    """Return a recipe as its run was begun: runs of one key may differ, which changes no result."""
    here = {name: getattr(recipe, name) for name in ("device", "checkpoint_every")}
    begun = run.recipe(Recipe)
    data = dataclasses.replace(begun.data, workers=recipe.data.workers)
    return dataclasses.replace(begun, data=data, **here)
