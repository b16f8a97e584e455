"""`predict`: class maps and overlays of images by a trained network."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.infer.image_files import STAGES, Failure, predict_files
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor, load
from globalconv.runtime.files import as_path
from globalconv.runtime.progress import Progress
from globalconv.runtime.threads import StageTimes


def predict(
    weights: str | Path | Predictor,
    images: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    precision: str = "auto",
    settings: InferenceSettings = PLAIN,
) -> list[Failure]:
    """Write class map and overlay of every image that `images` (files, folders, globs) name into the folder `out`.

    `settings` asks for tiles, scales and so on (a `Predictor` keeps its own). What cannot be read is skipped, returned,
    and listed in `failures.json`. Of a TIFF above 25 megapixels only the class map is written, as a TIFF.
    """
    predictor = weights if isinstance(weights, Predictor) else load(weights, device, precision, settings=settings)
    any_images: Any = images  # callers from Python may pass anything
    is_single = isinstance(images, str | Path) or not isinstance(any_images, Iterable)
    paths: list[Any] = [any_images] if is_single else list(any_images)
    for path in paths:
        if not isinstance(path, str | Path):
            raise InputError(
                f"images: holds {type(path).__name__}: give paths of files, folders or globs; an array goes to a"
                " Predictor"
            )

    times = StageTimes(*STAGES)
    with Progress("predicted", len(paths), "images") as progress:

        def on_file(done: int, total: int, path: Path, failure: Failure | None) -> None:
            progress.update(done, total=total)

        failures = predict_files(predictor, list(map(str, paths)), as_path("out", out), on_file, times)
        progress.print(times.summary(progress.total, "images"))
    return failures
