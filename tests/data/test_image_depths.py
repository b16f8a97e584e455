"""Images of known greys in every depth: all of a data set come out alike, or the user is told."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from helpers.known_maps import (
    HEIGHT,
    WIDTH,
    Draw,
    empty_folder,
    pick,
    values,
    write_png,
    write_tiff,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.errors import InputError, InputWarning

GREYS: dict[str, tuple[float, Any]] = {
    "8 bits": (255, np.uint8), "10 bits": (1023, np.uint16), "12 bits": (4095, np.uint16),
    "16 bits": (65535, np.uint16),
    "int32 of 8 bits": (255, np.int32), "int32": (65535, np.int32), "floats to 1": (1, np.float32),
    "floats to 255": (255, np.float32),
}  # fmt: skip


@given(st.data())
def test_images_of_every_depth(data: st.DataObject) -> None:
    """A ramp of known greys, of another range in every image: all come out alike, or somebody is told."""
    draw = data.draw
    kind = pick(draw, "kind", *GREYS)
    limit, dtype = GREYS[kind]
    bands = pick(draw, "bands", "grey", "rgb") if dtype in (np.uint8, np.uint16) else "grey"
    alpha = pick(draw, "alpha", None, 255, 0, "band") if kind == "8 bits" and bands == "rgb" else None
    ranges = [(0.0, pick(draw, "brightest", 1.0, 0.9, 0.5)), (0.1, 0.2), (0.0, 0.02), (0.4, 0.8)]
    with empty_folder() as root:
        ramps = []
        for number, (low, high) in enumerate(ranges):
            ramp = np.linspace(low, high, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
            ramps.append(ramp)
            stored = (ramp * limit) if dtype == np.float32 else np.rint(ramp * limit)
            path = root / "images" / f"{number}.{pick(draw, 'suffix', 'png', 'tif') if dtype != np.float32 else 'tif'}"
            save_ramp(draw, path, stored.astype(dtype), bands, alpha)
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(values(number, 3)).save(root / f"masks/{number}.png")
        told = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                source = open_source(root, "all")
                images = [source.image(index) for index in range(len(source))]
            except InputError as error:
                images, told = [], [str(error)]
        told += [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]
        for image, ramp in zip(images, ramps, strict=False):
            right = np.abs(image.astype(float) - ramp[..., None] * 255).max() <= 1
            assert right or told, (
                f"from {image.min()} to {image.max()} instead of {ramp.min() * 255:.0f} to {ramp.max() * 255:.0f}"
            )
        plain = ranges[0][1] == 1 and alpha in (None, 255)
        assert not plain or (len(images) == len(ramps) and right), f"nothing excuses it: {told}"


def save_ramp(draw: Draw, path: Path, stored: NDArray[Any], bands: str, alpha: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    if bands == "grey" and alpha is None:
        if path.suffix == ".png" and stored.dtype == np.int32:
            Image.fromarray(stored.astype(np.uint16)).save(path)
            return
        Image.fromarray(stored).save(path)
        return
    stored = np.repeat(stored[..., None], 3, axis=2)
    if alpha is not None:
        fourth = np.full(stored.shape[:2], 128 if alpha == "band" else alpha, np.uint8)
        if alpha == "band":
            fourth[::2] = draw(st.integers(20, 90), label="infrared")
        Image.fromarray(np.dstack([stored.astype(np.uint8), fourth])).save(path)
    elif stored.dtype == np.uint16 and path.suffix == ".png":
        write_png(path, stored, 16, kind=2)
    elif stored.dtype == np.uint16:
        write_tiff(path, stored)
    else:
        Image.fromarray(stored).save(path)
