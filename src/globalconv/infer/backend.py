"""What computes scores for a `Predictor`: a torch network (`torch_backend`), an exported file, or anything else.

Imports no torch.

Shapes: N images of one size, H x W pixels, K classes.
"""

from typing import Protocol, runtime_checkable

from globalconv.arrays import Array, Uint8Array


@runtime_checkable
class Backend(Protocol):
    """Scores of every pixel of images that have one size; tiles, views and the CRF are the `Predictor`'s.

    A backend gets images as they are to be seen: padded as in training where whole images are (`Geometry.pad_to`), cut
    where they go through it in tiles. It raises `MemoryError` where the images need more memory than its device has.
    """

    @property
    def device(self) -> object:
        """Where it computes; messages show it as text."""
        ...

    @property
    def precision(self) -> str:
        """The arithmetic, as a score records it: "float32", "bfloat16"."""
        ...

    @property
    def description(self) -> str:
        """Device, versions and precision in a line, for the log."""
        ...

    def class_maps(self, images_NHW3: Uint8Array) -> Uint8Array:
        """Return the class index of every pixel (N, H, W), in one pass; warn where scores are not finite."""
        ...

    def logits(self, images_NHW3: Uint8Array) -> Array:
        """Return logits_NKHW in one pass, up to a constant per pixel: a tensor on its device or a float32 array."""
        ...
