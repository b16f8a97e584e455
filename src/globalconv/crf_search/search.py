"""A search from what a user asks to the verdict.

The two halves of the work, search and report; whatever is done already is read from the folder.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from globalconv.crf.dense import DenseCRF
from globalconv.crf_search.halves import groups, halves, names, refuse_overlap, same_place, spread_over
from globalconv.crf_search.search_folder import SearchFolder
from globalconv.crf_search.search_settings import Grid, SearchSettings
from globalconv.crf_search.trials import (
    NO_CRF,
    Candidate,
    Sample,
    Trial,
    at_the_end,
    coarse,
    fine,
    keep_probabilities,
    matrices,
    published,
    tally,
)
from globalconv.crf_search.verdict import Verdict, judge
from globalconv.data.roots import Root, root_to_json
from globalconv.data.source import Source, Subset
from globalconv.errors import InputError, Log, StoppedError
from globalconv.evaluation.score import Predictions, Score, ScoredImage, score_together
from globalconv.infer.prediction import Prediction
from globalconv.infer.predictor import Predictor
from globalconv.infer.saved_crf import parameters_of
from globalconv.runtime.files import write_json
from globalconv.runtime.processes import usable_cores
from globalconv.runtime.progress import Progress
from globalconv.weights import WEIGHTS_FILE


def search(
    predictor: Predictor, source: Source, folder: SearchFolder, grid: Grid, workers: int, log: Log
) -> list[Trial]:
    """Return all trials on `source`, in their order: no CRF, published settings, the grid, then around its best.

    The probabilities are removed at the end.
    """

    @cache
    def samples() -> list[Sample]:
        with Progress("predicted", len(source), "images") as progress:
            return keep_probabilities(predictor, source, folder.probabilities, progress.update)

    trials = _tried("coarse", [*published(), *coarse(grid)], samples, folder, workers)
    of_grid = best(trials[len(published()) :])
    trials += _tried("fine", fine(grid, of_grid.crf), samples, folder, workers)
    folder.drop_probabilities()
    chosen = best(trials[1:])
    log(f"best        {chosen.candidate.name}: {chosen.miou:.4f} (no CRF {trials[0].miou:.4f}) of {len(trials)} tried")
    for name in at_the_end(grid, of_grid.crf):
        log(f"note        the best {name} of the grid is at its end: `{name}` can name others")
    return trials


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest mIoU; of equal ones the first."""
    return max(trials, key=lambda trial: trial.miou)


def _tried(
    what: str, candidates: Sequence[Candidate], samples: Callable[[], list[Sample]], folder: SearchFolder, workers: int
) -> list[Trial]:
    """Return the trials of all candidates; those that the folder does not know are made, and written there."""
    known = {name: float(record["miou"]) for name, record in folder.records(folder.trials, "name").items()}
    missing = [candidate for candidate in candidates if candidate.name not in known]
    if missing:
        with Progress(f"{what} search", len(missing) * len(samples()), "images") as progress:

            def on_image(done: int) -> None:
                trial = min(len(missing), 1 + done // len(samples()))
                mious = {"no CRF": known.get(NO_CRF.name), "best": max(known.values(), default=None)}
                facts = {name: f"{value:.4f}" for name, value in mious.items() if value is not None}
                progress.update(done, {"trial": f"{trial}/{len(missing)}", **facts})

            for candidate, matrix in zip(missing, matrices(missing, samples(), workers, on_image), strict=True):
                known[candidate.name] = matrix.miou()
                folder.append(folder.trials, _record(what, candidate, matrix.miou()))
    return [Trial(candidate, known[candidate.name]) for candidate in candidates]


def _record(what: str, candidate: Candidate, scored: float) -> dict[str, Any]:
    parameters = None if candidate.crf is None else parameters_of(candidate.crf)
    return {"stage": what, "name": candidate.name, "miou": scored, "parameters": parameters}


def report(
    predictor: Predictor, crf: DenseCRF, source: Source, group_by: str | None, won_search: bool, folder: SearchFolder,
    log: Log,
) -> Verdict:  # fmt: skip
    """Return what `crf` is worth on `source`, computed as `evaluate` does, one line of the folder per image."""
    done = folder.records(folder.report, "image")
    left = [index for index, name in enumerate(names(source)) if name not in done]
    compared = OffAndOn(predictor, crf, Subset(source.name, source, tuple(left)))
    with Progress("reported on", len(source), "images", len(done)) as progress:

        def on_image(image: ScoredImage) -> None:
            name, tallies = compared.source.sample_name(image.index), [tally(matrix) for matrix in image.matrices]
            done[name] = {"image": name, "off": tallies[0].tolist(), "on": tallies[1].tolist()}
            folder.append(folder.report, done[name])
            mious = [f"{matrix.miou():.4f}" for matrix in image.totals]
            progress.update(len(done), {"no CRF": mious[0], "CRF": mious[1]})

        if left:
            try:
                seconds = [score.seconds / len(left) for score in compared.score(on_image)]
                log(f"time        {seconds[0]:.2f} s an image to read and predict, {seconds[1]:.2f} s for the CRF")
            except InputError:  # of those that a stop has left none may have a label: `judge` looks at all
                if len(done) < len(source):
                    raise
    off, on = ([np.asarray(done[name][side]) for name in names(source)] for side in ("off", "on"))
    return judge(off, on, groups(source, group_by), won_search)


def write_result(folder: SearchFolder, trials: Sequence[Trial], verdict: Verdict) -> None:
    """Write `crf.json`: the parameters, which `crf` takes, and where they and the verdict come from."""
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
            "question": dict(folder.question),
        },
    )  # fmt: skip


