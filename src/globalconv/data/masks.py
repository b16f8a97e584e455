"""Mask files in, label maps out: class indices, colours of classes, 0/255 binary masks, SBD's MATLAB files.

`read_mask` returns a mask as it is stored, `read_label_map` translates it to the classes 0 .. K-1 and `IGNORE`. Nothing
is guessed: a value or colour that the data set does not declare is an `InputError` that names the file, the value, the
likely cause and the remedy.

Shapes: H x W pixels, K declared colours, N colours or values.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalconv.arrays import AnyArray, Int64Array, Uint8Array
from globalconv.data.images import image_size, open_image, turn_upright
from globalconv.errors import InputError
from globalconv.labels import IGNORE, Colour, LabelSpace
from globalconv.runtime.text import abbreviate, one_line

MAT_SUFFIX = ".mat"

CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID = 19, 33

SCALED = 10
"""Smallest factor by which people multiply indices to make them visible."""

LOSSY = ("JPEG", "MPO")


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
    binary: bool = False
    """Masks hold 0 and 255, and 255 is class 1."""
    palette: tuple[Colour, ...] = ()
    """Colours with which the palette of a palette PNG has to begin; empty: any palette will do. Indices under another
    palette may mean other classes."""
    ids: tuple[int, ...] = ()
    """Meaning of the stored values 0, 1, 2, ...: a class or `IGNORE`; empty: the values are class indices."""


INDEX_MASKS = MaskFormat()


def read_label_map(path: Path, labels: LabelSpace, masks: MaskFormat = INDEX_MASKS) -> Uint8Array:
    """Return the mask `path` as uint8 (H, W): classes 0 .. K-1 of `labels`, and `IGNORE`."""
    stored = read_mask(path, masks)
    if stored.ndim == 3:
        return _classify_colours(stored, masks, path)
    present = unique_values(stored)
    label_map: Uint8Array
    if masks.binary:
        if wrong := [value for value in present if value not in (0, IGNORE)]:
            raise InputError(
                f"{path}: holds {', '.join(map(str, wrong[:8]))} where the other masks hold 0 and 255 only; save all"
                " masks in one way: 0 and 255, or 0 and 1",
                "values",
            )
        label_map = (stored != 0).astype(np.uint8)
        return label_map
    if masks.ids:
        if wrong := [value for value in present if not 0 <= value < len(masks.ids)]:
            hint = "copy the file from the official archive again"
            if wrong == [IGNORE] and max(present[:-1], default=0) < CITYSCAPES_CLASSES:
                hint = "these look like train ids where label ids belong; " + hint
            raise InputError(
                f"{path}: {_name_values(wrong)} not among the ids 0 to {len(masks.ids) - 1}; {hint}", "ids"
            )
        label_map = np.array(masks.ids, np.uint8)[stored.astype(np.uint8, copy=False)]
        return label_map
    valid = {*range(labels.num_classes), *labels.void_values, IGNORE}
    if wrong := [value for value in present if value not in valid]:
        hint = "SBD has no such class: copy the file from the official archive again"
        if path.suffix.lower() != MAT_SUFFIX:
            hint = explain_wrong_values(wrong, present, labels.num_classes)
        problem = f"{_name_values(wrong)} out of range ({describe_valid_values(labels)})"
        raise InputError(f"{path}: {problem}; {hint}", "values")
    label_map = stored.astype(np.uint8)
    if void := [value for value in labels.void_values if value in present]:
        label_map[np.isin(stored, void)] = IGNORE
    return label_map


def read_mask(path: Path, masks: MaskFormat = INDEX_MASKS) -> AnyArray:
    """Return the mask `path` as it is stored: integers (H, W), or colours (H, W, 3) where `masks` declares some."""
    if path.suffix.lower() == MAT_SUFFIX:
        return read_mat(path)
    with open_image(path) as image:
        image.load()
        if image.format in LOSSY and not masks.tolerance:
            raise InputError(
                f"{path}: a JPEG cannot hold labels, its compression smears the class indices;"
                " save label maps as PNG from the original masks",
                "mask-mode",
            )
        if _holds_colours(image, masks):
            turn_upright(image)
            return np.asarray(image.convert("RGB"))
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            problem = (
                f"mode {image.mode} holds no class indices; save class indices, one a pixel, as a grey or palette PNG"
            )
            if image.getbands()[:3] == ("R", "G", "B"):
                red, green, blue = image.split()[:3]
                problem = (
                    f"a colour mask (mode {image.mode}); declare the colour of every class in classes.csv"
                    " (name,index,red,green,blue) at the root of the data, or save class indices as a grey or palette"
                    " PNG"
                )
                if red.tobytes() == green.tobytes() == blue.tobytes():
                    problem = (
                        f"mode {image.mode} with three equal channels, so class indices saved as a colour image;"
                        " save class indices, one a pixel, as a grey or palette PNG"
                    )
            raise InputError(f"{path}: {problem}", "mask-mode")
        expected = [channel for colour in masks.palette for channel in colour]
        if image.mode == "P" and (image.getpalette("RGB") or [])[: len(expected)] != expected:
            raise InputError(
                f"{path}: its palette is not VOC's, so its indices may mean other classes; take the mask of the"
                " official archive, or give masks with classes of their own as a data set of their own (without voc=)",
                "palette",
            )
        turn_upright(image)
        values = np.asarray(image)
        return values.astype(np.uint8) if values.dtype == bool else values


def read_mat(path: Path) -> Uint8Array:
    """Return the class indices (H, W), uint8, of SBD's MATLAB file: the structure `GTcls`, field `Segmentation`."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: there is no such file; copy it from the official archive")
    try:
        values = loadmat(path, variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
    except Exception as error:  # Damaged files make the reader raise almost anything.
        raise InputError(
            f"{path}: holds no GTcls.Segmentation, or is damaged ({one_line(error)}); copy it from the official archive"
            " again"
        ) from None
    if values.ndim != 2 or values.dtype != np.uint8:
        raise InputError(f"{path}: GTcls.Segmentation is {values.dtype} {values.shape}; copy it again from SBD")
    return np.ascontiguousarray(values)


def mask_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the mask `path`; of an image, from its header."""
    if path.suffix.lower() == MAT_SUFFIX:
        height, width = read_mat(path).shape
        return width, height
    return image_size(path)


def read_palette(path: Path) -> list[Colour]:
    """Return the colours of a palette image; an image without a palette has none."""
    with open_image(path) as image:
        channels = (image.getpalette("RGB") or []) if image.mode == "P" else []
        return list(zip(channels[0::3], channels[1::3], channels[2::3], strict=True))


def unique_values(values: AnyArray) -> list[int]:
    """Return the values that occur, in ascending order."""
    if values.dtype == np.uint8:  # `np.unique` sorts, which takes ten times as long.
        present: NDArray[np.integer] = np.flatnonzero(np.bincount(values.ravel().view(np.uint8), minlength=256))
    else:
        present = np.unique(values).astype(np.int64)
    return [int(value) for value in present]


def _holds_colours(image: Image.Image, masks: MaskFormat) -> bool:
    """Return whether a mask holds colours of classes rather than their indices.

    RGB does. In a palette image, drawing programs sort the palette as they like: as soon as an index that occurs has
    a class's colour other than its own class's, all of them are colours. Grey values are colours where they are too
    large for indices.
    """
    if not masks.colours:
        return False
    if image.getbands()[:3] == ("R", "G", "B"):
        return True
    if image.mode not in ("P", "L"):
        return False
    used, declared = unique_values(np.asarray(image)), {*masks.colours, *masks.void_colours}
    if image.mode == "L":
        return {(value, value, value) for value in used} <= declared and max(used) >= len(masks.colours)
    channels = image.getpalette("RGB") or []
    palette = dict(enumerate(zip(channels[0::3], channels[1::3], channels[2::3], strict=True)))
    class_colours = dict(enumerate(masks.colours))
    return any(palette.get(index) in declared and palette.get(index) != class_colours.get(index) for index in used)


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
        if not masks.tolerance:
            commonest = tuple(int(value) for value in _unpack_colours(codes_N[counts_N.argmax()][None])[0])
            raise InputError(
                f"{path}: {counts_N.sum()} pixels ({counts_N.sum() / codes_HW.size:.2%}) have colours of no class, most"
                f" often {commonest}; name that colour in the class list, or, where edges are smoothed, save the masks"
                ' without smoothing or set "tolerance" in classes.json',
                "colours",
            )
        classes_N, distance_N = _match_colours(_unpack_colours(codes_N), masks)
        label_map[left_HW] = np.where(distance_N <= masks.tolerance, classes_N, IGNORE)[inverse]
    return label_map


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
    return "the class list is too short, or the mask belongs to another one; name all classes or correct the mask"


def count_stored_values(path: Path) -> dict[int, int]:
    """Return the number of pixels of each value in a mask of indices, whether a class has the value or not."""
    values, counts = np.unique(read_mask(path), return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def count_inexact_pixels(path: Path, masks: MaskFormat) -> tuple[int, int]:
    """Return how many pixels of a colour mask are within the tolerance of a declared colour, but not it, and beyond."""
    stored = read_mask(path, masks)
    if stored.ndim != 3:
        return 0, 0
    codes_N, counts_N = np.unique(_pack_colours(stored), return_counts=True)
    _, distance_N = _match_colours(_unpack_colours(codes_N), masks)
    near_N = (distance_N > 0) & (distance_N <= masks.tolerance)
    return int(counts_N[near_N].sum()), int(counts_N[distance_N > masks.tolerance].sum())
