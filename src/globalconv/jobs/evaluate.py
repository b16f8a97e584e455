"""Jobs that score what was trained, each one function."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from globalconv.crf_search.search_settings import SEARCH, SearchSettings
from globalconv.data.datasets import open_held_out, open_source
from globalconv.data.images import pixel_limit
from globalconv.data.roots import Data, Root, as_root
from globalconv.data.source import Source
from globalconv.errors import InputError, print_line
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import STAGES as SCORING
from globalconv.evaluation.score import OnImage, Score, predictions_in, score_predictions, score_source
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor, load
from globalconv.labels import LabelSpace
from globalconv.reports.findings import History, Subject, subject
from globalconv.reports.run_report import write_report
from globalconv.runtime.progress import Progress
from globalconv.runtime.threads import StageTimes
from globalconv.training.recipe import flat

if TYPE_CHECKING:
    from globalconv.crf_search.verdict import Verdict


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
        score = _evaluate(weights, predictor, open_scored(predictor, data, split, layout), report, regions)
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
        return write_report(Path(report), [asked], source, regions)[0]
    times, batch_size = StageTimes(*SCORING), predictor.images_at_once
    with _progress(source) as progress:
        score = score_source(
            predictor.class_maps, source, predictor.precision, batch_size, _counted(progress), times, regions
        )  # fmt: skip
        progress.print(times.summary(len(source), "images"))
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

    Images of more than `max_pixels` (None: 178 megapixels) are refused. `regions` as in `evaluate`.
    """
    with pixel_limit(max_pixels):
        return _evaluate_predictions(predictions, _source(data, split, layout), report, regions)


def _evaluate_predictions(
    predictions: str | Path, source: Source, report: str | Path | None, regions: RegionSettings
) -> Score:
    if report is not None:
        maps = Subject(Path(predictions).resolve().name, predictions_in(Path(predictions), source), History())
        return write_report(Path(report), [maps], source, regions)[0]
    with _progress(source) as progress:
        return score_predictions(predictions_in(Path(predictions), source), source, _counted(progress), regions=regions)


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

    `out` receives `crf.json`, which `crf` takes, and all that a stopped search needs to go on with `resume`.
    `workers` processes refine images (None: one per core); `device` is the network's. Raises `InputError` for refused
    input, `StoppedError` where a signal stops it.
    """
    from globalconv.crf_search.search import run_job  # compiles, which only those wait for who use it

    predictor = load(weights, device, settings.precision, settings=settings.inference)

    def opened(root: Root | None, split: str | None) -> Source:
        return open_scored(predictor, root, split, settings.layout)

    return run_job(predictor, Path(weights), as_root(data), opened, Path(out), settings, resume, workers, print_line)


def open_scored(predictor: Predictor, data: Data, split: str | None, layout: str | None) -> Source:
    """Open what a network is to be scored on: unless told otherwise, what its training was validated on."""
    noted = predictor.info.get("recipe", {}).get("data", {})
    split = split or noted.get("val_split", "val")
    if layout is None and (data is None or split == noted.get("val_split")):
        layout = noted.get("layout")
    return _held_out(predictor, data, split, layout) or _source(data, split, layout, predictor.labels)


def _source(data: Data, split: str, layout: str | None, labels: LabelSpace | None = None) -> Source:
    """Open what is to be scored; only the generated scenes have no place."""
    if data is None and layout != "scenes":
        raise InputError("`data` is missing: name the root of the data set (or `layout` scenes for the built-in ones)")
    return open_source(as_root(data), split, layout, labels)


def _held_out(predictor: Predictor, data: Data, split: str, layout: str | None) -> Source | None:
    """Return the samples that the training held out, where it had to: images added since must not change them."""
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
