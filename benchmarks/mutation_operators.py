"""How an input is damaged: its bytes; values, keys and order of JSON, XML and lists; chunks of PNG, tags of TIFF.

Every function takes a generator of random numbers and the file's bytes, and returns other bytes. Structured ones keep
the file well formed (checksums are made anew), so that what they change reaches the readers.
"""

import copy
import json
import random
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

Operator = Callable[[random.Random, bytes], bytes]

SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, 2, 3, 7, -1, 255, 256, 65535, 65536, 2**31, 2**40, 10**30, 0.5, 1.0, -3.75, 23.999, 1e-9,
    1e9, 1e300, float("nan"), float("inf"),
    "", " ", "0", "1", "1.0", "-1", "01", "a", "A", "é", "e\u0301", "cat", "Cat",
    "cat ", " dog", "void", "background", "_background_", "__ignore__", "../a.png", "C:\\data\\a.png", "b.png", "B.PNG",
    "a%20b.png", "polygon", "rectangle", "circle", "mask", "nan", "\u202e", "\x1b[31m", "x" * 3000, [], {}, [1], [[]],
    [[1, 2], [3, 4]], {"a": 1},
)  # fmt: skip
"""What stands in place of a value: odd numbers, strings that are nearly right, other kinds."""

NUMBERS = (0, 1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 24, 32, 64, 127, 128, 254, 255, 256, 1000, 4095, 32767, 65535)


def mutate(rng: random.Random, name: str, data: bytes) -> bytes:
    """Return `data`, the content of the file `name`, damaged once to three times."""
    structured = _STRUCTURED.get(PurePath(name).suffix.lower())
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        operator = structured if structured is not None and rng.random() < 0.7 else rng.choice(_BYTES)
        try:
            data = operator(rng, data)
        except Exception:  # not well formed any more, in one way of very many
            data = rng.choice(_BYTES)(rng, data)
    return data


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_bytes(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4))):
        changed[rng.randrange(min(len(changed), rng.choice((64, 512, 1 << 20))))] = rng.choice(
            (0, 1, 2, 127, 128, 254, 255, rng.randrange(256))
        )
    return bytes(changed)


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(rng: random.Random, data: bytes) -> bytes:
    start, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[start : min(end, start + 64)] + data[place:]


