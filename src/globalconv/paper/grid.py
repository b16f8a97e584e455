"""The grid of trainings behind the tables: every run without a result is trained and scored, and its result written.

RUNS/KEY/ belongs to the trainings whose first stage has that key; `run/` in it is the run folder of that stage, those
of later stages lie beside it under their own keys. A process locks RUNS/KEY while it works there, so several processes
can share one grid; a training that was stopped or killed is resumed.
"""

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from globalconv.cost.count import network_cost
from globalconv.data.source import Source
from globalconv.errors import DivergedError, StoppedError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import RegionCounts, RegionSettings, region_counts
from globalconv.evaluation.score import Predictions, ScoredImage, score_together
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import load
from globalconv.model.network import GlobalConvNet
from globalconv.paper.keys import GridData, portable_json, stages_of
from globalconv.paper.plan import Run, prefixes
from globalconv.paper.results import SCORES, RunResult, read_results, result_file, write_result
from globalconv.runtime.devices import environment
from globalconv.runtime.files import FolderLock
from globalconv.runtime.progress import Progress, duration
from globalconv.runtime.signals import StopRequest
from globalconv.training.assemble import Execution, run_training
from globalconv.training.checkpoint import checkpoints
from globalconv.training.recipe import Recipe
from globalconv.training.run_folder import RunFolder

REGION = RegionSettings()

FINAL_SHARE = 0.1
"""The final loss is the mean over this share of the logged losses, the last ones."""


@dataclass(frozen=True)
class TrainingGrid:
    """Trains runs on `data`, in the folder `runs`, and writes their results into the folder `results`."""

    data: GridData
    runs: Path
    results: Path
    stop: StopRequest
    log: Callable[[str], None]

    def complete(self, runs: Sequence[Run]) -> None:
        """Make every missing result, but for those that other processes are working on."""
        by_key: dict[str, Run] = {}
        for run in runs:  # tables share runs
            by_key.setdefault(run.key(self.data), run)
        progressed = True
        while progressed:  # once more: another process may have left unfinished what it was working on
            progressed = False
            for key, run in by_key.items():
                file = result_file(self.results, key)
                if file.exists():
                    continue
                folder = self._folder(run)
                folder.mkdir(parents=True, exist_ok=True)
                lock = FolderLock(folder)
                try:
                    if not lock.try_take() or file.exists():
                        continue
                    self._log_start(run, by_key)
                    write_result(self.results, self._result(key, run))
                    progressed = True
                except StoppedError as stopped:
                    message = f"stopped; what is trained is kept in {self.runs}, and the same command goes on"
                    raise StoppedError(message, stopped.exit_code - 128) from None
                finally:
                    lock.release()

    def _folder(self, run: Run) -> Path:
        """Return the folder of the trainings that share the run's first stage."""
        return self.runs / self.data.key(next(prefixes(run.recipe)), {})

    def _log_start(self, run: Run, by_key: Mapping[str, Run]) -> None:
        """Log how many runs are done, which one starts now, and how long the rest takes if this process does it all."""
        results = read_results(self.results)
        minutes: dict[str, list[float]] = {}
        for key in by_key.keys() & results.keys():
            minutes.setdefault(by_key[key].variant.name, []).append(results[key].minutes)
        done = sum(map(len, minutes.values()))
        time_left = "time left unknown before the first is done"
        if done:
            mean = math.fsum(value for values in minutes.values() for value in values) / done
            left = [other.variant.name for key, other in by_key.items() if key not in results]
            seconds = 60 * math.fsum(statistics.fmean(minutes.get(name, [mean])) for name in left)
            time_left = f"about {duration(seconds)} left in this process alone"
        self.log(f"{done} of {len(by_key)} done  now {run.description}; {time_left}")

    def _result(self, key: str, run: Run) -> RunResult:
        """Train what is not trained, score it, and return the result."""
        recipe = run.last_stage
        source = self.data.splits(recipe.data)[1]
        folder, diverged = self._train(run)
        start = time.monotonic()
        scores = no_scores() if diverged else score_last_weights(folder, run.inference, source, recipe.device)
        scoring_seconds = time.monotonic() - start
        return RunResult(
            key=key,
            recipe=portable_json(run.recipe),
            data=self.data.facts(run.recipe),
            seed=recipe.seed,
            inference=run.inference.changes(),
            diverged=diverged,
            **scores,
            **read_training_log(folder, scoring_seconds),
            **network_size(recipe, source.labels.num_classes),
        )

    def _train(self, run: Run) -> tuple[RunFolder, bool]:
        """Train the stages that are not trained; return the last stage's run folder, and whether it diverged."""
        trained = RunFolder(self._folder(run) / "run")
        start: Path | None = None
        for prefix in prefixes(run.recipe):
            if start is not None:
                trained = RunFolder(start.parent / self.data.key(prefix, {}))
            if not trained.is_finished():
                *_, recipe = stages_of(prefix).values()
                resume = trained.is_started()
                if resume:  # as it was begun: recipes of one key may differ in fields that change no result
                    begun = trained.recipe(Recipe)
                    data = dataclasses.replace(begun.data, workers=recipe.data.workers)
                    recipe = dataclasses.replace(
                        begun, data=data, device=recipe.device, checkpoint_every=recipe.checkpoint_every
                    )
                try:
                    execution = Execution(self.stop, lambda line: None)
                    run_training(recipe, self.data.root, trained.path, execution, resume, start)
                except DivergedError as error:
                    self.log(f"diverged    {error}")
                    return trained, True
            for checkpoint in checkpoints(trained.checkpoints):  # no longer needed, and twice as large as the rest
                checkpoint.unlink()
            start = trained.path
        return trained, False


