"""Text for terminals: tables in aligned columns, errors on one line, long lists cut short."""

from collections.abc import Sequence


def one_line(text: object, limit: int | None = 160) -> str:
    """Return `text`, which may be an exception, as one line of at most `limit` characters.

    An exception without a message gives the name of its class.
    """
    line = " ".join(str(text).split()) or (type(text).__name__ if isinstance(text, BaseException) else "")
    return line if limit is None or len(line) <= limit else line[: limit - 3] + "..."


def cut_middle(text: str, limit: int) -> str:
    """Return `text` with at most `limit` characters: of a longer one the beginning and the end, with "..." between."""
    head = (limit - 3) * 2 // 3
    return text if len(text) <= limit else f"{text[:head]}...{text[head + 3 - limit :]}"


def abbreviate(values: Sequence[object]) -> str:
    """Return the first eight `values` separated by commas, and how many there are where that is not all."""
    return ", ".join(map(str, values[:8])) + (f", ... ({len(values)} values)" if len(values) > 8 else "")


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: rows of equal length, the first column flush left, the others flush right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        .rstrip()
        for row in rows
    ]  # fmt: skip
