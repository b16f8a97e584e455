"""The run folder, which holds everything about one training, and TensorBoard's files in it.

`recipe.json` (every setting), `dataset.json` (what the training started from), `metrics.jsonl` (one line per event),
`checkpoints/`, `weights.safetensors` + `model.json` (the best network so far; in `last/` the one that was evaluated
last) and, where TensorBoard is installed (`pip install globalconv[log]`), its files in `tensorboard/`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from globalconv.errors import InputError
from globalconv.hub.address import recorded_path, shown_path
from globalconv.runtime.files import write_json
from globalconv.runtime.resumable_folder import ResumableFolder
from globalconv.runtime.text import one_line, printable
from globalconv.training.recipe import BaseRecipe, StagedRecipe, differences
from globalconv.weights import BACKBONE_FILE, MODEL_FILE, WEIGHTS_FILE

R = TypeVar("R", bound=BaseRecipe | StagedRecipe)

_NETWORK_FILES = (WEIGHTS_FILE, MODEL_FILE, BACKBONE_FILE)


class RunFolder(ResumableFolder):
    """The files of a run. `new` or `reopen` return one that a training may use.

    Of several processes that train together only the first one writes; the others have a folder that is `read_only`.
    """

    kind = "run"
    activity = "trains"
    settings_name = "recipe.json"
    written_files = (
        "dataset.json",
        *_NETWORK_FILES,
        *(f"last/{name}" for name in _NETWORK_FILES),
        "checkpoints/step-*",
    )
    remedy = "train into another `out`"

    def __init__(self, path: Path, read_only: bool = False) -> None:
        super().__init__(path)
        self.read_only = read_only
        self.dataset_file = path / "dataset.json"
        self.log_file = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.last = path / "last"

    @classmethod
    def new(cls, path: Path) -> "RunFolder":
        """Return the folder of a run to start; refused where there is already something. Writes nothing yet."""
        run = cls(path)
        run.check_new()
        return run

    @classmethod
    def reopen(cls, path: Path, recipe: BaseRecipe | StagedRecipe) -> "RunFolder":
        """Return the folder of a run that `recipe` may resume; refused, naming the fields, if it has changed."""
        run = cls(path)
        run.check_started()
        if changes := differences(run.recipe(type(recipe)), recipe):
            raise InputError(
                f"`out` {path}: its run was started with another recipe: {', '.join(changes)};"
                f" resume it as it was, or name another folder"
            )
        return run

    def record_dataset(self, dataset: dict[str, Any]) -> None:
        """Write what the training starts from, unless a resumed run has it."""
        if not self.dataset_file.exists():
            write_json(self.dataset_file, dataset)

    def forget(self) -> None:
        """Undo `open` where no stage has started, so that the run can be started again, with other settings too."""
        if not self.read_only:
            self.settings_file.unlink(missing_ok=True)

    def recipe(self, kind: type[R]) -> R:
        """Return the recipe the run was started with, which is of that kind."""
        try:
            return cast("R", kind.from_json(json.loads(self.settings_file.read_text(encoding="utf-8"))))
        except (
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            OverflowError,
            RecursionError,
            AssertionError,
        ) as error:
            raise InputError(
                f"{self.settings_file}: not a recipe of globalconv {kind.verb} of this version ({one_line(error)})"
            ) from error

    def initial_weights(self) -> str | None:
        """Return the `init_from` that the run was started with."""
        path: str | None = self._dataset().get("init_from") if self.dataset_file.exists() else None
        return path

    def check_initial_weights(self, init_from: Path | None) -> None:
        """Refuse to resume from other weights than the run was started with."""
        before = self.initial_weights()
        if init_from is not None and self.dataset_file.exists() and recorded_path(init_from) != before:
            raise InputError(
                f"`init_from` {shown_path(init_from)}: the run in {self.path} was started from"
                f" {before or 'fresh weights'}; leave it out to resume, or train into another `out`"
            )

    def check_dataset(self, dataset: dict[str, Any]) -> None:
        """Refuse to resume on other samples or classes, or with another network, than the run was started with."""
        if not self.dataset_file.exists():
            return
        before = self._dataset()
        if before["labels"] != dataset["labels"]:
            raise InputError(f"`data`: its classes are not those that the run in {self.path} began with")
        images, images_now = before.get("images", dataset.get("images")), dataset.get("images")  # older runs have none
        if images != images_now:
            raise InputError(
                f"`data`: its images would be read by another rule than when the run in {self.path} began"
                f" ({images} then, {images_now} now); give the data as it was, or train into another `out`"
            )
        then, now = ((facts.get("network") or {}) for facts in (before, dataset))
        if then != now:
            networks = ", ".join(
                f"{facts.get('module', 'that of the recipe')} {when}" for facts, when in ((then, "then"), (now, "now"))
            )
            raise InputError(f"`out` {self.path}: its run was started with another network: {networks}; give that one")
        for split in ("train", "val"):
            if before[split]["fingerprint"] != dataset[split]["fingerprint"]:
                then, now = before[split]["images"], dataset[split]["images"]
                raise InputError(
                    f"`data`: the {split} split has changed since the run in {self.path} began ({then} images then,"
                    f" {now} now); give the data as it was, or train into another `out`"
                )

    def _dataset(self) -> dict[str, Any]:
        """Return `dataset.json`, with all that `check_dataset` compares."""
        facts = self.read_json(self.dataset_file)
        splits = [facts.get(split) for split in ("train", "val")]
        others = (facts.get("network") or {}, facts.get("init_from") or "")
        if (
            "labels" not in facts
            or not all(isinstance(split, dict) and split.keys() >= {"fingerprint", "images"} for split in splits)
            or not all(isinstance(value, kind) for value, kind in zip(others, (dict, str), strict=True))
        ):
            raise self.damaged(self.dataset_file, ValueError("not what a training writes"))
        return facts

    def is_finished(self) -> bool:
        """Return whether the training that is logged here came to its end."""
        if not self.log_file.exists():
            return False
        last_line = self.log_file.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0].rpartition("\n")[2]
        return last_line.startswith('{"event": "end"')

    def log(self, event: str, fields: dict[str, Any]) -> None:
        """Append one line to `metrics.jsonl`."""
        if not self.read_only:
            self.append(self.log_file, {"event": event, **fields})

    def log_size(self) -> int:
        """Return the bytes written to the log so far."""
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def cut_log(self, size: int) -> None:
        """Cut the log back to `size` bytes: drop what was written after a checkpoint."""
        if not self.read_only and self.log_size() > size:
            os.truncate(self.log_file, size)


class TensorBoard:
    """Writes scalars for TensorBoard, where that is installed; nothing before `open`."""

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
                self._writer.add_scalar(printable(f"{group}/{name}"), value, step)

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()
