"""Mask files in, label maps out: class indices, colours of classes, 0/255 binary masks, SBD's MATLAB files.

`read_label_map` translates a mask to the classes 0 .. K-1 and `IGNORE`, as the `MaskFormat` of its data set says. No
file decides for itself, and nothing is guessed: a value or colour that the data set does not declare, and a file that
contradicts the others, is an `InputError` that names the file, the value, the likely cause and the remedy.

Shapes: H x W pixels, K declared colours, N colours or values.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.arrays import AnyArray, Int64Array, Uint8Array
from globalconv.data.mask_files import INDEX_PNG, MAT_SUFFIX, StoredMask, check_hidden, load_mask
from globalconv.data.shown_colours import ShownColours, holds_dark_indices
from globalconv.errors import InputError
from globalconv.labels import IGNORE, VOC, VOID_COLOUR, Colour, LabelSpace
from globalconv.runtime.text import abbreviate

CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID = 19, 33

SCALED = 10
"""Smallest factor by which people multiply indices to make them visible."""

VOC_GREYS = {round(0.299 * red + 0.587 * green + 0.114 * blue) for red, green, blue in VOC.palette}
"""The greys of the same brightness as VOC's colours."""

UNORDERED = (
    "programs that make files small number the colours of each file anew, and then one value means several classes;"
    " save all masks in one way, with one palette, or declare the colour of every class in classes.csv"
)


@dataclass(frozen=True)
class MaskFormat:
    """How the masks of a data set are stored. The default is one class index per pixel."""

    colours: tuple[Colour, ...] = ()
    """Colour of each class in colour masks; empty: colour masks are refused."""
    void_colours: tuple[Colour, ...] = ()
    """Colours of pixels that do not count."""
    tolerance: int = 0
    """Largest difference, in any channel, at which a pixel still counts as the class of the nearest colour; beyond it,
    the pixel is void. At 0, only exact colours are accepted and all others are refused."""
    by_colour: frozenset[str] = frozenset()
    """Kinds of `StoredMask`, "palette" or "greys", that hold colours of classes, too, and not their indices."""
    binary: bool = False
    """Masks hold 0 and 255, and 255 is class 1."""
    one_is_on: bool = False
    """Masks of two classes hold 0 and 1, none of them 1 and 255: one that holds 0 and 255 is stored in another way."""
    palette: tuple[Colour, ...] = ()
    """VOC's palette: the indices of a palette mask are those that its colours have there. Empty: its own indices."""
    shown: ShownColours | None = None
    """In which colours the masks show their values. A mask that contradicts them is refused."""
    ids: tuple[int, ...] = ()
    """Meaning of the stored values 0, 1, 2, ...: a class or `IGNORE`; empty: the values are class indices."""


INDEX_MASKS = MaskFormat()


def read_label_map(path: Path, labels: LabelSpace, masks: MaskFormat = INDEX_MASKS) -> Uint8Array:
    """Return the mask `path` as uint8 (H, W): classes 0 .. K-1 of `labels`, and `IGNORE`."""
    stored = read_mask(path, masks)
    if stored.kind == "colours":
        return _classify_colours(stored.values, masks, path)
    if stored.kind in masks.by_colour:
        return _classify_shown(stored, masks)
    label_map: Uint8Array
    present = stored.present
    if masks.binary:
        on = stored.levels if stored.kind == "greys" else IGNORE
        if wrong := [value for value in present if value not in (0, on)]:
            raise InputError(
                f"{path}: holds {', '.join(map(str, wrong[:8]))} where the other masks hold 0 and 255 only; save all"
                " masks in one way: 0 and 255, or 0 and 1",
                "values",
            )
        label_map = (stored.values != 0).astype(np.uint8)
        return label_map
    if masks.one_is_on and present == [0, IGNORE]:
        raise InputError(
            f"{path}: holds 0 and 255 where the other masks hold 0 and 1, so whether 255 is foreground or void"
            f" cannot be told; {ONE_WAY}",
            "binary",
        )
    if masks.ids:
        if wrong := [value for value in present if not 0 <= value < len(masks.ids)]:
            hint = "copy the file from the official archive again"
            if wrong == [IGNORE] and max(present[:-1], default=0) < CITYSCAPES_CLASSES:
                hint = "these look like train ids where label ids belong; " + hint
            raise InputError(
                f"{path}: {_name_values(wrong)} not among the ids 0 to {len(masks.ids) - 1}; {hint}", "ids"
            )
        label_map = np.array(masks.ids, np.uint8)[stored.values.astype(np.uint8, copy=False)]
        return label_map
    valid = {*range(labels.num_classes), *labels.void_values, IGNORE}
    if wrong := [value for value in present if value not in valid]:
        hint = "SBD has no such class: copy the file from the official archive again"
        if path.suffix.lower() != MAT_SUFFIX:
            hint = explain_wrong_values(wrong, present, labels.num_classes)
        problem = f"{_name_values(wrong)} out of range ({describe_valid_values(labels)})"
        raise InputError(f"{path}: {problem}; {hint}", "values")
    label_map = stored.values.astype(np.uint8)
    if void := [value for value in labels.void_values if value in present]:
        label_map[np.isin(stored.values, void)] = IGNORE
    return label_map


