"""From an image to its class map, at its own size: network, sliding window, test-time augmentation and CRF composed.

What computes the scores is a `Backend`; torch is imported where that is a torch network.

Shapes: K classes, H x W pixels of the image, h rows of it, N images or tiles of equal size.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image, ImageOps

from globalconv.arrays import Array, Float32Array, Uint8Array
from globalconv.data.image_format import ImageFormat, declare_format
from globalconv.data.image_rule import NamedImage, decide_format
from globalconv.data.images import pixel_limit, read_image, to_rgb
from globalconv.errors import InputError, needing_train
from globalconv.geometry import AS_THEY_ARE, STRIDE, Geometry
from globalconv.hub.address import shown_path
from globalconv.infer.array_scores import as_float32, as_numpy, best_classes, softmax
from globalconv.infer.backend import Backend
from globalconv.infer.exported import FORMATS, open_backend
from globalconv.infer.inference_settings import AUTO_TILE, PLAIN, WHOLE_PIXELS, InferenceSettings, check_settings
from globalconv.infer.prediction import Prediction
from globalconv.infer.tiles import Pixels, place_tiles, predict_tiles
from globalconv.infer.views import ViewScores, average_views, view_image
from globalconv.labels import LabelSpace
from globalconv.runtime.files import as_path

if TYPE_CHECKING:
    import torch
    from torch import nn

Refine = Callable[[Uint8Array, Float32Array], Float32Array]
"""(image (H, W, 3), probabilities_KHW) -> probabilities_KHW: what is done to the result at full resolution."""

ROWS = 64
"""The mean of several views, or of tiles, is finished so many rows of the image at a time."""

TILED = (
    f"images above {WHOLE_PIXELS // 10**6} megapixels, and long ones of few pixels' width, go through the network in"
    f" tiles of {AUTO_TILE} pixels, to save memory; `tile` says otherwise"
)

THIN_PIXELS = 2**21
"""Pixels, padding included, from which on an image that is mostly padding counts as thin: 1 x 400,000 pixels would be
32 times as many, or 512 times where whole images are padded as in training."""

MAPPED_BYTES = 2**30
"""Probabilities larger than this are kept in a temporary file that is mapped into memory."""


class ClassMap(Protocol):
    """Where classes are written: a uint8 array (H, W), or an object that takes windows of one."""

    def __setitem__(self, window: tuple[slice, slice], classes: Uint8Array, /) -> None: ...


def load(
    path: str | Path,
    device: str = "auto",
    precision: str = "auto",
    optimise: bool = True,
    settings: InferenceSettings = PLAIN,
    network: "nn.Module | None" = None,
) -> "Predictor":
    """Return a predictor with the network saved in `path`: a run folder, one with weights and model.json,
    hf://USER/NAME, or a file of `globalconv export` (.onnx, .xml or .pt2), which needs no torch.

    `network` is needed where the training was given one: another one of the same class, which takes the weights.

    `device`: "auto", "cpu", "cuda", "cuda:1", "mps". `precision`: "auto" (bfloat16 where the hardware has it
    natively), "float32", "bfloat16". `optimise` computes with a faster equal copy of the network (`model.fast`); it
    changes rounding only. `settings`: tiles, scales and so on. `InputError` for whatever is missing or refused.
    """
    check_settings(settings)
    if not isinstance(optimise, bool):
        raise InputError(f"optimise={optimise!r}: give True or False")
    folder = as_path("path", path)
    if folder.suffix.lower() in FORMATS and not folder.is_dir():
        if network is not None:
            raise InputError(f"{folder}: says itself what its network is; leave out network=")
        backend = open_backend(folder, device, precision)
        metadata = backend.metadata
        if isinstance(settings.tile, int) and settings.tile < max(metadata.geometry.pad_to or (0,)):
            rows, columns = metadata.geometry.pad_to or (0, 0)
            raise InputError(
                f"`tile` {settings.tile}: {folder} pads all it sees to {columns}x{rows} pixels, as its training did;"
                " give tiles of that size at least"
            )
        return Predictor(backend, metadata.labels, info=metadata.info, geometry=metadata.geometry, settings=settings)
    with needing_train(shown_path(folder)):
        import torch

        from globalconv.weights import MODEL_FILE, load_weights

    model = load_weights(folder, network)
    try:
        ImageFormat.from_json(model.info.get("images"))
    except InputError as error:
        raise InputError(f"{model.folder / MODEL_FILE}: {error}; copy the file again") from error
    layout = torch.channels_last if optimise else torch.contiguous_format
    loaded = model.network.to(memory_format=layout)
    return Predictor(
        loaded, model.labels, device, precision, layout, model.info, model.geometry, settings, optimise=optimise
    )  # fmt: skip


def load_network(
    path: str | Path, device: str = "auto", precision: str = "auto", network: "nn.Module | None" = None
) -> "Predictor":
    """Return a predictor as `load` does, whose network can be looked into: `InputError` for an exported file."""
    predictor = load(path, device, precision, network=network)
    if predictor.network is None:
        raise InputError(f"{path}: is an exported file, whose layers are not known; give the run that it was made from")
    return predictor


class Predictor:
    """Turns images into class maps with one network.

    `network` is a torch network (images_N3HW uint8 -> logits_NKHW), which becomes a `TorchBackend` with `device`,
    `precision`, `layout` (None: channels-last) and `optimise`, or a `Backend`, which has its own. `geometry` is what
    the training did to the size of its images. `settings` chooses tiles, test-time augmentation and a CRF; `refine`
    takes a CRF that has no name. Equal images give equal class maps on one machine.
    """

    def __init__(
        self,
        network: "nn.Module | Backend",
        labels: LabelSpace,
        device: "torch.device | str" = "auto",
        precision: str = "auto",
        layout: "torch.memory_format | None" = None,
        info: Mapping[str, Any] | None = None,
        geometry: Geometry = AS_THEY_ARE,
        settings: InferenceSettings = PLAIN,
        refine: Refine | None = None,
        optimise: bool = False,
    ) -> None:
        check_settings(settings)
        if isinstance(network, Backend):
            for name, asked, own in (("device", device, network.device), ("precision", precision, network.precision)):
                if str(asked) not in ("auto", str(own)):
                    raise InputError(f"{name}={str(asked)!r}: the backend that is given has {str(own)!r}; leave it out")
            self.backend = network
        else:
            from globalconv.infer.torch_backend import TorchBackend

            self.backend = TorchBackend(network, device, precision, layout, optimise)
        self.labels = labels
        self.info = dict(info or {})
        """What was noted when the network was saved: recipe, splits, step."""
        self.geometry = geometry
        self.settings = settings
        self.image_format = declare_format(settings.white_level).or_else(ImageFormat.from_json(self.info.get("images")))
        """The rule by which images are read: that of the training, where `settings` say nothing else."""
        self.refine = refine
        if settings.crf is not None:
            from globalconv.infer.saved_crf import crf_from  # its import compiles, which only its users wait for

            self.refine = crf_from(settings.crf)

    @property
    def device(self) -> Any:
        """Where the scores are computed: of a torch network, a torch.device."""
        return self.backend.device

    @property
    def precision(self) -> str:
        return self.backend.precision

    @property
    def description(self) -> str:
        return self.backend.description

    @property
    def network(self) -> Any:
        """The torch network; None where something else computes the scores."""
        return getattr(self.backend, "network", None)

    @property
    def layout(self) -> Any:
        """The memory layout of what a torch network gets, a torch.memory_format; else None."""
        return getattr(self.backend, "layout", None)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels.class_names

    def __call__(self, image: str | Path | Image.Image | Uint8Array, probabilities: bool = False) -> Prediction:
        """Return the prediction for a file, a Pillow image or a uint8 array (H, W, 3), at the image's own size.

        A file or Pillow image is turned upright as its EXIF orientation says; `InputError` for what is no image.
        Probabilities of more than a gigabyte are mapped from a temporary file. A file or Pillow image of more than 8
        bits is read by the white level of the training or of the settings, and refused where neither has one.
        """
        with pixel_limit(self.settings.max_pixels):
            pixels = _read_pixels(image, self.image_format)
        height, width = pixels.shape[:2]
        class_map = np.empty((height, width), np.uint8)
        needs_probabilities = probabilities or self.refine is not None
        probabilities_KHW = _allocate((self.labels.num_classes, height, width)) if needs_probabilities else None
        self.segment(pixels, class_map, probabilities_KHW)
        if self.refine is not None and probabilities_KHW is not None:
            probabilities_KHW[:] = self.refine(pixels, probabilities_KHW)
            class_map = probabilities_KHW.argmax(0).astype(np.uint8)
        name = Path(image).stem if isinstance(image, str | Path) else "prediction"
        return Prediction(pixels, class_map, self.labels, probabilities_KHW if probabilities else None, name)

    def image_format_for(self, images: Sequence[NamedImage]) -> ImageFormat:
        """Return the rule for images that come together: what the training left open is decided from them, and told."""
        image_format, told = decide_format(images, self.image_format)
        for warning in told:
            warnings.warn(warning, stacklevel=2)
        return image_format

    def class_map(self, image: Uint8Array) -> Uint8Array:
        """Return the class index of every pixel (H, W) of `image` (H, W, 3)."""
        return self.class_maps([image])[0]

    def class_maps(self, images: Sequence[Uint8Array]) -> list[Uint8Array]:
        """Return the class maps of images of one size; where nothing is to be averaged, in one pass of the network."""
        if self.refine is None and self.is_one_pass(images[0].shape):
            return list(self._classes(np.stack(images)))
        return [self(image).class_map for image in images]

    def segment(self, image: Pixels, class_map: ClassMap, probabilities_KHW: Float32Array | None = None) -> None:
        """Fill `class_map` and, where given, probabilities, for an image that may be read by windows."""
        height, width = image.shape[:2]
        is_one_pass = self.is_one_pass(image.shape)
        if is_one_pass and probabilities_KHW is None:
            class_map[0:height, 0:width] = self._classes(image[0:height, 0:width][None])[0]
            return
        for rows, scores_KhW in self.scores(image):
            class_map[rows, 0:width] = best_classes(scores_KhW, axis=0)
            if probabilities_KHW is not None:
                are_logits = self.settings.fuse == "logits" or is_one_pass
                probabilities_KhW = softmax(as_float32(scores_KhW), axis=0) if are_logits else scores_KhW
                probabilities_KHW[:, rows] = as_numpy(probabilities_KhW)

    def scores(self, image: Pixels) -> Iterator[tuple[slice, Array]]:
        """Yield scores_KhW from top to bottom, with the rows they belong to: the composition of all settings.

        Each view (a scale, flipped or not) is cut into tiles where it is large, brought back to the image's size, and
        averaged. Scores are logits where the image goes through the network in one pass, else what `settings.fuse`
        averages.
        """
        height, width = image.shape[:2]
        if self.is_one_pass(image.shape):
            yield slice(0, height), self.logits(image[0:height, 0:width])[0]
            return
        views = []
        for scale in self.settings.scales:
            for flipped in (False, True) if self.settings.flip else (False,):
                view = view_image(image, scale, flipped)
                views.append(ViewScores(self._view_bands(view), view.shape, image.shape, flipped))
        yield from average_views(views, height, ROWS)

    def _view_bands(self, view: Pixels) -> Iterator[Array]:
        """Yield the scores_KhW of a view, from top to bottom: at once, or tile by tile where it is large."""
        height, width = view.shape[:2]
        if self._fits_one_pass(height, width):
            yield self._fusable_scores(np.stack([view[0:height, 0:width]]), whole=True)[0]
            return
        if self.settings.tile is None:
            warnings.warn(TILED, stacklevel=2)
        tiles = place_tiles(height, width, self.settings)
        score_tiles = partial(self._fusable_scores, whole=False)
        yield from predict_tiles(score_tiles, view, tiles, self.settings.batch_size)

    def _fusable_scores(self, images_NHW3: Uint8Array, whole: bool) -> Array:
        """Return scores_NKHW in float32, as they are averaged over tiles and views."""
        logits_NKHW = as_float32(self._logits(images_NHW3, whole))
        return softmax(logits_NKHW, axis=1) if self.settings.fuse == "probabilities" else logits_NKHW

    @property
    def images_at_once(self) -> int:
        """How many images of equal size go through the network together: one where each has tiles, views or a CRF."""
        settings = self.settings
        plain = settings.tile is None and settings.scales == (1.0,) and not settings.flip and self.refine is None
        return settings.batch_size if plain else 1

    def is_one_pass(self, shape: tuple[int, ...]) -> bool:
        """Return whether an image of this shape (H, W, ...) goes through the network once and whole."""
        settings = self.settings
        return settings.scales == (1.0,) and not settings.flip and self._fits_one_pass(*shape[:2])

    def _fits_one_pass(self, height: int, width: int) -> bool:
        tile = self.settings.tile
        if tile is None:
            rows, columns = self.geometry.pad_to or (0, 0)
            seen = -(-max(height, rows) // STRIDE) * -(-max(width, columns) // STRIDE) * STRIDE**2
            is_thin = seen > max(2 * height * width, rows * columns, THIN_PIXELS)
            return height * width <= WHOLE_PIXELS and not is_thin
        return tile != "cityscapes" and max(height, width) <= tile

    def logits(self, image: Uint8Array) -> Array:
        """Return logits_NKHW of `image` (H, W, 3) as the backend returns them: of torch, a tensor on its device.

        One pass over the whole image, whatever the settings say.
        """
        return self._logits(image[None])

    def _logits(self, images_NHW3: Uint8Array, whole: bool = True) -> Array:
        """Return logits_NKHW of images of one size; whole ones are padded as in training, tiles of one are not."""
        height, width = images_NHW3.shape[1:3]
        with self._enough_memory(images_NHW3.shape):
            logits_NKHW = self.backend.logits(self.padded(images_NHW3) if whole else images_NHW3)
        return logits_NKHW[..., :height, :width]

    def _classes(self, images_NHW3: Uint8Array) -> Uint8Array:
        """Return the class maps (N, H, W) of whole images of one size, from one pass."""
        height, width = images_NHW3.shape[1:3]
        with self._enough_memory(images_NHW3.shape):
            return self.backend.class_maps(self.padded(images_NHW3))[:, :height, :width]

    @contextmanager
    def _enough_memory(self, shape: tuple[int, ...]) -> Iterator[None]:
        """Turn a lack of memory inside the block, where images of this shape (N, H, W, 3) are, into a refusal."""
        count, height, width, _ = shape
        try:
            yield
        except MemoryError as error:
            if count > 1:
                size, remedy = f"{count} times {width}x{height} pixels", f"give a `batch_size` below {count}"
            else:
                # The side of a tile that takes less than half the memory of the image.
                side = max(STRIDE, int((height * width / 2) ** 0.5) // STRIDE * STRIDE)
                size = f"image of {width}x{height}"
                remedy = f"reduce the image, or let it be cut into tiles with `tile` {side}"
            raise InputError(f"{size}: not enough memory on {self.device}; {remedy}") from error

    def padded(self, images_NHW3: Uint8Array) -> Uint8Array:
        """Return images of one size, padded at the right and the bottom as in training; see `Geometry`."""
        height, width = images_NHW3.shape[1:3]
        rows, columns = self.geometry.pad_to or (0, 0)
        if rows <= height and columns <= width:
            return images_NHW3
        padded_NPQ3 = np.empty((len(images_NHW3), max(rows, height), max(columns, width), 3), np.uint8)
        padded_NPQ3[:] = self.geometry.fill
        padded_NPQ3[:, :height, :width] = images_NHW3
        return padded_NPQ3


def _allocate(shape: tuple[int, ...]) -> Float32Array:
    """Return an empty array: in memory, or if it is large in a temporary file that goes when the array does."""
    size = 4 * int(np.prod(shape))
    if size <= MAPPED_BYTES:
        return np.empty(shape, np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a disk that is full only when a page is written kills the process
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{size / 1e9:.3g} GB of probabilities: no room in {tempfile.gettempdir()} ({error.strerror}); let TMPDIR"
            " name a folder on a larger disk"
        ) from error


def _read_pixels(image: str | Path | Image.Image | Uint8Array, image_format: ImageFormat) -> Uint8Array:
    """Return any accepted kind of image as a writable uint8 array (H, W, 3)."""
    if isinstance(image, str | Path):
        return read_image(Path(image), image_format)
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise InputError(f"image of {image.width}x{image.height}: there is no pixel in it; give one that has some")
        try:  # its file may not have been read yet
            return to_rgb(ImageOps.exif_transpose(image), "image", image_format)
        except (OSError, SyntaxError) as error:
            raise InputError(f"image: cannot be decoded ({error}); its file is damaged") from error
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"image of type {type(image).__name__}: give a path, a Pillow image or a uint8 array (H, W, 3)"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"image array {image.dtype} {image.shape}: give uint8 RGB of shape (H, W, 3)")
    # Torch takes no read-only arrays and no negative strides (image[:, ::-1]).
    plain = image.flags.writeable and image.flags.c_contiguous
    return image if plain else np.array(image, order="C")
