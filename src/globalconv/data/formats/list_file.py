"""List files: one `image label` pair a line, as in the SegNet tutorial's CamVid and its folds.

Paths are relative to the data set's root and separated by white space; paths that contain spaces are separated by a
tab or stand in quotes. Blank lines and lines that start with # are skipped. Split S is the list file `ROOT/S.txt`,
S may contain folders ("folds/day-0006R0.train").
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePath
from urllib.parse import unquote

from globalconv.data.file_names import find_file, glob_files, name_of
from globalconv.data.formats.layout import Layout
from globalconv.data.formats.name_lists import read_lines
from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, ALL, find_split, select_split, uses_hold_out
from globalconv.data.suffixes import IMAGE_SUFFIXES
from globalconv.errors import InputError, OnError, raise_error
from globalconv.runtime.text import is_utf8


def recognise(root: Path) -> bool:
    """Return whether there is a list file at `root` or one folder below it."""
    return bool(list_splits(root))


def list_splits(root: Path) -> list[str]:
    """Return the splits of the list files at `root` and one folder below it."""
    splits = []
    for file in glob_files(root, "*.txt") + glob_files(root, "*/*.txt"):
        try:
            first = next(_parse_lines(root, file, raise_error), None)
        except InputError:  # a readme, say: the files of its first line do not exist
            continue
        if first is not None:
            splits.append(file.relative_to(root).with_suffix("").as_posix())
    return splits


def read_split(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of the list file `ROOT/SPLIT.txt`; lines that are none, or name no file, go to `on_error`.

    Where no list at `root` is for validation, some of the training list's pairs are held out. "all" are those of all
    lists.
    """

    def read(name: str) -> tuple[Pair, ...]:
        file = root / f"{name}.txt"
        pairs: dict[str, tuple[int, Pair]] = {}
        for number, pair in _parse_lines(root, file, on_error):
            if pair.name in pairs:
                on_error(
                    InputError(
                        f"{file}:{number}: {pair.image} has the same name (without suffix) as line"
                        f" {pairs[pair.name][0]}; list every image once",
                        "names",
                    )
                )
                continue
            pairs[pair.name] = (number, pair)
        if not pairs:
            raise InputError(f"{file}: lists no pairs; write one 'image label' pair a line, relative to {root}")
        return tuple(pair for _, pair in pairs.values())

    splits = list_splits(root)
    at_root = [name for name in splits if "/" not in name]
    if split == ALL and splits:
        return tuple({pair.name: pair for name in splits for pair in read(name)}.values())
    if uses_hold_out(at_root) or (split not in splits and find_split(at_root, split)):
        return select_split(at_root, read, split, root)
    if not (root / f"{split}.txt").is_file():
        raise InputError(
            f"split {split!r}: there is no list file {root / split}.txt; the splits in {root} are:"
            f" {', '.join(splits) or 'none'}"
        )
    return read(split)


LAYOUT = Layout(recognise, list_splits, read_split)


def explain_unreadable_list(root: Path) -> InputError | None:
    """Return what is wrong with the first file that has the name of a usual split's list and is no list, if any."""
    for file in (root / f"{name}.txt" for name in ALIASES):
        try:
            if file.is_file():
                next(_parse_lines(root, file, raise_error), None)
        except InputError as error:
            return error
    return None


def _parse_lines(root: Path, file: Path, on_error: OnError) -> Iterator[tuple[int, Pair]]:
    """Yield (line number, pair); a line that is no pair goes to `on_error`."""
    for number, line in enumerate(read_lines(file, "a list file is UTF-8 text"), start=1):
        if not line.strip():
            continue
        try:
            pair = _parse_line(root, f"{file}:{number}", line)
        except InputError as error:
            if not line.lstrip().startswith("#"):  # a comment, unless it is a pair: files may be called #1.png
                on_error(error)
            continue
        yield number, pair


def _parse_line(root: Path, where: str, line: str) -> Pair:
    if "\t" in line:
        words = [word.strip().strip("\"'") for word in line.split("\t") if word.strip()]
    else:  # white space outside quotes; a backslash is an ordinary character
        splitter = shlex.shlex(line, posix=True, punctuation_chars=False)
        splitter.whitespace_split, splitter.escape, splitter.commenters = True, "", ""
        try:
            words = list(splitter)
        except ValueError as error:
            raise InputError(f"{where}: {error}; close the quotes around the path", "list") from None
    if len(words) != 2:
        mark = next((mark for mark in ",;|" if len(line.split(mark)) == 2), "")
        beside = f" (the {mark!r} separates none)" if mark else ""
        raise InputError(
            f"{where}: {len(words)} words where 'image label' is expected{beside}; separate the two by a tab, or quote"
            " paths that contain spaces",
            "list",
        )
    image, label = (_find_file(root, where, word) for word in words)
    # The name is the image's relative path without suffix. It never leads out of a folder: no "..", no "/".
    path = PurePath(os.path.relpath(image, root))
    path = PurePath(*(part for part in path.parts if part not in ("..", path.anchor)))
    return Pair(name_of(path, IMAGE_SUFFIXES), image, label)


def _find_file(root: Path, where: str, word: str) -> Path:
    """Return the file that a word of a line means; none is an `InputError`.

    The path may also be written as on Windows, as in a web address, or with the data set's root as "/".
    """
    forms = (word, word.replace("\\", "/"), unquote(word), word.lstrip("/"))
    if (found := find_file(root / form for form in dict.fromkeys(forms))) is not None:
        return found
    if not is_utf8(word):
        raise InputError(
            f"{where}: {root / word} is not there, and the line is no UTF-8 text; save the list as UTF-8", "partner"
        )
    raise InputError(f"{where}: there is no file {root / word}; paths are relative to {root}", "partner")