ONE_WAY = (
    "save all masks in one way: 0 and 255, or 0 and 1, or name void with index 255 in the class list if it is that"
)


def read_mask(path: Path, masks: MaskFormat = INDEX_MASKS) -> StoredMask:
    """Return the mask `path`; `InputError` if it holds colours and `masks` declares none, or contradicts `masks`."""
    stored = load_mask(path, lossy=masks.tolerance > 0 and bool(masks.colours))
    if stored.kind == "colours":
        if not masks.colours:
            raise InputError(f"{path}: {_explain_colours(stored)}", "mask-mode")
        return stored
    if stored.kind in masks.by_colour:
        return stored
    if stored.white_is_zero and (odd := [value for value in stored.present if value not in (0, stored.levels)]):
        raise InputError(
            f"{path}: a TIFF in which 0 is white, so whether {odd[0]} or {stored.levels - odd[0]} is meant cannot be"
            f" told; {INDEX_PNG}",
            "mask-mode",
        )
    if holds_dark_indices(stored):
        raise InputError(
            f"{path}: its palette shows the indices {abbreviate(sorted(stored.shown))} in the greys"
            f" {abbreviate([colour[0] for _, colour in sorted(stored.shown.items())])}, which look like the class"
            " indices before a program made the file small; save class indices, one a pixel, in a grey PNG of 8 bits",
            "palette",
        )
    if masks.palette and stored.kind == "palette":
        return _number_by_palette(stored, masks.palette)
    if masks.shown is not None and (conflict := masks.shown.find_conflict(stored)):
        raise InputError(f"{conflict}; {UNORDERED}", "palette")
    return stored


def _explain_colours(stored: StoredMask) -> str:
    red_HW, green_HW, blue_HW = np.moveaxis(stored.values, 2, 0)
    if np.array_equal(red_HW, green_HW) and np.array_equal(red_HW, blue_HW):
        return (
            f"mode {stored.mode} with three equal channels, so class indices saved as a colour image;"
            " save class indices, one a pixel, as a grey or palette PNG"
        )
    return (
        f"a colour mask (mode {stored.mode}); declare the colour of every class in classes.csv"
        " (name,index,red,green,blue) at the root of the data, or save class indices as a grey or palette PNG"
    )


def _number_by_palette(stored: StoredMask, palette: tuple[Colour, ...]) -> StoredMask:
    """Return a palette mask with the indices that its colours have in `palette`, VOC's.

    Palettes are filled up with any colour, so index 255 is void where its colour is none of VOC's, or another index's.
    """
    numbers = {VOID_COLOUR: IGNORE} | {colour: index for index, colour in enumerate(palette)}
    table = np.arange(IGNORE + 1, dtype=np.uint8)
    for value in stored.present:
        colour = stored.own_colour(value)
        if colour in numbers:
            table[value] = numbers[colour]
        elif value != IGNORE:
            raise InputError(
                f"{stored.path}: its palette is not VOC's, for index {value} is {stored.palette.get(value)}, so its"
                " indices may mean other classes; take the mask of the official archive, or give masks with classes of"
                " their own as a data set of their own (without voc=)",
                "palette",
            )
    if all(table[value] == value for value in stored.present):
        return stored
    return StoredMask(stored.path, "numbers", table[stored.values], mode=stored.mode)


