"""What a prediction gains beyond one pass of the network, and what it costs: mirror image, scales, DenseCRF.

    python benchmarks/inference.py camvid|msrc21 --runs FOLDER [--only CASE] [--frames N] [--search-frames N]

`--runs` holds the run folders of `benchmarks/accuracy.py folds-scratch` (or `msrc21-scratch`), of which any number may
be there. A CRF is never reported on what it was chosen on: for a fold of CamVid it is searched on the other folds'
validation frames, with the networks that had held those out; for MSRC21 on one half of the validation images, and
everything is reported on the other. Each way of predicting has a CRF of its own, chosen on what that way predicts.
`+ scales` is 0.75, 1 and 1.25, each with its mirror image. Time is that of the processor, per image, reading included.
Rows are written as they are made; those of the same weights, images and candidates stay when it is started again.
"""

import hashlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import tyro
from common import RESULTS, hardware, print_rows, write_report

from globalconv.arrays import Int64Array
from globalconv.crf.dense import DenseCRF
from globalconv.crf_tuning.halves import halves, names, spread_over
from globalconv.crf_tuning.search_settings import ParameterGrid
from globalconv.crf_tuning.trials import CrfCandidate, coarse, described, keep_probabilities, matrices, published
from globalconv.crf_tuning.verdict import judge
from globalconv.data.datasets import open_source
from globalconv.data.source import Source
from globalconv.evaluation.confusion import ConfusionMatrix, mean_iou
from globalconv.evaluation.score import Predictions, ScoredImage, score_together
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.prediction import Prediction
from globalconv.infer.predictor import load
from globalconv.runtime.progress import Progress
from globalconv.weights import WEIGHTS_FILE

GRID = ParameterGrid((1, 3, 6), (30, 70), (3, 6), (3,), (1, 3))
"""Coarser than DeepLab's, and reaching down to weak kernels; not refined."""

WAYS = {
    "single": PLAIN,
    "+ flip": InferenceSettings(flip=True),
    "+ scales": InferenceSettings(flip=True, scales=(0.75, 1.0, 1.25)),
}
REFINED = ("single", "+ scales")
"""The ways that are also scored with the CRF."""


@dataclass(frozen=True)
class Settings:
    experiment: Annotated[str, tyro.conf.Positional]
    """camvid or msrc21."""
    runs: Path
    """Folder of the trained runs."""
    only: str | None = None
    """One case, by the name of its run; the others' rows stay as they are."""
    frames: int = 1000
    """Most images of a case to report on, evenly spread."""
    search_frames: int = 20
    """Most images of a part to search on, evenly spread."""


@dataclass(frozen=True)
class Part:
    """A network, and images that it has not seen."""

    run: Path
    split: str
    source: Source


@dataclass(frozen=True)
class Case:
    """A part to report on, and others to search on."""

    name: str
    reported: Part
    searched: tuple[Part, ...]

    def fingerprint(self) -> str:
        """Return what tells this case from one of other weights, images or candidates."""
        parts = [self.reported, *self.searched]
        images = [names(part.source) for part in parts]
        weights = [hashlib.sha256((part.run / WEIGHTS_FILE).read_bytes()).hexdigest() for part in parts]
        ways = {name: way.changes() for name, way in WAYS.items()}
        return hashlib.sha256(json.dumps([images, weights, asdict(GRID), ways, REFINED]).encode()).hexdigest()[:8]


def camvid(settings: Settings) -> list[Case]:
    """Return a case per fold that has a run; a fold that is alone has nothing to search on."""
    root = Path(os.environ["GLOBALCONV_DATA"]) / "CamVid"
    folds = [run.name for run in trained(settings) if (root / "folds" / f"{run.name}.val.txt").is_file()]
    splits = {name: f"folds/{name}.val" for name in folds}
    whole = {name: open_source(root, split) for name, split in splits.items()}
    search, report = (
        {name: Part(settings.runs / name, splits[name], spread_over(whole[name], most)) for name in folds}
        for most in (settings.search_frames, settings.frames)
    )
    if len(folds) < 2:
        raise SystemExit(f"--runs {settings.runs}: at least two folds of CamVid are needed, there are: {folds}")
    return [Case(name, report[name], tuple(search[other] for other in folds if other != name)) for name in folds]


