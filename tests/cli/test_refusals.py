"""Every broken input gives one line and its exit code, and `docs/refusals.md` shows exactly those lines."""

import os
from pathlib import Path

import pytest
import torch
from helpers.refusals import PAGE, REFUSALS, Refusal, page, prepare

from globalconv.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    prepare(root)
    return root


def snapshot(root: Path) -> dict[Path, tuple[int, int]]:
    """Return size and time of every file outside what the commands may make."""
    files = [path for path in root.rglob("*") if path.is_file() and "new" not in path.parts]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


LINES: dict[str, str] = {}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.about)
def test_one_line_and_the_exit_code(
    refusal: Refusal, broken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(broken)
    before = snapshot(broken)
    code = main(refusal.arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("globalconv:")]
    assert code == refusal.code, lines
    assert len(lines) == 1
    assert refusal.words in lines[0]
    assert snapshot(broken) == before
    LINES[refusal.about] = lines[0].replace(str(broken), ".").replace("|", "\\|")
    if (broken / "new").exists():
        (broken / "new").rename(broken.parent / f"done-{len(LINES)}")


def test_the_page_shows_these_lines() -> None:
    if not torch.__version__.startswith("2.15.") or torch.cuda.is_available():
        pytest.skip("the page's lines were made with the pinned libraries, without a GPU")
    if len(LINES) < len(REFUSALS):
        pytest.skip("only some of the refusals ran")
    if os.environ.get("UPDATE_PAGES"):
        PAGE.write_text(page(LINES))
    assert PAGE.read_text() == page(LINES), "run with UPDATE_PAGES=1"
