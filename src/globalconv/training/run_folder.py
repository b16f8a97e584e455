"""TensorBoard, where it is installed (`pip install globalconv[log]`); `metrics.jsonl` is always written.

The run folder: everything about one training, in one place.

`recipe.json` (resolved), `dataset.json` (what it was trained on), `metrics.jsonl` (one line per event),
`checkpoints/`, `weights.safetensors` + `model.json` (the best network so far; in `last/` the newest that was
evaluated), TensorBoard's files in `tensorboard/`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from globalconv.errors import InputError
from globalconv.runtime.files import FolderLock, is_free, naming_file, write_json
from globalconv.training.recipe import BaseRecipe, StagedRecipe, differences
from globalconv.weights import BACKBONE_FILE, MODEL_FILE, WEIGHTS_FILE

R = TypeVar("R", bound=BaseRecipe | StagedRecipe)


class RunFolder:
    """Paths and log of a run. Get one from `new` or `reopen`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.json"
        self.dataset_file = path / "dataset.json"
        self.log_file = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.last = path / "last"
        self._lock = FolderLock(path)

    @classmethod
    def new(cls, path: Path) -> "RunFolder":
        """Return the folder of a run to be; refused where there is already something. Nothing is written yet."""
        run = cls(path)
        if run.recipe_file.exists():
            raise InputError(f"`out` {path}: holds a run already; add `resume` to continue it, or name another folder")
        if path.exists() and not path.is_dir():
            raise InputError(f"`out` {path}: is a file; name a folder")
        if path.exists() and not is_free(path, run.recipe_file.name):
            raise InputError(f"`out` {path}: is not empty; name a new folder")
        return run

    @classmethod
    def reopen(cls, path: Path, recipe: BaseRecipe | StagedRecipe) -> "RunFolder":
        """Return the folder of a run that `recipe` may continue; refused, naming the fields, if it has changed."""
        run = cls(path)
        if not run.recipe_file.is_file():
            raise InputError(f"`out` {path}: holds no run to `resume`; leave out `resume` to start one")
        if changed := differences(run.recipe(type(recipe)), recipe):
            raise InputError(
                f"`out` {path}: its run was started with another recipe: {', '.join(changed)};"
                f" resume it as it was, or name another folder"
            )
        return run

    def begin(self, recipe: BaseRecipe | StagedRecipe, dataset: dict[str, Any] | None = None) -> None:
        """Write down the recipe and what it is trained on, unless a resumed run has both; keep other processes out."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.take("trains")
        if not self.recipe_file.exists():
            write_json(self.recipe_file, recipe.to_json())
        if dataset is not None and not self.dataset_file.exists():
            write_json(self.dataset_file, dataset)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a kill left of a file that was being written."""
        files = (WEIGHTS_FILE, MODEL_FILE, BACKBONE_FILE, self.recipe_file.name, self.dataset_file.name)
        places = (self.path, self.last)
        partials = [partial for name in files for place in places for partial in place.glob(f".{name}.*.partial")]
        for partial in (*partials, *self.checkpoints.glob(".step-*.partial")):
            partial.unlink()

    def forget(self) -> None:
        """Undo `begin` where nothing came of it, so that the run can be started again, with other settings too."""
        self.recipe_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Let other processes resume the run."""
        self._lock.release()

    def initial_weights(self) -> str | None:
        """Return the `init_from` that the run was started with."""
        found: str | None = self._dataset().get("init_from") if self.dataset_file.exists() else None
        return found

    def check_initial_weights(self, init_from: Path | None) -> None:
        """Refuse to resume from other weights than the run was started with."""
        began = self.initial_weights()
        if init_from is not None and self.dataset_file.exists() and str(init_from.resolve()) != began:
            raise InputError(
                f"`init_from` {init_from}: the run in {self.path} was started from {began or 'fresh weights'};"
                " leave it out to resume, or train into another `out`"
            )

    def _dataset(self) -> dict[str, Any]:
        try:
            facts: dict[str, Any] = json.loads(self.dataset_file.read_text())
            if not _are_facts(facts):
                raise ValueError("not what a training writes")
        except ValueError as error:
            raise InputError(f"{self.dataset_file}: damaged ({error}); train into another `out`") from error
        return facts

    def recipe(self, kind: type[R]) -> R:
        """Return the recipe the run was started with, which is of that kind."""
        try:
            return cast("R", kind.from_json(json.loads(self.recipe_file.read_text())))
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.recipe_file}: not a recipe of globalconv {kind.verb} of this version ({error})"
            ) from error

    def check_dataset(self, dataset: dict[str, Any]) -> None:
        """Refuse to resume on other samples or classes, or with another network, than the run was started with."""
        if not self.dataset_file.exists():
            return
        before = self._dataset()
        if before["labels"] != dataset["labels"]:
            raise InputError(f"`data`: its classes are not those that the run in {self.path} began with")
        then, now = ((facts.get("network") or {}) for facts in (before, dataset))
        if then != now:
            named = ", ".join(
                f"{facts.get('module', 'that of the recipe')} {when}" for facts, when in ((then, "then"), (now, "now"))
            )
            raise InputError(f"`out` {self.path}: its run was started with another network: {named}; give that one")
        for split in ("train", "val"):
            if before[split]["fingerprint"] != dataset[split]["fingerprint"]:
                then, now = before[split]["images"], dataset[split]["images"]
                raise InputError(
                    f"`data`: the {split} split has changed since the run in {self.path} began ({then} images then,"
                    f" {now} now); give the data as it was, or train into another `out`"
                )

    def is_finished(self) -> bool:
        """Return whether the training that is logged here came to its end."""
        if not self.log_file.exists():
            return False
        last = self.log_file.read_text().rpartition("\n")[0].rpartition("\n")[2]
        return last.startswith('{"event": "end"')

    def log(self, event: str, fields: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        with naming_file(self.log_file), self.log_file.open("a") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")

    def log_size(self) -> int:
        """Return the bytes written to the log so far."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def cut_log(self, size: int) -> None:
        """Cut the log back to `size` bytes: drop what was written after a checkpoint."""
        if self.log_size() > size:
            os.truncate(self.log_file, size)


class Onlooker(RunFolder):
    """The folder of a run that another process writes: this one only reads."""

    def begin(self, recipe: BaseRecipe | StagedRecipe, dataset: dict[str, Any] | None = None) -> None:
        """Leave it to the first process."""

    def log(self, event: str, fields: dict[str, Any]) -> None:
        """Leave it to the first process."""

    def cut_log(self, size: int) -> None:
        """Leave it to the first process."""

    def forget(self) -> None:
        """Leave it to the first process."""

    def close(self) -> None:
        """Hold nothing, so let go of nothing."""


def _are_facts(facts: Any) -> bool:
    """Return whether `dataset.json` holds what `check_dataset` compares."""
    return (
        isinstance(facts, dict)
        and "labels" in facts
        and all(
            isinstance(facts.get(split), dict) and facts[split].keys() >= {"fingerprint", "images"}
            for split in ("train", "val")
        )
    )


class TensorBoard:
    """A writer of scalars; until `open` it writes nothing."""

    def __init__(self) -> None:
        self._writer: Any = None

    def open(self, folder: Path, resume_step: int) -> None:
        """Write into `folder` from now on, hiding what an interrupted run wrote there after `resume_step`."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1)

    @property
    def available(self) -> bool:
        return self._writer is not None

    def scalars(self, group: str, values: Mapping[str, float | None], step: int) -> None:
        """Write `values` as `group/name` at `step`."""
        if self._writer is None:
            return
        for name, value in values.items():
            if value is not None:
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
