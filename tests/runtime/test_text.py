"""Text for terminals: aligned columns, errors on one line."""

import pytest

from globalconv.runtime.text import align_columns, one_line


def test_columns_are_aligned_and_lines_end_without_spaces() -> None:
    assert align_columns([["a", "bb", "c"], ["long", "1", "22"]]) == ["a     bb   c", "long   1  22"]
    assert align_columns([["a", ""], ["long", ""]]) == ["a", "long"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\n  b\tc", "a b c"), (ValueError("x\ny"), "x y"), (ValueError(), "ValueError"), ("", ""), ("x" * 9, "xx...")],
)
def test_text_and_errors_become_one_line(text: object, line: str) -> None:
    assert one_line(text, limit=5 if text == "x" * 9 else None) == line
