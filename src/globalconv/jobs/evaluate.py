"""`globalconv evaluate`: the score of a network, or of a folder of class maps, on a split of a data set.

Reports are imported where one is asked for: they describe torch networks, and scores alone need no torch.
"""

import warnings
from dataclasses import replace
from pathlib import Path

from globalconv.data.datasets import open_held_out, open_source
from globalconv.data.image_format import UNKNOWN_FORMAT, ImageFormat
from globalconv.data.images import pixel_limit
from globalconv.data.roots import Data, as_root
from globalconv.data.source import Source
from globalconv.errors import InputError, InputWarning, needing_train
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import STAGES, OnImage, Score, predictions_in, score_predictions, score_source
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor, load
from globalconv.labels import LabelSpace
from globalconv.runtime.progress import Progress
from globalconv.runtime.threads import StageTimes


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

    Every image is scored at its own size, in float32 by default; `settings` asks for tiles, scales and so on (a
    `Predictor` keeps its own precision and settings). `split` and `layout` are by default those of the training's
    validation; the built-in scenes need no `data`. `report` is an HTML file to write a page to. `regions` says what is
    near a boundary; the score's `regions` has the scores near boundaries and inside (docs/regions.md).
    """
    if report is not None:
        with needing_train("`report`"):
            from globalconv.reports.page import check_page

        check_page(Path(report), "report")
    predictor = weights if isinstance(weights, Predictor) else load(weights, device, precision, settings=settings)
    changes = predictor.settings.changes()
    with pixel_limit(predictor.settings.max_pixels):
        source = open_scored(predictor, data, split, layout)
        if report is None:
            times = StageTimes(*STAGES)
            with Progress("evaluated", len(source), "images") as progress:
                score = score_source(
                    predictor.class_maps, source, predictor.precision, predictor.images_at_once, _show_miou(progress),
                    times, regions,
                )  # fmt: skip
                progress.print(times.summary(len(source), "images"))
        else:
            path = None if isinstance(weights, Predictor) else Path(weights)
            score = _report_network(Path(report), path, predictor, source, regions)
    return replace(score, inference=changes)


def _report_network(
    page: Path, path: Path | None, predictor: Predictor, source: Source, regions: RegionSettings
) -> Score:
    """Write a page about a network, loaded from `path` where that is known, and return its score."""
    from globalconv.reports.findings import network_subject
    from globalconv.reports.run_report import write_report
    from globalconv.training.recipe import flatten

    name = "network" if path is None else path.resolve().name
    folder = path if path is not None and path.is_dir() else None
    reported = network_subject(name, predictor, source, folder)
    if changes := predictor.settings.changes():  # the page says that this was more than one pass of the network
        name = ", ".join([name, *(f"{option} {value}" for option, value in changes.items())])
        options = {**reported.history.settings, **flatten({"inference": changes})}
        reported = replace(reported, name=name, history=replace(reported.history, settings=options))
    return write_report(page, [reported], source, regions)[0].score


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

    Images of more than `max_pixels` (None: 178 megapixels) are refused. `report` and `regions` as in `evaluate`.
    """
    folder = Path(predictions)
    if report is not None:
        with needing_train("`report`"):
            from globalconv.reports.page import check_page

        check_page(Path(report), "report")
    with pixel_limit(max_pixels):
        source = open_split(data, split, layout)
        class_maps = predictions_in(folder, source)
        if report is not None:
            from globalconv.reports.findings import Subject
            from globalconv.reports.history import History
            from globalconv.reports.run_report import write_report

            reported = Subject(folder.resolve().name, class_maps, History())
            return write_report(Path(report), [reported], source, regions)[0].score
        with Progress("evaluated", len(source), "images") as progress:
            return score_predictions(class_maps, source, _show_miou(progress), regions=regions)


def _show_miou(progress: Progress) -> OnImage:
    def on_image(done: int, matrix: ConfusionMatrix) -> None:
        progress.update(done, {"mIoU": f"{matrix.miou():.4f}"})

    return on_image


def open_scored(predictor: Predictor, data: Data, split: str | None, layout: str | None) -> Source:
    """Open the samples to score a network on: by default those that its training was validated on.

    If the training held them out itself, they are the same samples, even where images were added to `data` since.
    """
    info, root = predictor.info, as_root(data)
    noted = info.get("recipe", {}).get("data", {})
    split = split or noted.get("val_split", "val")
    if layout is None and (data is None or split == noted.get("val_split")):
        layout = noted.get("layout")
    if info.get("held_out") and isinstance(root, Path) and split == info.get("val_split"):
        held_out = open_held_out(root, set(info["held_out"]), layout, predictor.labels, predictor.image_format)
        if held_out is not None:
            return held_out
    if info.get("held_out_images") and isinstance(root, Path) and split == info.get("val_split"):
        warnings.warn(
            InputWarning(
                f"the training held out {info['held_out_images']} images, whose names were not published with the"
                f" network: it may have learnt some of {split}; name another `split`, or other `data`",
                "network",
            ),
            stacklevel=2,
        )
    return open_split(data, split, layout, predictor.labels, predictor.image_format)


def open_split(
    data: Data,
    split: str,
    layout: str | None,
    labels: LabelSpace | None = None,
    image_format: ImageFormat = UNKNOWN_FORMAT,
) -> Source:
    """Open a split of `data`; `InputError` without `data`, unless the layout is the built-in scenes."""
    if data is None and layout != "scenes":
        raise InputError("`data` is missing: name the root of the data set (or `layout` scenes for the built-in ones)")
    return open_source(as_root(data), split, layout, labels, image_format=image_format)
