"""A staged recipe, run: one training after the other, each from the best weights of the one before.

`OUT/recipe.json` holds all stages. Each has an ordinary run folder, `OUT/1-NAME`, `OUT/2-NAME`, ..., and the network of
the last one is copied to `OUT` when it is done, so that `OUT` can be evaluated like any run.
"""

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError, Log
from globalconv.runtime.files import write_atomic
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import run_training
from globalconv.training.distributed import ALONE, Cluster
from globalconv.training.recipe import StagedRecipe, stage_folders
from globalconv.training.run_folder import ReadOnlyRunFolder, RunFolder
from globalconv.training.training_splits import open_splits
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, load_weights


def run_stages(
    recipe: StagedRecipe, data: Root | None, out: Path, resume: bool, init_from: Path | None, stop: StopRequest,
    log: Log, cluster: Cluster = ALONE,
) -> None:  # fmt: skip
    """Train the stages of `recipe` that are not done; `init_from` starts the first one.

    The data of all of them are opened before the first one trains: what is missing is said now, not in three days.
    """
    first = is_first_process()
    run = ReadOnlyRunFolder(out) if not first else RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    folders = stage_folders(out, recipe.stages)
    waiting = [name for name, folder in folders.items() if not RunFolder(folder).is_finished()]
    _refuse_gaps(folders, waiting)
    for name in waiting[1:]:
        open_splits(recipe.stages[name].data, data)
    run.begin(recipe)
    try:
        start = init_from
        for number, (name, folder) in enumerate(folders.items(), start=1):
            where = f"stage {number} of {len(folders)}"
            if name in waiting:
                log(f"\n{where}: {name}{_origin(start)}")
                run_training(recipe.stages[name], data, folder, _has_begun(folder), start, stop, log, cluster)
            if first:
                log(f"{where}: {name} is done, {_result(folder)}")
            start = folder
        if first:
            _publish(folder, out)
    finally:
        if not any(map(_has_begun, folders.values())):
            run.forget()
        run.close()


def _has_begun(folder: Path) -> bool:
    return RunFolder(folder).is_started()


def _refuse_gaps(folders: Mapping[str, Path], waiting: Sequence[str]) -> None:
    """Refuse to train again, perhaps for days, what a later stage has started from already."""
    for before, after in itertools.pairwise(folders):
        if before in waiting and _has_begun(folders[after]):
            raise InputError(
                f"`out` {folders[before]}: the stage {before!r} is not there, or not to its end, but {after!r}, which"
                f" started from it, is; restore the folder, or train into another `out`"
            )


def _origin(start: Path | None) -> str:
    return "" if start is None else f", from {start}"


def _result(folder: Path) -> str:
    info = load_weights(folder).info
    return f"mIoU {info['miou']:.4f} on {info['val_split']} (step {info['step']}), in {folder}"


def _publish(last: Path, out: Path) -> None:
    """Copy the network of the last stage to `out`."""
    for name in (WEIGHTS_FILE, MODEL_FILE):
        with (last / name).open("rb") as file:
            write_atomic(out / name, lambda copy: shutil.copyfileobj(file, copy))
