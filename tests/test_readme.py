"""The command blocks of README.md, CONTRIBUTING.md and docs/ run as they stand.

All blocks of one document run in order in one folder, which holds what a reader would bring: `my-data/` (images and
label maps), `photos/`, and `images/` (a folder per class). An HTML comment on the line above a block may change that:

    <!-- test: "train folder" as "train folder --steps 2" -->   run with this replacement, for a smaller budget
    <!-- test: skip REASON -->                                 do not run; every `make TARGET` in it must exist

A block that uses $GLOBALCONV_DATA is skipped where there is no real data.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"(?:^<!-- test: (?P<mark>[^\n]*) -->\n)?^```(?P<language>bash|python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
REPLACEMENT = re.compile(r'"([^"]+)" as "([^"]+)"')
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
SECONDS = 300


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    mark: str
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    text = document.read_text()
    found = FENCE.finditer(text)
    return [
        Block(document, 1 + text.count("\n", 0, f.start("code")), f["mark"] or "", f["language"], f["code"])
        for f in found
    ]


def in_order(document: Path) -> list[object]:
    """One document's blocks (`make unit` keeps a file on one worker): later ones use what earlier ones made."""
    return [pytest.param(block, id=str(block)) for block in blocks(document)]


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """A folder for each document, with a reader's data in it."""
    folders = {document: tmp_path_factory.mktemp(document.stem) for document in DOCUMENTS}
    for folder in folders.values():
        _write_data(folder)
    return folders


def _write_data(folder: Path) -> None:
    """Twenty images of a red half on a blue half, with their label maps; the halves as two classes; and a photo."""
    for name in ("my-data/images", "my-data/labels", "photos"):
        (folder / name).mkdir(parents=True)
    for index in range(20):
        label_map = np.zeros((48, 64), np.uint8)
        label_map[8 + index :] = 1
        image = Image.fromarray(np.array([[200, 30, 30], [30, 30, 200]], np.uint8)[label_map])
        image.save(folder / f"my-data/images/{index:02d}.jpg")
        Image.fromarray(label_map).save(folder / f"my-data/labels/{index:02d}.png")
        for name, part in (("red", (0, 0, 64, 8 + index)), ("blue", (0, 8 + index, 64, 48))):
            place = folder / "images" / ("val" if index % 5 == 0 else "train") / name
            place.mkdir(parents=True, exist_ok=True)
            image.crop(part).save(place / f"{index:02d}.jpg")
    image.resize((90, 70)).save(folder / "photos/street.jpg")


@pytest.mark.parametrize("block", [block for document in DOCUMENTS for block in in_order(document)])
def test_block_runs(block: Block, workplaces: dict[Path, Path]) -> None:
    if block.mark.startswith("skip "):
        pytest.skip(block.mark.removeprefix("skip "))
    if "GLOBALCONV_DATA" in block.code + block.mark and not Path(os.environ.get("GLOBALCONV_DATA") or "-").is_dir():
        pytest.skip("no real data: GLOBALCONV_DATA names no folder")
    code = block.code
    if block.mark:
        replacement = REPLACEMENT.fullmatch(block.mark)
        assert replacement, f"{block}: what does the mark {block.mark!r} mean?"
        assert replacement[1] in code, f"{block}: {replacement[1]!r} is not in the block (any more)"
        code = code.replace(replacement[1], replacement[2])
    shell = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        [*shell, code], cwd=workplaces[block.document], env={**os.environ, "PATH": path},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{block} exits {result.returncode}\n{code}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_make_targets_and_links_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", "".join(block.code for block in blocks(document)), re.MULTILINE))
    assert named <= targets
    missing = [link for link in LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert not missing


def test_readme_names_every_recipe_and_verb() -> None:
    from globalconv.cli.main import VERBS
    from globalconv.training.recipes.index import RECIPES, STAGED

    readme = (ROOT / "README.md").read_text()
    assert re.findall(r"^\| `([\w-]+)` \|", readme, re.MULTILINE) == sorted([*RECIPES, *STAGED])
    commands = set(re.findall(r"^(?:globalconv|make) ([\w-]+)", readme, re.MULTILINE))
    assert set(VERBS) <= commands
