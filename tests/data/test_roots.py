"""Where data lie: one path, or several with their names."""

from pathlib import Path

import pytest

from globalconv.data.roots import parse_data
from globalconv.errors import InputError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "voc=b"], "not both"),
        (["voc=a", "voc=b"], "given twice"),
        (["vok=a"], "`data` vok=a: did you mean 'voc'"),
        (["voc="], "`data` voc=: names no folder"),
    ],
)
def test_refused_ways_of_naming_data(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_data(words)


def test_a_path_that_holds_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "size=3").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse_data(["size=3"]) == Path("size=3")


def test_a_tilde_behind_a_name_is_the_home_folder(official_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(official_root.parent))
    assert parse_data([f"voc=~/{official_root.name}"]) == {"voc": official_root}
    assert parse_data(["voc=~nobody-is-called-so"]) == {"voc": Path("~nobody-is-called-so")}
