"""Data sets read a second time, by the formats' own tools and straightforward code, to compare with another reading.

Only what is well formed is judged: `NotJudgedError` says that a reading of one's own would be a matter of taste,
`MustTellError` that no reading is right without a word to the user. A label map is an array of numbers of names
(`number_names`), so that the order of the classes does not matter.
"""

import contextlib
import os
import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutation_bases import VOC_COLOURS, Array
from PIL import Image, ImageOps
from scipy.io import loadmat

VOID_NAMES, BACKGROUND_NAMES = ("void", "ignore", "__ignore__"), ("background", "_background_", "__background__")
VOC_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person"
    " pottedplant sheep sofa train tvmonitor"
).split()
LIMITS = (1, 2, 4, 8, 16, 32, 64, 255, 1023, 4095, 16383, 65535)  # the largest values of the depths that images have

_numbers: dict[str, int] = {"void": 0}


class NotJudgedError(Exception):
    """The file is malformed, or its meaning a matter of taste."""


class MustTellError(Exception):
    """The file is such that no reading is right without a word."""


@dataclass(frozen=True)
class Sample:
    """One image (H, W, 3) and its label map (H, W) in numbers of names."""

    image: Array
    names: Array


def number_name(name: str) -> int:
    """Return the number of a name in this process; void is 0."""
    return _numbers.setdefault(name, len(_numbers))


def number_names(label_map: Array, names: Sequence[str]) -> Array:
    """Return a label map of classes and 255 as one of names."""
    table = np.zeros(256, np.int64)
    table[: len(names)] = [number_name(name) for name in names]
    return table[label_map]


def difference(read: Callable[[Path], list["Truth"]], root: Path, samples: Sequence[Sample]) -> str:
    """Return how `samples`, read without a word, differ from what `read` says that `root` holds; "" if they do not."""
    try:
        truths = read(root)
    except MustTellError as error:
        return f"nothing was said: {error}"
    if len(truths) != len(samples):
        return f"{len(samples)} samples instead of {len(truths)}"
    left = list(truths)
    for number, sample in enumerate(samples):
        match = next(
            (t for t in left if _equal_images(sample.image, t[0]) and np.array_equal(sample.names, t[1])), None
        )
        if match is None:
            found = sorted(name for name, n in _numbers.items() if n in sample.names)
            return f"sample {number} has no equal, with {', '.join(found)[:200]} of {sample.names.shape}"
        left = [truth for truth in left if truth is not match]
    return ""


Truth = tuple[list[Array], Array]
"""The images that would be right (several where a scale is open), and the one right label map."""


def _equal_images(image: Array, choices: Sequence[Array]) -> bool:
    return any(i.shape == image.shape and np.abs(i - image.astype(np.float64)).max(initial=0) <= 1.01 for i in choices)


