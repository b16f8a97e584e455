"""The jobs of the program, each one function, for Python and the command line alike."""

import copy
import shlex
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from globalconv.data.images import pixel_limit
from globalconv.data.sources import Data, Root, Source, as_root, open_held_out, open_source
from globalconv.errors import InputError, StoppedError, tell
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import PARTS as SCORING
from globalconv.evaluation.score import OnImage, Score, class_maps_in, score_batches, score_predictions
from globalconv.files import as_path
from globalconv.infer.files import PARTS as PREDICTING
from globalconv.infer.files import Failure, predict_files
from globalconv.infer.predictor import Predictor, load
from globalconv.infer.settings import PLAIN, InferenceSettings
from globalconv.labels import LabelSpace
from globalconv.model.adopted import Adopted
from globalconv.pipeline import Shares
from globalconv.processes import is_first_process
from globalconv.progress import Progress
from globalconv.reporting.gather import Subject
from globalconv.reporting.history import History
from globalconv.reporting.pages import write_report
from globalconv.reporting.runs import check_alike, noted_data, run_names, stage_runs, subject
from globalconv.search.settings import SEARCH, SearchSettings
from globalconv.show.page import check_page
from globalconv.stopping import StopRequest
from globalconv.submission.benchmarks import Competition
from globalconv.submission.job import Submission, run_submission
from globalconv.training.pretrain import run_pretraining
from globalconv.training.pretrain_recipe import PretrainRecipe
from globalconv.training.ranks import Cluster
from globalconv.training.recipe import Recipe, StagedRecipe, flat, stage_folders
from globalconv.training.recipes import recipe_named
from globalconv.training.run import RunFolder
from globalconv.training.segmentation import Segmentation
from globalconv.training.session import Session
from globalconv.training.stages import run_stages
from globalconv.training.start import run_training
from globalconv.weights import BACKBONE_FILE

if TYPE_CHECKING:
    from torch import nn

    from globalconv.search.verdict import Verdict


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
    what `--data` is: the root of a data set, roots by the names of data sets, or None for generated scenes. `init_from`
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
    cluster, say = Cluster(devices, nodes, strategy), tell if first else _silence
    if resume:
        begun = next(iter(stage_folders(place, recipe.stages).values())) if isinstance(recipe, StagedRecipe) else place
        RunFolder(begun).check_initial_weights(initial)
    if network is not None and (isinstance(recipe, StagedRecipe) or initial is not None):
        raise InputError("network: starts as it is given, in a recipe of one stage; leave out init_from and stages")
    if isinstance(recipe, StagedRecipe):
        run_stages(recipe, root, place, resume, initial, stop, say, cluster)
        write_page = partial(_report_stages, recipe, root, place)
    else:
        session = run_training(recipe, root, place, resume, initial, stop, say, cluster, network)
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
    """Pre-train the backbone of `recipe` on the pictures in `data` (`train/CLASS/`, `val/CLASS/`) into a run folder.

    Return the file that `GlobalConvNet(backbone_weights=...)` takes. Raises what `train` raises.
    """
    run_pretraining(recipe, as_path("data", data), as_path("out", out), resume, stop or StopRequest(), tell)
    return Path(out) / BACKBONE_FILE


def evaluate(
    weights: str | Path | Predictor,
    data: Data = None,
    split: str | None = None,
    layout: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    report: str | Path | None = None,
    settings: InferenceSettings = PLAIN,
    regions: RegionSettings = REGIONS,
) -> Score:
    """Return the score of `weights` (a run folder, a weights folder or a `Predictor`) on a split of `data`.

    Every image is scored at its own size, in float32 unless asked otherwise; `settings` asks for tiles, scales and so
    on (a `Predictor` keeps its own of both). `split` and `layout` are by default those of the training's validation;
    the built-in scenes need no `data`. `report` is an HTML file to write with what was found. `regions` says what is
    near a boundary; the score's `regions` holds what was found there and inside (docs/regions.md).
    """
    predictor = weights if isinstance(weights, Predictor) else load(weights, device, precision, settings=settings)
    with pixel_limit(predictor.settings.max_pixels):
        score = _evaluate(weights, predictor, _to_score(predictor, data, split, layout), report, regions)
    return replace(score, inference=predictor.settings.changes())


