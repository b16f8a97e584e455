"""Label files in, label maps out: class indices, colours of classes, 0/255 binary masks.

A mask is read as it is stored, `read_mask`, and translated once, `read_label_map`, to the classes 0 .. K-1 and
`IGNORE`. Nothing is guessed: a value or colour that the data set does not declare is an `InputError` that names the
file, what was found, the likely cause and the remedy.

Shapes: H x W pixels.

MATLAB's files as SBD has them: a structure `GTcls` whose field `Segmentation` holds a class per pixel.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.images import image_size, open_image, upright
from globalconv.errors import InputError
from globalconv.labels import IGNORE, Colour, LabelSpace
from globalconv.runtime.text import one_line

MAT_SUFFIX = ".mat"


def read_mat(path: Path) -> Uint8Array:
    """Return the class indices in `path`, uint8 (H, W); a file that holds none is an `InputError`."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: there is no such file; copy it from the official archive")
    try:
        values = loadmat(path, variable_names=["GTcls"])["GTcls"][0, 0]["Segmentation"]
    except Exception as error:  # damaged files make the reader raise almost anything
        reason = one_line(error)
        raise InputError(
            f"{path}: holds no GTcls.Segmentation, or is damaged ({reason}); copy it from the official archive again"
        ) from None
    if values.ndim != 2 or values.dtype != np.uint8:
        raise InputError(f"{path}: GTcls.Segmentation is {values.dtype} {values.shape}; copy it again from SBD")
    return np.ascontiguousarray(values)


CITYSCAPES_CLASSES, CITYSCAPES_LAST_ID = 19, 33

SCALED = 10
"""Smallest factor by which indices are multiplied so that people see them."""

LOSSY = ("JPEG", "MPO")


@dataclass(frozen=True)
class MaskFormat:
    """How the masks of a data set are stored; the default is class indices, one a pixel."""

    colours: tuple[Colour, ...] = ()
    """Colour of each class in colour masks; none means that colour masks are refused."""
    void_colours: tuple[Colour, ...] = ()
    """Colours of pixels that do not count."""
    tolerance: int = 0
    """Largest difference, in any channel, at which a colour still counts as the nearest class's; beyond it is void.
    0 takes exact colours only and refuses all others."""
    binary: bool = False
    """Masks hold 0 and 255, and 255 is class 1."""
    palette: tuple[Colour, ...] = ()
    """Colours that the palette of a palette PNG must begin with; none means any. Another palette's order of classes is
    another one's, perhaps."""
    ids: tuple[int, ...] = ()
    """What the stored values 0, 1, 2, ... mean: a class, or `IGNORE`; none means themselves."""


INDEX_MASKS = MaskFormat()


def read_label_map(path: Path, labels: LabelSpace, masks: MaskFormat = INDEX_MASKS) -> Uint8Array:
    """Return the mask `path` as uint8 (H, W): classes 0 .. K-1 of `labels`, and `IGNORE`."""
    stored = read_mask(path, masks)
    if stored.ndim == 3:
        return _from_colours(stored, masks, path)
    if masks.binary:
        return _from_binary(stored, path)
    if masks.ids:
        return _from_ids(stored, masks.ids, path)
    return translate(stored, labels, path)


def read_mask(path: Path, masks: MaskFormat = INDEX_MASKS) -> NDArray[np.generic]:
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
        if _by_colour(image, masks):
            return np.asarray(upright(image).convert("RGB"))
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise InputError(f"{path}: {_not_indices(image)}", "mask-mode")
        if masks.palette and image.mode == "P":
            _check_palette(image, masks.palette, path)
        values = np.asarray(upright(image))
        return values.astype(np.uint8) if values.dtype == bool else values


