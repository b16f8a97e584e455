"""Findings without a network: class maps with errors in chosen places, over a source in memory."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from globalconv.arrays import Uint8Array
from globalconv.evaluation.regions import REGIONS, RegionSettings
from globalconv.evaluation.score import Predictions
from globalconv.labels import LabelSpace
from globalconv.reports.findings import Findings, Subject, gather
from globalconv.reports.history import History

LABELS = LabelSpace(("sky", "road", "car"), ((10, 20, 30), (200, 100, 0), (0, 90, 200)))


@dataclass(frozen=True)
class Maps:
    """A source whose images are grey."""

    label_maps: list[Uint8Array]
    labels: LabelSpace = LABELS
    name: str = "maps (val)"

    def __len__(self) -> int:
        return len(self.label_maps)

    def sample_name(self, index: int) -> str:
        return f"day/{index}"

    def image(self, index: int) -> Uint8Array:
        return np.full((*self.label_maps[index].shape, 3), 120, np.uint8)

    def label_map(self, index: int) -> Uint8Array:
        return self.label_maps[index]


@dataclass(frozen=True)
class Run:
    """A subject of a report: its name, per image how many pixels of the first row it takes for `predicts`, its log."""

    name: str
    wrong: list[int]
    predicts: int = 2
    settings: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)


def stripes(count: int, height: int = 12, width: int = 20) -> Maps:
    """Return images whose upper half is sky and whose lower half is road."""
    label_map = np.repeat(np.array([[0], [1]], np.uint8), height // 2, axis=0).repeat(width, axis=1)
    return Maps([label_map.copy() for _ in range(count)])


def findings(source: Maps, *runs: Run, regions: RegionSettings = REGIONS) -> Findings:
    """Score class maps as `runs` describes them."""

    def subject(run: Run) -> Subject:
        def class_map(index: int) -> Uint8Array:
            label_map = source.label_map(index)
            predicted = np.where(label_map == 255, 0, label_map).astype(np.uint8)
            predicted[0, : run.wrong[index]] = run.predicts
            return predicted

        return Subject(run.name, Predictions(class_map, "float32"), History(run.settings, {}, run.events))

    return gather([subject(run) for run in runs], source, lambda done, matrix: None, regions)


def log(losses: list[float], mious: list[float], every: int = 10) -> list[dict[str, Any]]:
    """Return the events of a training: a loss per step, an evaluation every so many steps."""
    steps = [{"event": "step", "step": n, "loss": loss, "seconds": 0.5} for n, loss in enumerate(losses, 1)]
    evaluations = [{"event": "evaluation", "step": every * n, "miou": miou} for n, miou in enumerate(mious, 1)]
    return [{"event": "start", "step": 0}, *steps, *evaluations]
