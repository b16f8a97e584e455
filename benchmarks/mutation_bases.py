"""The inputs that are damaged: tiny data sets in every format, of known images and label maps, as files in memory.

Nothing of globalconv writes them: Pillow, json and SciPy do.
"""

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features
from scipy.io import savemat

Array = NDArray[Any]

WIDTH, HEIGHT = 24, 16
NAMES = ("a", "b", "c")

COLOURS = ((128, 64, 128), (0, 128, 0), (64, 0, 128), (224, 224, 192))
"""Colours of three classes and void."""

VOC_COLOURS = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))


@dataclass(frozen=True)
class Base:
    """A data set and the files of it that are damaged, one at a time."""

    reader: str
    name: str
    files: Mapping[str, bytes]
    targets: tuple[str, ...]


def photo(seed: int) -> Array:
    """Return an image (H, W, 3) unlike every other one."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (4, 6, 3), np.uint8).repeat(4, axis=0).repeat(4, axis=1)


def label_map(seed: int, classes: int = 3, void: bool = True) -> Array:
    """Return a label map (H, W) of boxes, in which every class occurs."""
    rng = np.random.default_rng(100 + seed)
    blocks = rng.integers(0, classes, (4, 6)).astype(np.uint8)
    blocks.flat[:classes] = rng.permutation(classes)
    found = blocks.repeat(4, axis=0).repeat(4, axis=1)
    if void:
        found[-2:, -3:] = 255
    return found


def encode(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def indexed(values: Array, colours: tuple[tuple[int, int, int], ...]) -> Image.Image:
    """Return a palette image of `values`; void has the last of the colours at its own index, 255."""
    image = Image.fromarray(values)
    image.putpalette([channel for colour in (*colours, *[(9, 9, 9)] * (256 - len(colours))) for channel in colour])
    return image


def deep_png(values: Array, bits: int, kind: int) -> bytes:
    """Return a PNG of 16, 4 or 2 bits, which Pillow does not write: grey (`kind` 0) or RGB (`kind` 2)."""
    rows = values.reshape(HEIGHT, -1)
    if bits == 16:
        packed = rows.astype(">u2").view(np.uint8).reshape(HEIGHT, -1)
    else:
        packed = np.packbits(((rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1).reshape(HEIGHT, -1), axis=1)
    pixels = zlib.compress(np.insert(packed, 0, 0, axis=1).tobytes())  # no filter
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def bases() -> list[Base]:
    """Return all data sets."""
    return [
        *_image_bases(), *_mask_bases(), *_class_list_bases(), *_list_bases(), _coco_base(False), _coco_base(True),
        _labelme_base(), _cvat_base(), *_mat_bases(),
    ]  # fmt: skip


def _png(array: Array) -> bytes:
    return encode(Image.fromarray(array), "PNG")


def _image_bases() -> list[Base]:
    greys = [photo(seed)[..., 0] for seed in (1, 2)]
    deep = [grey.astype(np.uint16) * 257 for grey in greys]
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: dict[str, tuple[str, str, list[Any], dict[str, Any]]] = {
        "png-rgb": ("png", "RGB", [], {}), "png-grey": ("png", "L", [], {}), "png-palette": ("png", "P", [], {}),
        "png-bits": ("png", "1", [], {}), "png-rgba": ("png", "RGBA", [], {}),
        "png-exif": ("png", "RGB", [], {"exif": exif}),
        "png-16": ("png", "", [Image.fromarray(d) for d in deep], {}), "jpeg": ("jpg", "RGB", [], {}),
        "jpeg-grey": ("jpg", "L", [], {}), "jpeg-cmyk": ("jpg", "CMYK", [], {}),
        "jpeg-exif": ("jpg", "RGB", [], {"exif": exif}),
        "jpeg-progressive": ("jpg", "RGB", [], {"progressive": True}), "bmp": ("bmp", "RGB", [], {}),
        "bmp-palette": ("bmp", "P", [], {}), "gif": ("gif", "P", [], {}),
        "gif-transparent": ("gif", "P", [], {"transparency": 3}),
        "webp": ("webp", "RGB", [], {}), "webp-lossless": ("webp", "RGBA", [], {"lossless": True}),
        "ppm": ("ppm", "RGB", [], {}),
        "pgm": ("pgm", "L", [], {}), "tiff": ("tif", "RGB", [], {}),
        "tiff-lzw": ("tif", "RGB", [], {"compression": "tiff_lzw"}),
        "tiff-deflate": ("tif", "RGB", [], {"compression": "tiff_adobe_deflate"}), "tiff-grey": ("tif", "L", [], {}),
        "tiff-jpeg": ("tif", "RGB", [], {"compression": "jpeg"}), "tiff-rgba": ("tif", "RGBA", [], {}),
        "tiff-16": ("tif", "", [Image.fromarray(d) for d in deep], {}),
        "tiff-packbits": ("tif", "P", [], {"compression": "packbits"}),
        "tiff-float": ("tif", "", [Image.fromarray(g.astype(np.float32) / 255) for g in greys], {}),
        "tiff-g4": ("tif", "1", [], {"compression": "group4"}), "jpeg-2000": ("jp2", "RGB", [], {}),
        "tga": ("tga", "RGB", [], {"compression": "tga_rle"}), "avif": ("avif", "RGB", [], {}),
        "pcx": ("pcx", "RGB", [], {}), "dib": ("dib", "RGB", [], {}),
    }  # fmt: skip
    found = []
    for name, (suffix, mode, images, options) in variants.items():
        if not features.check({"jp2": "jpg_2000", "avif": "avif", "webp": "webp"}.get(suffix, "zlib")):
            continue
        images = images or [Image.fromarray(photo(seed)).convert(mode) for seed in (1, 2)]
        form = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
        if mode == "RGBA":
            for image in images:
                image.putalpha(Image.fromarray(label_map(3, 2) * 255))
        files = {f"images/{n}.{suffix}": encode(i, form, **options) for n, i in zip(NAMES, images, strict=False)}
        turned = options.get("exif") is not None
        masks = {f"labels/{n}.png": _png(label_map(3).T if turned else label_map(3)) for n in NAMES[:2]}
        found.append(Base("images", name, {**files, **masks, **_named()}, tuple(files)))
    deep_colours = [photo(seed).astype(np.uint16) * 257 for seed in (1, 2)]
    files = {f"images/{name}.png": deep_png(values, 16, 2) for name, values in zip(NAMES, deep_colours, strict=False)}
    masks = {f"labels/{name}.png": _png(label_map(3)) for name in NAMES[:2]}
    return [*found, Base("images", "png-rgb-16", {**files, **masks, **_named()}, tuple(files))]


def _named() -> dict[str, bytes]:
    return {"classes.json": json.dumps(["road", "tree", "sky"]).encode()}


def _photos(folder: str = "images/") -> dict[str, bytes]:
    return {f"{folder}{name}.png": _png(photo(seed)) for seed, name in enumerate(NAMES)}


def _mask_bases() -> list[Base]:
    named, colours = (
        _named(),
        {"classes.csv": b"name,red,green,blue\nroad,128,64,128\ntree,0,128,0\nsky,64,0,128\nvoid,224,224,192\n"},
    )
    maps = [label_map(seed) for seed in range(3)]
    small = [label_map(seed, 2, void=False) for seed in range(3)]
    table = np.zeros((256, 3), np.uint8)
    table[[0, 1, 2, 255]] = COLOURS
    swapped = {0: 2, 1: 0, 2: 1, 255: 3}

    def permuted(values: Array) -> Image.Image:
        stored = np.vectorize(swapped.__getitem__)(values).astype(np.uint8)
        return indexed(stored, (COLOURS[1], COLOURS[2], COLOURS[0], COLOURS[3]))

    grey = [Image.fromarray(values) for values in maps]
    palette = [indexed(values, COLOURS[:3]) for values in maps]
    rgb = [Image.fromarray(table[values]) for values in maps]
    binary = [Image.fromarray(values * 255) for values in small]
    variants: dict[str, tuple[str, list[Image.Image], dict[str, bytes], dict[str, Any]]] = {
        "grey": ("png", grey, named, {}), "grey-unnamed": ("png", grey, {}, {}), "palette": ("png", palette, named, {}),
        "palette-unnamed": ("png", palette, {}, {}),
        "palette-2-bits": ("png", [indexed(m, COLOURS[:2]) for m in small], {}, {"bits": 2}),
        "1-bit": ("png", [Image.fromarray(values == 1) for values in small], {}, {}),
        "16-bits": ("png", [Image.fromarray(values.astype(np.uint16)) for values in maps], named, {}),
        "binary": ("png", binary, {}, {}), "binary-named": ("png", binary, {"classes.json": b'["no", "yes"]'}, {}),
        "colours": ("png", rgb, colours, {}), "colours-bmp": ("bmp", rgb, colours, {}),
        "colours-tiff": ("tif", rgb, colours, {"compression": "tiff_lzw"}),
        "colours-permuted": ("png", [permuted(m) for m in maps], colours, {}),
        "colours-webp": ("webp", rgb, colours, {"lossless": True}), "tiff": ("tif", grey, named, {}),
        "tiff-lzw": ("tif", grey, named, {"compression": "tiff_lzw"}),
        "tiff-deflate": ("tif", grey, named, {"compression": "tiff_deflate"}),
        "tiff-palette": ("tif", palette, named, {}), "bmp": ("bmp", grey, named, {}),
        "gif": ("gif", palette, named, {"optimize": False}),
        "pgm": ("pgm", grey, named, {}),
        "tiff-16": ("tif", [Image.fromarray(v.astype(np.uint16)) for v in maps], named, {}),
    }  # fmt: skip
    found = []
    for name, (suffix, images, listed, options) in variants.items():
        form = {"tif": "TIFF", "pgm": "PPM"}.get(suffix, suffix.upper())
        files = {f"masks/{n}.{suffix}": encode(i, form, **options) for n, i in zip(NAMES, images, strict=True)}
        found.append(Base("masks", name, {**_photos(), **files, **listed}, tuple(files)))
    for bits in (2, 4):
        listed = named if bits == 4 else {}
        files = {f"masks/{n}.png": deep_png(label_map(k, void=False), bits, 0) for k, n in enumerate(NAMES)}
        found.append(Base("masks", f"{bits}-bit greys", {**_photos(), **files, **listed}, tuple(files)))
    return found


def _class_list_bases() -> list[Base]:
    masks = {f"masks/{name}.png": _png(label_map(seed)) for seed, name in enumerate(NAMES)}
    table = np.zeros((256, 3), np.uint8)
    table[[0, 1, 2, 255]] = COLOURS
    coloured = {f"masks/{name}.png": _png(table[label_map(seed)]) for seed, name in enumerate(NAMES)}
    names = ("road", "tree", "sky", "void")
    indices = (0, 1, 2, 255)
    objects = [{"name": n, "index": i, "color": list(c)} for n, i, c in zip(names, indices, COLOURS, strict=True)]
    csv = "name,index,red,green,blue\n" + "".join(
        f"{n},{i},{c[0]},{c[1]},{c[2]}\n" for n, i, c in zip(names, indices, COLOURS, strict=True)
    )
    semicolons = "name;index\nsky;2\nroad;0\ntree;1\n"
    cvat = "# label:color_rgb:parts:actions\n" + "".join(
        f"{n}:{c[0]},{c[1]},{c[2]}::\n" for n, c in zip(names, COLOURS, strict=True)
    )
    variants = {
        "json-names": ("classes.json", json.dumps(names[:3]), masks),
        "json": ("classes.json", json.dumps(objects), coloured),
        "json-indices": ("classes.json", json.dumps({"classes": objects}), masks),
        "csv": ("classes.csv", csv, coloured), "csv-indices": ("classes.csv", csv, masks),
        "csv-semicolons": ("classes.csv", semicolons, masks), "labelmap": ("labelmap.txt", cvat, coloured),
        "labelme": ("class_names.txt", "__ignore__\nroad\ntree\nsky\n", masks),
    }  # fmt: skip
    return [
        Base("class lists", name, {**_photos(), **maps, file: text.encode()}, (file,))
        for name, (file, text, maps) in variants.items()
    ]


def _list_bases() -> list[Base]:
    lines = "".join(f"img/{name}.png lab/{name}.png\n" for name in NAMES)
    masks = {f"lab/{name}.png": _png(label_map(seed)) for seed, name in enumerate(NAMES)}
    listed = Base("list files", "list", {**_photos("img/"), **masks, "train.txt": lines.encode()}, ("train.txt",))
    spaced = "".join(f'"img/{name} 1.png"\tlab/{name}.png\n' for name in NAMES)
    images = {file.replace(".png", " 1.png"): data for file, data in _photos("img/").items()}
    quoted = Base("list files", "tabs", {**images, **masks, "train.txt": spaced.encode()}, ("train.txt",))
    colours = (*VOC_COLOURS, *[(9, 9, 9)] * 252)
    full = tuple(_voc_colour(index) for index in range(256))
    assert full[: len(VOC_COLOURS)] == VOC_COLOURS and len(colours) == 256
    names = ("2007_1", "scan 1", "scan", "x.y-1")
    voc = {f"JPEGImages/{name}.png": _png(photo(seed)) for seed, name in enumerate(names)}
    voc |= {
        f"SegmentationClass/{name}.png": encode(indexed(label_map(seed), full), "PNG")
        for seed, name in enumerate(names)
    }
    voc["ImageSets/Segmentation/train.txt"] = "".join(f"{name}\n" for name in names).encode()
    return [listed, quoted, Base("VOC lists", "voc", voc, ("ImageSets/Segmentation/train.txt",))]


def _voc_colour(index: int) -> tuple[int, int, int]:
    red, green, blue = (
        sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)
    )
    return red, green, blue


def _run_lengths(mask: Array) -> list[int]:
    """Return COCO's run lengths: column by column, zeros first."""
    flat = mask.T.ravel().astype(int)
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]
    return [*([0] if flat[0] else []), *(int(n) for n in np.diff(edges))]


