"""A backend in NumPy, and all ways of predicting with it. Run as a script, it does so where torch cannot be imported.

python -m helpers.nearest_colour OUT.npz | serve
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers.without_torch import block

SETTINGS = {
    "whole": {},
    "flipped": {"flip": True},
    "tiled": {"tile": 64, "overlap": 32, "batch_size": 2},
    "scales": {"scales": (0.5, 1.0, 1.3)},
    "everything": {"tile": 96, "overlap": 32, "scales": (0.4, 1.7), "flip": True, "fuse": "logits"},
    "refined": {"crf": "example"},
}
"""Inference settings by what they are about."""
SIZES = ((75, 130), (1, 1), (70, 33))


class NearestColour:
    """The class of a pixel is the one whose colour is nearest to it: red, green or blue."""

    device, precision, description = "cpu", "float32", "NumPy"
    colours_K3 = np.array([(250, 20, 30), (0, 240, 10), (40, 0, 255)], np.float32)

    def class_maps(self, images_NHW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        classes_NHW: npt.NDArray[np.uint8] = self.logits(images_NHW3).argmax(1).astype(np.uint8)
        return classes_NHW

    def logits(self, images_NHW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        differences_NHWK3 = images_NHW3[..., None, :] - self.colours_K3
        distances_NHWK: npt.NDArray[np.float32] = np.sqrt((differences_NHWK3**2).sum(-1))
        return distances_NHWK.transpose(0, 3, 1, 2) / np.float32(-25)


def predictions(backend: NearestColour) -> dict[str, npt.NDArray[Any]]:
    """Return class maps and probabilities of noise, by settings and size."""
    from globalconv.infer.inference_settings import InferenceSettings
    from globalconv.infer.predictor import Predictor
    from globalconv.labels import LabelSpace

    results: dict[str, npt.NDArray[Any]] = {}
    for name, fields in SETTINGS.items():
        settings = InferenceSettings(**fields)  # type: ignore[arg-type]
        predictor = Predictor(backend, LabelSpace(("red", "green", "blue")), settings=settings)
        for size in SIZES:
            image = np.random.default_rng(size).integers(0, 256, (*size, 3), np.uint8)
            prediction = predictor(image, probabilities=True)
            assert prediction.probabilities is not None
            place = f"{name} {size[0]}x{size[1]}"
            results |= {f"classes {place}": prediction.class_map, f"shares {place}": prediction.probabilities}
            assert (predictor.class_map(image) == prediction.class_map).all(), place
    return results


def main() -> None:
    block()
    if sys.argv[1:] == ["serve"]:
        from globalconv.infer.predictor import Predictor
        from globalconv.jobs.serve import serve
        from globalconv.labels import LabelSpace

        serve(Predictor(NearestColour(), LabelSpace(("red", "green", "blue"))), port=0)
        return
    results = predictions(NearestColour())
    with Path(sys.argv[1]).open("wb") as file:
        np.savez(file, **results)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
