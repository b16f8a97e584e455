"""Decoders beside each other: Unet, FPN and DeepLabV3+ of segmentation-models-pytorch, and Baseline, GCN, GCN + BR.

    python benchmarks/decoders.py tune|msrc21|folds [--only Unet FPN ...] [--steps N] [--seed N] [--data FOLDER]
    python benchmarks/decoders.py times [--repeats N]

The last of ours are GCN + BR with `head_width` 32 and 64, which are not the paper's: the second was found on the
images that rates are chosen on, the first takes no longer than FPN. All stand on the same ResNet-18 from scratch and
see the same images, normalised alike, in the same order, with the same augmentation (256 x 256, the msrc21 recipe's),
loss, schedule and number of steps; the loop is ours for all.

The learning rate: each decoder has the same three to choose from (`RATES`). `tune` trains all of them for half of the
steps on three quarters of MSRC21's training images and scores them on the last quarter. A decoder's best rate there
is the only one that `msrc21` and `folds` train with, so that no reported image has chosen anything, and nobody has
had more trials. The rate is MSRC21's for CamVid too, for all alike. Where the best rate is the lowest or the highest of
the three, the note of the row says so. `msrc21 --seed 1` and `--seed 2` train again from other weights and in another
order; with one seed, differences of a point or two mean nothing by themselves.

Scores are of the last weights (their moving average), in float32, at the label maps' own size. Rows are written to
results/decoders-PART.json as they are made, and name the hardware; started again, a stopped training goes on, and a
finished one is only scored. `times` measures all of them in turns in one process, per training step and per image, the
latter as the networks are written and as `predict` runs them (`globalconv.optimised`, which takes the peers, too).
Needs the extra `bench`, and GLOBALCONV_DATA or --data.
"""

import json
import os
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import segmentation_models_pytorch as smp
import torch
import training_step
import tyro
from common import RESULTS, compare, measure, print_rows, write_report, write_results
from network_over_backbone import class_map_call
from torch import nn
from trainings import Case, run, still_valid

from globalconv import GlobalConvNet, optimised
from globalconv.data.transform_settings import Augmentation
from globalconv.model.wrapped import wrap_network
from globalconv.runtime.files import as_path
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import DataSettings, ModelSettings
from globalconv.training.recipes.index import RECIPES

BACKBONE, CROP, STEPS, SEEDS = "resnet18", (256, 256), 600, 3
RATES = (5e-4, 2e-3, 8e-3)
TUNED_ON = 4
"""One training image in so many is held out to choose a rate on."""

OURS = {
    "Baseline": ModelSettings(BACKBONE, head=("pointwise",), boundary_refinement=False),
    "GCN": ModelSettings(BACKBONE, (15,), boundary_refinement=False),
    "GCN + BR": ModelSettings(BACKBONE, (15,)),
    "GCN + BR, head width 32": ModelSettings(BACKBONE, (15,), head_width=32),
    "GCN + BR, head width 64": ModelSettings(BACKBONE, (15,), head_width=64),
}
PEERS: dict[str, Callable[..., nn.Module]] = {"Unet": smp.Unet, "FPN": smp.FPN, "DeepLabV3+": smp.DeepLabV3Plus}
CLASSES = {"MSRC21": 21, "CamVid": 11}
SCORES = ("miou", "boundary_accuracy", "internal_accuracy")


@dataclass(frozen=True)
class Settings:
    part: Annotated[Literal["tune", "msrc21", "folds", "times"], tyro.conf.Positional]
    only: tuple[str, ...] = ()
    """Decoders to train; the others' rows stay as they are."""
    steps: int = STEPS
    """Steps of a training; half of them where a rate is chosen."""
    seed: Literal[0, 1, 2] = 0
    """Of MSRC21's trainings; rates are chosen, and folds compared, with seed 0."""
    data: Path | None = None
    """Folder that holds MSRC21 and CamVid; by default GLOBALCONV_DATA."""
    out: Path = Path("runs/decoders")
    repeats: int = 5


def peer(name: str, classes: int, seed: int = 0) -> nn.Module:
    """Return a decoder of segmentation-models-pytorch; its weights are a function of the seed."""
    torch.manual_seed(seed)
    return PEERS[name](BACKBONE, encoder_weights=None, classes=classes)