def _classify_shown(stored: StoredMask, masks: MaskFormat) -> Uint8Array:
    """Return the label map of a palette or grey mask by the colours in which it shows its values."""
    hidden, opaque = (
        {stored.palette.get(v) for v in stored.present if (v in stored.hidden) is h} for h in (True, False)
    )
    if hidden and opaque:
        check_hidden(stored.path, hidden != {(0, 0, 0)}, (0, 0, 0) in opaque)
    counts = np.bincount(stored.values.ravel(), minlength=IGNORE + 1)
    table = np.full(IGNORE + 1, IGNORE, np.uint8)
    values_N = np.array([v for v in stored.present if v != IGNORE or stored.own_colour(v) is not None], np.int64)
    if len(values_N):
        if bare := [v for v in values_N.tolist() if v not in stored.palette]:
            raise InputError(
                f"{stored.path}: index {bare[0]} has no colour in its palette; save the mask with its whole palette",
                "palette",
            )
        colours_N3 = np.array([stored.palette[v] for v in values_N.tolist()], np.uint8)
        classes_N, distance_N = _match_colours(colours_N3, masks)
        _refuse_undeclared(stored.path, colours_N3, counts[values_N], distance_N, stored.values.size, masks)
        table[values_N] = np.where(distance_N <= masks.tolerance, classes_N, IGNORE)
    label_map: Uint8Array = table[stored.values]
    return label_map


def _classify_colours(colours_HW3: AnyArray, masks: MaskFormat, path: Path) -> Uint8Array:
    """Return the label map of a colour mask: exact colours class by class, the others by their distance."""
    codes_HW = _pack_colours(colours_HW3)
    label_map = np.full(codes_HW.shape, IGNORE, np.uint8)
    left_HW = np.ones(codes_HW.shape, bool)
    for index, colour in enumerate([*masks.colours, *masks.void_colours]):
        matches_HW = codes_HW == _pack_colours(np.array([colour]))
        label_map[matches_HW] = index if index < len(masks.colours) else IGNORE
        left_HW &= ~matches_HW
    if left_HW.any():
        codes_N, inverse, counts_N = np.unique(codes_HW[left_HW], return_inverse=True, return_counts=True)
        colours_N3 = _unpack_colours(codes_N)
        classes_N, distance_N = _match_colours(colours_N3, masks)
        _refuse_undeclared(path, colours_N3, counts_N, distance_N, codes_HW.size, masks)
        label_map[left_HW] = np.where(distance_N <= masks.tolerance, classes_N, IGNORE)[inverse]
    return label_map


def _refuse_undeclared(
    path: Path, colours_N3: Uint8Array, counts_N: Int64Array, distance_N: Int64Array, pixels: int, masks: MaskFormat
) -> None:
    """Refuse colours that no class has, unless a tolerance says what becomes of them."""
    undeclared_N = np.where(distance_N > 0, counts_N, 0)
    if undeclared_N.any() and not masks.tolerance:
        commonest = tuple(int(value) for value in colours_N3[undeclared_N.argmax()])
        raise InputError(
            f"{path}: {undeclared_N.sum()} pixels ({undeclared_N.sum() / pixels:.2%}) have colours of no class, most"
            f" often {commonest}; name that colour in the class list, or, where edges are smoothed, save the masks"
            ' without smoothing or set "tolerance" in classes.json',
            "colours",
        )


def _match_colours(colours_N3: Uint8Array, masks: MaskFormat) -> tuple[Int64Array, Int64Array]:
    """Return, for each colour, the class (or `IGNORE`) of the nearest declared one, and the distance to it.

    The distance is the largest difference in any channel, 0 .. 255; of equally near classes the first counts.
    """
    declared_K3 = np.array([*masks.colours, *masks.void_colours], np.int64)
    classes_K = np.array([*range(len(masks.colours)), *[IGNORE] * len(masks.void_colours)])
    distance_NK = np.abs(colours_N3[:, None].astype(np.int64) - declared_K3).max(axis=2)
    nearest_N = distance_NK.argmin(axis=1)
    return classes_K[nearest_N], distance_NK[np.arange(len(nearest_N)), nearest_N]