def msrc21(settings: Settings) -> list[Case]:
    """Return a case per run: half of the images to search on, the other half to report on."""
    searched, reported = halves(open_source(Path(os.environ["GLOBALCONV_DATA"]) / "MSRC21", "val"), None)
    search, report = spread_over(searched, settings.search_frames), spread_over(reported, settings.frames)
    return [Case(run.name, Part(run, "val", report), (Part(run, "val", search),)) for run in trained(settings)]


EXPERIMENTS = {"camvid": camvid, "msrc21": msrc21}


def trained(settings: Settings) -> list[Path]:
    return sorted(path.parent for path in settings.runs.glob(f"*/{WEIGHTS_FILE}"))


def candidates() -> list[CrfCandidate]:
    return [*published(), *coarse(GRID)]


@cache
def searched(part: Part, way: str) -> list[ConfusionMatrix]:
    """Return the matrix of every candidate on a part; two cases may share it."""
    predictor, tried = load(part.run, precision="float32", settings=WAYS[way]), candidates()
    with tempfile.TemporaryDirectory() as folder:
        samples = keep_probabilities(predictor, part.source, Path(folder), lambda done: None)
        with Progress(f"{part.run.name}, {way}: refined", len(samples) * len(tried), "images") as progress:
            return list(matrices(tried, samples, 1, progress.update))


def choose(case: Case, way: str) -> tuple[DenseCRF, str]:
    """Return the best CRF of the parts that are searched on together, and what it scored there."""
    found = [searched(part, way) for part in case.searched]
    pooled = [sum(matrices[1:], matrices[0]).miou() for matrices in zip(*found, strict=True)]
    best = max(range(1, len(pooled)), key=pooled.__getitem__)
    crf = candidates()[best].crf
    assert crf is not None
    return crf, f"{described(crf)}; where it was chosen {pooled[best]:.4f}, no CRF {pooled[0]:.4f}"


@dataclass
class Counted:
    """Intersection and union per class (2, K) of every image, and the seconds of the processor that an image took."""

    overlaps: list[Int64Array]
    seconds: float = 0.0


def count(part: Part, way: str, crf: DenseCRF | None) -> list[Counted]:
    """Return what one way of predicting counts on a part; with a CRF, also what that makes of the same predictions."""
    predictor, refined = load(part.run, precision="float32", settings=WAYS[way]), CrfCandidate("CRF", crf)
    found, now = [Counted([]), Counted([])], list[Prediction]()

    def predicted(index: int) -> npt.NDArray[np.uint8]:
        began = time.process_time()
        now[:] = [predictor(part.source.image(index), probabilities=crf is not None)]
        found[0].seconds += time.process_time() - began
        return now[0].class_map

    def sharpened(index: int) -> npt.NDArray[np.uint8]:
        began = time.process_time()
        class_map = refined.class_map(now[0].image, np.asarray(now[0].probabilities))
        found[1].seconds += time.process_time() - began
        return class_map

    def on_scored(image: ScoredImage) -> None:
        for kept, matrix in zip(found, image.matrices, strict=False):
            kept.overlaps.append(np.stack(matrix.overlap()))

    both = [Predictions(predicted, "float32"), *([Predictions(sharpened, "float32")] if crf else [])]
    score_together(both, part.source, on_scored)
    network, sharp = (kept.seconds / len(part.source) for kept in found)
    found[0].seconds, found[1].seconds = network, network + sharp
    return found[: len(both)]


def run(case: Case) -> list[dict[str, Any]]:
    """Return the rows of a case."""
    counted: dict[str, Counted] = {}
    words: dict[str, str] = {}
    for way in WAYS:
        crf, words[f"{way} + CRF"] = choose(case, way) if way in REFINED else (None, "")
        counted |= dict(zip((way, f"{way} + CRF"), count(case.reported, way, crf), strict=False))
    return [row(case, name, counted, words.get(name, "")) for name in counted]


