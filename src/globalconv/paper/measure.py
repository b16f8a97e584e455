"""The result of a training that has ended: its last weights scored in float32, its log read, its network counted."""

import json
import math
from collections.abc import Sequence
from typing import Any

import torch

from globalconv.cost.count import network_cost
from globalconv.data.source import Source
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import RegionCounts, RegionSettings, region_counts
from globalconv.evaluation.score import Predictions, ScoredImage, score_together
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.predictor import load
from globalconv.model.network import GlobalConvNet
from globalconv.paper.results import SCORES
from globalconv.runtime.devices import environment
from globalconv.runtime.progress import Progress
from globalconv.training.recipe import Recipe
from globalconv.training.run_folder import RunFolder

REGION = RegionSettings()

SHARE = 0.1
"""Of the logged losses, the last ones, whose mean is the final loss."""


def counts_of(run: RunFolder, inference: InferenceSettings, source: Source, device: str) -> dict[str, Any]:
    """Return scores and per-image counts of the last weights of a run, as fields of `RunResult`."""
    predictor = load(run.last, device, "float32", settings=inference)
    matrices: list[ConfusionMatrix] = []
    regions: list[RegionCounts] = []
    with Progress("scored", len(source), "images") as progress:

        def on_scored(image: ScoredImage) -> None:
            matrices.append(image.matrices[0])
            regions.append(region_counts(image.class_maps[0], image.label_map, REGION))
            progress.update(len(matrices))

        predictions = Predictions(lambda index: predictor.class_map(source.image(index)), "float32")
        score = score_together([predictions], source, on_scored)[0]
    overlaps = [matrix.overlap() for matrix in matrices]
    return {
        "scores": _scores(score.matrix, sum(regions[1:], start=regions[0])),
        "images": [source.sample_name(index) for index in range(len(source))],
        "hits": [hits_K.tolist() for hits_K, _ in overlaps],
        "unions": [unions_K.tolist() for _, unions_K in overlaps],
        "region": {"width": REGION.width, "metric": REGION.metric},
        "regions": [[r.boundary_right, r.boundary, r.internal_right, r.internal] for r in regions],
    }


def nothing_counted() -> dict[str, Any]:
    """Return the fields of `counts_of` of a training that diverged."""
    return {"scores": dict.fromkeys(SCORES), "region": {}, "images": [], "hits": [], "unions": [], "regions": []}


def _scores(matrix: ConfusionMatrix, regions: RegionCounts) -> dict[str, float | None]:
    values = (
        matrix.miou(), matrix.pixel_accuracy(), matrix.mean_accuracy(),
        regions.boundary_accuracy(), regions.internal_accuracy(),
    )  # fmt: skip
    return {name: None if math.isnan(value) else float(value) for name, value in zip(SCORES, values, strict=True)}


def history_of(run: RunFolder, scoring: float) -> dict[str, Any]:
    """Return what the log of a run says, as fields of `RunResult`; `scoring` it took so many seconds."""
    events = [json.loads(line) for line in run.log_file.read_text().splitlines()]
    started, taken, ended = ([e for e in events if e["event"] == kind] for kind in ("start", "step", "end"))
    start = started[-1]
    return {
        "final_loss": final_loss([event["loss"] for event in taken]),
        "steps": taken[-1]["step"] if taken else 0,
        "minutes": round((scoring + sum(event["seconds"] for event in ended[-1:])) / 60, 3),
        "machine": f"{start['machine']}; {start['hardware']}",
        "precision": start["precision"],
        "versions": start["versions"],
        "date": environment()["date"],
    }


def final_loss(losses: Sequence[float]) -> float | None:
    """Return the mean of the last tenth of `losses`, of one at least; None of none."""
    last = losses[-max(1, round(SHARE * len(losses))) :]
    return sum(last) / len(last) if last else None


def size_of(recipe: Recipe, num_classes: int) -> dict[str, Any]:
    """Return the size and cost of a recipe's network, as fields of `RunResult`."""
    with torch.device("meta"):
        network = GlobalConvNet(num_classes, **recipe.model.architecture())
    head = network.heads[-1]
    height, width = recipe.data.augmentation.crop
    cost = network_cost(network, height, width)
    return {
        "parameters": cost.weights,
        "head_parameters": sum(p.numel() for name, p in head.named_parameters() if name.endswith("weight")),
        "multiply_adds": cost.multiply_adds,
        "crop": [height, width],
    }
