"""The prediction for one image, and how it is written to disk.

Shapes: K classes, H x W pixels of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from globalconv.arrays import Float32Array, Uint8Array
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.runtime.files import write_atomic
from globalconv.visual.overlay import overlay, palette_png

MARK = "globalconv"
"""Written into every image that is saved, so that only our own images are ever replaced."""

_SOFTWARE_TAG = 305

_OPENERS: dict[str, Callable[[Path], Image.Image]] = {
    ".png": PngImagePlugin.PngImageFile,
    ".jpg": JpegImagePlugin.JpegImageFile,
    ".tif": TiffImagePlugin.TiffImageFile,
}
"""Read the header of a result. `Image.open` would refuse results that are larger than the limit for images: an overlay
has a legend below it."""

_JPEG_LIMIT = 65_500
"""Most pixels that a side of a JPEG can have."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The class of every pixel of `image` (H, W, 3).

    `class_map` is uint8 (H, W); `probabilities`, where asked for, float32 (K, H, W) that sum to 1 over K.
    """

    image: Uint8Array
    class_map: Uint8Array
    labels: LabelSpace
    probabilities: Float32Array | None = None
    name: str = "prediction"
    """Name of its files where `save` gets none."""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.labels.class_names

    def save(self, folder: str | Path, name: str | None = None) -> tuple[Path, Path]:
        """Write NAME.png (class indices, with a palette) and NAME.overlay.jpg into `folder`; return both paths.

        `name` may hold subfolders. An existing file is replaced only if this function wrote it, else `InputError`.
        """
        png_path, overlay_path = (Path(folder) / file for file in self.file_names(name or self.name))
        for path in (png_path, overlay_path):
            check_replaceable(path)
        png_path.parent.mkdir(parents=True, exist_ok=True)
        mark = PngImagePlugin.PngInfo()
        mark.add_text("Software", MARK)
        png = palette_png(self.class_map, self.labels)
        write_atomic(png_path, lambda file: png.save(file, "PNG", pnginfo=mark))
        drawn = overlay(self.image, self.class_map, self.labels)
        if overlay_path.suffix == ".png":
            write_atomic(overlay_path, lambda file: drawn.save(file, "PNG", pnginfo=mark))
        else:
            write_atomic(overlay_path, lambda file: drawn.save(file, "JPEG", quality=92, subsampling=0, comment=MARK))
        return png_path, overlay_path

    def file_names(self, name: str) -> tuple[str, str]:
        """Return the relative paths that `save` writes under this name; `InputError` for one that leaves the folder."""
        parts = PurePosixPath(name)
        if parts.is_absolute() or not parts.name or ".." in parts.parts:
            raise InputError(f"name={name!r}: give a name, or a path below the folder")
        fits_jpeg = max(self.class_map.shape) + 4096 < _JPEG_LIMIT  # the legend below takes some rows
        return f"{name}.png", f"{name}.overlay.{'jpg' if fits_jpeg else 'png'}"


def check_replaceable(path: Path) -> None:
    """Raise `InputError` if `path` exists and is not an image that `Prediction.save` wrote."""
    if not path.exists():
        return
    try:
        with _OPENERS[path.suffix](path) as image:
            tiff_tags = getattr(image, "tag_v2", {})
            mark = image.info.get("Software") or image.info.get("comment") or tiff_tags.get(_SOFTWARE_TAG)
    except (OSError, ValueError, SyntaxError):
        mark = None
    if mark not in (MARK, MARK.encode()):
        raise InputError(f"{path} exists and was not written by globalconv; move it or choose another folder")