def mask_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of the mask `path`; of an image, from its header."""
    if path.suffix.lower() == MAT_SUFFIX:
        height, width = read_mat(path).shape
        return width, height
    return image_size(path)


def _by_colour(image: Image.Image, masks: MaskFormat) -> bool:
    """Say whether a mask holds colours of classes rather than their indices.

    RGB does. Programs that draw sort the colours of a palette as they like: once a used colour is a class's, but not at
    the class's index, all of them are colours. Grey values are colours where they are too large for indices.
    """
    if not masks.colours:
        return False
    if image.getbands()[:3] == ("R", "G", "B"):
        return True
    if image.mode not in ("P", "L"):
        return False
    used, known = unique_values(np.asarray(image)), {*masks.colours, *masks.void_colours}
    if image.mode == "L":
        return {(value, value, value) for value in used} <= known and max(used) >= len(masks.colours)
    flat = image.getpalette("RGB") or []
    palette = dict(enumerate(zip(flat[0::3], flat[1::3], flat[2::3], strict=True)))
    own = dict(enumerate(masks.colours))
    return any(palette.get(index) in known and palette.get(index) != own.get(index) for index in used)


def translate(values: NDArray[np.generic], labels: LabelSpace, path: Path) -> Uint8Array:
    """Return stored `values` (H, W) as a label map of `labels`; `InputError` names `path` for any other value."""
    present = unique_values(values)
    known = {*range(labels.num_classes), *labels.void_values, IGNORE}
    if wrong := [value for value in present if value not in known]:
        raise InputError(_out_of_range(path, wrong, present, labels), "values")
    void = [value for value in labels.void_values if value in present]
    label_map = values.astype(np.uint8)
    if void:
        label_map[np.isin(values, void)] = IGNORE
    return label_map


def unique_values(values: NDArray[np.generic]) -> list[int]:
    """Return the values that occur, ascending."""
    if values.dtype == np.uint8:  # Sorting, which `np.unique` does, costs ten times as much.
        present: NDArray[np.integer] = np.flatnonzero(np.bincount(values.ravel().view(np.uint8), minlength=256))
    else:
        present = np.unique(values).astype(np.int64)
    return [int(value) for value in present]


def _check_palette(image: Image.Image, palette: tuple[Colour, ...], path: Path) -> None:
    expected = [channel for colour in palette for channel in colour]
    if (image.getpalette("RGB") or [])[: len(expected)] != expected:
        raise InputError(
            f"{path}: its palette is not VOC's, so its indices may mean other classes; take the mask of the official"
            " archive, or give masks with classes of their own as a data set of their own (without voc=)",
            "palette",
        )


def read_palette(path: Path) -> list[Colour]:
    """Return the colours of a palette image, or nothing if it has no palette."""
    with open_image(path) as image:
        flat = (image.getpalette("RGB") or []) if image.mode == "P" else []
        return list(zip(flat[0::3], flat[1::3], flat[2::3], strict=True))


def match_colours(colours_N3: Uint8Array, masks: MaskFormat) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each colour, the class (or `IGNORE`) of the nearest declared one, and the distance to it.

    The distance is the largest difference in any channel, 0 .. 255; of equally near classes the first counts.
    """
    known_K3 = np.array([*masks.colours, *masks.void_colours], np.int64)
    meaning_K = np.array([*range(len(masks.colours)), *[IGNORE] * len(masks.void_colours)])
    distance_NK = np.abs(colours_N3[:, None].astype(np.int64) - known_K3).max(axis=2)
    nearest_N = distance_NK.argmin(axis=1)
    return meaning_K[nearest_N], distance_NK[np.arange(len(nearest_N)), nearest_N]


def _from_colours(colours_HW3: NDArray[np.generic], masks: MaskFormat, path: Path) -> Uint8Array:
    """Map exact colours class by class; sort out whatever is left by its distance."""
    codes_HW = _packed(colours_HW3)
    label_map = np.full(codes_HW.shape, IGNORE, np.uint8)
    left_HW = np.ones(codes_HW.shape, bool)
    for index, colour in enumerate([*masks.colours, *masks.void_colours]):
        found_HW = codes_HW == _packed(np.array([colour]))
        label_map[found_HW] = index if index < len(masks.colours) else IGNORE
        left_HW &= ~found_HW
    if left_HW.any():
        others, which, counts = np.unique(codes_HW[left_HW], return_inverse=True, return_counts=True)
        if not masks.tolerance:
            raise InputError(_unknown_colours(path, others, counts, codes_HW.size), "colours")
        classes, distance = match_colours(_unpacked(others), masks)
        label_map[left_HW] = np.where(distance <= masks.tolerance, classes, IGNORE)[which]
    return label_map


def _packed(colours: NDArray[np.generic]) -> NDArray[np.uint32]:
    """Return red, green and blue as one number each, in as little memory as possible: masks may have 100 megapixels."""
    packed = colours[..., 0].astype(np.uint32)
    for channel in (1, 2):
        packed = np.left_shift(packed, 8, out=packed)
        packed |= colours[..., channel].astype(np.uint8)
    return packed


