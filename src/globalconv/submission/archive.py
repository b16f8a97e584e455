"""The archive that a server takes, written whole or not at all from files that were all read again."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from globalconv.data.images import open_image
from globalconv.data.mask_files import unique_values
from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic
from globalconv.submission.servers import ListedImage
from globalconv.submission.submission_folder import SubmissionFolder

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""ZIP files hold a time; equal predictions shall make equal archives."""


def check_predictions(
    images: Sequence[ListedImage], folder: SubmissionFolder, on_file: Callable[[int], object]
) -> None:
    """Read every prediction again; `InputError` for one of another kind or size, or with values of no class."""
    for number, image in enumerate(images, start=1):
        file = folder.file(image)
        if not folder.fits(image):
            raise InputError(
                f"{file}: is no PNG of mode {folder.benchmark.mode} and its image's size; remove it and give the"
                " same command again"
            )
        with open_image(file) as png:
            values = unique_values(np.asarray(png))
        if wrong := sorted({*values} - {*folder.benchmark.values}):
            raise InputError(
                f"{file}: holds {', '.join(map(str, wrong[:8]))}, which stands for no class of"
                f" {folder.benchmark.title}; remove it and give the same command again"
            )
        on_file(number)


def write_archive(archive: Path, members: Sequence[tuple[str, Path]]) -> None:
    """Write the files (path in the archive, file) as tar, gzipped tar or ZIP, by the archive's suffix.

    Nothing but names and contents goes in, so that equal predictions make equal archives.
    """

    def write_zip(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:  # PNGs are compressed already
            for name, file in members:
                info = zipfile.ZipInfo(name, _NO_TIME)
                info.external_attr = 0o644 << 16
                packed.writestr(info, file.read_bytes())

    def write_tar(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w") as packed:
            for name, file in members:
                info = tarfile.TarInfo(name)
                info.size, info.mode = file.stat().st_size, 0o644
                with file.open("rb") as content:
                    packed.addfile(info, content)

    def write_gzipped_tar(stream: BinaryIO) -> None:
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as compressed:
            write_tar(cast("BinaryIO", compressed))

    write_atomic(archive, {".zip": write_zip, ".tar": write_tar}.get(archive.suffix, write_gzipped_tar))
