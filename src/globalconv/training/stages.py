"""A staged recipe: one training after the other, each from the best weights of the one before.

`OUT/recipe.json` holds all stages. Each has an ordinary run folder, `OUT/1-NAME`, `OUT/2-NAME`, ..., and the network of
the last one is copied to `OUT` when it is done, so that `OUT` can be evaluated like any run.
"""

import itertools
import shutil
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.hub.address import shown_path
from globalconv.runtime.files import write_atomic
from globalconv.runtime.processes import is_first_process
from globalconv.training.assemble import Execution, run_training
from globalconv.training.recipe import StagedRecipe, stage_folders
from globalconv.training.run_folder import RunFolder
from globalconv.training.training_splits import open_splits
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, load_weights


def run_stages(
    recipe: StagedRecipe, data: Root | None, out: Path, execution: Execution, resume: bool, init_from: Path | None
) -> None:
    """Train the stages of `recipe` that are not done; `init_from` starts the first one.

    The data of all stages are opened before the first one trains, so that missing data are not noticed days later.
    """
    first, log = is_first_process(), execution.log
    run = RunFolder(out, read_only=True)
    if first:
        run = RunFolder.reopen(out, recipe) if resume else RunFolder.new(out)
    folders = stage_folders(out, recipe.stages)
    runs = {name: RunFolder(folder) for name, folder in folders.items()}
    waiting = [name for name, stage_run in runs.items() if not stage_run.is_finished()]
    for before, after in itertools.pairwise(folders):
        if before in waiting and runs[after].is_started():  # to train `before` again would make `after` a lie
            raise InputError(
                f"`out` {folders[before]}: the stage {before!r} is not there, or not to its end, but {after!r}, which"
                f" started from it, is; restore the folder, or train into another `out`"
            )
    for name in waiting[1:]:
        open_splits(recipe.stages[name].data, data)
    if first:
        run.open(recipe.to_json())
    try:
        for number, (name, folder) in enumerate(folders.items(), start=1):
            stage = f"stage {number} of {len(folders)}: {name}"
            if name in waiting:
                log("")
                log(f"{stage}{'' if init_from is None else f', from {shown_path(init_from)}'}")
                run_training(recipe.stages[name], data, folder, execution, runs[name].is_started(), init_from)
            if first:
                info = load_weights(folder).info
                score = f"mIoU {info['miou']:.4f} on {info['val_split']} (step {info['step']})"
                log(f"{stage} is done, {score}, in {folder}")
            init_from = folder
        if first:
            for name in (WEIGHTS_FILE, MODEL_FILE):
                with (folder / name).open("rb") as file:
                    write_atomic(out / name, lambda copy: shutil.copyfileobj(file, copy))
    finally:
        if not any(stage_run.is_started() for stage_run in runs.values()):
            run.forget()
        run.close()
