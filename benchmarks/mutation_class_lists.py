"""The independent readings (`mutation_truths`) of class lists, by the modules csv and json."""

import csv
import json
import re
from pathlib import Path
from typing import Any

from mutation_truths import VOID_NAMES, Classes, MustTellError, NotJudgedError, Truth, read_folder


def read_masked(root: Path) -> list[Truth]:
    files = [f for f in ("classes.json", "classes.csv", "labelmap.txt", "class_names.txt") if (root / f).is_file()]
    return read_folder(root, _read_list(root / files[0]) if files else None)


def _read_list(file: Path) -> Classes:
    try:
        text = file.read_text(encoding="utf-8-sig")
        match file.name:
            case "classes.json":
                entries = _json_classes(json.loads(text))
            case "classes.csv":
                entries = _csv_classes(text)
            case _:
                lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
                entries = [_text_class(line, file.name) for line in lines]
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise NotJudgedError(str(error)) from None
    if any(name != name.strip() or not name for name, _, _ in entries):
        raise NotJudgedError("a name with blanks")
    void = [e for e in entries if e[1] == 255 or e[0].lower() in VOID_NAMES]
    real = [e for e in entries if e not in void]
    indices = [index for _, index, _ in real]
    if all(index is None for index in indices):
        real = [(name, place, colour) for place, (name, _, colour) in enumerate(real)]
    elif sorted(indices, key=str) != sorted(range(len(real)), key=str):
        raise MustTellError(f"the indices {indices}")
    real.sort(key=lambda entry: entry[1] or 0)
    if len({name for name, _, _ in real}) < len(real):
        raise MustTellError("a name twice")
    colours = tuple(colour for _, _, colour in real if colour is not None)
    if 0 < len(colours) < len(real):
        raise MustTellError("a class without colour")
    void_colours = tuple({colour for _, _, colour in void if colour is not None})
    if len({*colours, *void_colours}) < len(colours) + len(void_colours):
        raise MustTellError("a colour twice")
    values = tuple(index for _, index, _ in void if index is not None)
    return Classes(tuple(name for name, _, _ in real), colours, values, void_colours)


Entry = tuple[str, int | None, tuple[int, ...] | None]


def _entry(name: Any, index: Any, colour: Any) -> Entry:
    if not isinstance(name, str) or isinstance(index, bool) or not isinstance(index, int | None):
        raise NotJudgedError("a name or index of another kind")
    if colour is None:
        return name, index, None
    if not isinstance(colour, list | tuple) or len(colour) != 3 or not all(type(v) is int for v in colour):
        raise NotJudgedError("a colour of another form")
    if not all(0 <= value <= 255 for value in colour):
        raise MustTellError("a colour out of range")
    return name, index, tuple(colour)


def _json_classes(content: Any) -> list[Entry]:
    if isinstance(content, dict):
        if set(content) != {"classes"}:
            raise NotJudgedError("other fields")
        content = content["classes"]
    if not isinstance(content, list) or not content:
        raise NotJudgedError("no list")
    entries = []
    for entry in content:
        if isinstance(entry, str):
            entries.append(_entry(entry, None, None))
        elif isinstance(entry, dict) and set(entry) <= {"name", "index", "color"}:
            entries.append(_entry(entry["name"], entry.get("index"), entry.get("color")))
        else:
            raise NotJudgedError("other fields")
    return entries


def _csv_classes(text: str) -> list[Entry]:
    lines = text.splitlines()
    mark = next((mark for mark in ",;\t" if mark in lines[0]), ",")
    columns, *rows = csv.reader(lines, delimiter=mark)
    if not set(columns) <= {"name", "index", "red", "green", "blue"} or len(set(columns)) < len(columns):
        raise NotJudgedError("other columns")
    entries = []
    for row in rows:
        if len(row) != len(columns) or any(cell != cell.strip() or not cell for cell in row):
            raise NotJudgedError("cells too few or empty")
        fields = dict(zip(columns, row, strict=True))
        numbers = {key: int(value) for key, value in fields.items() if key != "name"}
        channels = [numbers.get(key) for key in ("red", "green", "blue")]
        if None in channels and any(channel is not None for channel in channels):
            raise NotJudgedError("a part of a colour")
        entries.append(_entry(fields["name"], numbers.get("index"), None if None in channels else channels))
    return entries


def _text_class(line: str, file: str) -> Entry:
    if file == "class_names.txt":
        return line, 255 if line.lower() in VOID_NAMES else None, None
    words = line.split(":")
    if len(words) < 2 or not re.fullmatch(r"\d+,\d+,\d+", words[1]):
        raise NotJudgedError("no colour")
    return _entry(words[0], None, [int(value) for value in words[1].split(",")])
