"""Tables of a page: scores with bars, differences, the confusion matrix, facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from globalconv.labels import Colour

Counts = npt.NDArray[np.int64]

MATRIX_SIDE = 24
"""Most classes that a confusion matrix shows one by one."""


@dataclass(frozen=True)
class ScoreRow:
    """A row of scores in [0, 1] (None = none), one per column; `before` are plain cells."""

    name: str
    values: Sequence[float | None]
    colour: Colour | None = None
    before: Sequence[str] = ()
    differences: Sequence[float | None] = ()
    strong: bool = False


def scores(columns: Sequence[str], rows: Sequence[ScoreRow]) -> str:
    """Return a table of scores with bars below the numbers; `columns` names every cell after the first.

    Where there are differences, the best score of each row is marked: then columns are networks.
    """
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(map(_score_row, rows))
    kind = "wide against" if any(row.differences for row in rows) else "wide"
    return f'<div class="{kind}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _score_row(row: ScoreRow) -> str:
    shown = {f"{value:.3f}" for value in row.values if value is not None}
    best = max(shown) if row.differences and len(shown) > 1 else None
    cells = "".join(f"<td>{escape(text)}</td>" for text in row.before)
    cells += "".join(_score(value, best) for value in row.values) + "".join(map(_difference, row.differences))
    swatch = "" if row.colour is None else f'<i class="swatch" style="background: rgb{row.colour}"></i>'
    kind = ' class="strong"' if row.strong else ""
    return f'<tr{kind}><th scope="row">{swatch}{escape(row.name)}</th>{cells}</tr>'


def _score(value: float | None, best: str | None) -> str:
    if value is None:
        return "<td>–</td>"
    words = f"{value:.3f}"
    kind = "bar best" if words == best else "bar"
    return f'<td class="{kind}" style="--share: {value:.1%}">{words}</td>'


def _difference(value: float | None) -> str:
    if value is None:
        return "<td>–</td>"
    kind = "more" if value >= 0.0005 else "less" if value <= -0.0005 else ""
    return f'<td class="{kind}">{signed(value)}</td>'


def signed(value: float) -> str:
    """Return a difference of scores with its sign, a true minus, and none where nothing is left to show."""
    words = f"{value:+.3f}".replace("-", "−")
    return words if words.strip("+−") != "0.000" else "0.000"


def facts(rows: Mapping[str, str | Sequence[str]], columns: Sequence[str] = ()) -> str:
    """Return a table of names and values: one value each, or one per column."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{_joined(value)}</td>" for value in ([values] if isinstance(values, str) else values))
        + "</tr>"
        for name, values in rows.items()
    )
    top = f"<thead><tr>{head}</tr></thead>" if columns else ""
    return f'<div class="wide words"><table>{top}<tbody>{body}</tbody></table></div>'


def cells(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Return a table of names and short cells, whose words stay whole: where it is too wide, it is moved sideways."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in ("", *columns))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(value)}</td>" for value in values)}</tr>'
        for name, values in rows.items()
    )
    top = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    return f'<div class="wide words whole"><table>{top}<tbody>{body}</tbody></table></div>'


def _joined(value: str) -> str:
    """Return a value that may be broken where parts are joined: coco:train+sbd:train."""
    return escape(value).replace("+", "+<wbr>")


def confusion_matrix(counts: Counts, names: Sequence[str]) -> str:
    """Return counts (K, K) as a table of percents of each true class: right ones green, wrong ones red.

    Of many classes it shows those with the most wrong pixels, and takes the rest together.
    """
    counts, names = _largest(counts, names)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("true ↓ predicted →", *names))
    body = ""
    for index, (name, row) in enumerate(zip(names, counts, strict=True)):
        shares = row / max(1, row.sum())
        cells = "".join(_share(share, hit=index == other) for other, share in enumerate(shares))
        body += f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
    return f'<div class="wide matrix"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _share(share: float, hit: bool) -> str:
    words = f"{share:.0%}".removesuffix("%") if share >= 0.005 else ""
    kind = ' class="hit"' if hit else ""
    return f'<td{kind} style="--v: {0.75 * share:.2f}">{words}</td>'


def _largest(counts: Counts, names: Sequence[str]) -> tuple[Counts, Sequence[str]]:
    """Return the matrix over the classes with the most wrong pixels, the others summed up in a last one."""
    if len(names) <= MATRIX_SIDE:
        return counts, names
    wrong = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[: MATRIX_SIDE - 1])
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    small = np.zeros((len(kept) + 1, len(kept) + 1), np.int64)
    np.add.at(small, (place[:, None], place[None, :]), counts)
    return small, [*(names[index] for index in kept), f"{len(names) - len(kept)} others"]