class OffAndOn:
    """The same predictions without and with a CRF."""

    def __init__(self, predictor: Predictor, crf: DenseCRF, source: Source) -> None:
        self.predictor, self.crf, self.source = predictor, crf, source
        self._prediction: Prediction | None = None

    def score(self, on_scored: Callable[[ScoredImage], object]) -> list[Score]:
        """Score both image by image: first without, then with the CRF."""
        off, on = (Predictions(class_map, self.predictor.precision) for class_map in (self._off, self._on))
        return score_together([off, on], self.source, on_scored)

    def _off(self, index: int) -> npt.NDArray[np.uint8]:
        self._prediction = self.predictor(self.source.image(index), probabilities=True)
        return self._prediction.class_map

    def _on(self, index: int) -> npt.NDArray[np.uint8]:
        assert self._prediction is not None
        refined_KHW = self.crf(self._prediction.image, self._prediction.probabilities)
        return np.asarray(refined_KHW.argmax(0), np.uint8)


Opened = Callable[[Root | None, str | None], Source]
"""(root of the data, split) -> samples, as the network is to be scored on them."""


def run_job(
    predictor: Predictor, weights: Path, data: Root | None, opened: Opened, out: Path, settings: SearchSettings,
    resume: bool, workers: int | None, log: Log,
) -> Verdict:  # fmt: skip
    """Search, report, write `crf.json` into `out`, and return the verdict; everything is refused before work begins."""
    if workers is not None and workers < 1:
        raise InputError(f"`workers` {workers}: give at least 1")
    searched, reported = _parts(data, opened, settings)
    coarse(settings.grid)
    begin = SearchFolder.reopen if resume else SearchFolder.new
    for line in _notes(data, searched, reported, settings):
        log(line)
    folder = begin(out, _question(weights, data, searched, reported, settings))
    try:
        log(f"search      on {len(searched)} images: {searched.name}")
        trials = search(predictor, searched, folder, settings.grid, workers or usable_cores(), log)
        chosen = best(trials[1:])
        log(f"report      on {len(reported)} others: {reported.name}")
        verdict = report(predictor, chosen.crf, reported, settings.group_by, chosen.miou > trials[0].miou, folder, log)
        write_result(folder, trials, verdict)
        return verdict
    except StoppedError as stopped:
        kept = f"what was tried is kept in {out}; the same command with `resume` goes on"
        raise StoppedError(f"{stopped}: {kept}", stopped.exit_code - 128) from None
    finally:
        folder.close()


def _parts(data: Root | None, opened: Opened, settings: SearchSettings) -> tuple[Source, Source]:
    """Return what to search on and what to report on."""
    searched = opened(data, settings.split)
    if settings.report_split is None and settings.report_data is None:
        searched, reported = halves(searched, settings.group_by)
    else:
        place = settings.report_data or data
        reported = opened(place, settings.report_split or settings.split)
        refuse_overlap(searched, reported)
    groups(reported, settings.group_by)
    return spread_over(searched, settings.images), reported


def _notes(data: Root | None, searched: Source, reported: Source, settings: SearchSettings) -> list[str]:
    """Return what makes the report less than it looks: frames of one film on both sides."""
    if not same_place(data, settings.report_data or data):
        return []
    both = sorted(set(groups(searched, settings.group_by)) & set(groups(reported, settings.group_by)))
    few = ", ".join(both[:3]) + (", ..." if len(both) > 3 else "")
    return (
        [f"note        in both parts: group {few}; its images resemble each other, so the report flatters"]
        if both
        else []
    )


def _question(
    weights: Path, data: Root | None, searched: Source, reported: Source, settings: SearchSettings
) -> dict[str, Any]:
    """Return everything that the result depends on."""
    folder = weights if weights.is_dir() else weights.parent
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    return {
        "weights": str(weights),
        "weights_sha256": digest,
        "data": root_to_json(data),
        **settings.to_json(),
        "searched_on": names(searched),
        "reported_on": names(reported),
    }
