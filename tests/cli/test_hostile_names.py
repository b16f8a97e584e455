"""Names that a terminal would obey, of classes, files, folders and options: every verb shows them escaped.

Bare `print` is kept out of the package by its linter (T20), so that all goes through the doors that do it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.refusals import TINY
from helpers.training import write_blobs

from globalconv.cli.main import main

CONTROLS = "\x1b[2K\x1b]0;title\x07\r\u202e\u2066\x9b31m[red]:cat:"
TITLE = f"name{CONTROLS}\udcff\n"
"""What hides, colours or turns around a line, a byte that is no text, and a new line."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set whose classes, files and folder have such names, and a run on it."""
    root = tmp_path_factory.mktemp("hostile")
    data = write_blobs(root / TITLE)
    for file in sorted(data.rglob("*.png")):
        file.rename(file.with_name(f"{file.stem}{TITLE}.png"))
    classes = [{"name": f"{index}{TITLE}", "index": index} for index in range(3)]
    (data / "classes.json").write_text(json.dumps(classes))
    return root


Say = Callable[..., str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command and return what it printed, of which everything must be seen."""

    def run(code: int, *words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == code, capsys.readouterr().err
        output = capsys.readouterr()
        text = output.out + output.err
        assert not {character for character in text if not (character.isprintable() or character == "\n")}
        return text

    return run


@pytest.fixture(scope="module")
def run_folder(place: Path) -> Path:
    out = place / f"run{CONTROLS}\n"
    assert main(["train", "folder", "--data", str(place / TITLE), "--out", str(out), *TINY.split()]) == 0
    return out


SHOWN = r"\x1b[2K\x1b]0;title\x07\r\u202e\u2066\x9b31m[red]:cat:\udcff\n"


def test_data_check(place: Path, say: Say, tmp_path: Path) -> None:
    shutil.copytree(place / TITLE, broken := tmp_path / TITLE)
    next((broken / "labels" / "train").glob("0*")).write_bytes(b"no image")
    assert f"1name{SHOWN}" in say(2, "data", "check", broken, "--sheet", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0
    say(2, "data", "check", broken, "--json")
    say(2, "data", "check", broken / TITLE)


def test_networks(place: Path, run_folder: Path, say: Say, tmp_path: Path) -> None:
    data = ("--data", place / TITLE)
    assert f"1name{SHOWN}" in say(0, "evaluate", run_folder, *data)
    page = tmp_path / f"page{CONTROLS}\udcff.html"
    say(0, "evaluate", run_folder, *data, "--report", page)
    assert r"\udcff" in page.read_text(encoding="utf-8")
    say(0, "report", run_folder)
    image = next((place / TITLE / "images" / "val").glob("*.png"))
    say(0, "predict", run_folder, image, "--out", tmp_path / TITLE)
    (tmp_path / f"{TITLE}.png").touch()
    assert "skipped" in say(2, "predict", run_folder, tmp_path / f"{TITLE}.png", "--out", tmp_path / "out")
    say(0, "vrf", run_folder, image, "--at", "5,5", "--method", "gradient", "--out", tmp_path / f"field{CONTROLS}.png")
    say(0, "cost", run_folder)
    say(0, "advise", run_folder, *data, "--images", "1")
    say(2, "evaluate", run_folder, *data, "--split", TITLE)
    say(2, "submit", "voc", run_folder, *data, "--out", tmp_path / f"{TITLE}.tgz")
    say(2, "crf-search", run_folder, *data, "--out", tmp_path / TITLE, "--group-by", f"({CONTROLS}")


@pytest.mark.parametrize(
    "words",
    [
        [TITLE], ["data", TITLE], ["train", TITLE, "--out", "x"], ["paper", TITLE], ["recipes", TITLE],
        ["train", "folder", "--out", "x", f"--{TITLE}"], ["data", "check", TITLE],
        ["data", "check", ".", "--workers", TITLE],
        ["cost", "--size", TITLE], ["cost", "--model.head", TITLE], ["predict", TITLE, TITLE, "--out", TITLE],
        ["evaluate", TITLE, "--data", TITLE, "--device", TITLE], ["demo", "--steps", TITLE], ["report", TITLE],
        ["pretrain", "--data", TITLE, "--out", TITLE], ["data", "prepare", TITLE, "--out", TITLE],
    ],
    ids=lambda words: words[0] if words[0].isprintable() else "verb",
)  # fmt: skip
def test_options(words: list[str], say: Say) -> None:
    text = say(2, *words)
    assert len(text.splitlines()) == 1 and "globalconv: " in text and "[red]:cat:" in text
