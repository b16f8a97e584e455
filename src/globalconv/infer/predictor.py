"""From an image to its class map: the whole image at once, at its own size.

Shapes: K classes, H x W pixels of the image, N = 1.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from globalconv.data.images import read_image, to_rgb
from globalconv.errors import InputError
from globalconv.hardware import choose_hardware, is_out_of_memory
from globalconv.infer.prediction import Prediction
from globalconv.labels import LabelSpace
from globalconv.weights import load_weights

Uint8Array = npt.NDArray[np.uint8]


def load(path: str | Path, device: str = "auto", precision: str = "auto", optimise: bool = True) -> "Predictor":
    """Return a predictor with the network saved in `path` (a run folder, or one with weights and model.json).

    `device`: "auto", "cpu", "cuda", "cuda:1", "mps". `precision`: "auto" (bfloat16 where the hardware has it
    natively), "float32", "bfloat16". `optimise` lays the weights out for speed (channels last); it changes rounding
    only. `InputError` for whatever is missing or refused.
    """
    model = load_weights(Path(path))
    layout = torch.channels_last if optimise else torch.contiguous_format
    return Predictor(model.network.to(memory_format=layout), model.labels, device, precision, layout, model.info)


class Predictor:
    """Turns images into class maps with one network.

    `network` (images_N3HW uint8 -> logits_NKHW) is moved to `device` and put into eval mode; nothing else in it is
    changed. Equal images give equal class maps on one machine.
    """

    def __init__(
        self,
        network: nn.Module,
        labels: LabelSpace,
        device: torch.device | str = "auto",
        precision: str = "auto",
        layout: torch.memory_format = torch.channels_last,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        hardware = choose_hardware(str(device), precision)
        self.labels = labels
        self.device = hardware.device
        self.precision = hardware.precision
        self.description = hardware.description
        self.layout = layout
        self.info = dict(info or {})
        """What was noted when the network was saved: recipe, splits, step."""
        self.network = network.to(self.device).eval()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels.class_names

    def __call__(self, image: str | Path | Image.Image | Uint8Array, probabilities: bool = False) -> Prediction:
        """Return the prediction for a file, a Pillow image or a uint8 array (H, W, 3), at the image's own size.

        A file or Pillow image is turned upright as its EXIF orientation says; `InputError` for what is no image.
        """
        pixels = _pixels(image)
        logits_NKHW = self.logits(pixels)
        shares = None
        if probabilities:
            shares = logits_NKHW.float().softmax(1)[0].cpu().contiguous().numpy()
        name = Path(image).stem if isinstance(image, str | Path) else "prediction"
        return Prediction(pixels, _class_map(logits_NKHW), self.labels, shares, name)

    def class_map(self, image: Uint8Array) -> Uint8Array:
        """Return the class index of every pixel (H, W) of `image` (H, W, 3)."""
        return _class_map(self.logits(image))

    def logits(self, image: Uint8Array) -> Tensor:
        """Return logits_NKHW of `image` (H, W, 3), on the predictor's device and in the precision it computed in."""
        # The view of an (H, W, 3) array as (1, 3, H, W) is channels-last already: no copy on that way.
        images_N3HW = torch.from_numpy(image).permute(2, 0, 1)[None].to(self.device)
        images_N3HW = images_N3HW.contiguous(memory_format=self.layout)
        low = self.precision == "bfloat16"
        try:
            with torch.inference_mode(), _true_float32(), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
                logits_NKHW: Tensor = self.network(images_N3HW)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            height, width = image.shape[:2]
            raise InputError(
                f"image of {width}x{height}: not enough memory on {self.device}; reduce the image or cut it into parts"
            ) from error
        return logits_NKHW


@contextlib.contextmanager
def _true_float32() -> Iterator[None]:
    """Keep cuDNN from TF32 inside, else a score would say float32 without being it; outside it stays as it was."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _class_map(logits_NKHW: Tensor) -> Uint8Array:
    # max gives the same indices as argmax in a third of the time on a CPU.
    classes: Uint8Array = logits_NKHW.max(1)[1][0].to(torch.uint8).cpu().numpy()
    return classes


def _pixels(image: str | Path | Image.Image | Uint8Array) -> Uint8Array:
    """Return any accepted kind of image as a writable uint8 array (H, W, 3)."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return _decoded(image)
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"image of type {type(image).__name__}: give a path, a Pillow image or a uint8 array (H, W, 3)"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"image array {image.dtype} {image.shape}: give uint8 RGB of shape (H, W, 3)")
    # Torch takes no read-only arrays and no negative strides (image[:, ::-1]).
    plain = image.flags.writeable and image.flags.c_contiguous
    return image if plain else np.array(image, order="C")


def _decoded(picture: Image.Image) -> Uint8Array:
    """Return a Pillow picture, whose file may not have been read yet, as an upright array."""
    try:
        return to_rgb(ImageOps.exif_transpose(picture), "image")
    except (OSError, SyntaxError) as error:
        raise InputError(f"image: cannot be decoded ({error}); its file is damaged") from error