def case(
    name: str, decoder: str, rate: float, steps: int, data: DataSettings, root: Path, classes: int, seed: int = 0
) -> Case:
    base = RECIPES["msrc21"]()
    recipe = replace(
        base, model=OURS.get(decoder, base.model), data=data, optim=replace(base.optim, lr=rate), steps=steps,
        evaluate_every=steps, seed=seed,
    )  # fmt: skip
    maker = partial(peer, decoder, classes, seed) if decoder in PEERS else None
    return Case(name, recipe, root, None, maker, ("boundary_accuracy", "internal_accuracy"))


def samples(train: str, val: str, layout: str) -> DataSettings:
    augmentation: Augmentation = replace(RECIPES["msrc21"]().data.augmentation, crop=CROP)
    return DataSettings(layout=layout, train_split=train, val_split=val, augmentation=augmentation)


def tune(settings: Settings) -> Iterator[Case]:
    for decoder in (*PEERS, *OURS):
        for rate in RATES:
            name, data = f"{decoder} lr {rate:g}", samples("train", "val", "folder")
            yield case(name, decoder, rate, settings.steps // 2, data, settings.out / "tuning", CLASSES["MSRC21"])


def msrc21(settings: Settings) -> Iterator[Case]:
    data, place = samples("train", "val", "folder"), root(settings) / "MSRC21"
    for seed in range(SEEDS):
        for decoder, (rate, _) in chosen_rates(settings).items():
            name = f"{decoder}, seed {seed}" if seed else decoder
            yield case(name, decoder, rate, settings.steps, data, place, CLASSES["MSRC21"], seed)


def folds(settings: Settings) -> Iterator[Case]:
    place = root(settings) / "CamVid"
    names = sorted(path.name.removesuffix(".val.txt") for path in (place / "folds").glob("*.val.txt"))
    for fold in names:
        for decoder, (rate, _) in chosen_rates(settings).items():
            data = samples(f"folds/{fold}.train", f"folds/{fold}.val", "camvid")
            yield case(f"{fold} {decoder}", decoder, rate, settings.steps, data, place, CLASSES["CamVid"])


PARTS: dict[str, Callable[[Settings], Iterator[Case]]] = {"tune": tune, "msrc21": msrc21, "folds": folds}


def root(settings: Settings) -> Path:
    return as_path("--data", settings.data or os.environ["GLOBALCONV_DATA"])


def chosen_rates(settings: Settings) -> dict[str, tuple[float, str]]:
    """Return the best rate of every decoder all of whose rates have been tried, and what there is to say about it."""
    tried = {row["case"]: row["miou"] or 0.0 for row in still_valid(list(tune(settings)), rows_of("tune"))}
    return best_rates(tried)


def best_rates(tried: dict[str, float]) -> dict[str, tuple[float, str]]:
    """Return decoder -> (rate, note) of scores by "DECODER lr RATE"; without a decoder that lacks one."""
    found = {}
    for decoder in (*PEERS, *OURS):
        scores = {rate: tried[name] for rate in RATES if (name := f"{decoder} lr {rate:g}") in tried}
        if len(scores) == len(RATES):
            best = max(scores, key=lambda rate: scores[rate])
            at_end = best in (min(RATES), max(RATES))
            found[decoder] = (best, f"lr {best:g}" + (", at the end of those tried" if at_end else ""))
    return found


def write_tuning_data(settings: Settings) -> None:
    """Copy MSRC21's training images into a data set of their own, of which every fourth is for validation."""
    source, place = root(settings) / "MSRC21", settings.out / "tuning"
    if (place / "classes.json").exists():
        return
    for kind in ("images", "labels"):
        for number, file in enumerate(sorted((source / kind / "train").iterdir())):
            split = "val" if number % TUNED_ON == TUNED_ON - 1 else "train"
            (place / kind / split).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place / kind / split)
    shutil.copy(source / "classes.json", place / "classes.json")  # last: it says that the rest is there


def results(part: str) -> Path:
    return RESULTS / f"decoders-{part}.json"


def rows_of(part: str) -> list[dict[str, Any]]:
    """Return the rows that were made so far."""
    if not results(part).exists():
        return []
    found: list[dict[str, Any]] = json.loads(results(part).read_text())["tables"][title(part)]
    return found


def title(part: str) -> str:
    return f"decoders: {part}"


