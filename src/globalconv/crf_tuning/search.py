"""The two halves of a search, both of which skip what its folder holds already: the trials, and the report."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.crf.dense import DenseCRF
from globalconv.crf_tuning.halves import groups, names
from globalconv.crf_tuning.search_settings import ParameterGrid
from globalconv.crf_tuning.trials import (
    NO_CRF,
    CrfCandidate,
    StoredSample,
    Trial,
    at_the_end,
    coarse,
    fine,
    keep_probabilities,
    matrices,
    published,
)
from globalconv.crf_tuning.verdict import CrfVerdict, judge
from globalconv.data.source import Source, Subset
from globalconv.errors import InputError, Log
from globalconv.evaluation.score import Predictions, ScoredImage, score_together
from globalconv.infer.prediction import Prediction
from globalconv.infer.predictor import Predictor
from globalconv.infer.saved_crf import parameters_of
from globalconv.runtime.files import write_json
from globalconv.runtime.progress import Progress
from globalconv.runtime.resumable_folder import ResumableFolder


class SearchFolder(ResumableFolder):
    """The folder of a search: its settings, and the result of every trial and image as soon as it is there.

    | file | what |
    |---|---|
    | search.json | network, data, the images of both parts, all settings |
    | trials.jsonl | one line per candidate: its parameters and mIoU on the search part |
    | report.jsonl | one line per image of the report part: intersection and union per class, without and with the CRF |
    | probabilities/ | the network's probabilities on the search part; removed when the search is done |
    | crf.json | the result, which the setting `crf` takes |
    """

    kind = "search"
    activity = "searches"
    settings_name = "search.json"
    written_files = ("trials.jsonl", "report.jsonl", "crf.json", "probabilities/*.npy")
    remedy = "search in another `out`"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.trials = path / "trials.jsonl"
        self.report = path / "report.jsonl"
        self.probabilities = path / "probabilities"
        self.result = path / "crf.json"

    def begin(self, settings: Mapping[str, Any], resume: bool) -> None:
        """Start or resume a search; refused, naming the settings, if it was started with others."""
        if not resume:
            self.check_new()
        else:
            self.check_started()
            if changes := self.changes(settings):
                raise InputError(
                    f"`out` {self.path}: its search was started with other settings: {', '.join(changes)}; resume it"
                    " as it was, or name another folder"
                )
        self.open(settings)

    def remove_probabilities(self) -> None:
        """Remove the probabilities that the search has kept, and their folder if nothing else is in it."""
        if self.probabilities.is_dir():
            for file in self.probabilities.glob("*.npy"):
                file.unlink()
            if not any(self.probabilities.iterdir()):
                self.probabilities.rmdir()


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest mIoU; of equal ones the first."""
    return max(trials, key=lambda trial: trial.miou)


def search(
    predictor: Predictor, source: Source, folder: SearchFolder, grid: ParameterGrid, workers: int, log: Log
) -> list[Trial]:
    """Return all trials on `source`, in their order: no CRF, published settings, the grid, then around its best.

    The network's probabilities are computed for the first trial that is missing, and removed at the end.
    """

    @cache
    def samples() -> list[StoredSample]:
        with Progress("predicted", len(source), "images") as progress:
            return keep_probabilities(predictor, source, folder.probabilities, progress.update)

    trials = _run_trials("coarse", [*published(), *coarse(grid)], samples, folder, workers)
    best_of_grid = best(trials[len(published()) :])
    trials += _run_trials("fine", fine(grid, best_of_grid.crf), samples, folder, workers)
    folder.remove_probabilities()
    chosen = best(trials[1:])
    log(f"best        {chosen.candidate.name}: {chosen.miou:.4f} (no CRF {trials[0].miou:.4f}) of {len(trials)} tried")
    for name in at_the_end(grid, best_of_grid.crf):
        log(f"note        the best {name} of the grid is at its end: `{name}` can name others")
    return trials


