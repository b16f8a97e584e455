"""Text files that list names or paths, a line each, as people and programs write them.

They are UTF-8, with or without a mark at the beginning, or UTF-16 with one, with the line ends of any system.
"""

import codecs
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath

from globalconv.data.file_names import composed, name_of
from globalconv.data.suffixes import IMAGE_SUFFIXES
from globalconv.errors import InputError

_PLAIN, _COLUMN = re.compile(r"[\w-]+"), re.compile(r"[\s,;]+[-+]?[01]\s*$")


def read_lines(file: Path, remedy: str) -> list[str]:
    """Return the lines of a text file; one that cannot be read is an `InputError` that ends with the `remedy`.

    Bytes that are no UTF-8 become surrogate escapes, as they do in names of files: a list may hold such a name.
    """
    try:
        content = file.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
        else:
            text = content.decode("utf-8-sig", "surrogateescape")
        if "\0" in text:
            raise ValueError("it holds zero bytes")
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as text ({error}); {remedy}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_names(file: Path, list_names: Callable[[], Collection[str]], image_folder: str, remedy: str) -> list[str]:
    """Return the names that a list holds, a line each, every name once.

    `list_names` returns the names on disk. A line may be more than a name: a path in `image_folder`, with the suffix of
    an image, in quotes, and where all lines have one and no name on disk ends so, with a second column (-1, 0 or 1), as
    VOC's lists of one class have. A name that is on disk as it is written is taken as it is.
    """
    lines = [composed(line) for line in read_lines(file, remedy) if line.strip()]
    if all(map(_PLAIN.fullmatch, lines)):
        return list(dict.fromkeys(lines))
    on_disk = list_names()
    columns = all(map(_COLUMN.search, lines)) and not any(line.strip() in on_disk for line in lines)

    def resolve(line: str) -> str:
        line = _COLUMN.sub("", line) if columns else line
        return next((form for form in _forms(line, image_folder) if form in on_disk), line.strip())

    names = dict.fromkeys(map(resolve, lines))
    return [name for name in names if name in on_disk or not name.startswith("#")]


def _forms(line: str, image_folder: str) -> Iterator[str]:
    """Yield what a line may mean, the most literal first."""
    for text in dict.fromkeys((line, line.strip(), line.strip().strip("\"'").strip())):
        path = PurePosixPath(text.replace("\\", "/"))
        yield text
        yield name_of(path, IMAGE_SUFFIXES)
        if path.parent.name == image_folder:
            yield path.name
            yield name_of(PurePosixPath(path.name), IMAGE_SUFFIXES)