def write(settings: Settings, every: list[Case], made: dict[str, Any]) -> None:
    """Write the row `made` among those of the other cases with today's recipes."""
    rows = still_valid(every, [*rows_of(settings.part), made])
    print_rows(settings.part, rows)
    tables = {title(settings.part): rows}
    if settings.part == "folds" and (means := mean_rows(rows)):
        tables["decoders: mean over the folds"] = means
    if settings.part == "msrc21" and (means := seed_rows(rows)):
        tables["decoders: msrc21, mean over seeds"] = means
    facts = {"backbone": f"{BACKBONE} from scratch", "crop": CROP, "batch": 8}
    seeds = " [--seed N]" if settings.part == "msrc21" else ""
    command = f"python benchmarks/decoders.py {settings.part} --steps {settings.steps}{seeds}"
    write_report(results(settings.part), {"command": command, "settings": facts, "tables": tables})


def mean_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean scores of every decoder over the folds that all of them have."""
    by_fold: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        fold, decoder = row["case"].split(" ", 1)
        by_fold.setdefault(fold, {})[decoder] = row
    whole = [found for found in by_fold.values() if len(found) == len(PEERS) + len(OURS)]
    return [
        {
            "decoder": decoder,
            **{name: round(statistics.mean(found[decoder][name] or 0.0 for found in whole), 4) for name in SCORES},
            "folds": len(whole),
        }
        for decoder in (*PEERS, *OURS)
        if whole
    ]


def seed_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the scores of every decoder that was trained more than once: means over seeds, and mIoU from and to."""
    by_decoder: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_decoder.setdefault(decoder_of(row["case"], "msrc21"), []).append(row)
    return [
        {
            "decoder": decoder,
            **{name: round(statistics.mean(row[name] or 0.0 for row in found), 4) for name in SCORES},
            "lowest_miou": min(row["miou"] or 0.0 for row in found),
            "highest_miou": max(row["miou"] or 0.0 for row in found),
            "seeds": len(found),
        }
        for decoder, found in by_decoder.items()
        if len(found) > 1
    ]


def train(settings: Settings) -> None:
    write_tuning_data(settings)
    every = list(PARTS[settings.part](settings))
    notes = {} if settings.part == "tune" else {name: note for name, (_, note) in chosen_rates(settings).items()}
    decoders = settings.only or (*PEERS, *OURS)
    of_seed = [one for one in every if int(one.name.partition(", seed ")[2] or 0) == settings.seed]
    wanted = [one for one in of_seed if decoder_of(one.name, settings.part) in decoders]
    if not wanted:
        raise SystemExit(
            f"nothing to train: --only takes {', '.join([*PEERS, *OURS])}, --seed is for msrc21, and tune comes first"
        )
    with StopRequest().listening() as stop:
        for one in wanted:
            made = run(one, settings.out / settings.part, stop)
            note = notes.get(decoder_of(one.name, settings.part), "")
            write(settings, every, {**made, "note": "; ".join(filter(None, (note, made["note"])))})


def decoder_of(name: str, part: str) -> str:
    """Return the decoder in the name of a case."""
    if part == "folds":
        return name.split(" ", 1)[1]
    return name.partition(" lr " if part == "tune" else ", seed ")[0]


def times(settings: Settings) -> None:
    """Measure a training step and an inference of all, in turns: as written, and in the form that `predict` runs."""
    timing = training_step.Settings(BACKBONE, size=CROP[0], batch=8)
    image_13HW = torch.randint(0, 256, (1, 3, 320, 480), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    makers: dict[str, Callable[[], nn.Module]] = {
        **{name: partial(GlobalConvNet, CLASSES["MSRC21"], **model.architecture()) for name, model in OURS.items()},
        **{name: partial(_normalised_peer, name) for name in PEERS},
    }
    tables = {}
    jobs: dict[str, Callable[[nn.Module], Callable[[], object]]] = {
        "training step": lambda module: training_step.training_step(timing, lambda: module, True),
        "inference": lambda module: class_map_call(module.eval(), image_13HW, True),
        "inference, optimised": lambda module: class_map_call(optimised(module.eval(), "bfloat16"), image_13HW, True),
    }
    for job, make in jobs.items():
        calls = {name: make(maker().to(memory_format=torch.channels_last)) for name, maker in makers.items()}
        tables[f"decoders: {job}"] = compare(measure(calls, settings.repeats), "GCN + BR")
        print_rows(job, tables[f"decoders: {job}"])
    sizes = {"train": "8 x 256 x 256", "inference": "320 x 480", "arithmetic": "bfloat16, channels_last"}
    write_results("decoders", "cpu", sizes, tables)


def _normalised_peer(name: str) -> nn.Module:
    return wrap_network(peer(name, CLASSES["MSRC21"]), CLASSES["MSRC21"], CROP)


def main(settings: Settings) -> None:
    if settings.part == "times":
        times(settings)
    else:
        train(settings)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
