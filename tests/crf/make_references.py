"""Write references/*.npz: small images, and the marginals that the reference implementation gives for them.

    pip install -c constraints.txt -e ".[crf-check]"   # needs a C++ compiler
    python tests/crf/make_references.py

A file holds what the calculation starts from (image, logits as int8 in steps of 1/16) and its marginals in steps of
1/65535, so that the tests need neither the compiler nor this script.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).resolve().parent / "references"


@dataclass(frozen=True)
class Case:
    """What is calculated: a DenseCRF's fields by position, on an image of this size."""

    settings: tuple[float, ...]
    size: tuple[int, int, int]
    classes: int
    seed: int
    matrix: bool = False


CASES = {
    "deeplabv2-2": Case((10, 4, 67, 3, 3, 1), (41, 58, 3), 2, 0),
    "deeplabv2-21": Case((10, 4, 67, 3, 3, 1), (25, 37, 3), 21, 1),
    "largefov-21": Case((10, 4, 49, 5, 3, 3), (25, 37, 3), 21, 2),
    "example-21": Case((5, 10, 80, 13, 3, 3), (25, 37, 3), 21, 3),
    "example-150": Case((5, 10, 80, 13, 3, 3), (15, 22, 3), 150, 4),
    "smoothness-alone": Case((10, 0, 67, 3, 3, 2), (31, 29, 3), 5, 5),
    "grey": Case((10, 4, 20, 7, 3, 1), (33, 35, 1), 4, 6),
    "seven-channels": Case((10, 4, 20, 30, 3, 1), (21, 24, 7), 4, 7),
    "matrix": Case((10, 4, 20, 10, 3, 1), (27, 31, 3), 6, 8, matrix=True),
    "one-pixel": Case((10, 4, 67, 3, 3, 1), (1, 1, 3), 3, 9),
    "one-row": Case((10, 4, 67, 3, 3, 1), (1, 30, 3), 3, 10),
}


def photo(case: Case) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], npt.NDArray[np.float32] | None]:
    """Return an image of soft patches with some noise, logits that follow it roughly, and a compatibility matrix."""
    random = np.random.default_rng(case.seed)
    height, width, channels = case.size
    places_HW2 = np.moveaxis(np.mgrid[:height, :width], 0, -1)
    centres = random.uniform(0, [height, width], (6, 2))
    patches_HW = np.square(places_HW2[:, :, None] - centres).sum(-1).argmin(-1)
    colours = random.uniform(0, 255, (6, channels))
    image = colours[patches_HW] + 12 * np.sin(places_HW2.sum(-1) / 5)[:, :, None] + random.normal(0, 3, case.size)
    logits = random.normal(0, 14, (case.classes, height, width))
    logits[patches_HW % case.classes, places_HW2[..., 0], places_HW2[..., 1]] += 20
    matrix = random.uniform(0, 1, (case.classes, case.classes)).astype(np.float32) if case.matrix else None
    return image.clip(0, 255).astype(np.uint8), logits.clip(-127, 127).astype(np.int8), matrix


def probabilities(logits: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """Return the softmax of logits in steps of 1/16."""
    power = np.exp(logits / 16.0)
    return np.asarray(power / power.sum(0), np.float32)


def reference(case: Case, image: Any, probabilities_KHW: Any, matrix: Any) -> npt.NDArray[np.float32]:
    """Return the reference implementation's marginals (K, H, W)."""
    import pydensecrf.densecrf as peer
    from pydensecrf.utils import create_pairwise_bilateral, unary_from_softmax

    iterations, appearance, xy, rgb, smoothness, near = case.settings
    height, width, _ = image.shape
    model = peer.DenseCRF2D(width, height, case.classes)
    model.setUnaryEnergy(unary_from_softmax(probabilities_KHW))
    if appearance:
        cost = appearance if matrix is None else (appearance * matrix).astype(np.float32)
        features = create_pairwise_bilateral((xy, xy), (rgb,) * image.shape[2], image, 2)
        model.addPairwiseEnergy(features[[1, 0, *range(2, len(features))]], cost)  # x before y, as for RGB
    if smoothness:
        cost = smoothness if matrix is None else (smoothness * matrix).astype(np.float32)
        model.addPairwiseGaussian(near, cost)
    return np.array(model.inference(int(iterations))).reshape(probabilities_KHW.shape)


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, case in CASES.items():
        image, logits, matrix = photo(case)
        marginals = reference(case, image, probabilities(logits), matrix)
        steps = np.rint(marginals * 65535).astype(np.uint16)
        arrays: dict[str, Any] = {"image": image, "logits": logits, "marginals": steps}
        if matrix is not None:
            arrays["matrix"] = matrix
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        print(name, (FOLDER / f"{name}.npz").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
