"""Names that differ in their Unicode form alone are the same; what systems put beside data is never data."""

import os
from pathlib import Path, PurePath

import pytest

from globalconv.data.file_names import find_file, glob_files, is_hidden, list_subfolders, name_of
from globalconv.errors import InputError

COMPOSED, DECOMPOSED = "K\u00f6ln \u00e9", "Ko\u0308ln e\u0301"


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


@pytest.mark.parametrize(("written", "on_disk"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_file_is_found_in_any_unicode_form_of_its_folders_and_name(
    written: str, on_disk: str, tmp_path: Path
) -> None:
    file = put(tmp_path / on_disk / f"{on_disk}.png")
    if (tmp_path / written).exists():
        pytest.skip("this file system does not tell the forms apart")
    assert find_file([tmp_path / "nowhere" / f"{written}.png", tmp_path / written / f"{written}.png"]) == file
    assert find_file([tmp_path / written / "other.png"]) is None
    assert find_file([tmp_path / on_disk / f"{on_disk}.png"]) == file


def test_two_files_that_look_the_same_are_refused_unless_one_is_named_exactly(tmp_path: Path) -> None:
    files = [put(tmp_path / f"{form} \u00fc.png") for form in (COMPOSED, DECOMPOSED)]
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system does not tell the forms apart")
    assert [find_file([file]) for file in files] == files
    with pytest.raises(InputError, match=r"holds 2 files that look the same, called .*; remove or rename one"):
        find_file([tmp_path / f"{COMPOSED} u\u0308.png"])


def test_names_that_no_file_can_have_are_not_found(tmp_path: Path) -> None:
    assert find_file([tmp_path / ("a" * 400 + ".png"), tmp_path / "a\0\u00e9.png", tmp_path / "\ud800.png"]) is None


def test_what_systems_put_beside_data_is_hidden(tmp_path: Path) -> None:
    for name in ("a.json", "._a.json", ".ipynb_checkpoints/a.json", "__MACOSX/b.json", "@eaDir/c.json", "b/d.json"):
        put(tmp_path / name)
    assert glob_files(tmp_path, "*.json") == [tmp_path / "a.json"]
    assert glob_files(tmp_path, "*/*.json") == [tmp_path / "b/d.json"]
    assert list_subfolders(tmp_path) == [tmp_path / "b"]
    assert list_subfolders(tmp_path / "nowhere") == []
    assert is_hidden(".DS_Store") and not is_hidden("a.DS_Store")


def test_pipes_are_never_opened_and_links_to_nothing_are_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("nowhere")
    (tmp_path / "folder.json").mkdir()
    assert glob_files(tmp_path, "*.json") == [tmp_path / "link.json"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.PNG", "a/b"), ("a.b.png", "a.b"), ("2021.05.01", "2021.05.01"), ("a.", "a."), ("a..png", "a."),
        ("e\u0301.png", "\u00e9"), ("\udce9.png", "\udce9"), (".png", ".png"),
    ],
)  # fmt: skip
def test_names_keep_endings_that_are_no_suffix(path: str, name: str) -> None:
    assert name_of(PurePath(path), (".png",)) == name
