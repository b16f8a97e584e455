"""Known images and label maps, files of every kind that hold them, and what a reader may make of them.

Nothing here uses globalconv's own readers but `told`, which asks what a user is told.
"""

import struct
import tempfile
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.source import Source
from globalconv.errors import InputError, InputWarning
from globalconv.jobs.check_data import check_data

WIDTH, HEIGHT = 40, 36
VOID = "void"

Names = NDArray[np.str_]
"""A label map of class names (H, W)."""

FILE_NAMES = st.lists(
    st.sampled_from(
        ["a", "B", "scan 1", "scan", "scan 0", "x.y", "b.png", "été", "Straße Köln é", "007", "7", "IMG_1.JPG", "日本",
         "a-b_c", "Zürich -1", "100%", "a%20b", "it's", "50 (1)", "[1]", "c#d"]
    ),
    min_size=3, max_size=5, unique=True,
)  # fmt: skip
FORMS = st.sampled_from(["NFC", "NFD"])

Draw = Callable[..., Any]
"""`data.draw` of hypothesis."""


@contextmanager
def empty_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def pick(draw: Draw, label: str, *choices: Any) -> Any:
    """Draw one of `choices`; the first is the plainest."""
    return draw(st.sampled_from(choices), label=label)


def photo(number: int) -> NDArray[np.uint8]:
    """Return an image unlike every other one, whose first pixel says its number."""
    found = np.random.default_rng(number).integers(0, 256, (6, 5, 3), np.uint8).repeat(6, axis=0).repeat(8, axis=1)
    found[0, 0] = (number, 77, 200)
    return found


def write_photo(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(number)).save(path, "PNG")


def values(number: int, classes: int, void: bool = True) -> NDArray[np.uint8]:
    """Return a label map of indices in which every class occurs, and void (255) if asked for."""
    rng = np.random.default_rng(1000 + number)
    blocks = rng.integers(0, classes, (6, 5)).astype(np.uint8)
    blocks.flat[:classes] = rng.permutation(classes)
    found = blocks.repeat(6, axis=0).repeat(8, axis=1)
    if void:
        found[-3:, -5:] = 255
    return found


def named(label_map: NDArray[Any], names: Mapping[int, str]) -> Names:
    """Return a label map of names; what is not among `names` is void."""
    table = np.array([names.get(value, VOID) for value in range(256)])
    return np.asarray(table[label_map])


def write_png(path: Path, stored: NDArray[Any], bits: int, kind: int = 0) -> None:
    """Write a PNG of any depth, which Pillow does not: grey (`kind` 0) or RGB (`kind` 2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = stored.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in stored]
    else:
        rows = []
        for row in stored:
            spread = ((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
            rows.append(np.packbits(spread.ravel()).tobytes())
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    packed = (struct.pack(">I", len(body)) + k + body + struct.pack(">I", zlib.crc32(k + body)) for k, body in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def write_tiff(path: Path, stored: NDArray[np.uint16]) -> None:
    """Write an uncompressed TIFF of 16-bit colours (H, W, 3), which Pillow does not."""
    height, width, bands = stored.shape
    pixels = stored.astype("<u2").tobytes()
    after = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, after), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 1, after + 6), (277, 3, 1, bands), (278, 3, 1, height), (279, 4, 1, len(pixels)), (284, 3, 1, 1),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    start = b"II*\0" + struct.pack("<IH", 8, len(tags))
    path.write_bytes(start + entries + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + pixels)


@dataclass(frozen=True)
class Known:
    """What a data set holds: by the number of its image, the label map in names or in values."""

    maps: Mapping[int, NDArray[Any]]
    must_read: bool = True
    """Whether nothing about it excuses a refusal."""


def verify(root: Path, known: Known, opener: Callable[[Path], Source] = lambda root: open_source(root, "all")) -> None:
    """Assert that the data set at `root` is read as it is known, or that the user is told; never anything else."""
    found: dict[int, NDArray[Any]] = {}
    refusal = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            source = opener(root)
            for index in range(len(source)):
                label_map, names = source.label_map(index), dict(enumerate(source.labels.class_names))
                number = int(source.image(index)[0, 0, 0])
                assert number not in found, "an image that comes twice"
                in_names = known.maps.get(number, np.zeros(0)).dtype.kind == "U"
                found[number] = named(label_map, names) if in_names else label_map
        except InputError as error:
            refusal = str(error)
    if refusal:
        assert "\n" not in refusal
        assert not known.must_read, refusal
        return
    same = found.keys() == known.maps.keys() and all(np.array_equal(found[n], known.maps[n]) for n in found)
    words = [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]
    assert same or words or told(root), describe(found, known.maps)
    assert same or not known.must_read, f"read as something else, and told: {words}"


INCIDENTAL = ("class-never", "class-unscored", "small", "undrawn", "unused")
"""Findings that say nothing of a wrong reading."""


def told(root: Path) -> list[str]:
    """Return what `data check` says that a careful user would look into."""
    try:
        report = check_data(root, workers=1)
    except InputError as error:
        return [str(error)]
    grave = [finding for finding in report.findings if finding.severity != "note"]
    return [finding.message for finding in grave if finding.kind not in INCIDENTAL]


def describe(found: Mapping[int, NDArray[Any]], known: Mapping[int, NDArray[Any]]) -> str:
    """Return in what two readings differ."""
    if found.keys() != known.keys():
        return f"images {sorted(found)} instead of {sorted(known)}"
    number = next(n for n in known if not np.array_equal(found[n], known[n]))
    contents = [
        {str(k): int(v) for k, v in zip(*np.unique(m[number], return_counts=True), strict=True)} for m in (found, known)
    ]
    return f"image {number}: {contents[0]} instead of {contents[1]}, and nobody is told"


def form(text: str, which: str) -> str:
    return unicodedata.normalize(which, text)  # type: ignore[arg-type]
