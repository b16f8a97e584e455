"""What an environment without torch weighs and does: fresh ones are made, used, measured, and compared with torch's.

python benchmarks/environments.py

Installs what `pip install globalconv` and `globalconv[runtime]` bring into a new environment, within constraints.txt;
the package index must be reachable. In each: `--help` and `evaluate --predictions` work, `train` is refused in one
line, torch cannot be imported. `globalconv[train]` is not installed a second time: what it and its requirements take is
summed up over the environment that this runs in.
"""

import importlib.metadata
import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
from common import print_rows, write_results
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
REFUSAL = 'is not installed here; pip install "globalconv[train]" brings it'


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scored(folder)
        venv.create(folder / "fresh", with_pip=True, symlinks=True)
        for extras in ("", "[runtime]"):
            install(folder / "fresh", extras)
            use(folder / "fresh", folder)
            rows.append({"environment": f"globalconv{extras}", **weigh(folder / "fresh")})
    rows.append({"environment": "globalconv[train]", **weigh_installed("train")})
    for row in rows:
        row["of train's"] = f"{row['MB'] / rows[-1]['MB']:.1%}"
    print_rows("environments", rows)
    write_results("environments", "cpu", {}, {"size of site-packages": rows})


def write_scored(folder: Path) -> None:
    """Write label maps, images, and class maps that are three quarters right."""
    truth = np.repeat(np.array([[0, 1], [1, 0]], np.uint8), 16, axis=0).repeat(16, axis=1)
    predicted = np.where(np.arange(32) < 24, truth, 1 - truth).astype(np.uint8)
    for place, values in (("data/images", truth * 200), ("data/labels", truth), ("maps", predicted)):
        (folder / place).mkdir(parents=True)
        Image.fromarray(values).save(folder / place / "a.png")


def install(environment: Path, extras: str) -> None:
    """Install the checkout with `extras` and what it requires."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), f"{ROOT}{extras}"], check=True)


def use(environment: Path, folder: Path) -> None:
    """Run what works without torch, and what is refused."""

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, home = [str(environment / "bin" / program), *arguments], {"HOME": str(folder)}
        return subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, check=False)

    helped = run("globalconv", "--help")
    assert helped.returncode == 0 and "evaluate" in helped.stdout, helped.stderr
    scored = run("globalconv", "evaluate", "--predictions", "maps", "--data", "data", "--split", "all", "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["pixel_accuracy"] == 0.75
    refused = run("globalconv", "train", "folder", "--data", "data", "--out", "out")
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 2 and line.startswith("globalconv: train: needs ") and line.endswith(REFUSAL), line
    assert run("python", "-c", "import torch").returncode == 1


def weigh(environment: Path) -> dict[str, Any]:
    """Return the number of packages in an environment, and what they take; pip, which installed them, left out."""
    layout = {"base": str(environment), "platbase": str(environment)}
    packages = sysconfig.get_path("purelib", "venv", layout)
    found = [one for one in importlib.metadata.distributions(path=[packages]) if one.metadata["Name"] != "pip"]
    return {"packages": len(found), "MB": round(sum(map(size, found)) / 2**20)}


def weigh_installed(extra: str) -> dict[str, Any]:
    """Return the same of globalconv with `extra`, over the environment that this runs in."""
    found: dict[str, int] = {}
    waiting = [("globalconv", frozenset({extra}))]
    while waiting:
        name, extras = waiting.pop()
        distribution = importlib.metadata.distribution(name)
        found[canonicalize_name(name)] = size(distribution)
        needed = [Requirement(line) for line in distribution.requires or ()]
        needed = [r for r in needed if not r.marker or any(r.marker.evaluate({"extra": e}) for e in ("", *extras))]
        waiting += [(r.name, frozenset(r.extras)) for r in needed if canonicalize_name(r.name) not in found]
    return {"packages": len(found), "MB": round(sum(found.values()) / 2**20)}


def size(distribution: importlib.metadata.Distribution) -> int:
    """Return the bytes of a package's files."""
    files = [Path(str(file.locate())) for file in distribution.files or ()]
    return sum(path.stat().st_size for path in files if path.is_file())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(__doc__)
    main()