def score_last_weights(
    run: RunFolder, inference: InferenceSettings, source: Source, device: str, network: nn.Module | None = None
) -> dict[str, Any]:
    """Return scores and counts per image of a run's last weights in float32, as fields of `RunResult`.

    A run that trained a module of the user's own needs another `network` of its kind.
    """
    predictor = load(run.last, device, "float32", settings=inference, network=network)
    matrices: list[ConfusionMatrix] = []
    regions: list[RegionCounts] = []
    with Progress("scored", len(source), "images") as progress:

        def on_scored(image: ScoredImage) -> None:
            matrices.append(image.matrices[0])
            regions.append(region_counts(image.class_maps[0], image.label_map, REGION))
            progress.update(len(matrices))

        predictions = Predictions(lambda index: predictor.class_map(source.image(index)), "float32")
        score = score_together([predictions], source, on_scored)[0]
    region_sum = sum(regions[1:], start=regions[0])
    scores = {
        "miou": score.matrix.miou(),
        "pixel_accuracy": score.matrix.pixel_accuracy(),
        "mean_accuracy": score.matrix.mean_accuracy(),
        "boundary_accuracy": region_sum.boundary_accuracy(),
        "internal_accuracy": region_sum.internal_accuracy(),
    }
    overlaps = [matrix.overlap() for matrix in matrices]
    return {
        "scores": {name: None if math.isnan(value) else float(value) for name, value in scores.items()},
        "images": [source.sample_name(index) for index in range(len(source))],
        "hits": [hits_K.tolist() for hits_K, _ in overlaps],
        "unions": [unions_K.tolist() for _, unions_K in overlaps],
        "region": {"width": REGION.width, "metric": REGION.metric},
        "regions": [[r.boundary_right, r.boundary, r.internal_right, r.internal] for r in regions],
    }


def no_scores() -> dict[str, Any]:
    """Return the fields of `score_last_weights` for a training that diverged."""
    return {"scores": dict.fromkeys(SCORES), "region": {}, "images": [], "hits": [], "unions": [], "regions": []}


def read_training_log(run: RunFolder, scoring_seconds: float) -> dict[str, Any]:
    """Return loss, time, machine and versions from a run's log, as fields of `RunResult`."""
    events = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    starts, steps, ends = ([event for event in events if event["event"] == kind] for kind in ("start", "step", "end"))
    start = starts[-1]
    return {
        "final_loss": final_loss([event["loss"] for event in steps]),
        "steps": steps[-1]["step"] if steps else 0,
        "minutes": round((scoring_seconds + sum(event["seconds"] for event in ends[-1:])) / 60, 3),
        "machine": f"{start['machine']}; {start['hardware']}",
        "precision": start["precision"],
        "versions": start["versions"],
        "date": environment()["date"],
    }


def final_loss(losses: Sequence[float]) -> float | None:
    """Return the mean of the last tenth of `losses`, at least of one; None without any."""
    last = losses[-max(1, round(FINAL_SHARE * len(losses))) :]
    return sum(last) / len(last) if last else None


def network_size(recipe: Recipe, num_classes: int) -> dict[str, Any]:
    """Return the size and cost of a recipe's network on one training crop, as fields of `RunResult`."""
    with torch.device("meta"):
        network = GlobalConvNet(num_classes, **recipe.model.architecture())
    height, width = recipe.data.augmentation.crop
    cost = network_cost(network, height, width)
    head = network.level_heads[-1]
    return {
        "parameters": cost.weights,
        "head_parameters": sum(p.numel() for name, p in head.named_parameters() if name.endswith("weight")),
        "multiply_adds": cost.multiply_adds,
        "crop": [height, width],
    }
