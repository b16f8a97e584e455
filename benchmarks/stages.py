"""What a stage on coarse labels is worth before one on fine labels: two stages against one, equal steps, on CamVid.

    python benchmarks/stages.py [--only CASE] [--steps N] [--out runs/stages]

As in Cityscapes, one training image in eight has its fine label map, and the others a coarse one: rough polygons
(`benchmarks/coarse.py`). On each of the five folds, "fine" learns from the former for all the steps, "staged" from
both kinds for half of them, then from the fine ones alone. ResNet-18 from scratch, GCN k = 15 + BR, otherwise the
recipe `camvid-scratch`. Each stage is scored once, at its end, so nothing is chosen on the fold. Reads CamVid under
GLOBALCONV_DATA. Rows are written as they are made; started again, finished runs are only scored, and a stopped one
goes on, so that the cases may be spread over processes (`--only`) or days.
"""

import json
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from coarse import coarse
from common import RESULTS, print_rows, write_report
from cue import interval
from PIL import Image
from trainings import Case, run, still_valid

from globalconv.data.datasets import open_source
from globalconv.data.source import FileSource
from globalconv.labels import IGNORE
from globalconv.runtime.files import write_atomic, write_text
from globalconv.runtime.signals import StopRequest
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.index import RECIPES

STEPS = 600
FINE = 8
"""One image in so many has its fine label map; Cityscapes has 2,975 fine and 19,998 coarse ones."""
RUNS, GAIN = "mIoU on each fold", "staged over fine, points of mIoU"


@dataclass(frozen=True)
class Settings:
    only: str | None = None
    """One case, such as "dusk-0001TP staged"; the others' rows stay as they are."""
    steps: int = STEPS
    """Of every training, over its stages."""
    out: Path = Path("runs/stages")


def camvid() -> Path:
    return Path(os.environ["GLOBALCONV_DATA"]) / "CamVid"


def folds() -> list[str]:
    return sorted(path.name.removesuffix(".val.txt") for path in (camvid() / "folds").glob("*.val.txt"))


def write_data(root: Path) -> dict[str, float]:
    """Write coarse label maps and the lists of every fold to `root`; return what the coarse labels are like."""
    covered = right = valid = 0
    for fold in folds():
        train = open_source(camvid(), f"folds/{fold}.train", "camvid")
        val = open_source(camvid(), f"folds/{fold}.val", "camvid")
        assert isinstance(train, FileSource) and isinstance(val, FileSource)
        fine, mixed = [], []
        for index, pair in enumerate(train.pairs):
            if index % FINE == 0:
                fine.append(_line(pair.image, pair.label))
                mixed.append(_line(pair.image, pair.label))
                continue
            label_map = train.label_map(index)
            rough = _coarse(root / "coarse" / f"{pair.name}.png", label_map)
            mixed.append(_line(pair.image, root / "coarse" / f"{pair.name}.png"))
            counts = label_map != IGNORE
            drawn = counts & (rough != IGNORE)
            valid, covered = valid + int(counts.sum()), covered + int(drawn.sum())
            right += int((rough == label_map)[drawn].sum())
        whole = [_line(pair.image, pair.label) for pair in val.pairs]
        for name, lines in (("fine", fine), ("mixed", mixed), ("val", whole)):
            write_text(root / f"{fold}.{name}.txt", "\n".join(lines) + "\n")
    return {"coarse_covers": round(covered / valid, 4), "coarse_is_right": round(right / covered, 4)}


def _line(image: Path, label: Path) -> str:
    return f"{image.resolve()}\t{label.resolve()}"


def _coarse(path: Path, label_map: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the coarse label map in `path`, drawn on the first call."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = Image.fromarray(coarse(label_map))
        write_atomic(path, lambda file: drawn.save(file, "PNG"))
    with Image.open(path) as image:
        return np.array(image)


def recipes(fold: str, steps: int) -> Iterator[tuple[str, Recipe | StagedRecipe]]:
    """Yield the trainings that are compared, by name."""
    street = RECIPES["camvid-scratch"]()
    model = replace(street.model, backbone="resnet18")
    lists = {name: replace(street.data, train_split=f"{fold}.{name}", val_split=f"{fold}.val") for name in KINDS}

    def stage(name: str, length: int) -> Recipe:
        return replace(street, model=model, data=lists[name], steps=length, evaluate_every=length)

    yield "fine", stage("fine", steps)
    yield "staged", StagedRecipe({"coarse": stage("mixed", steps // 2), "fine": stage("fine", steps - steps // 2)})


KINDS = ("fine", "mixed")


def cases(steps: int, root: Path) -> list[Case]:
    return [Case(f"{fold} {name}", recipe, root) for fold in folds() for name, recipe in recipes(fold, steps)]


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the stages gain on every fold that has both rows, and their mean."""
    scores = {row["case"]: row["miou"] for row in rows if row["miou"] is not None}
    both = [fold for fold in folds() if {f"{fold} fine", f"{fold} staged"} <= scores.keys()]
    won = [100 * (scores[f"{fold} staged"] - scores[f"{fold} fine"]) for fold in both]
    table = [{"fold": fold, "gain": round(gain, 2), "interval": None} for fold, gain in zip(both, won, strict=True)]
    if len(won) > 1:
        table.append({"fold": "mean", "gain": round(statistics.mean(won), 2), "interval": round(interval(won), 2)})
    return table


def write(settings: Settings, every: list[Case], made: dict[str, Any], labels: dict[str, float]) -> None:
    """Write the row `made` among those of the other cases with today's recipes."""
    path = RESULTS / "stages.json"
    old = json.loads(path.read_text())["tables"].get(RUNS, []) if path.exists() else []
    rows = still_valid(every, [*old, made])
    print_rows("stages", rows)
    command = "python benchmarks/stages.py" + (f" --steps {settings.steps}" if settings.steps != STEPS else "")
    facts = {"steps": settings.steps, "fine_one_in": FINE, **labels}
    tables = {RUNS: rows, **({GAIN: found} if (found := gains(rows)) else {})}
    write_report(path, {"command": command, "settings": facts, "tables": tables})


def main(settings: Settings) -> None:
    root = settings.out / "data"
    every = cases(settings.steps, root)
    chosen = [case for case in every if settings.only in (None, case.name)]
    if not chosen:
        raise SystemExit(f"--only {settings.only!r}: one of {', '.join(case.name for case in every)}")
    with StopRequest().listening() as stop:
        labels = write_data(root)
        for case in chosen:
            write(settings, every, run(case, settings.out, stop), labels)


if __name__ == "__main__":
    main(tyro.cli(Settings))
