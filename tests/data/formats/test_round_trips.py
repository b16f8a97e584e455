"""Known label maps written in every format, as hostile as real tools write them: read right, refused, or told of.

Nobody who brings such data may get another label map without a word. What a draw does not excuse must be read exactly.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.known_maps import (
    FILE_NAMES,
    FORMS,
    Draw,
    Known,
    Names,
    empty_folder,
    form,
    named,
    pick,
    values,
    verify,
    write_photo,
    write_png,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

CLASSES = ("road", "Baum", "traffic light", "été")
COLOURS = ((128, 64, 128), (0, 128, 0), (64, 0, 128), (7, 8, 9))
VOID_COLOUR = (224, 224, 192)
VOC_COLOURS = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
VOC_VOID = (224, 224, 192)

Colour = tuple[int, int, int]


def save_index(draw: Draw, path: Path, stored: NDArray[np.uint8]) -> None:
    """Write a mask of indices in one of the ways that keep them: none of these may change a value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(stored)
    match pick(draw, "mask", "png", "png-16", "tiff", "tiff-16", "bmp", "pgm", "gif", "png-palette"):
        case "png":
            image.save(f"{path}.png")
        case "png-16":
            write_png(Path(f"{path}.png"), stored, 16)
        case "tiff":
            compression = pick(draw, "compression", None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd")
            image.save(f"{path}.tif", compression=compression)
        case "tiff-16":
            Image.fromarray(stored.astype(np.uint16)).save(f"{path}.TIFF")
        case "bmp":
            image.save(f"{path}.bmp")
        case "pgm":
            image.save(f"{path}.pgm")
        case kind:
            image.putpalette([channel for value in range(256) for channel in (value, 255 - value, 9)])
            if kind == "gif":
                image.save(f"{path}.gif", optimize=False)
            else:
                image.save(f"{path}.PNG")


def save_colours(
    draw: Draw, path: Path, stored: NDArray[np.uint8], colours: Mapping[int, Colour], kinds: Sequence[str]
) -> None:
    """Write a mask whose values are shown in `colours`: as RGB, or with a palette in an order of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros((256, 3), np.uint8)
    for value, colour in colours.items():
        table[value] = colour
    rgb = Image.fromarray(table[stored])
    match pick(draw, "mask", *kinds):
        case "png":
            rgb.save(f"{path}.png")
        case "bmp":
            rgb.save(f"{path}.BMP")
        case "tiff":
            rgb.save(f"{path}.tiff", compression=pick(draw, "compression", None, "tiff_lzw", "tiff_adobe_deflate"))
        case "webp":
            rgb.save(f"{path}.webp", lossless=True)
        case "quantized":  # in an order that depends on the image
            rgb.quantize(len(colours) + 1, kmeans=0, dither=Image.Dither.NONE).save(f"{path}.png")
        case _:
            order = draw(st.permutations(sorted(colours)), label="palette")
            back = np.zeros(256, np.uint8)
            back[order] = range(len(order))
            image = Image.fromarray(back[stored])
            image.putpalette([channel for value in order for channel in colours[value]])
            image.save(f"{path}.png")


def write_class_list(
    draw: Draw, root: Path, names: Sequence[str], colours: Sequence[Colour], void: Colour | None
) -> None:
    """Write a class list in one of its forms, its lines in any order where they are numbered."""
    entries: list[tuple[str, int, Colour | None]] = [
        (name, index, colours[index] if colours else None) for index, name in enumerate(names)
    ]
    entries += [("void", 255, void)] if colours and void else []
    order = draw(st.permutations(range(len(entries))), label="order of the list")
    kind = pick(draw, "class list", "json", "json-object", "csv", "csv-semicolon", "labelmap" if colours else "names")
    shuffled = [entries[place] for place in order]
    match kind:
        case "json" | "json-object":
            listed: list[dict[str, Any]] = [
                {"name": name, "index": index, **({"color": list(colour)} if colour else {})}
                for name, index, colour in shuffled
            ]
            content = listed if kind == "json" else {"classes": listed}
            (root / "classes.json").write_text(json.dumps(content, ensure_ascii=pick(draw, "ascii", True, False)))
        case "csv" | "csv-semicolon":
            with (root / "classes.csv").open(
                "w", encoding=pick(draw, "coding", "utf-8", "utf-8-sig"), newline=""
            ) as file:
                writer = csv.writer(file, delimiter="," if kind == "csv" else ";")
                writer.writerow(["name", "index", *(["red", "green", "blue"] if colours else [])])
                writer.writerows([name, index, *(colour or ())] for name, index, colour in shuffled)
        case "labelmap":
            lines = [f"{name}:{','.join(map(str, colour or ()))}::\n" for name, _, colour in entries]
            (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "".join(lines))
        case _:
            (root / "classes.json").write_text(json.dumps(list(names)))


def photos(root: Path, folder: str, names: Sequence[str], suffix: str = ".png") -> None:
    for number, name in enumerate(names):
        write_photo(root / folder / f"{name}{suffix}", number)


@given(st.data())
def test_folders_of_indices(data: st.DataObject) -> None:
    draw = data.draw
    count, listed = draw(st.integers(2, 4)), pick(draw, "listed", True, False)
    names = CLASSES[:count] if listed else tuple(f"class {index}" for index in range(count))
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        for number, name in enumerate(draw(FILE_NAMES)):
            write_photo(root / "images" / f"{form(name, draw(FORMS))}.{pick(draw, 'suffix', 'png', 'PNG')}", number)
            stored = values(number, count)
            save_index(draw, root / "masks" / form(name, draw(FORMS)), stored)
            maps[number] = named(stored, dict(enumerate(names)))
        if pick(draw, "junk", False, True):
            (root / "masks/._a.png").write_bytes(b"\0\5\26\7")
            (root / "images/.DS_Store").write_bytes(b"\0")
        if listed:
            write_class_list(draw, root, names, (), None)
        verify(root, Known(maps))


@given(st.data())
def test_folders_of_colours(data: st.DataObject) -> None:
    draw = data.draw
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        photos(root, "images", names := draw(FILE_NAMES))
        kinds = ["png", "bmp", "tiff", "webp", "quantized", "permuted"]
        colours = {**dict(enumerate(COLOURS)), 255: VOID_COLOUR}
        for number, name in enumerate(names):
            stored = values(number, len(COLOURS))
            save_colours(draw, root / "masks" / name, stored, colours, kinds)
            maps[number] = named(stored, dict(enumerate(CLASSES)))
        write_class_list(draw, root, CLASSES, COLOURS, VOID_COLOUR)
        verify(root, Known(maps))


@given(st.data())
def test_palettes_of_their_own_where_no_colour_is_declared(data: st.DataObject) -> None:
    """What a drawing program or an optimiser makes of palette masks: only the colours say the class."""
    draw = data.draw
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        photos(root, "images", names := draw(FILE_NAMES))
        listed = pick(draw, "listed", True, False)
        classes = CLASSES if listed else [f"class {index}" for index in range(len(CLASSES))]
        for number, name in enumerate(names):
            stored = values(number, len(COLOURS), void=False)
            kinds = ["permuted", "quantized"]
            save_colours(draw, root / "masks" / name, stored, dict(enumerate(COLOURS)), kinds)
            maps[number] = named(stored, dict(enumerate(classes)))
        if len({tuple(palette_of(root / f"masks/{name}.png")) for name in names}) == 1:  # then indices say it as well
            for number, name in enumerate(names):
                with Image.open(root / f"masks/{name}.png") as image:
                    maps[number] = named(np.asarray(image), dict(enumerate(classes)))
        if listed:
            write_class_list(draw, root, CLASSES, (), None)
        verify(root, Known(maps, must_read=False))


def palette_of(path: Path) -> list[int]:
    with Image.open(path) as image:
        return (image.getpalette() or [])[: 3 * len(COLOURS)]


@given(st.data())
def test_masks_of_two_classes(data: st.DataObject) -> None:
    """0 and 255, or 0 and 1, or some of each: never void where somebody drew a foreground."""
    draw = data.draw
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        photos(root, "images", names := draw(FILE_NAMES))
        listed = pick(draw, "listed", False, True)
        classes = ("nothing", "tumour") if listed else ("background", "foreground")
        ons = [pick(draw, "on", 255, 1, 254, 128) for _ in names]
        for number, (name, on) in enumerate(zip(names, ons, strict=True)):
            stored = values(number, 2, void=False)
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(stored * np.uint8(on)).save(root / f"masks/{name}.png")
            plain = "class 0", "class 1"
            maps[number] = named(stored, dict(enumerate(classes if listed or set(ons) == {255} else plain)))
        if listed:
            write_class_list(draw, root, classes, (), None)
        verify(root, Known(maps, must_read=set(ons) in ({255}, {1})))


@given(st.data())
def test_greys_of_few_bits(data: st.DataObject) -> None:
    """A PNG of 1, 2 or 4 bits holds indices as any other does, whatever a viewer scales them to."""
    draw = data.draw
    bits = pick(draw, "bits", 1, 2, 4)
    count = 2 if bits == 1 else draw(st.integers(2, 4))
    with empty_folder() as root:
        maps: dict[int, Names] = {}
        photos(root, "images", names := draw(FILE_NAMES))
        listed = pick(draw, "listed", False, True)
        classes = CLASSES if listed else [f"class {index}" for index in range(4)]
        for number, name in enumerate(names):
            stored = values(number, count, void=False)
            write_png(root / f"masks/{name}.png", stored, pick(draw, "depth", bits, 8))
            maps[number] = named(stored, dict(enumerate(classes)))
        if listed:
            write_class_list(draw, root, CLASSES[:count], (), None)
        verify(root, Known(maps, must_read=False))


@given(st.data())
def test_voc(data: st.DataObject) -> None:
    draw = data.draw
    own = pick(draw, "palette", "VOC's", "optimised", "permuted")
    with empty_folder() as root:
        maps: dict[int, NDArray[Any]] = {}
        names = draw(FILE_NAMES)
        colours = {**dict(enumerate(VOC_COLOURS)), 255: VOC_VOID}
        for number, name in enumerate(names):
            write_photo(root / "JPEGImages" / f"{form(name, draw(FORMS))}.png", number)
            stored, mask = (
                values(number, 4),
                root / "SegmentationClass" / form(name, draw(FORMS)),
            )
            maps[number] = stored
            if own == "VOC's":
                mask.parent.mkdir(exist_ok=True)
                image = Image.fromarray(stored)
                full = {**dict.fromkeys(range(256), (0, 0, 0)), **{v: voc_colour(v) for v in range(255)}, 255: VOC_VOID}
                image.putpalette([channel for value in range(256) for channel in full[value]])
                image.save(f"{mask}.png")
            else:
                kinds = ["quantized"] if own == "optimised" else ["permuted"]
                save_colours(draw, mask, stored, colours, kinds)
        if pick(draw, "lists", True, False):
            lists = root / "ImageSets/Segmentation"
            lists.mkdir(parents=True)
            ends = pick(draw, "line ends", "\n", "\r\n", " \n")
            lines = [f"{form(name, draw(FORMS))}{ends}" for name in names]
            coding = pick(draw, "coding", "utf-8", "utf-8-sig")
            (lists / "train.txt").write_text("".join(lines), encoding=coding, newline="")
        verify(root, Known(maps, must_read=own == "VOC's"))


def voc_colour(value: int) -> Colour:
    red, green, blue = (sum((value >> (3 * b + c) & 1) << (7 - b) for b in range(8)) for c in range(3))
    return red, green, blue


@given(st.data())
def test_sbd(data: st.DataObject) -> None:
    draw = data.draw
    with empty_folder() as root:
        maps: dict[int, NDArray[Any]] = {}
        names = [name.replace(" ", "_") for name in draw(FILE_NAMES)]
        kinds = []
        for number, name in enumerate(names):
            write_photo(root / "img" / f"{form(name, draw(FORMS))}.jpg", number)
            maps[number] = values(number, 21, void=False)
            stored = maps[number]
            kinds.append(pick(draw, "kind", "uint8", "uint8", "column-major", "int16", "transposed"))
            match kinds[-1]:
                case "column-major":
                    stored = np.asfortranarray(stored)
                case "int16":
                    stored = stored.astype(np.int16)
                case "transposed":
                    stored = stored.T
            (root / "cls").mkdir(exist_ok=True)
            fields = {"GTcls": {"Segmentation": stored, "CategoriesPresent": np.array([[1]])}}
            savemat(
                root / "cls" / f"{form(name, draw(FORMS))}.mat", fields, do_compression=pick(draw, "zip", True, False)
            )
        (root / "train.txt").write_text("".join(f"{form(name, draw(FORMS))}\n" for name in names))
        verify(root, Known(maps, must_read={*kinds} <= {"uint8", "column-major"}))


@given(st.data())
def test_list_files(data: st.DataObject) -> None:
    draw = data.draw
    camvid = pick(draw, "CamVid", False, True)
    labels = "trainannot" if camvid else "lab"
    with empty_folder() as root:
        maps: dict[int, NDArray[Any]] = {}
        lines = []
        mark = pick(draw, "mark", "tab", "quotes")
        for number, name in enumerate(draw(FILE_NAMES)):
            write_photo(root / "img" / f"{form(name, draw(FORMS))}.png", number)
            maps[number] = values(number, 11 if camvid else 3)
            (root / labels).mkdir(exist_ok=True)
            Image.fromarray(maps[number]).save(root / labels / f"{form(name, draw(FORMS))}.png")
            words = [f"{folder}/{form(name, draw(FORMS))}.png" for folder in ("img", labels)]
            words = [f"{pick(draw, 'start', '', './')}{word}" for word in words]
            lines.append("\t".join(words) if mark == "tab" else " ".join(f'"{word}"' for word in words))
        ends = pick(draw, "line ends", "\n", "\r\n")
        (root / "train.txt").write_text(ends.join(["# images and labels", *lines, ""]), newline="")
        verify(root, Known(maps))


@given(st.data())
def test_cityscapes(data: st.DataObject) -> None:
    draw = data.draw
    ids = {7: 0, 8: 1, 11: 2, 21: 8, 23: 10, 26: 13, 33: 18, 0: 255, 1: 255, 4: 255, 34: None}
    with empty_folder() as root:
        maps: dict[int, NDArray[Any]] = {}
        hostile = pick(draw, "hostile", False, True)
        chosen = [7, 23, 26, 33, 0, 4, 11, *([34] if hostile else [])]
        for number in range(3):
            frame = f"ulm_00000{number}_000019"
            write_photo(root / f"leftImg8bit/train/ulm/{frame}_leftImg8bit.png", number)
            stored = np.array(chosen, np.uint8)[values(number, len(chosen), void=False)]
            (root / "gtFine/train/ulm").mkdir(parents=True, exist_ok=True)
            for what in ("labelIds", "instanceIds", "labelTrainIds"):
                instance = stored.astype(np.uint16) * 1000 if what == "instanceIds" else stored
                Image.fromarray(instance).save(root / f"gtFine/train/ulm/{frame}_gtFine_{what}.png")
            maps[number] = np.vectorize(lambda value: ids[value] if ids[value] is not None else 255)(stored)
        verify(root, Known(maps, must_read=not hostile))
