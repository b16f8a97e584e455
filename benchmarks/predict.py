"""How many images a second `globalconv predict` gets through: in batches, and with its three threads or without.

    python benchmarks/predict.py [--run FOLDER]

What is timed is the verb's own function, reading and writing included, with one predictor that is already loaded, in
the precision that the verb picks. "network alone" is the same predictor on decoded images, writing nothing: its rate is
what the verb cannot exceed. "one after another" calls the same functions for decoding, network and writing in a plain
loop: what the overlap is worth is the ratio to it. Images are CamVid's frames where GLOBALCONV_DATA is set, else
generated scenes of their size; without --run the network is a fresh one of the recipe `camvid-scratch`.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tyro
from common import compare, measure, print_rows, write_results
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.data.images import read_image
from globalconv.infer.image_files import STAGES, predict_files
from globalconv.infer.inference_settings import PLAIN
from globalconv.infer.prediction import Prediction
from globalconv.infer.predictor import Predictor, load
from globalconv.labels import CAMVID
from globalconv.model.network import GlobalConvNet
from globalconv.runtime.memory import keep_freed_memory
from globalconv.runtime.threads import StageTimes
from globalconv.training.recipes.index import RECIPES
from globalconv.weights import save_weights

BATCHES = (1, 2, 4)
ALONE = "network alone"
APART = "one after another"
SIZE = (480, 360)
"""Width and height of CamVid's frames as they are used here."""


@dataclass(frozen=True)
class Settings:
    run: Path | None = None
    """Run folder or weights folder; by default a fresh network of the recipe camvid-scratch."""
    backbone: str | None = None
    """Of the fresh network, another than the recipe's."""
    photos: int = 24
    """Images per call."""
    repeats: int = 7
    """Calls of every case, after one to warm up."""


def main(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        weights = settings.run or fresh(Path(folder) / "network", settings.backbone)
        predictor = load(weights, "cpu")
        images = photos(Path(folder) / "images", settings.photos)
        rows = rates(cases(predictor, images, Path(folder) / "out"), settings)
        parts = share(predictor, images, Path(folder) / "out")
    print_rows("predict", rows)
    print_rows(f"share of the time that each part is at work, batch {BATCHES[0]}", parts)
    asked = {**asdict(settings), "run": "fresh" if settings.run is None else settings.run.name}
    name = "predict" if settings.backbone is None else f"predict.{settings.backbone}"
    write_results(name, "cpu", asked, {"predict": rows, "share of the time": parts})


def cases(predictor: Predictor, images: Sequence[Path], out: Path) -> dict[str, Callable[[], object]]:
    """Return the calls that are compared, each of which writes the results of all images."""
    names = [str(path) for path in images]
    decoded = [read_image(path) for path in images]
    found: dict[str, Callable[[], object]] = {
        ALONE: partial(alone, predictor, decoded),
        APART: partial(apart, predictor, images, out),
    }
    for batch_size in BATCHES:
        batching = batched(predictor, batch_size)
        found[f"batch {batch_size}"] = partial(predict_files, batching, names, out)
    return found


def batched(predictor: Predictor, batch_size: int) -> Predictor:
    """Return a predictor of the same network that takes so many images per pass."""
    settings = replace(PLAIN, batch_size=batch_size)
    return Predictor(
        predictor.network, predictor.labels, "cpu", predictor.precision, predictor.layout, None, predictor.geometry,
        settings, optimise=True,
    )  # fmt: skip


def alone(predictor: Predictor, decoded: Sequence[Uint8Array]) -> None:
    """Predict every image, one at a time."""
    for image in decoded:
        predictor.class_map(image)


def apart(predictor: Predictor, images: Sequence[Path], out: Path) -> None:
    """Decode, predict and write every image before the next."""
    out.mkdir(exist_ok=True)
    for path in images:
        image = read_image(path)
        Prediction(image, predictor.class_map(image), predictor.labels).save(out, path.stem)


def rates(found: dict[str, Callable[[], object]], settings: Settings) -> list[dict[str, Any]]:
    """Return a row per case, with the images per second of its median."""
    rows = compare(measure(found, settings.repeats), ALONE)
    return [{**row, "images_per_s": round(1e3 * settings.photos / row["median_ms"], 2)} for row in rows]


def share(predictor: Predictor, images: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Return what the verb itself says about one call: parts overlap, so they may add up to more than 100 %."""
    times = StageTimes(*STAGES)
    predict_files(predictor, [str(path) for path in images], out, times=times)
    return [{"images": len(images), "line": times.summary(len(images), "images")}]


def photos(folder: Path, count: int) -> list[Path]:
    """Write `count` PNG files of the size of CamVid's frames, and return their paths."""
    folder.mkdir()
    root = os.environ.get("GLOBALCONV_DATA")
    source = open_source(Path(root) / "CamVid", "train") if root else open_source(None, "train", "scenes")
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(source.image(number % len(source))).resize(SIZE).save(path)
    return paths


def fresh(folder: Path, backbone: str | None) -> Path:
    """Save a network of the recipe camvid-scratch that has learned nothing, which takes as long as one that has."""
    model = RECIPES["camvid-scratch"]().model
    network = GlobalConvNet(CAMVID.num_classes, backbone or model.backbone, model.kernel_size[0])
    folder.mkdir()
    save_weights(folder, network.eval(), CAMVID, {})
    return folder


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    main(tyro.cli(Settings, description=__doc__))