def _evaluate(
    weights: str | Path | Predictor,
    predictor: Predictor,
    source: Source,
    report: str | Path | None,
    regions: RegionSettings,
) -> Score:
    if report is not None:
        folder = None if isinstance(weights, Predictor) else Path(weights)
        name = "network" if folder is None else folder.resolve().name
        asked = _with_settings(subject(name, predictor, source, folder), predictor.settings)
        return _write_report(Path(report), [asked], source, regions)[0]
    shares, batch_size = Shares(*SCORING), predictor.images_at_once
    with _progress(source) as progress:
        score = score_batches(
            predictor.class_maps, source, predictor.precision, batch_size, _counted(progress), shares, regions
        )  # fmt: skip
        progress.say(shares.line(len(source), "images"))
    return score


def _with_settings(asked: Subject, settings: InferenceSettings) -> Subject:
    """Return a subject whose name and settings say what was done beyond one pass of the network."""
    if not (changes := settings.changes()):
        return asked
    history = replace(asked.history, settings={**asked.history.settings, **flat({"inference": changes})})
    name = ", ".join([asked.name, *(f"{option} {value}" for option, value in changes.items())])
    return replace(asked, name=name, history=history)


def evaluate_predictions(
    predictions: str | Path,
    data: Data = None,
    split: str = "val",
    layout: str | None = None,
    report: str | Path | None = None,
    max_pixels: int | None = None,
    regions: RegionSettings = REGIONS,
) -> Score:
    """Return the score of a folder of class maps (palette or index PNGs) on a split of `data`.

    Pictures of more than `max_pixels` (None: 178 megapixels) are refused. `regions` as in `evaluate`.
    """
    with pixel_limit(max_pixels):
        return _evaluate_predictions(predictions, _source(data, split, layout), report, regions)


def _evaluate_predictions(
    predictions: str | Path, source: Source, report: str | Path | None, regions: RegionSettings
) -> Score:
    if report is not None:
        maps = Subject(Path(predictions).resolve().name, class_maps_in(Path(predictions), source), History())
        return _write_report(Path(report), [maps], source, regions)[0]
    with _progress(source) as progress:
        return score_predictions(Path(predictions), source, _counted(progress), regions)


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

    `data` is by default where the trainings noted it. `out` is by default `report.html` in the run's folder, for
    several runs `comparison.html` beside the first run. `names` are what the page calls the runs.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise InputError("report: no run given; name one run folder, or several to compare")
    beside = folders[0] / "report.html" if len(folders) == 1 else folders[0].parent / "comparison.html"
    path = beside if out is None else Path(out)
    check_page(path)
    stages = stage_runs(folders[0]) if len(folders) == 1 else {}
    if stages:
        folders, names = list(stages.values()), list(stages)
    called = names or run_names(folders)
    predictors = [load(folder, device, precision) for folder in folders]
    check_alike(folders, predictors, split)
    source = _to_score(predictors[0], noted_data(folders) if data is None else data, split, layout)
    subjects = [subject(*parts) for parts in zip(called, predictors, [source] * len(folders), folders, strict=True)]
    _write_report(path, subjects, source, stages=bool(stages))
    return path


def predict(
    weights: str | Path | Predictor,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    precision: str = "auto",
    settings: InferenceSettings = PLAIN,
) -> list[Failure]:
    """Write class map and overlay of every image that `images` (files, folders, globs) name into the folder `out`.

    `settings` asks for tiles, scales and so on (a `Predictor` keeps its own). What cannot be read is skipped, returned,
    and listed in `failures.json`. Of a TIFF above 25 megapixels only the class map is written, as a TIFF.
    """
    predictor = weights if isinstance(weights, Predictor) else load(weights, device, precision, settings=settings)
    inputs = _inputs(images)
    shares = Shares(*PREDICTING)
    with Progress("predicted", len(inputs), "images") as progress:

        def on_file(done: int, total: int, path: Path, failure: Failure | None) -> None:
            progress.update(done, total=total)

        failures = predict_files(predictor, inputs, as_path("out", out), on_file, shares)
        progress.say(shares.line(progress.total, "images"))
    return failures


def _inputs(images: Any) -> list[str]:
    """Return the files, folders and globs that are named, by one path or several."""
    one = isinstance(images, str | Path) or not isinstance(images, Iterable)
    several = [images] if one else list(images)
    if wrong := [image for image in several if not isinstance(image, str | Path)]:
        kind = type(wrong[0]).__name__
        raise InputError(f"images: holds {kind}: give paths of files, folders or globs; an array goes to a Predictor")
    return list(map(str, several))