def _unpacked(codes_N: NDArray[np.uint32]) -> Uint8Array:
    return np.stack([codes_N >> 16, (codes_N >> 8) & 255, codes_N & 255], axis=1).astype(np.uint8)


def _unknown_colours(path: Path, codes: NDArray[np.uint32], counts: NDArray[np.int64], pixels: int) -> str:
    commonest = tuple(int(value) for value in _unpacked(codes[counts.argmax()][None])[0])
    share = counts.sum() / pixels
    return (
        f"{path}: {counts.sum()} pixels ({share:.2%}) have colours of no class, most often {commonest}; name that"
        " colour in the class list, or, where edges are smoothed, save the masks without smoothing or set"
        ' "tolerance" in classes.json'
    )


def _from_binary(values: NDArray[np.generic], path: Path) -> Uint8Array:
    if wrong := [value for value in unique_values(values) if value not in (0, IGNORE)]:
        raise InputError(
            f"{path}: holds {', '.join(map(str, wrong[:8]))} where the other masks hold 0 and 255 only; save all masks"
            " in one way: 0 and 255, or 0 and 1",
            "values",
        )
    foreground: Uint8Array = (values != 0).astype(np.uint8)
    return foreground


def _from_ids(values: NDArray[np.generic], ids: tuple[int, ...], path: Path) -> Uint8Array:
    """Map stored ids to classes; ids of no meaning are refused."""
    present = unique_values(values)
    wrong = [value for value in present if not 0 <= value < len(ids)]
    if wrong:
        hint = "copy the file from the official archive again"
        if wrong == [IGNORE] and max(present[:-1], default=0) < CITYSCAPES_CLASSES:
            hint = "these look like train ids where label ids belong; " + hint
        raise InputError(f"{path}: {_some(wrong)} not among the ids 0 to {len(ids) - 1}; {hint}", "ids")
    label_map: Uint8Array = np.array(ids, np.uint8)[values.astype(np.uint8, copy=False)]
    return label_map


def _not_indices(image: Image.Image) -> str:
    """Say why an image's mode cannot be class indices, and what to do."""
    bands = image.getbands()
    if bands[:3] != ("R", "G", "B"):
        return f"mode {image.mode} holds no class indices; save class indices, one a pixel, as a grey or palette PNG"
    red, green, blue = image.split()[:3]
    if red.tobytes() == green.tobytes() == blue.tobytes():
        return (
            f"mode {image.mode} with three equal channels, so class indices saved as a colour image;"
            " save class indices, one a pixel, as a grey or palette PNG"
        )
    return (
        f"a colour mask (mode {image.mode}); declare the colour of every class in classes.csv (name,index,red,green,"
        "blue) at the root of the data, or save class indices as a grey or palette PNG"
    )


def _out_of_range(path: Path, wrong: list[int], present: list[int], labels: LabelSpace) -> str:
    """Name the file, the values, the likely cause and the remedy."""
    said = f"{path}: {_some(wrong)} out of range ({describe_valid_values(labels)})"
    if path.suffix.lower() == MAT_SUFFIX:
        return f"{said}; SBD has no such class: copy the file from the official archive again"
    return f"{said}; {explain_wrong_values(wrong, present, labels.num_classes)}"


def _some(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:8])) + (f", ... ({len(values)} values)" if len(values) > 8 else "")
    return f"label value{'s' if len(values) > 1 else ''} {shown}"


def describe_valid_values(labels: LabelSpace) -> str:
    """Say which values masks may hold."""
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
    """Return how many pixels of a mask of indices have which value, whether a class has it or not."""
    values, counts = np.unique(read_mask(path), return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}


def count_inexact_pixels(path: Path, masks: MaskFormat) -> tuple[int, int]:
    """Return how many pixels of a colour mask are within the tolerance of a colour only, and how many are beyond it."""
    stored = read_mask(path, masks)
    if stored.ndim != 3:
        return 0, 0
    codes, counts = np.unique(_packed(stored), return_counts=True)
    _, distance = match_colours(_unpacked(codes), masks)
    near = (distance > 0) & (distance <= masks.tolerance)
    return int(counts[near].sum()), int(counts[distance > masks.tolerance].sum())
