"""Text for terminals: aligned columns, errors on one line."""

import pytest

from globalconv.runtime.text import align_columns, one_line, print_text, printable


def test_columns_are_aligned_and_lines_end_without_spaces() -> None:
    assert align_columns([["a", "bb", "c"], ["long", "1", "22"]]) == ["a     bb   c", "long   1  22"]
    assert align_columns([["a", ""], ["long", ""]]) == ["a", "long"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\n  b\tc", "a b c"), (ValueError("x\ny"), "x y"), (ValueError(), "ValueError"), ("", ""), ("x" * 9, "xx...")],
)
def test_text_and_errors_become_one_line(text: object, line: str) -> None:
    assert one_line(text, limit=5 if text == "x" * 9 else None) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\x9b", r"a\x1b[31mb\x9b"),
        ("\a\b\t\r\n\x7f\x85", r"\x07\x08\t\r\n\x7f\x85"),
        ("\u202egnp.\u2066\u200b\ufeff\u2028", r"\u202egnp.\u2066\u200b\ufeff\u2028"),
        ("\udcff \U000e0041", r"\udcff \U000e0041"),
        (
            "Straße 猫 سگ می\u200cخواهم \U0001f9d1\u200d\U0001f692 \\x1b",
            "Straße 猫 سگ می\u200cخواهم \U0001f9d1\u200d\U0001f692 \\x1b",
        ),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert align_columns([[text, text]]) == [f"{shown}  {shown}"]
    assert printable(shown) == shown


def test_only_the_lines_of_a_text_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("one\ntwo \r\x1b[2K")
    assert capsys.readouterr().out == "one\ntwo \\r\\x1b[2K\n"