def row(case: Case, name: str, counted: dict[str, Counted], words: str) -> dict[str, Any]:
    """Return one row; its gain is over what it adds to: a CRF to the same without, anything else to `single`."""
    base = name.removesuffix(" + CRF") if name.endswith("CRF") else "single"
    frames = [str(index) for index in range(len(counted[name].overlaps))]
    verdict = judge(counted[base].overlaps, counted[name].overlaps, frames, True)
    low, high = verdict.interval or (float("nan"),) * 2
    return {
        "case": case.name,
        "way": name,
        "miou": round(mean_iou(*np.sum(counted[name].overlaps, 0)), 4),
        "over": "" if base == name else base,
        "gain": None if base == name else round(verdict.gain, 4),
        "interval": "" if base == name else f"{low:+.4f} to {high:+.4f}",
        "images": len(frames),
        "cpu_s": round(counted[name].seconds, 2),
        "crf": words,
        "fingerprint": case.fingerprint(),
    }


def mean_rows(rows: Sequence[dict[str, Any]], cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return the means over all cases, once they are all there."""
    if len(cases) < 2 or len({row["case"] for row in rows}) < len(cases):
        return []
    means = []
    for way in dict.fromkeys(row["way"] for row in rows):
        of_way = [row for row in rows if row["way"] == way]
        gains = [row["gain"] for row in of_way if row["gain"] is not None]
        numbers = {key: round(statistics.mean(row[key] for row in of_way), 4) for key in ("miou", "cpu_s")}
        gain = round(statistics.mean(gains), 4) if gains else None
        means.append({**dict.fromkeys(rows[0], ""), "case": "mean", "way": way, "over": of_way[0]["over"], **numbers,
                      "gain": gain, "images": sum(row["images"] for row in of_way)})  # fmt: skip
    return means


def write(settings: Settings, cases: Sequence[Case], made: list[dict[str, Any]]) -> None:
    """Write the rows `made` among those of the other cases that are still valid."""
    path, title = RESULTS / f"inference-{settings.experiment}.json", f"Inference: {settings.experiment}"
    rows = [*known(settings, cases), *made]
    order = {case.name: number for number, case in enumerate(cases)}
    rows.sort(key=lambda row: order[row["case"]])
    shown = [*rows, *mean_rows(rows, cases)]
    print_rows(settings.experiment, [{key: row[key] for key in row if key != "crf"} for row in shown])
    command = f"inference.py {settings.experiment} --runs RUNS --frames {settings.frames}"
    report = {
        "command": f"python benchmarks/{command} --search-frames {settings.search_frames}",
        "hardware": hardware(),
        "settings": {"grid": json.dumps(GRID.axes()), "scales": "0.75 1 1.25", "precision": "float32"},
        "tables": {title: shown},
    }
    write_report(path, report)


def known(settings: Settings, cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Return the rows of an earlier start that these cases would make again."""
    path, title = RESULTS / f"inference-{settings.experiment}.json", f"Inference: {settings.experiment}"
    rows = json.loads(path.read_text())["tables"].get(title, []) if path.exists() else []
    prints = {case.name: case.fingerprint() for case in cases}
    return [row for row in rows if prints.get(row["case"]) == row["fingerprint"]]


def main(settings: Settings) -> None:
    if settings.experiment not in EXPERIMENTS:
        raise SystemExit(f"experiment {settings.experiment!r}: one of {', '.join(EXPERIMENTS)}")
    cases = EXPERIMENTS[settings.experiment](settings)
    chosen = [case for case in cases if settings.only in (None, case.name)]
    if not chosen:
        raise SystemExit(f"no run to do; there are: {', '.join(case.name for case in cases) or 'none'}")
    done = {row["case"] for row in known(settings, cases)}
    for case in chosen:
        if case.name not in done:
            write(settings, cases, run(case))


if __name__ == "__main__":
    main(tyro.cli(Settings))
