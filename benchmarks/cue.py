"""Does a larger kernel win more, the farther away the cue is? Table 1's question on generated scenes that can say no.

    python benchmarks/cue.py [--seeds 0 1 2 3 4] [--out runs/cue]

Heads 1 x 1 and GCN with k = 3, 7, 15 after every level, no refinement, everything else equal, on scenes (`globalconv
data scenes`) whose cue is far, at three distances, and on the control, whose cue is local. Seeds are paired: the same
scenes, order and augmentation for every k. All start from one backbone, trained on other scenes with 1 x 1
heads, as the paper's start from ImageNet. Rows are written as they are made; started again, finished ones are kept, so
the seeds may be spread over processes. The last tables and the plot come from all rows there are.
"""

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from common import RESULTS, print_rows, write_report
from safetensors.torch import save
from scipy.stats import t as student
from trainings import Case, run, still_valid

import globalconv
from globalconv.data.scenes.scene import SIZE, Dial
from globalconv.data.scenes.writing import SceneSet, write_scenes
from globalconv.data.transform_settings import Augmentation
from globalconv.runtime.files import write_atomic
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import DataSettings, Recipe
from globalconv.training.recipes.index import RECIPES

KERNELS = (1, 3, 7, 15)
DIALS = (Dial("far", 32), Dial("far", 72), Dial("far", 112), Dial("local", 112))
BACKBONE = "test_resnet"
"""timm's smallest ResNet: with 1 x 1 heads, hardly anything farther away than the farthest cue reaches a pixel's score
(tests/test_benchmarks.py measures it)."""
SCENES, VAL, STEPS = 800, 100, 400
START_SCENES, START_STEPS, START_SEED = 4000, 4000, 1000
"""Of the start, whose scenes are none of the experiment's."""
LR, WEIGHT_DECAY = 5e-3, 0.01
"""Of every training alike. 1 x 1 heads and k = 15 gain both over the recipe's 2e-3 in so few steps (LOG.md)."""
CONFIDENCE = 0.95
PLOT = RESULTS.parent.parent / "docs" / "images" / "cue.svg"
COLOURS = ("#c2571a", "#3564b0", "#0f7a5c")


@dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds to run now; rows of others stay."""
    out: Path = Path("runs/cue")


def recipe(kernel: int, seed: int, steps: int, weights: Path | None = None) -> Recipe:
    """Return the recipe of the scenes, read from a folder, with heads of this size."""
    scenes = RECIPES["scenes"]()
    head = ("pointwise",) if kernel == 1 else ("gcn",)
    model = replace(scenes.model, backbone=BACKBONE, head=head, kernel_size=(kernel,), boundary_refinement=False)
    model = replace(model, backbone_weights=None if weights is None else str(weights))
    data = DataSettings(layout="folder", augmentation=Augmentation(crop=(SIZE, SIZE)), workers=0)
    optim = replace(scenes.optim, lr=LR, weight_decay=WEIGHT_DECAY)
    setting = replace(scenes, model=model, data=data, optim=optim, seed=seed, steps=steps, evaluate_every=steps)
    return replace(setting, epochs=1)  # unused, since `steps` counts, but part of the committed rows' fingerprint


def start(out: Path, stop: StopRequest) -> Path:
    """Return the backbone that all cases start from: trained once, on scenes in which every pixel of a tool counts."""
    weights = out / "start.safetensors"
    if not weights.exists():
        folder, data = out / "start", out / "data" / "start"
        write_scenes(data, SceneSet(START_SCENES, VAL, seed=START_SEED), workers=1)
        globalconv.train(recipe(1, 0, START_STEPS), data, folder, resume=folder.exists(), stop=stop)
        network = globalconv.load(folder, precision="float32").network
        assert isinstance(network, globalconv.GlobalConvNet)
        content = save({key: value.contiguous() for key, value in network.backbone.body.state_dict().items()})
        write_atomic(weights, lambda file: file.write(content))
    return weights


def name(dial: Dial, kernel: int, seed: int) -> str:
    return f"{dial.cue} {dial.distance} k {kernel} seed {seed}"


def cases(out: Path, seeds: tuple[int, ...]) -> Iterator[tuple[Dial, Case]]:
    """Yield the cases and what the dial of their scenes says, all kernels of a seed and dial in a row."""
    for seed in seeds:
        for dial in DIALS:
            data = out / "data" / f"{dial.cue}-{dial.distance}-seed-{seed}"
            for kernel in KERNELS:
                setting = recipe(kernel, seed, STEPS, out / "start.safetensors")
                yield dial, Case(name(dial, kernel, seed), setting, data)


def scores(rows: list[dict[str, Any]], dial: Dial) -> dict[int, dict[int, float]]:
    """Return seed -> kernel -> mIoU of the seeds whose kernels are all there."""
    found = {row["case"]: row["miou"] for row in rows if row["miou"] is not None}
    seeds = sorted({int(case.rsplit(" ", 1)[1]) for case in found})
    table = {s: {k: found[name(dial, k, s)] for k in KERNELS if name(dial, k, s) in found} for s in seeds}
    return {seed: by_kernel for seed, by_kernel in table.items() if len(by_kernel) == len(KERNELS)}


def interval(values: list[float]) -> float:
    """Return half the width of the t interval of the mean of `values`."""
    if len(values) < 2:
        return math.nan
    factor = student.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(factor * statistics.stdev(values) / math.sqrt(len(values)))


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, for every dial and kernel, the paired gain over 1 x 1 heads in points of mIoU."""
    table = []
    for dial in DIALS:
        by_seed = scores(rows, dial)
        for kernel in KERNELS if by_seed else ():
            won = [100 * (found[kernel] - found[1]) for found in by_seed.values()]
            table.append(
                {
                    "cue": dial.cue,
                    "distance": dial.distance,
                    "k": kernel,
                    "miou": round(statistics.mean(found[kernel] for found in by_seed.values()), 4),
                    "gain": round(statistics.mean(won), 2),
                    "interval": None if kernel == 1 or len(won) < 2 else round(interval(won), 2),
                    "least": round(min(won), 2),
                    "seeds": len(won),
                }
            )
    return table


