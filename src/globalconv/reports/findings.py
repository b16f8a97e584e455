"""The runs that a report is about: their names, and what they must have in common to be compared.

What a run folder tells of its training: settings, data, curves, where it ran. Every part may be absent.

One pass over the images: the scores, and what the report says about single images.

Shapes: N images, K classes. Of an image only numbers are kept; the images that are shown are predicted again.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.arrays import Int64Array
from globalconv.data.roots import Root, as_root
from globalconv.data.source import Source
from globalconv.errors import InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.region_curves import RegionScores
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import Predictions, Score, ScoredImage, score_together
from globalconv.infer.predictor import Predictor
from globalconv.labels import IGNORE
from globalconv.model.wrapped import custom_class
from globalconv.training.recipe import flat, stage_folders
from globalconv.weights import MODEL_FILE

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class History:
    """The files of a run folder, read; of a folder with weights only, what was noted beside these."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The recipe: dotted name -> value."""
    dataset: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind: start, step, evaluation, end."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def losses(self) -> Points:
        return [(event["step"], event["loss"]) for event in self.of("step")]

    @property
    def mious(self) -> Points:
        return [(event["step"], event["miou"]) for event in self.of("evaluation")]

    @property
    def seconds_per_step(self) -> float | None:
        """Mean time of a logged step; evaluations are not in it."""
        steps = self.of("step")
        return sum(event["seconds"] for event in steps) / len(steps) if steps else None

    @property
    def training_seconds(self) -> float | None:
        """Time spent in steps: as noted at the end, else from the logged steps."""
        if ends := self.of("end"):
            return float(ends[-1]["seconds"])
        each = self.seconds_per_step
        return None if each is None else each * self.of("step")[-1]["step"]

    @property
    def peak_memory(self) -> int | None:
        """Bytes, as noted at the end."""
        ends = self.of("end")
        peak: int | None = ends[-1]["peak_memory"] if ends else None
        return peak

    @property
    def finished(self) -> bool:
        """Whether the log reaches the last step; True where that is not known."""
        starts, steps = self.of("start"), self.of("step")
        total = starts[-1].get("steps") if starts else None
        return total is None or not steps or int(steps[-1]["step"]) >= total


def read_history(folder: Path, recipe: Mapping[str, Any] | None = None) -> History:
    """Return what lies in `folder`, of a staged run that of its last stage.

    `recipe` stands in for a recipe.json that is not there.
    """
    settings = read_recipe(folder) or recipe or {}
    if stages := settings.get("stages"):
        return read_history(list(stage_folders(folder, stages).values())[-1], recipe)
    return History(flat(settings), _json(folder / "dataset.json") or {}, _events(folder / "metrics.jsonl"))


def read_recipe(folder: Path) -> dict[str, Any]:
    """Return the settings in `folder`, as they are; nothing where there are none."""
    return _json(folder / "recipe.json") or {}


def _json(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{file}: damaged ({error}); restore it, or report on a copy of the folder without it"
        ) from error
    return found if isinstance(found, dict) else None


