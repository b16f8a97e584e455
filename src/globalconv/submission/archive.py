"""The archive that a server takes: written last, from files that were all read again, and whole or not at all."""

import gzip
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from globalconv.data.images import open_image
from globalconv.data.masks import unique_values
from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic
from globalconv.submission.servers import ListedImage
from globalconv.submission.submission_folder import Predictions

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""ZIP files hold a time; equal predictions shall make equal archives."""


def check_predictions(
    images: Sequence[ListedImage], predictions: Predictions, on_file: Callable[[int], object]
) -> None:
    """Read every prediction again; `InputError` for one of another kind, size or with values that are no class's."""
    known = {*predictions.benchmark.values}
    for number, listed in enumerate(images, start=1):
        file = predictions.file(listed)
        if not predictions.is_of(listed, file):
            raise InputError(
                f"{file}: is no PNG of mode {predictions.benchmark.mode} and its image's size; remove it and give the"
                " same command again"
            )
        with open_image(file) as stored:
            values = unique_values(np.asarray(stored))
        if wrong := sorted({*values} - known):
            raise InputError(
                f"{file}: holds {', '.join(map(str, wrong[:8]))}, which stands for no class of"
                f" {predictions.benchmark.title}; remove it and give the same command again"
            )
        on_file(number)


def write_archive(archive: Path, members: Sequence[tuple[str, Path]]) -> None:
    """Write the files (path in the archive, file) as tar, gzipped tar or ZIP, by the archive's suffix."""
    write = _write_zip if archive.suffix == ".zip" else _write_tar if archive.suffix == ".tar" else _write_tgz
    write_atomic(archive, lambda stream: write(stream, members))


def _write_zip(stream: BinaryIO, members: Sequence[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:  # PNGs are compressed already
        for name, file in members:
            info = zipfile.ZipInfo(name, _NO_TIME)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes())


def _write_tgz(stream: BinaryIO, members: Sequence[tuple[str, Path]]) -> None:
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as compressed:
        _write_tar(compressed, members)  # type: ignore[arg-type]


def _write_tar(stream: BinaryIO, members: Sequence[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, file in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                archive.addfile(info, content)
