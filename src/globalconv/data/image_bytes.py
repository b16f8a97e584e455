"""Image files that are in memory alone, such as those that a server is sent: read as files are, never written to disk.

`StoredImage` is what the readers of `globalconv.data.images` take: a path, or the content of a file under a name.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

RASTER_FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "SUN", "TGA",
    "TIFF", "WEBP",
)  # fmt: skip
"""Pillow's names of the formats that are read from memory: those of `IMAGE_SUFFIXES`. It decodes them by itself; others
it hands to programs such as Ghostscript, which no stranger's file should reach. MPO is read as JPEG."""


@dataclass(frozen=True, eq=False)
class ImageBytes:
    """The content of an image file, which messages call by its `name`; its methods are those of a path."""

    content: bytes = field(repr=False)
    name: str = "image"

    def __str__(self) -> str:
        return self.name

    def open(self, mode: str = "rb") -> BinaryIO:
        """Return the content as a file, of which `mode` says, as of any, that bytes are read."""
        assert mode == "rb", mode
        return io.BytesIO(self.content)

    def is_file(self) -> bool:
        return True

    def exists(self) -> bool:
        return True


StoredImage = Path | ImageBytes
"""Where the readers of images find one."""


def stored_bytes(image: StoredImage) -> int:
    """Return how many bytes the file of an image has."""
    return len(image.content) if isinstance(image, ImageBytes) else image.stat().st_size
