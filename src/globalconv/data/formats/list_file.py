"""List files: one `image label` pair a line, as in the SegNet tutorial's CamVid and its folds.

Paths are relative to the data set's root and separated by white space; paths that contain spaces are separated by a
tab or stand in quotes. Blank lines and lines that start with # are skipped. Split S is the list file `ROOT/S.txt`,
S may contain folders ("folds/day-0006R0.train").
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePath

from globalconv.data.source import Pair
from globalconv.data.splits import ALIASES, ALL, find_split, select_split, uses_hold_out
from globalconv.errors import InputError, OnError, raise_error


def list_splits(root: Path) -> list[str]:
    """Return the splits that list files at `root` and one folder below it offer."""
    files = sorted(root.glob("*.txt")) + sorted(root.glob("*/*.txt"))
    return [file.relative_to(root).with_suffix("").as_posix() for file in files if _lists_pairs(root, file)]


def is_camvid_layout(root: Path) -> bool:
    """Say whether there are list files and CamVid's folders of label maps."""
    annotated = any((root / folder).is_dir() for folder in ("trainannot", "valannot", "testannot"))
    return annotated and bool(list_splits(root))


def read_list(root: Path, split: str, on_error: OnError = raise_error) -> tuple[Pair, ...]:
    """Return the pairs of the list file `ROOT/SPLIT.txt`; lines that are none, or name no file, go to `on_error`.

    Where no list at `root` is for validation, some of the training list's pairs are held out. "all" are those of all
    lists.
    """
    lists = list_splits(root)
    names = [name for name in lists if "/" not in name]
    if split == ALL and lists:
        return tuple({pair.name: pair for name in lists for pair in _read(root, name, on_error)}.values())
    if uses_hold_out(names) or (split not in lists and find_split(names, split)):
        return select_split(names, lambda name: _read(root, name, on_error), split, root)
    if not (root / f"{split}.txt").is_file():
        there = ", ".join(lists) or "none"
        raise InputError(
            f"split {split!r}: there is no list file {root / split}.txt; the splits in {root} are: {there}"
        )
    return _read(root, split, on_error)


def _read(root: Path, split: str, on_error: OnError) -> tuple[Pair, ...]:
    file = root / f"{split}.txt"
    pairs: dict[str, tuple[int, Pair]] = {}
    for number, pair in _pairs(root, file, on_error):
        if pair.name in pairs:
            said = f"{file}:{number}: {pair.image} has the same name (without suffix) as line {pairs[pair.name][0]}"
            on_error(InputError(f"{said}; list every image once", "names"))
            continue
        pairs[pair.name] = (number, pair)
    if not pairs:
        raise InputError(f"{file}: lists no pairs; write one 'image label' pair a line, relative to {root}")
    return tuple(pair for _, pair in pairs.values())


def _pairs(root: Path, file: Path, on_error: OnError) -> Iterator[tuple[int, Pair]]:
    """Yield (line number, pair)."""
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield number, _pair(root, f"{file}:{number}", line)
        except InputError as error:
            on_error(error)


def _pair(root: Path, where: str, line: str) -> Pair:
    try:
        words = _words(line)
    except ValueError as error:
        raise InputError(f"{where}: {error}; close the quotes around the path", "list") from None
    if len(words) != 2:
        raise InputError(
            f"{where}: {len(words)} words where 'image label' is expected;"
            " separate the two by a tab, or quote paths that contain spaces",
            "list",
        )
    for word in words:
        if not (root / word).is_file():
            raise InputError(f"{where}: there is no file {root / word}; paths are relative to {root}", "partner")
    return Pair(_name(root, words[0]), root / words[0], root / words[1])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}); a list file is UTF-8 text") from None


def _words(line: str) -> list[str]:
    """Split at tabs if there are any, else at white space outside quotes (a backslash is an ordinary character)."""
    if "\t" in line:
        return [word.strip().strip("\"'") for word in line.split("\t") if word.strip()]
    splitter = shlex.shlex(line, posix=True, punctuation_chars=False)
    splitter.whitespace_split, splitter.escape, splitter.commenters = True, "", ""
    return list(splitter)


def _name(root: Path, word: str) -> str:
    """Return the path of an image relative to `root`, without suffix and without leaving it (no "..", no "/")."""
    path = PurePath(os.path.relpath(root / word, root)).with_suffix("")
    return PurePath(*(part for part in path.parts if part not in ("..", path.anchor))).as_posix()


def almost_a_list(root: Path) -> InputError | None:
    """Return why the first file called like the list of a usual split is none, if there is one."""
    for file in (root / f"{name}.txt" for name in ALIASES):
        try:
            if file.is_file():
                next(_pairs(root, file, raise_error), None)
        except InputError as error:
            return error
    return None


def _lists_pairs(root: Path, file: Path) -> bool:
    """Say whether the first pair of a text file exists, so that a readme is not taken for a list."""
    try:
        return next(_pairs(root, file, raise_error), None) is not None
    except InputError:
        return False