def _compress(lengths: list[int]) -> str:
    """Return run lengths as COCO compresses them: six bits a character, from the third on as differences."""
    text = ""
    for place, length in enumerate(lengths):
        value, more = length - (lengths[place - 2] if place > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 if more else bits))
    return text


def _coco_base(strings: bool) -> Base:
    region = np.zeros((HEIGHT, WIDTH), np.uint8)
    region[3:9, 5:20] = 1
    runs = _run_lengths(region)
    ids = {name: f"img_{name}" if strings else 7 - seed for seed, name in enumerate(NAMES)}
    box = [4, 3, 12, 3, 12, 10, 4, 10]
    objects: list[tuple[str, int, Any, int]] = [
        ("a", 30, [box], 0), ("a", 5, [[8.0, 6.0, 20.0, 6.0, 8.0, 14.0]], 0),
        ("b", 5, {"size": [HEIGHT, WIDTH], "counts": runs}, 1), ("b", 30, [box, [14, 2, 20, 2, 20, 6, 14, 6]], 0),
        ("c", 9, {"size": [HEIGHT, WIDTH], "counts": _compress(runs)}, 0),
    ]  # fmt: skip
    content = {
        "images": [
            {"id": ids[name], "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT} for name in NAMES
        ],
        "categories": [{"id": 30, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "cow",
        "supercategory": "x"}],
        "annotations": [
            {"id": n, "image_id": ids[name], "category_id": category, "segmentation": outline, "iscrowd": crowd,
             "area": 50, "bbox": [4, 3, 8, 7]}
            for n, (name, category, outline, crowd) in enumerate(objects)
        ],
    }  # fmt: skip
    file = "annotations/instances_default.json"
    return Base("COCO", "strings" if strings else "numbers", {**_photos(), file: json.dumps(content).encode()}, (file,))


def _labelme_base() -> Base:
    mask = base64.b64encode(_png(np.full((5, 7), 255, np.uint8))).decode()
    shapes = {
        "a": [
            {"label": "cat", "shape_type": "polygon", "points": [[4, 3], [12, 3], [12, 10], [4, 10]]},
            {"label": "dog", "shape_type": "rectangle", "points": [[8.2, 5.7], [19.0, 12.0]]},
        ],
        "b": [
            {"label": "cow", "shape_type": "circle", "points": [[10, 8], [13, 10]]},
            {"label": "cat", "shape_type": "mask", "points": [[3, 4], [9, 8]], "mask": mask},
            {"label": "__ignore__", "shape_type": "polygon", "points": [[0, 0], [4, 0], [0, 4]]},
        ],
        "c": [
            {"label": "dog", "shape_type": "linestrip", "points": [[1, 1], [20, 1], [20, 9]]},
            {"label": "cow", "shape_type": "point", "points": [[15, 12]]},
            {"label": "cat", "shape_type": "line", "points": [[2, 14], [12, 14]]},
        ],
    }  # fmt: skip
    extra: dict[str, Any] = {"group_id": None, "flags": {}, "description": ""}
    files = {
        f"{name}.json": json.dumps(
            {"version": "5.5.0", "flags": {}, "shapes": [{**shape, **extra} for shape in drawn],
            "imagePath": f"{name}.png",
             "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        ).encode()
        for name, drawn in shapes.items()
    }  # fmt: skip
    return Base("labelme", "labelme", {**_photos(""), **files}, tuple(files))


def _cvat_base() -> Base:
    text = """<annotations><version>1.1</version>
<meta><task><labels><label><name>cat</name></label><label><name>dog</name></label><label><name>cow</name></label></labels>
</task></meta>
<image id="0" name="a.png" width="24" height="16">
<box label="cat" xtl="4.00" ytl="3.00" xbr="12.00" ybr="10.00" occluded="0" z_order="0"></box>
<polygon label="dog" points="8.00,6.00;20.00,6.00;8.00,14.00" z_order="1"></polygon></image>
<image id="1" name="b.png" width="24" height="16">
<mask label="cow" rle="2,5,2,3,9" left="5" top="3" width="7" height="3" z_order="2"></mask>
<box label="dog" xtl="1.00" ytl="1.00" xbr="12.00" ybr="10.00" z_order="0"></box></image>
<image id="2" name="c.png" width="24" height="16">
<polyline label="cow" points="1.00,1.00;20.00,1.00;20.00,9.00" z_order="0"></polyline>
<points label="cat" points="15.00,12.00" z_order="0"></points></image>
</annotations>"""
    return Base("CVAT", "cvat", {**_photos("images/"), "annotations.xml": text.encode()}, ("annotations.xml",))


def _mat_bases() -> list[Base]:
    found = []
    for compressed in (False, True):
        files = {file.replace(".png", ".jpg"): data for file, data in _photos("img/").items()}
        for seed, name in enumerate(NAMES):
            stream = io.BytesIO()
            fields = {"Segmentation": label_map(seed, void=False), "CategoriesPresent": np.array([[1], [2]], np.uint8)}
            savemat(stream, {"GTcls": fields}, do_compression=compressed)
            files[f"cls/{name}.mat"] = stream.getvalue()
        files["train.txt"] = "".join(f"{name}\n" for name in NAMES).encode()
        targets = tuple(file for file in files if file.endswith(".mat"))
        found.append(Base(".mat", "compressed" if compressed else "plain", files, targets))
    return found