def crf_search(
    weights: str | Path,
    data: Data,
    out: str | Path,
    settings: SearchSettings = SEARCH,
    resume: bool = False,
    workers: int | None = None,
    device: str = "auto",
) -> "Verdict":
    """Find the parameters of a CRF for `weights` on one part of `data`; return what they are worth on another.

    `out` receives `crf.json`, which `--crf` takes, and all that a stopped search needs to go on with `resume`.
    `workers` processes refine images (None: one per core); `device` is the network's. Raises `InputError` for refused
    input, `StoppedError` where a signal stops it.
    """
    from globalconv.search.job import run_job  # compiles, which only those wait for who use it

    predictor = load(weights, device, settings.precision, settings=settings.inference)

    def opened(root: Root | None, split: str | None) -> Source:
        return _to_score(predictor, root, split, settings.layout)

    return run_job(predictor, Path(weights), as_root(data), opened, Path(out), settings, resume, workers, tell)


def submit(
    benchmark: str,
    weights: str | Path,
    data: Data,
    out: str | Path,
    split: str = "test",
    competition: Competition = "comp6",
    device: str = "auto",
    precision: str = "float32",
    settings: InferenceSettings = PLAIN,
    trial: bool = False,
) -> int:
    """Write the archive `out` that the server of `benchmark` ("voc", "cityscapes") takes; return its predictions.

    All pictures of the split below `data` are predicted at their own size into a folder beside the archive, checked,
    and packed; a call that was stopped is continued by the same call. `trial` takes an incomplete split. Raises
    `InputError` for a network of other classes and for whatever the server would refuse.
    """
    submission = Submission(benchmark, Path(out), split, competition, trial)
    submission.check()
    if (root := as_root(data)) is None:
        raise InputError("--data is missing: name the root of the official data set")
    predictor = load(weights, device, precision, settings=settings)
    return run_submission(submission, Path(weights), predictor, root)


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
    given = session.network.module if isinstance(session.network, Adopted) else None
    predictor = load(out, str(session.device), session.precision, network=copy.deepcopy(given))
    assert isinstance(session.task, Segmentation)
    source = session.task.val_source
    _write_report(out / "report.html", [subject(out.resolve().name, predictor, source, out)], source)


def _report_stages(recipe: StagedRecipe, data: Root | None, out: Path) -> None:
    """Compare the stages of a training, each by its best network."""
    last = list(recipe.stages.values())[-1]
    report([out], data, device=last.device, precision=last.precision)


def _write_report(
    path: Path,
    subjects: list[Subject],
    source: Source,
    regions: RegionSettings = REGIONS,
    stages: bool = False,
) -> list[Score]:
    with Progress("reported on", len(source), "images") as progress:

        def on_image(done: int, matrix: ConfusionMatrix) -> None:  # of the first subject only
            progress.update(done, {"mIoU": f"{matrix.miou():.4f}"} if len(subjects) == 1 else {})

        return write_report(path, subjects, source, on_image, regions, stages)


def _to_score(predictor: Predictor, data: Data, split: str | None, layout: str | None) -> Source:
    """Open what a network is to be scored on: unless told otherwise, what its training was validated on."""
    noted = predictor.info.get("recipe", {}).get("data", {})
    split = split or noted.get("val_split", "val")
    if layout is None and (data is None or split == noted.get("val_split")):
        layout = noted.get("layout")
    return _held_out(predictor, data, split, layout) or _source(data, split, layout, predictor.labels)


def _source(data: Data, split: str, layout: str | None, labels: LabelSpace | None = None) -> Source:
    """Open what is to be scored; only the generated scenes have no place."""
    if data is None and layout != "scenes":
        raise InputError("--data is missing: name the root of the data set (or --layout scenes for the built-in ones)")
    return open_source(as_root(data), split, layout, labels)


def _held_out(predictor: Predictor, data: Data, split: str, layout: str | None) -> Source | None:
    """Return the samples that the training held out, where it had to: pictures added since must not change them."""
    names, root = predictor.info.get("held_out"), as_root(data)
    if not names or not isinstance(root, Path) or split != predictor.info.get("val_split"):
        return None
    return open_held_out(root, set(names), layout, predictor.labels)


def _progress(source: Source) -> Progress:
    return Progress("evaluated", len(source), "images")


def _counted(progress: Progress) -> OnImage:
    def on_image(done: int, matrix: ConfusionMatrix) -> None:
        progress.update(done, {"mIoU": f"{matrix.miou():.4f}"})

    return on_image
