"""The rules of docs/architecture.md, enforced: its table says who may import whom, and this reads that table."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import structure

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "globalconv"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400

# Paths of one machine, package indexes, and the place of the data (which only the Makefile may name).
MACHINE = re.compile(r"(?<![.\w])/(?:work|root|tmp|home|farm)/[\w.-]|https?://[^ ]*(?:pyp[i]|pythonh)")
DATA_PLACE = re.compile(r"\.\./shared")


@dataclass(frozen=True)
class Room:
    names: tuple[str, ...]
    may_import: tuple[str, ...]
    never: tuple[str, ...]


@cache
def rooms() -> list[Room]:
    """The rows of the table of rooms; the first is the cellar, which everybody may import."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[tuple(re.findall(r"`([\w.]+)`", cell)) for cell in row.strip("|").split("|")] for row in rows]
    return [Room(names, may_import, never) for names, _, may_import, never in cells]


def dotted(path: Path) -> str:
    """The module's name inside the package: model.blocks; the package itself is the empty name."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def inside(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def room_of(module: str) -> Room:
    found = [room for room in rooms() if inside(module, room.names)]
    assert len(found) == 1, f"{module}: in {len(found)} rooms of docs/architecture.md, not in one"
    return found[0]


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Full names of what the file imports; with `top_level_only` only what runs when it is imported."""
    for node in _nodes(ast.parse(path.read_text()), top_level_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the module in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _nodes(node: ast.AST, top_level_only: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if top_level_only and (typing_only or isinstance(child, ast.FunctionDef | ast.Lambda)):
            continue
        yield child
        yield from _nodes(child, top_level_only)


def own_imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Modules of this package that the file imports: `from globalconv.data import images` is data.images."""
    known = {dotted(module) for module in MODULES}
    names = [name.partition(".")[2] for name in imports(path, top_level_only) if name.split(".")[0] == "globalconv"]
    return {name if name in known else name.rpartition(".")[0] for name in names}


def test_the_table_has_every_room() -> None:
    assert len(rooms()) > 5
    for module in MODULES:
        if dotted(module) and any(imports(module)):
            room_of(dotted(module))
    for room in rooms():
        for name in (*room.names, *room.may_import):
            place = PACKAGE / name.replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").is_file(), f"docs/architecture.md names {name}"


@pytest.mark.parametrize("module", MODULES, ids=dotted)
def test_imports_follow_the_table(module: Path) -> None:
    name = dotted(module)
    if not name or not any(imports(module)):
        return  # the public face, or a package that only holds its docstring
    room, cellar = room_of(name), rooms()[0]
    allowed = (*room.names, *room.may_import, *cellar.names)
    strangers = {other for other in own_imports(module) if other and not inside(other, allowed)}
    assert not strangers, f"{name} may not import {strangers}"
    unwanted = {other for other in imports(module) if inside(other, room.never)}
    assert not unwanted, f"{name} never imports {unwanted}"


def test_nothing_but_the_command_line_imports_the_command_line_or_the_public_face() -> None:
    for module in MODULES:
        if not inside(dotted(module), ("cli",)):
            assert not {other for other in own_imports(module) if inside(other, ("cli",)) or not other}, module


def test_the_public_face_imports_nothing_of_the_package_when_imported() -> None:
    assert not own_imports(PACKAGE / "__init__.py", top_level_only=True)


def test_arrows_go_down() -> None:
    """A room imports rooms above it in the table only; a part of a room stands where the room does."""
    above: set[str] = set()
    for room in rooms():
        assert {name.partition(".")[0] for name in room.may_import} <= above, room.names
        above |= {name.partition(".")[0] for name in room.names}


def test_what_is_always_installed_is_what_predicting_and_scoring_import() -> None:
    """Modules that import nothing of an extra, themselves or through others, and what they import anywhere."""
    lines = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    always = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines}

    def foreign(path: Path, top_level_only: bool) -> set[str]:
        names = {name.split(".")[0].replace("PIL", "pillow") for name in imports(path, top_level_only)}
        return names - set(sys.stdlib_module_names) - {"globalconv"}

    heavy = {dotted(path) for path in MODULES if foreign(path, True) - always}
    while more := {dotted(path) for path in MODULES if own_imports(path, True) & heavy} - heavy:
        heavy |= more
    light = {dotted(path): path for path in MODULES if dotted(path) not in heavy}
    assert {"jobs.predict", "jobs.evaluate", "jobs.check_data", "infer.image_files", "crf.dense"} <= set(light)
    used = set[str]().union(*(foreign(path, False) for path in light.values()))
    assert used >= always, f"nothing that works without an extra imports {always - used}"


def test_one_name_is_one_thing_and_nobody_jumps_for_a_line() -> None:
    """What `benchmarks/structure.py` measures, and what it should be."""
    modules = structure.read_package(PACKAGE)
    assert not structure.import_circles(modules)
    assert not structure.shared_basenames(modules)
    assert not structure.shared_classes(modules)
    assert not structure.helpers_used_once(modules)[1]
    assert len([module for module in modules if len(module.path.parts) == 1 and not module.is_init]) <= 5


def repository_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # an image


def test_files_stay_short() -> None:
    lengths = {path: len(text_of(path).splitlines()) for path in repository_files() if path.suffix == ".py"}
    assert lengths
    assert not {path: length for path, length in lengths.items() if length > MAX_LINES}


def test_no_file_names_a_machine_or_a_package_index() -> None:
    texts = {path: text_of(path) for path in repository_files()}
    assert not [(path, match[0]) for path, text in texts.items() if (match := MACHINE.search(text))]
    assert [path.name for path, text in texts.items() if DATA_PLACE.search(text)] == ["Makefile"]
