"""How the images of one data set are read is decided here: once, from a sample of all of them, and told.

Only headers are read of a data set whose images have 8 bits and no alpha. Otherwise the values of some images decide
which value is white, and whether what is called alpha is transparency (`image_format`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from globalconv.data.image_format import (
    LEVEL,
    SAY_LEVEL,
    UNKNOWN_FORMAT,
    Alpha,
    AlphaKind,
    Bands,
    ImageFormat,
    classify_alpha,
    fitting_level,
)
from globalconv.data.images import ImageHeader, alpha_bands, decoding, image_header, read_stored
from globalconv.data.source import spread_evenly
from globalconv.data.tiff_files import TiffTags, needs_rasterio, open_with_rasterio, read_bands
from globalconv.errors import InputError, InputWarning
from globalconv.runtime.files import cache_by_file

NamedImage = tuple[str, Path]
"""The name of a sample, and its image."""

HEADERS, VALUES = 64, 256
"""Images whose headers are read, and at most so many whose values are, evenly spread from the first to the last."""
PIXELS, LEAST = 100_000_000, 8
"""Of large images as many are read as have so many pixels together, but at least a few."""
WHOLE = 16_000_000
"""Pixels of a TIFF that are held at a time; a larger one is read by windows."""
DARK = 8
"""An image whose values reach no more than this part of white is nearly black."""


@dataclass(frozen=True)
class StoredValues:
    """What the rule has to know about one image."""

    depth: str
    """In words, "16 bits"; empty: 8 bits."""
    highest: float
    """Of its colours that are finite numbers."""
    are_floats: bool
    alpha: AlphaKind


def decide_format(
    images: Sequence[NamedImage], given: ImageFormat = UNKNOWN_FORMAT
) -> tuple[ImageFormat, list[InputWarning]]:
    """Return the rule for `images`, and what is to be told about it; what `given` knows is kept.

    Images that cannot be read are left out: whoever reads them for their own sake reports it.
    """
    headers = read_headers(images)
    told = _tell_bands(headers)
    if not any(header.is_deep or header.has_alpha for header in headers.values()):
        return given, told
    pixels = float(np.median([header.width * header.height for header in headers.values()]))
    most = max(LEAST, min(VALUES, int(PIXELS / max(1.0, pixels))))
    values = dict(_read_all_values([images[place] for place in spread_evenly(len(images), most)]))
    level, told_level = _decide_level(values, given)
    alpha, told_alpha = _decide_alpha(values, given.alpha)
    return ImageFormat(level, alpha, given.is_declared), told + told_level + told_alpha


def read_headers(images: Sequence[NamedImage]) -> dict[str, ImageHeader]:
    """Return the headers of some images, evenly spread, by name; without those that cannot be read."""
    some = [images[place] for place in spread_evenly(len(images), HEADERS)]
    return {name: header for name, path in some if (header := image_header(path))}


def is_unusual(header: ImageHeader) -> bool:
    """Return whether a rule has anything to say about such an image."""
    return header.is_deep or header.has_alpha or (header.tags is not None and header.tags.has_odd_bands)


def _read_all_values(images: Sequence[NamedImage]) -> Iterator[tuple[str, StoredValues]]:
    for name, path in images:
        try:
            yield name, read_values(path)
        except (InputError, OSError):
            continue


@cache_by_file(maxsize=2048)
def read_values(path: Path) -> StoredValues:
    """Return what the rule has to know about an image; of one with 8 bits and no alpha its header says it."""
    header = image_header(path)
    if header is None:
        raise InputError(f"{path}: its header cannot be read; replace or remove it")
    if not (header.is_deep or header.has_alpha):
        return StoredValues("", 255, False, "opaque")
    tags = header.tags
    if tags is not None and tags.width * tags.height > WHOLE and needs_rasterio(path, tags) is None:
        parts = _read_by_rows(path, tags)
    elif isinstance(stored := read_stored(path), Bands):
        parts = iter([stored])
    else:
        with decoding(path):
            parts = iter([alpha_bands(stored)])

    depth, highest, are_floats, kinds = "", 0.0, False, Counter[AlphaKind]()
    for bands in parts:
        kinds[classify_alpha(bands)] += 1
        if bands.is_deep:
            colours, are_floats = bands.colours_HWC, bands.colours_HWC.dtype.kind == "f"
            if tags is not None:
                kind = {2: " with sign", 3: " (floats)"}.get(tags.kinds[0], "")
                depth = f"{tags.bits[0]} bits{kind}"
            else:
                depth = "32 bits (floats)" if are_floats else "16 bits"
            finite = colours[np.isfinite(colours)] if are_floats else colours
            highest = max(highest, float(finite.max(initial=0)))
    kinds.pop("opaque", None)
    return StoredValues(depth, highest, are_floats, kinds.most_common(1)[0][0] if kinds else "opaque")


def _read_by_rows(path: Path, tags: TiffTags) -> Iterator[Bands]:
    """Yield a large TIFF from top to bottom."""
    rows = max(1, WHOLE // tags.width)
    with open_with_rasterio(path) as source:
        for top in range(0, tags.height, rows):
            yield read_bands(source, tags, (slice(top, min(tags.height, top + rows)), slice(0, tags.width)))


def _decide_level(values: Mapping[str, StoredValues], given: ImageFormat) -> tuple[float | None, list[InputWarning]]:
    """Return the value of white in images of more than 8 bits, and what is to be told about it."""
    deep = {name: stored for name, stored in values.items() if stored.depth}
    if not deep:
        return given.white_level, []
    highest = max(stored.highest for stored in deep.values())
    fitting = fitting_level(highest, all(stored.are_floats for stored in deep.values()))
    level = fitting if given.white_level is None else given.white_level
    hold = f"images of {' and '.join(sorted({stored.depth for stored in deep.values()}))} hold values up to {highest:g}"
    told = []
    if level is None:
        told.append(InputWarning(f"{hold}, and which of them is white is unknown; {SAY_LEVEL}", "depth", [*deep]))
    elif highest > level:
        hint = "" if fitting is None else f", such as {fitting:g}"
        message = f"{hold}, above the white level {level:g}, and are refused; {SAY_LEVEL}{hint}"
        if given.is_declared:
            message = f"{hold}, and all from {level:g} on become white, as {LEVEL} says; raise it to tell them apart"
        above = [name for name, stored in deep.items() if stored.highest > level]
        told.append(InputWarning(message, "depth", above, "note" if given.is_declared else "warning"))
    elif given.white_level is None:
        message = f"{hold}: {level:g} becomes white in all of them; {LEVEL} says otherwise"
        told.append(InputWarning(message, "depth", [*deep], "note"))
    if level and (dark := [name for name, stored in deep.items() if stored.highest * DARK <= level]):
        brightest = max(deep[name].highest for name in dark)
        message = (
            f"{_among(dark, values)} hold values up to {brightest:g} where {level:g} is white, so are nearly black;"
            f" bring all images to one scale, or {SAY_LEVEL}"
        )
        told.append(InputWarning(message, "depth", dark))
    if shallow := [name for name, stored in values.items() if not stored.depth]:
        message = (
            f"{_among(shallow, values)} have 8 bits, so 255 is white in them, and the others have more; look whether"
            " both come out alike, or save all with the same number of bits"
        )
        told.append(InputWarning(message, "depth", shallow))
    return level, told


def _decide_alpha(values: Mapping[str, StoredValues], given: Alpha | None) -> tuple[Alpha | None, list[InputWarning]]:
    """Return what alpha is, by the majority of the images that have some, and what is to be told about it."""
    names = defaultdict[AlphaKind, list[str]](list)
    for name, stored in values.items():
        names[stored.alpha].append(name)
    band, hiding, transparent = names["band"], names["hiding"], names["transparent"]
    if not (band or hiding or transparent):
        return given, []
    is_none = len(band) > len(transparent) or (bool(hiding) and not transparent)
    alpha: Alpha = given or ("ignored" if is_none else "transparency")
    looks = {
        "band": (band, "have a last band that is taken for alpha and holds values like an infrared band's"),
        "hiding": (hiding, "have one value of alpha everywhere, which would hide the image below it"),
        "transparent": (transparent, "have transparent pixels"),
    }
    which = "band" if band else "hiding"
    if not is_none:
        which = "transparent"
    concerned, look = looks[which]
    message = (
        f"{_among(concerned, values)} {look}: white is there; save them without alpha if the colours below are meant"
    )
    if alpha == "ignored":
        message = (
            f"{_among(concerned, values)} {look}: alpha is left out of all images; if it is transparency, lay the"
            " images on a background of your own"
        )
    as_expected = alpha == "transparency" and not is_none
    return alpha, [InputWarning(message, "alpha", concerned, "note" if as_expected else "warning")]


def _tell_bands(headers: Mapping[str, ImageHeader]) -> list[InputWarning]:
    """Return which bands are the image, where a TIFF has more than three or names them."""
    groups = defaultdict[tuple[int, tuple[int, ...], tuple[str, ...]], list[str]](list)
    for name, header in headers.items():
        tags = header.tags
        if tags is not None and tags.has_odd_bands:
            groups[tags.samples, tags.image_bands, tags.names].append(name)
    told = []
    for (samples, bands, band_names), names in groups.items():
        called = f" ({', '.join(name or '?' for name in band_names)})" if any(band_names) else ""
        numbers = ", ".join(map(str, bands))
        reason = ", as their names say" if bands != (1, 2, 3) else ""
        message = (
            f"{_among(names, headers)} have {samples} bands{called}: bands {numbers} are red, green and blue{reason},"
            " the others are left out; save three bands as RGB if others are meant"
        )
        told.append(InputWarning(message, "bands", names, "note"))
    return told


def _among(names: Sequence[str], looked_at: Mapping[str, object]) -> str:
    """Return "all 6 images", "3 of 64 images"."""
    if len(names) == len(looked_at):
        return "1 of 1 images" if len(names) == 1 else f"all {len(names)} images"
    return f"{len(names)} of {len(looked_at)} images"