def _events(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a line that a kill cut short is left out."""
    events = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in events if isinstance(event, dict)]


OnImage = Callable[[int, ConfusionMatrix], object]


@dataclass(frozen=True)
class Subject:
    """A network, or a folder of class maps, to report on."""

    name: str
    predictions: Predictions
    history: History
    predictor: Predictor | None = None


@dataclass(frozen=True)
class Result:
    """What one subject reached, as a whole and per image."""

    subject: Subject
    score: Score
    hits_NK: Int64Array
    """Pixels of each class that were predicted right."""
    unions_NK: Int64Array
    """Pixels that are of the class in truth or prediction."""
    wrong_N: Int64Array

    @property
    def regions(self) -> RegionScores:
        """Where the right and wrong pixels lie."""
        assert self.score.regions is not None
        return self.score.regions

    @property
    def name(self) -> str:
        return self.subject.name

    def image_mious(self) -> npt.NDArray[np.float64]:
        """mIoU of each image alone, over the classes in its truth or prediction; nan where nothing counts."""
        with np.errstate(invalid="ignore"):
            ious_NK = self.hits_NK / self.unions_NK
        known_N = (~np.isnan(ious_NK)).sum(1)
        return np.where(known_N > 0, np.nansum(ious_NK, 1) / np.maximum(1, known_N), np.nan)


@dataclass(frozen=True)
class Findings:
    """Everything that a report is written from."""

    source: Source
    results: list[Result]
    counted_N: Int64Array
    """Pixels that count."""
    disputed_N: Int64Array
    """Those to which the subjects give different classes."""
    sizes: Counter[tuple[int, int]]
    """(width, height) -> number of images."""
    pixels: int

    @property
    def names(self) -> list[str]:
        """What the subjects are called."""
        return [result.name for result in self.results]

    def shares(self, pixels_N: Int64Array) -> npt.NDArray[np.float64]:
        """Return pixels of each image as shares of those that count; nan where none does."""
        with np.errstate(invalid="ignore"):
            return np.asarray(pixels_N / self.counted_N, np.float64)


def gather(subjects: list[Subject], source: Source, on_image: OnImage, regions: RegionSettings = REGIONS) -> Findings:
    """Score `subjects` on every image of `source`."""
    n, k = len(source), source.labels.num_classes
    hits, unions = np.zeros((2, len(subjects), n, k), np.int64)
    wrong = np.zeros((len(subjects), n), np.int64)
    counted, disputed = np.zeros((2, n), np.int64)
    sizes: Counter[tuple[int, int]] = Counter()

    def on_scored(image: ScoredImage) -> None:
        valid = image.label_map != IGNORE
        for number, matrix in enumerate(image.matrices):
            hits[number, image.index], unions[number, image.index] = matrix.overlap()
            wrong[number, image.index] = matrix.counts.sum() - matrix.counts.trace()
        counted[image.index] = valid.sum()
        pairs = combinations(image.class_maps, 2)
        disputed[image.index] = (sum((a != b for a, b in pairs), start=np.zeros_like(valid)) & valid).sum()
        sizes[image.label_map.shape[1], image.label_map.shape[0]] += 1
        on_image(image.index + 1, image.totals[0])

    scores = score_together([subject.predictions for subject in subjects], source, on_scored, regions=regions)
    results = [Result(*parts) for parts in zip(subjects, scores, hits, unions, wrong, strict=True)]
    pixels = sum(width * height * count for (width, height), count in sizes.items())
    return Findings(source, results, counted, disputed, sizes, pixels)


def subject(name: str, predictor: Predictor, source: Source, folder: Path | None) -> Subject:
    """Return a network as what a report is about; `folder` is its run, where it has one."""
    recipe = predictor.info.get("recipe", {})
    history = History(flat(recipe)) if folder is None else read_history(folder, recipe)
    if made := custom_class(predictor.network):  # what the recipe says about a network is of none here
        used = {option: value for option, value in history.settings.items() if not option.startswith("model.")}
        history = replace(history, settings={"network": made, **used})
    predictions = Predictions(lambda index: predictor.class_map(source.image(index)), predictor.precision)
    return Subject(name, predictions, history, predictor)


def stage_runs(folder: Path) -> dict[str, Path]:
    """Return the run folders of a staged run by the names of their stages, as far as there are networks in them."""
    stages = read_recipe(folder).get("stages", {})
    return {name: run for name, run in stage_folders(folder, stages).items() if (run / MODEL_FILE).exists()}


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: the names of their folders, or as much of their paths as tells them apart."""
    whole = [folder.resolve() for folder in folders]
    if repeated := [str(folder) for folder, path in zip(folders, whole, strict=True) if whole.count(path) > 1]:
        raise InputError(f"{repeated[0]}: named twice; a comparison needs different runs")
    for length in range(1, max(len(path.parts) for path in whole) + 1):
        names = [Path(*path.parts[-length:]).as_posix() for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def noted_data(folders: Sequence[Path]) -> Root | None:
    """Return where the data of all runs lie, as their trainings noted it; None for generated scenes."""
    noted = [read_history(folder).dataset.get("data") for folder in folders]
    for folder, place in zip(folders, noted, strict=True):
        if place != noted[0]:
            raise InputError(
                f"{folder}: was trained on {place or 'other data'}, {folders[0]} on {noted[0] or 'other data'};"
                " say with `data` what to score both on"
            )
    root = as_root(noted[0])
    places = root.values() if isinstance(root, Mapping) else [] if root is None else [root]
    if gone := [place for place in places if not place.exists()]:
        raise InputError(f"{folders[0]}: its data are not at {gone[0]} any more; say with `data` where they are")
    return root