def open_upright(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except Exception as error:
        raise NotJudgedError(str(error)) from None
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def read_images(path: Path) -> list[Array]:
    """Return the image as Pillow decodes it, of deep ones one for every depth that fits."""
    image = open_upright(path)
    if image.mode.startswith("I") or image.mode == "F":
        _refuse_white_as_zero(path, image.mode)
        values = np.asarray(image).astype(np.float64)
        if not np.isfinite(values).all() or values.min() < 0:
            raise NotJudgedError("values below 0")
        return [
            np.repeat(np.rint(values * 255 / limit)[..., None], 3, axis=2) for limit in LIMITS if values.max() <= limit
        ]
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return [np.asarray(image.convert("RGB"))]


def _grey_depth(path: Path, image: Image.Image) -> int:
    """Return the largest value that a grey image's file can hold, where Pillow scales it to 255; else 255."""
    data = path.read_bytes()
    if image.format == "PNG" and data[25] == 0 and data[24] < 8:
        return int(2 ** data[24]) - 1
    if image.format == "PPM" and (
        match := re.match(rb"P[25]\s+(?:#.*\s)*\d+\s+(?:#.*\s)*\d+\s+(?:#.*\s)*(\d+)\s", data)
    ):
        return int(match[1])
    if image.format == "TIFF":
        with Image.open(path) as tagged:
            bits = tagged.tag_v2.get(258, 8)  # type: ignore[attr-defined]
        bits = bits[0] if isinstance(bits, tuple) else bits
        return int(2**bits) - 1 if bits < 8 else 255
    return 255


def _refuse_white_as_zero(path: Path, mode: str) -> str | None:
    """Return the format of a file; a TIFF in which 0 is white is not judged where Pillow reads it as it is stored."""
    with Image.open(path) as unread:
        white_is_zero = unread.format == "TIFF" and unread.tag_v2.get(262) == 0  # type: ignore[attr-defined]
        if white_is_zero and mode not in ("RGB", "RGBA", "1", "P"):
            raise NotJudgedError("white is zero")
        return unread.format


def stored_values(path: Path) -> tuple[str, Array, list[tuple[int, ...]]]:
    """Return "index" or "colour", a mask's values or colours, and its palette if it has one."""
    image = open_upright(path)
    form = _refuse_white_as_zero(path, image.mode)
    if image.mode in ("RGB", "RGBA"):
        if image.mode == "RGBA" and np.asarray(image)[..., 3].min() < 255:
            raise NotJudgedError("transparent pixels")
        return "colour", np.asarray(image.convert("RGB")), []
    if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
        raise NotJudgedError(image.mode)
    values = np.asarray(image).astype(np.int64)
    if image.mode == "L":
        image.format = form
        values = np.rint(values * (_grey_depth(path, image) / 255)).astype(np.int64)
    flat = (image.getpalette("RGB") or []) if image.mode == "P" else []
    return "index", values, list(zip(flat[0::3], flat[1::3], flat[2::3], strict=False))


@dataclass(frozen=True)
class Classes:
    """Declared classes: names, colours (or none), and values and colours of void."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, ...], ...] = ()
    void_values: tuple[int, ...] = ()
    void_colours: tuple[tuple[int, ...], ...] = ()


def read_masks(paths: Sequence[Path], classes: Classes | None) -> list[Array]:
    """Return the masks of a data set in numbers of names."""
    stored = [stored_values(path) for path in paths]
    if classes is None and any(kind == "colour" for kind, _, _ in stored):
        raise MustTellError("a colour mask without colours")
    indexed = [values for kind, values, _ in stored if kind == "index"]
    present = {int(value) for values in indexed for value in np.unique(values)}
    _compare_palettes(stored, classes)
    two = classes is None or len(classes.names) == 2
    binary = two and present == {0, 255} and not (classes and classes.colours)
    of_each = [{*np.unique(values).tolist()} for values in indexed]
    if two and present == {0, 1, 255} and not any({1, 255} <= values for values in of_each):
        raise MustTellError("1 in some masks, 255 in others")
    if classes is None:
        names = ("background", "foreground") if binary else tuple(f"class {n}" for n in range(max(present - {255}) + 1))
        classes = Classes(names)
    return [_name_mask(mask, classes, binary) for mask in stored]


def _compare_palettes(stored: Sequence[tuple[str, Array, list[tuple[int, ...]]]], classes: Classes | None) -> None:
    """Refuse to be silent about a colour at two indices, or an index of two colours, unless colours are declared."""
    if classes is not None and classes.colours:
        return
    colours: dict[int, set[tuple[int, ...]]] = {}
    for _, values, palette in stored:
        for value in np.unique(values).tolist() if len(set(palette)) > 1 else ():  # one colour alone says nothing
            if value < min(len(palette), 255):  # 255 is void, whatever its colour
                colours.setdefault(value, set()).add(palette[value])
    everywhere = [colour for of_index in colours.values() for colour in of_index]
    if any(len(of_index) > 1 for of_index in colours.values()):
        raise MustTellError("an index has two colours")
    if len(set(everywhere)) < len(everywhere):
        raise NotJudgedError("a colour at two indices of one palette")


def _name_mask(mask: tuple[str, Array, list[tuple[int, ...]]], classes: Classes, binary: bool) -> Array:
    kind, values, palette = mask
    declared: dict[tuple[int, ...], str] = dict(zip(classes.colours, classes.names, strict=False))
    declared |= dict.fromkeys(classes.void_colours, "void")
    if kind == "index" and palette and declared:
        used = [palette[v] if v < len(palette) else () for v in np.unique(values).tolist()]
        known = [colour in declared for colour in used]
        if any(known) and not all(known):
            raise NotJudgedError("some colours of the palette are declared")
        if all(known):
            kind, values = "colour", np.array(palette, np.int64)[values]
    if kind == "colour":
        if not declared:
            raise MustTellError("a colour mask without colours")
        found = np.full(values.shape[:2], -1, np.int64)
        for colour, name in declared.items():
            found[(values == np.array(colour)).all(axis=2)] = number_name(name)
        if (found < 0).any():
            raise MustTellError("a colour of no class")
        return found
    if binary:
        return number_names((values != 0).astype(np.uint8), classes.names)
    wrong = {*np.unique(values).tolist()} - {*range(len(classes.names)), *classes.void_values, 255}
    if wrong:
        raise MustTellError(f"values of no class {sorted(wrong)[:5]}")
    return number_names(np.where(np.isin(values, classes.void_values), 255, values).astype(np.uint8), classes.names)


def read_folder(root: Path, classes: Classes | None) -> list[Truth]:
    labels = sorted((root / "labels" if (root / "labels").is_dir() else root / "masks").iterdir())
    images = [next((root / "images").glob(f"{label.stem}.*")) for label in labels]
    return pair_up(images, read_masks(labels, classes))


def pair_up(images: Sequence[Path], maps: Sequence[Array]) -> list[Truth]:
    truths = [(read_images(image), names) for image, names in zip(images, maps, strict=True)]
    if any(choices[0].shape[:2] != names.shape for choices, names in truths):
        raise MustTellError("image and label map differ in size")
    return truths


def read_list_files(root: Path) -> list[Truth]:
    pairs = []
    for line in _text_lines(root / "train.txt"):
        if not line.strip() or line.strip()[0] == "#":
            continue
        words = (
            [word for word in line.split("\t") if word.strip()]
            if "\t" in line
            else re.findall(r'"[^"]*"|[^"\s]+', line)
        )
        words = [word.strip().strip('"') for word in words]
        if len(words) != 2 or not all((root / word).is_file() for word in words):
            raise MustTellError(f"the line {line!r}")
        pairs.append((root / words[0], root / words[1]))
    if len({image for image, _ in pairs}) < len(pairs):
        raise MustTellError("an image twice")
    return pair_up([image for image, _ in pairs], read_masks([mask for _, mask in pairs], None))


def _text_lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJudgedError(str(error)) from None
    if re.search(r"[\0\v\f\x1c-\x1e\x85\u2028\u2029]", text):
        raise NotJudgedError("a control character")
    return text.splitlines()


def read_voc(root: Path) -> list[Truth]:
    images = {path.stem: path for path in (root / "JPEGImages").iterdir()}
    names = []
    for line in map(str.strip, _text_lines(root / "ImageSets/Segmentation/train.txt")):
        if line.startswith("#"):
            continue
        line = line.strip('"') if line.strip('"') in images else line
        name = line if line in images else re.sub(r"\s+-?[01]$", "", line)
        if line and name not in images:
            raise MustTellError(f"the line {line!r}")
        names += [name] if line and name not in names else []
    masks = [root / f"SegmentationClass/{name}.png" for name in names]
    palettes = [stored_values(mask)[2][: len(VOC_COLOURS)] for mask in masks]
    assert all(tuple(palette) == VOC_COLOURS for palette in palettes)
    return pair_up([images[name] for name in names], read_masks(masks, Classes(tuple(VOC_NAMES))))


def read_mats(root: Path) -> list[Truth]:
    images, maps = [], []
    for file in sorted((root / "cls").iterdir()):
        values = _load_mat(file)
        if values.ndim != 2 or values.dtype != np.uint8 or {*np.unique(values).tolist()} - {*range(21), 255}:
            raise MustTellError("no label map of VOC")
        maps.append(number_names(values, VOC_NAMES))
        images.append(root / f"img/{file.stem}.jpg")
    return pair_up(images, maps)


def _load_mat(file: Path) -> Array:
    """Return what SciPy reads, in a process of its own: some damage ends it."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException), os.fdopen(theirs, "wb") as answer:
            pickle.dump(np.array(loadmat(file)["GTcls"]["Segmentation"][0, 0]), answer)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    try:
        return np.asarray(pickle.loads(data))
    except Exception as error:
        raise NotJudgedError(f"SciPy does not read it ({error})") from None
