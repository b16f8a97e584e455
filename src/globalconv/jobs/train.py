"""Jobs that train, each one function."""

import copy
import shlex
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from globalconv.data.roots import Data, Root, as_root
from globalconv.errors import InputError, StoppedError, print_line
from globalconv.infer.predictor import load
from globalconv.jobs.report import report
from globalconv.model.wrapped import custom_class, unwrap
from globalconv.reports.findings import network_subject
from globalconv.reports.run_report import write_report
from globalconv.runtime.files import as_path
from globalconv.runtime.processes import is_first_process
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import run_training
from globalconv.training.distributed import Cluster
from globalconv.training.pretraining import run_pretraining
from globalconv.training.recipe import PretrainRecipe, Recipe, StagedRecipe, stage_folders
from globalconv.training.recipes.index import recipe_named
from globalconv.training.run_folder import RunFolder
from globalconv.training.segmentation import Segmentation
from globalconv.training.session import Session
from globalconv.training.stages import run_stages
from globalconv.weights import BACKBONE_FILE

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

    Of a staged recipe every stage has a run folder in `out`; with `resume`, stages that are done are skipped. `data` is
    what `data` is: the root of a data set, roots by the names of data sets, or None for generated scenes. `init_from`
    is a run folder or a folder with weights whose network starts this one. A `stop` that listens makes signals save the
    state first. `devices` processes on each of `nodes` machines train together (docs/training.md).
    `network` is trained, in place, instead of the one that the recipe describes: any module from images (normalised
    with ImageNet's mean and standard deviation, sides multiples of 32) to logits of their size. To resume such a run or
    to `load` it takes another of its make.
    Raises `InputError` for refused input, `DivergedError` where the loss stops being finite.
    """
    recipe = recipe_named(recipe) if isinstance(recipe, str) else recipe
    root = as_root(data)
    initial = None if init_from is None else Path(init_from)
    place, stop, first = Path(out), stop or StopRequest(), is_first_process()
    cluster, log = Cluster(devices, nodes, strategy), print_line if first else _silence
    if resume:
        begun = next(iter(stage_folders(place, recipe.stages).values())) if isinstance(recipe, StagedRecipe) else place
        RunFolder(begun).check_initial_weights(initial)
    if network is not None and (isinstance(recipe, StagedRecipe) or initial is not None):
        raise InputError("network: starts as it is given, in a recipe of one stage; leave out init_from and stages")
    if isinstance(recipe, StagedRecipe):
        run_stages(recipe, root, place, resume, initial, stop, log, cluster)
        write_page = partial(_report_stages, recipe, root, place)
    else:
        session = run_training(recipe, root, place, resume, initial, stop, log, cluster, network)
        write_page = partial(_report_training, place, session)
    if first:
        _try_to_report(place, write_page)
    return place


def pretrain(
    recipe: PretrainRecipe,
    data: str | Path,
    out: str | Path = "runs/pretrain",
    resume: bool = False,
    stop: StopRequest | None = None,
) -> Path:
    """Pre-train the backbone of `recipe` on the images in `data` (`train/CLASS/`, `val/CLASS/`) into a run folder.

    Return the file that `GlobalConvNet(backbone_weights=...)` takes. Raises what `train` raises.
    """
    run_pretraining(recipe, as_path("data", data), as_path("out", out), resume, stop or StopRequest(), print_line)
    return Path(out) / BACKBONE_FILE


def _silence(line: str) -> None:
    """Say nothing: the first process does."""


def _try_to_report(out: Path, write_page: Callable[[], None]) -> None:
    """Write the page of a training that is complete: what goes wrong here must not make a night look lost."""
    again = f"the training is complete; globalconv report {shlex.quote(str(out))} writes its page"
    try:
        write_page()
    except StoppedError as stopped:
        raise StoppedError(f"{stopped} while writing the report; {again}", stopped.exit_code - 128) from None
    except Exception as error:
        warnings.warn(f"no report.html: {error}; {again}", stacklevel=2)


def _report_training(out: Path, session: Session) -> None:
    given = unwrap(session.network) if custom_class(session.network) else None
    predictor = load(out, str(session.device), session.precision, network=copy.deepcopy(given))
    assert isinstance(session.task, Segmentation)
    source = session.task.val_source
    write_report(out / "report.html", [network_subject(out.resolve().name, predictor, source, out)], source)


def _report_stages(recipe: StagedRecipe, data: Root | None, out: Path) -> None:
    """Compare the stages of a training, each by its best network."""
    last = list(recipe.stages.values())[-1]
    report([out], data, device=last.device, precision=last.precision)