def _pack_colours(colours: AnyArray) -> NDArray[np.uint32]:
    """Return red, green and blue as one number, in as little memory as possible: masks may have 100 megapixels."""
    codes = colours[..., 0].astype(np.uint32)
    for channel in (1, 2):
        codes = np.left_shift(codes, 8, out=codes)
        codes |= colours[..., channel].astype(np.uint8)
    return codes


def _unpack_colours(codes_N: NDArray[np.uint32]) -> Uint8Array:
    return np.stack([codes_N >> 16, (codes_N >> 8) & 255, codes_N & 255], axis=1).astype(np.uint8)


def _name_values(values: list[int]) -> str:
    return f"label value{'s' if len(values) > 1 else ''} {abbreviate(values)}"


def describe_valid_values(labels: LabelSpace) -> str:
    """Return which values masks may hold, in words."""
    void = ", ".join(map(str, sorted({*labels.void_values, IGNORE})))
    return f"the {labels.num_classes} classes are 0 to {labels.num_classes - 1}, void is {void}"


def explain_wrong_values(wrong: list[int], present: list[int], classes: int) -> str:
    """Return what most likely put the values `wrong` among the `present` ones of a mask, and the remedy."""
    if max(wrong) > IGNORE:
        return "16-bit values like these are instance ids or scaled indices; save plain class indices"
    if min(wrong) < 0:
        return "negative values cannot be stored in a label map; save void as 255"
    if len(wrong) > max(20, classes):
        return (
            "so many values look like the grey levels of a colour mask, or of one that was resized smoothly or once"
            " saved as JPEG; save class indices"
        )
    step = math.gcd(*wrong)
    if step >= SCALED and 1 < len(wrong) < classes and {*present} - {0, IGNORE} == {*wrong}:
        return f"the values look like indices multiplied by {step}, as for viewing; divide every mask by it"
    if classes == CITYSCAPES_CLASSES and max(wrong) <= CITYSCAPES_LAST_ID:
        return "these look like Cityscapes label ids; convert the masks to train ids"
    if wrong == [classes] and 0 not in present:
        return "the ids look shifted by one (they start at 1); subtract 1 from every mask"
    if wrong == [classes]:
        return (
            "an undeclared border or unlabelled value, one more class, or ids that start at 1 with 0 for void; save"
            " void as 255, name the class, or subtract 1 from every mask"
        )
    if classes == 2 and len({*present} - {0}) == 1:
        return f"two classes look stored as 0 and {wrong[0]}; save 0 and 1, or 0 and 255"
    if len({*present} - {0, IGNORE}) > 1 and {*present} - {0, IGNORE} <= VOC_GREYS:
        return "the values are VOC's colours turned to grey, as by convert('L'); save the palette masks themselves"
    return "the class list is too short, or the mask belongs to another one; name all classes or correct the mask"


def count_stored_values(path: Path, masks: MaskFormat = INDEX_MASKS) -> dict[int, int]:
    """Return the number of pixels of each value in a mask of indices, whether a class has the value or not."""
    stored = read_mask(path, masks)
    if stored.values.dtype == np.uint8 and stored.kind != "colours":  # sorting takes ten times as long
        counts = np.bincount(stored.values.ravel(), minlength=IGNORE + 1)
        return {value: int(counts[value]) for value in stored.present}
    values, counts = np.unique(stored.values, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def count_inexact_pixels(path: Path, masks: MaskFormat) -> tuple[int, int]:
    """Return how many pixels of a colour mask are within the tolerance of a declared colour, but not it, and beyond."""
    stored = read_mask(path, masks)
    if stored.kind in masks.by_colour:
        counts = np.bincount(stored.values.ravel(), minlength=IGNORE + 1)
        colours_N3 = np.array([*stored.shown.values()], np.uint8).reshape(-1, 3)
        counts_N = counts[[*stored.shown]]
    elif stored.kind == "colours":
        codes_N, counts_N = np.unique(_pack_colours(stored.values), return_counts=True)
        colours_N3 = _unpack_colours(codes_N)
    else:
        return 0, 0
    _, distance_N = _match_colours(colours_N3, masks)
    near_N = (distance_N > 0) & (distance_N <= masks.tolerance)
    return int(counts_N[near_N].sum()), int(counts_N[distance_N > masks.tolerance].sum())
