"""Text for terminals: nothing but what is seen, tables in aligned columns, errors on one line, long lists cut short."""

import unicodedata
from collections.abc import Sequence

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what is obeyed and not shown: controls, formats (of which bidirectional overrides and spaces
of no width are some), surrogates (bytes of a file's name that are no text), separators of lines."""

JOINERS = "\u200c\u200d"
"""The formats that spelling needs, of Persian, of the scripts of India, and of emoji; they change letters only."""


def printable(text: str) -> str:
    """Return `text` with what a terminal would obey instead of showing it, line breaks too, as \\x1b, \\n or \\u202e.

    Names of files and classes come from anywhere: an escape sequence in one could hide or rewrite what is printed.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in UNSEEN and character not in JOINERS
        else character
        for character in text
    )


def print_text(text: object) -> None:
    """Print `text`, of any number of lines, to standard output: its only door, as `errors.print_line` is of errors."""
    try:
        print("\n".join(map(printable, str(text).split("\n"))), flush=True)
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def one_line(text: object, limit: int | None = 160) -> str:
    """Return `text`, which may be an exception, as one line of at most `limit` characters that are all seen.

    An exception without a message gives the name of its class.
    """
    line = printable(" ".join(str(text).split())) or (type(text).__name__ if isinstance(text, BaseException) else "")
    return line if limit is None or len(line) <= limit else line[: limit - 3] + "..."


def cut_middle(text: str, limit: int) -> str:
    """Return `text` as at most `limit` characters that are seen: of more, the beginning and the end around "..."."""
    text = printable(text)
    head = (limit - 3) * 2 // 3
    return text if len(text) <= limit else f"{text[:head]}...{text[head + 3 - limit :]}"


def is_utf8(text: str) -> bool:
    """Return whether `text`, which may be a file's name, can be written as UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def abbreviate(values: Sequence[object]) -> str:
    """Return the first eight `values` separated by commas, and how many there are where that is not all."""
    return ", ".join(map(str, values[:8])) + (f", ... ({len(values)} values)" if len(values) > 8 else "")


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: rows of equal length, the first column flush left, the others flush right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        .rstrip()
        for row in rows
    ]  # fmt: skip