def write(out: Path, made: list[dict[str, Any]]) -> None:
    """Write the rows and what follows from them."""
    path = RESULTS / "cue.json"
    old = json.loads(path.read_text())["runs"] if path.exists() else []
    every_seed = tuple(sorted({int(row["case"].rsplit(" ", 1)[1]) for row in [*old, *made]}))
    rows = still_valid([case for _, case in cases(out, every_seed)], [*old, *made])
    settings = {
        "backbone": BACKBONE,
        "scenes": SCENES,
        "steps": STEPS,
        "start": f"{START_STEPS} steps on {START_SCENES}",
    }
    report = {"command": "python benchmarks/cue.py", "settings": settings}
    write_report(path, {**report, "tables": {"gain over 1 x 1 heads, points of mIoU": gains(rows)}, "runs": rows})


def plot(table: list[dict[str, Any]], path: Path = PLOT) -> None:
    """Draw the gain of every kernel against the distance of the cue, and the control beside it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    far, control = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    for number, kernel in enumerate(KERNELS[1:]):
        colour = COLOURS[number]
        for axes, cue in ((far, "far"), (control, "local")):
            rows = [row for row in table if row["cue"] == cue and row["k"] == kernel]
            places = [row["distance"] + 2 * (number - 1) if cue == "far" else number for row in rows]
            style: dict[str, Any] = {"color": colour, "capsize": 3, "marker": "o", "label": f"k = {kernel}"}
            style["linestyle"] = "-" if cue == "far" else "none"
            axes.errorbar(places, [row["gain"] for row in rows], [row["interval"] or 0 for row in rows], **style)
    for axes in (far, control):
        axes.axhline(0, color="#888", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
    far.set(xlabel="pixels between the cue and the nearest pixel that counts", ylabel="mIoU over 1 x 1 heads, points")
    far.set_xticks([dial.distance for dial in DIALS if dial.cue == "far"])
    control.set(xlabel="control: cue everywhere")
    control.set_xticks([])
    far.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main(settings: Settings) -> None:
    with StopRequest().listening() as stop:
        settings.out.mkdir(parents=True, exist_ok=True)
        start(settings.out, stop)
        for dial, case in cases(settings.out, settings.seeds):
            assert isinstance(case.recipe, Recipe)
            write_scenes(case.data, SceneSet(SCENES, VAL, dial=dial, seed=case.recipe.seed), workers=1)
            write(settings.out, [run(case, settings.out, stop)])
    rows = gains(json.loads((RESULTS / "cue.json").read_text())["runs"])
    print_rows("gain over 1 x 1 heads", rows)
    plot(rows)


if __name__ == "__main__":
    main(tyro.cli(Settings))