def _cut_out(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 32) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice((b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", rng.randbytes(8))) + data[place:]


def _append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice((b"\0" * 16, data, rng.randbytes(32)))


_BYTES: tuple[Operator, ...] = (_flip, _flip, _set_bytes, _set_bytes, _truncate, _splice, _cut_out, _insert, _append)


def _json(rng: random.Random, data: bytes) -> bytes:
    content = json.loads(data.decode("utf-8-sig"))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(content)
    node, key = rng.choice(places)
    value = node[key]
    match rng.randrange(12):
        case 0 | 1 | 2:
            node[key] = copy.deepcopy(rng.choice(SCALARS))
        case 3:
            del node[key]
        case 4:  # the value of the same key elsewhere: ids and names exchanged
            other, same = rng.choice([place for place in places if place[1] == key])
            node[key], other[same] = other[same], value
        case 5:
            other, same = rng.choice([place for place in places if place[1] == key])
            node[key] = copy.deepcopy(other[same])
        case 6:
            node[key] = _turn_value(rng, value)
        case 7:
            lists = [place[0][place[1]] for place in places if isinstance(place[0][place[1]], list)]
            rng.shuffle(rng.choice(lists))
        case 8:
            parent = next(place for place in rng.sample(places, len(places)) if isinstance(place[0], list))
            parent[0].insert(rng.randrange(len(parent[0]) + 1), copy.deepcopy(parent[0][parent[1]]))
        case 9:  # list and object exchanged
            node[key] = list(value.values()) if isinstance(value, dict) else {"0": value}
        case 10:
            node[key] = [value]
        case _:
            if isinstance(node, dict):
                node[rng.choice((f"{key} ", str(key).upper(), "id", "name"))] = node.pop(key)
            else:
                node[key] = _turn_value(rng, value)
    return json.dumps(content, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _turn_value(rng: random.Random, value: Any) -> Any:
    """Return a value near `value`, or the same as another kind."""
    if isinstance(value, bool) or value is None:
        return rng.choice((0, 1, "true", []))
    if isinstance(value, int | float):
        return rng.choice(
            (str(value), float(value), value + 1, value - 1, value * 2, -value, value / 3, value * 1000, value + 0.5)
        )
    if isinstance(value, str):
        return rng.choice(
            (value + " ", " " + value, value.upper(), value.title(), value + "1", value[:-1], value * 2, [value],
             f"/tmp/{value}", f"..\\{value}", f"sub/{value}")
        )  # fmt: skip
    if isinstance(value, list):
        return rng.choice((value + value, value[:-1], value[1:], value[::-1], [value, value], value[:2]))
    return [value]


def _xml(rng: random.Random, data: bytes) -> bytes:
    root = ET.fromstring(data)
    elements = list(root.iter())
    element = rng.choice(elements)
    parents = {child: parent for parent in elements for child in parent}
    match rng.randrange(9):
        case 0 | 1 | 2 | 3 if element.attrib:
            name = rng.choice(sorted(element.attrib))
            value = element.attrib[name]
            odd = [str(s) for s in SCALARS if isinstance(s, str | int | float) and "\x1b" not in str(s)]
            changed = (rng.choice(odd), value + " ", value[:-1], f"{value},{value}", value.replace(",", ";"))
            element.set(name, rng.choice(changed))
        case 4 if element.attrib:
            del element.attrib[rng.choice(sorted(element.attrib))]
        case 5 if element.attrib:  # exchanged with another element's
            name = rng.choice(sorted(element.attrib))
            other = rng.choice([e for e in elements if name in e.attrib])
            element.attrib[name], other.attrib[name] = other.attrib[name], element.attrib[name]
        case 6 if element in parents:
            parents[element].append(copy.deepcopy(element))
        case 7 if element in parents:
            parents[element].remove(element)
        case 8:
            element.tag = rng.choice(("box", "polygon", "polyline", "points", "mask", "image", "label", "x"))
        case _:
            element.text = rng.choice(("", "cat", "dog ", "0", "x" * 500))
            element[:] = rng.sample(list(element), len(element))
    return ET.tostring(root)


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.decode("utf-8-sig").splitlines()
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines[place]
    mark = next((mark for mark in ("\t", ",", ";", ":", " ") if mark in line), " ")
    cells = line.split(mark)
    cell = rng.randrange(len(cells))
    match rng.randrange(10):
        case 0:
            lines[place], lines[other] = lines[other], line
        case 1:
            del lines[place]
        case 2:
            lines.insert(other, line)
        case 3:
            cells[cell] = rng.choice([str(scalar) for scalar in SCALARS if isinstance(scalar, str | int | float)])
        case 4:
            del cells[cell]
        case 5:
            cells.insert(cell, cells[cell])
        case 6:
            cells[cell] = str(_turn_value(rng, int(cells[cell]) if cells[cell].isdigit() else cells[cell]))
        case 7:  # a cell of another line
            elsewhere = lines[other].split(mark)
            cells[cell] = elsewhere[min(cell, len(elsewhere) - 1)]
        case 8:
            mark = rng.choice(("\t", ",", ";", ":", " ", "  ", ", "))
        case _:
            cells = [rng.choice((f'"{line}"', f"{line} 1", f"{line} -1", f"# {line}", f"{line}\t", line.upper()))]
    if place < len(lines) and lines[place] == line:
        lines[place] = mark.join(cells)
    text = rng.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines) + "\n"
    return rng.choice((b"", b"", b"", b"\xef\xbb\xbf")) + text.encode("utf-8", "surrogatepass")


def _png(rng: random.Random, data: bytes) -> bytes:
    signature, rest, chunks = data[:8], data[8:], []
    while rest:
        (length,) = struct.unpack(">I", rest[:4])
        chunks.append([rest[4:8], rest[8 : 8 + length]])
        rest = rest[12 + length :]
    kinds = [kind for kind, _ in chunks]
    match rng.randrange(10):
        case 0 | 1:  # width, height, bit depth, colour type, ..., interlacing
            header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
            field = rng.randrange(7)
            choices = {2: (1, 2, 4, 8, 16), 3: (0, 2, 3, 4, 6), 6: (0, 1)}
            header[field] = rng.choice(choices.get(field, (0, 1, header[field] + 1, header[field] * 2, 3000, 60000)))
            header[4:6] = (value & 255 for value in header[4:6])
            chunks[0][1] = struct.pack(">IIBBBBB", *header)
        case 2 if b"PLTE" in kinds:
            entries = chunks[kinds.index(b"PLTE")]
            colours = [entries[1][start : start + 3] for start in range(0, len(entries[1]), 3)]
            first, second = rng.randrange(min(4, len(colours))), rng.randrange(min(4, len(colours)))
            colours[first], colours[second] = colours[second], colours[first]
            entries[1] = b"".join(colours[: rng.choice((len(colours), len(colours), 2))])
        case 3:  # the pixels, still well compressed
            place = kinds.index(b"IDAT")
            pixels = bytearray(zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT")))
            for _ in range(rng.choice((1, 2, 8))):
                pixels[rng.randrange(len(pixels))] = rng.choice((0, 1, 2, 3, 255, rng.randrange(256)))
            pixels = pixels[: rng.choice((len(pixels), len(pixels), rng.randrange(len(pixels) + 1)))]
            chunks = [c for c in chunks if c[0] != b"IDAT"]
            chunks.insert(place, [b"IDAT", zlib.compress(bytes(pixels))])
        case 4:
            exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", rng.randrange(10), 0, 0)
            chunks.insert(rng.choice((1, len(chunks) - 1)), [b"eXIf", exif])
        case 5:
            odd = rng.choice((b"\0", b"\0\0", b"\0\x01", b"\xff\0\x80", b"\0\0\0\0\0\0", rng.randbytes(4)))
            chunks.insert(kinds.index(b"IDAT"), [b"tRNS", odd])
        case 6:
            chunks.insert(rng.randrange(1, len(chunks) + 1), list(rng.choice(chunks)))
        case 7:
            del chunks[rng.randrange(len(chunks))]
        case 8:
            kind = rng.choice(
                (b"gAMA", b"iCCP", b"tEXt", b"zTXt", b"acTL", b"fcTL", b"pHYs", b"sBIT", b"cHRM", b"sRGB")
            )
            chunks.insert(rng.randrange(1, len(chunks)), [kind, rng.randbytes(rng.choice((0, 1, 4, 8, 26, 32)))])
        case _:
            chunk = rng.choice(chunks)
            chunk[1] = rng.choice(_BYTES)(rng, chunk[1])
    packed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return signature + b"".join(packed)


def _tiff(rng: random.Random, data: bytes) -> bytes:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[start : start + 2])
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        entry = start + 2 + 12 * rng.randrange(count)
        match rng.randrange(6):
            case 0:
                struct.pack_into(f"{order}H", changed, entry, rng.choice((254, 256, 257, 258, 259, 262, 266, 273, 274,
                277, 278, 284, 317, 320, 322, 338, 339)))  # fmt: skip
            case 1:
                struct.pack_into(f"{order}H", changed, entry + 2, rng.randrange(14))
            case 2:
                struct.pack_into(f"{order}I", changed, entry + 4, rng.choice(NUMBERS))
            case 3 | 4:
                struct.pack_into(f"{order}H", changed, entry + 8, rng.choice(NUMBERS))
            case _:
                struct.pack_into(f"{order}I", changed, entry + 8, rng.choice((*NUMBERS, 2**31, 2**32 - 1)))
    return bytes(changed)


_STRUCTURED: dict[str, Operator] = {
    ".json": _json, ".xml": _xml, ".txt": _lines, ".csv": _lines, ".png": _png, ".tif": _tiff, ".tiff": _tiff,
}  # fmt: skip
