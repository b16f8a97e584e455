"""The frame holds together: versions, pins, make targets and the public face say the same thing everywhere."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import globalconv
from globalconv.cli.main import VERBS
from globalconv.errors import TRAIN_PACKAGES

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    requirement
    for requirement in map(Requirement, [*PROJECT["dependencies"], *chain(*EXTRAS.values())])
    if requirement.name != PROJECT["name"]  # extras that hold other extras
]
LEFT_TO_TORCH = re.compile(r"(nvidia|cuda)-.*|triton")


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    matches = [re.fullmatch(r"([a-z0-9-]+)==([0-9a-z.]+)", line) for line in lines]
    assert all(matches), [line for line, match in zip(lines, matches, strict=True) if not match]
    return {match[1]: match[2] for match in matches if match}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_what_the_requirements_bring_is_pinned_too() -> None:
    unpinned = {name for name in _closure() if name not in pins() and not LEFT_TO_TORCH.fullmatch(name)}
    assert not unpinned


def _closure() -> set[str]:
    """Names of the installed distributions that globalconv and its extras lead to on this machine."""
    found: set[str] = set()
    waiting = [(requirement.name, requirement.extras) for requirement in REQUIREMENTS]
    while waiting:
        name, extras = waiting.pop()
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed here
        needed = [Requirement(line) for line in lines]
        needed = [r for r in needed if not r.marker or any(r.marker.evaluate({"extra": e}) for e in ("", *extras))]
        waiting += [(r.name, r.extras) for r in needed if canonicalize_name(r.name) not in found]
        found.add(canonicalize_name(name))
    return found


def test_every_import_is_declared() -> None:
    """What the package imports comes from a requirement of its own, not from a requirement's requirement."""
    nodes = [node for path in (ROOT / "src").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    foreign = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - {"globalconv"}
    unseen = {"onnxscript"}  # what torch's own exporter needs
    assert distributions(foreign) == required("export", "coco", "tiff", "serve") - unseen


def distributions(modules: Iterable[str]) -> set[str]:
    return {canonicalize_name({"PIL": "pillow"}.get(name, name)) for name in modules}


def required(*extras: str) -> set[str]:
    """What is always required, and what these extras add, themselves or by the extras in them."""
    names: set[str] = set()
    for line in [*PROJECT["dependencies"], *chain.from_iterable(EXTRAS[extra] for extra in extras)]:
        requirement = Requirement(line)
        is_own = requirement.name == PROJECT["name"]
        names |= required(*requirement.extras) if is_own else {canonicalize_name(requirement.name)}
    return names


def test_errors_know_what_the_extra_for_training_brings() -> None:
    assert distributions(TRAIN_PACKAGES) == required("train") - required()


def test_development_has_all_that_tests_need() -> None:
    assert required("dev") > required("train", "runtime", "serve", "coco", "tiff")


def test_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert globalconv.__version__ == PROJECT["version"] == citation["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    for command in (["make"], ["make", "help"]):
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert re.findall(r"^  make (\w+)", shown, re.MULTILINE) == phony[1].split()


def test_setup_without_a_usable_python_says_so_in_one_line(tmp_path: Path) -> None:
    no_python = ["make", "-s", "setup", f"VENV={tmp_path / 'venv'}", "PYTHONS=no-such-python"]
    # These tests run under `make` themselves, whose own flags are nothing to the make that is tested.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    result = subprocess.run(no_python, cwd=ROOT, capture_output=True, text=True, check=False, env=outside)
    line, *rest = result.stderr.splitlines()
    assert result.returncode != 0
    assert "no Python >= 3.11" in line and "PYTHON=" in line
    assert all(other.startswith("make: ***") for other in rest), rest


def test_the_container_is_built_of_what_there_is() -> None:
    """Its extras and the files that it copies exist, and nothing keeps them from the build."""
    text, kept = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    extras = re.search(r"/source\[([a-z,]+)\]", text)
    assert extras is not None
    assert set(extras[1].split(",")) <= EXTRAS.keys()
    assert "train" not in extras[1]
    copied = [name for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
              for name in line.split()[1:-1]]  # fmt: skip
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in kept


def test_scripts_that_make_names_exist() -> None:
    scripts = re.findall(r"benchmarks/\w+\.py", (ROOT / "Makefile").read_text())
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_continuous_integration_is_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-1] == "exec make test"


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_leaves_torch_alone() -> None:
    run_python(
        "import sys, globalconv\nglobalconv.__version__, globalconv.InputError\nassert 'torch' not in sys.modules\n"
    )


FINISHED = """
    paper table1 --first --recipe msrc21-scratch --data no-such-folder/MSRC21 --seeds 5 --budget 600
    --model.backbone test_resnet --data.augmentation.crop 192 192 --results benchmarks/results/paper/msrc21
""".split()
"""A table all of whose trainings have been made."""

AT_ONCE = [
    ["--help"], ["recipes"], ["train", "folder", "--help"], ["paper"], ["paper", "table8"],
    ["paper", "table1", "--help"], FINISHED, *([verb, "--help"] for verb in VERBS),
]  # fmt: skip


@pytest.mark.parametrize("words", AT_ONCE, ids=lambda words: " ".join(words[:3]))
def test_what_asks_for_words_leaves_torch_and_timm_alone(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run_python(
        "import sys\n"
        "from globalconv.cli.main import main\n"
        "try:\n"
        f"    code = main({words})\n"
        "except SystemExit as stop:\n"
        "    code = stop.code\n"
        "assert not code, code\n"
        "assert not {'torch', 'timm', 'lightning_fabric'} & set(sys.modules)\n"
    )


@pytest.mark.parametrize("name", globalconv.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(globalconv, name) is not None
    assert name in dir(globalconv)


def test_no_module_hides_a_public_function() -> None:
    """`import globalconv.x` sets the attribute `x` of the package, whatever public name it had."""
    modules = {path.stem for path in Path(globalconv.__file__).parent.iterdir()}
    assert not modules & {*globalconv.__all__}


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        globalconv.no_such_name  # noqa: B018