def _run_trials(
    stage: str, candidates: Sequence[CrfCandidate], samples: Callable[[], list[StoredSample]], folder: SearchFolder,
    workers: int,
) -> list[Trial]:  # fmt: skip
    """Return the trials of all candidates; those that are not in the folder are run, and written there."""
    mious = {name: float(record["miou"]) for name, record in folder.read_records(folder.trials, "name").items()}
    missing = [candidate for candidate in candidates if candidate.name not in mious]
    if missing:
        with Progress(f"{stage} search", len(missing) * len(samples()), "images") as progress:

            def on_image(done: int) -> None:
                trial = min(len(missing), 1 + done // len(samples()))
                scores = {"no CRF": mious.get(NO_CRF.name), "best": max(mious.values(), default=None)}
                facts = {name: f"{value:.4f}" for name, value in scores.items() if value is not None}
                progress.update(done, {"trial": f"{trial}/{len(missing)}", **facts})

            for candidate, matrix in zip(missing, matrices(missing, samples(), workers, on_image), strict=True):
                parameters = None if candidate.crf is None else parameters_of(candidate.crf)
                mious[candidate.name] = miou = matrix.miou()
                record = {"stage": stage, "name": candidate.name, "miou": miou, "parameters": parameters}
                folder.append(folder.trials, record)
    return [Trial(candidate, mious[candidate.name]) for candidate in candidates]


def report(
    predictor: Predictor, crf: DenseCRF, source: Source, group_by: str | None, won_search: bool, folder: SearchFolder,
    log: Log,
) -> CrfVerdict:  # fmt: skip
    """Return what `crf` is worth on `source`, computed as `evaluate` does, one line of the folder per image."""
    records = folder.read_records(folder.report, "image")
    missing = [index for index, name in enumerate(names(source)) if name not in records]
    part = Subset(source.name, source, tuple(missing))
    prediction: Prediction | None = None

    def without_crf(index: int) -> Uint8Array:
        nonlocal prediction
        prediction = predictor(part.image(index), probabilities=True)
        return prediction.class_map

    def with_crf(index: int) -> Uint8Array:
        assert prediction is not None, "both are scored image by image, this one second"
        return np.asarray(crf(prediction.image, prediction.probabilities).argmax(0), np.uint8)

    with Progress("reported on", len(source), "images", len(records)) as progress:

        def on_image(image: ScoredImage) -> None:
            name = part.sample_name(image.index)
            off, on = (np.stack(matrix.overlap()).tolist() for matrix in image.matrices)
            records[name] = {"image": name, "off": off, "on": on}
            folder.append(folder.report, records[name])
            mious = [f"{matrix.miou():.4f}" for matrix in image.totals]
            progress.update(len(records), {"no CRF": mious[0], "CRF": mious[1]})

        if missing:
            both = [Predictions(class_map, predictor.precision) for class_map in (without_crf, with_crf)]
            try:
                seconds = [score.seconds / len(missing) for score in score_together(both, part, on_image)]
                log(f"time        {seconds[0]:.2f} s an image to read and predict, {seconds[1]:.2f} s for the CRF")
            except InputError:  # the images left by a stop may have no label at all; `judge` looks at all images
                if len(records) < len(source):
                    raise
    off, on = ([np.asarray(records[name][side]) for name in names(source)] for side in ("off", "on"))
    return judge(off, on, groups(source, group_by), won_search)


def write_result(
    folder: SearchFolder, settings: Mapping[str, Any], trials: Sequence[Trial], verdict: CrfVerdict
) -> None:
    """Write `crf.json`: the parameters, which `crf` takes, the verdict, and what both come from."""
    chosen = best(trials[1:])
    interval = None if verdict.interval is None else list(verdict.interval)
    write_json(
        folder.result,
        {
            "globalconv": version("globalconv"),
            "parameters": parameters_of(chosen.crf),
            "verdict": verdict.word,
            "report": {"off": verdict.off, "on": verdict.on, "gain": verdict.gain, "interval": interval,
                       "interval_by": verdict.unit, "images": verdict.images, "groups": verdict.groups},
            "search": {"off": trials[0].miou, "on": chosen.miou, "trials": len(trials)},
            "question": dict(settings),
        },
    )  # fmt: skip
