"""`globalconv train`: train a recipe into a run folder, and write the page about it."""

import copy
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from globalconv.cards.card_scores import scores_of
from globalconv.cards.kept_scores import keep_scores
from globalconv.data.roots import Data, as_root
from globalconv.errors import InputError, StoppedError, print_line
from globalconv.infer.predictor import load
from globalconv.jobs.report import report
from globalconv.model.wrapped import custom_class, unwrap
from globalconv.reports.findings import network_subject
from globalconv.reports.run_report import write_report
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.distributed import Cluster
from globalconv.training.loop import Session
from globalconv.training.recipe import Recipe, StagedRecipe, stage_folders
from globalconv.training.recipes.index import recipe_named
from globalconv.training.run_folder import RunFolder
from globalconv.training.segmentation import Segmentation
from globalconv.training.stages import run_stages
from globalconv.weights import pinned_weights

if TYPE_CHECKING:
    from torch import nn


def train(
    recipe: Recipe | StagedRecipe | str,
    data: Data = None,
    out: str | Path = "runs/train",
    resume: bool = False,
    init_from: str | Path | None = None,
    stop: StopRequest | None = None,
    devices: int | None = None,
    nodes: int | None = None,
    strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp",
    network: "nn.Module | None" = None,
) -> Path:
    """Train `recipe` (or the one of that name) on `data` into the run folder `out`, and return `out`.

    `data` is the root of a data set, roots by the names of data sets, or None for generated scenes. `init_from` is a
    run folder, another folder with weights, or hf://USER/NAME, whose network this one starts from. With `resume`, the
    run in `out` continues. Each stage of a staged recipe has a run folder in `out`; `resume` skips those that are done.
    A `stop` that listens makes signals save the state first. `devices` processes on each of `nodes` machines train
    together (docs/training.md).
    `network` is trained, in place, instead of the one that the recipe describes: any module from images (normalised
    with ImageNet's mean and standard deviation, sides multiples of 32) to logits of their size. Resuming such a run and
    `load` need another module of the same kind.
    Raises `InputError` for refused input, `DivergedError` where the loss stops being finite.
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    root, out, first = as_root(data), Path(out), is_first_process()
    init_from = None if init_from is None else pinned_weights(Path(init_from))
    log = print_line if first else lambda line: None
    execution = Execution(stop or StopRequest(), log, Cluster(devices, nodes, strategy))
    if resume:
        begun = next(iter(stage_folders(out, recipe.stages).values())) if isinstance(recipe, StagedRecipe) else out
        RunFolder(begun).check_initial_weights(init_from)
    if network is not None and (isinstance(recipe, StagedRecipe) or init_from is not None):
        raise InputError("network: starts as it is given, in a recipe of one stage; leave out init_from and stages")

    session = None
    if isinstance(recipe, StagedRecipe):
        run_stages(recipe, root, out, execution, resume, init_from)
    else:
        session = run_training(recipe, root, out, execution, resume, init_from, network)
    if not first:
        return out

    # The training is complete: a failure from here on must not look as if it were lost.
    again = f"the training is complete; globalconv report {shlex.quote(str(out))} writes its page"
    try:
        if isinstance(recipe, StagedRecipe):
            last = list(recipe.stages.values())[-1]
            report([out], root, device=last.device, precision=last.precision)  # compares the stages
        elif session is not None:
            _report_training(out, session)
    except StoppedError as stopped:
        raise StoppedError(f"{stopped} while writing the report; {again}", stopped.exit_code - 128) from None
    except Exception as error:
        warnings.warn(f"no report.html: {error}; {again}", stacklevel=2)
    return out


def _report_training(out: Path, session: Session) -> None:
    """Write `report.html` about the best network, on the data and in the precision of its training; keep its scores."""
    assert isinstance(session.task, Segmentation)
    module = copy.deepcopy(unwrap(session.network)) if custom_class(session.network) else None
    predictor = load(out, str(session.numerics.device), session.numerics.precision, network=module)
    source = session.task.val_source
    subject = network_subject(out.resolve().name, predictor, source, out)
    result = write_report(out / "report.html", [subject], source)[0]
    keep_scores(out, scores_of(result, session.task.settings.val_split))
