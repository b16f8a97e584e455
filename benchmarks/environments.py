"""What an environment without torch weighs and does: fresh ones are made, used, measured, and compared with torch's.

python benchmarks/environments.py

Installs what `pip install globalconv`, `globalconv[runtime]` and `globalconv[runtime,serve]` bring into a new
environment, within constraints.txt; the package index must be reachable. In each: `--help` and `evaluate --predictions`
work, `train` is refused in one line, torch cannot be imported. With `runtime` a file that is exported here is predicted
with and scored, with `serve` it answers a request. `globalconv[train]` is not installed a second time: what it and its
requirements take is summed up over the environment that this runs in.
"""

import importlib.metadata
import io
import json
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import venv
from pathlib import Path
from typing import Any

import numpy as np
from common import print_rows, write_results
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import globalconv
from globalconv import GlobalConvNet
from globalconv.labels import LabelSpace
from globalconv.weights import save_weights

ROOT = Path(__file__).resolve().parent.parent
REFUSAL = 'is not installed here; pip install "globalconv[train]" brings it'


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scored(folder)
        venv.create(folder / "fresh", with_pip=True, symlinks=True)
        globalconv.export(save_network(folder / "run"), folder / "network.onnx", images=20)
        for extras in ("", "[runtime]", "[runtime,serve]"):
            install(folder / "fresh", extras)
            use(folder / "fresh", folder)
            if "runtime" in extras:
                use_exported(folder / "fresh", folder)
            if "serve" in extras:
                use_server(folder / "fresh", folder)
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


def save_network(folder: Path) -> Path:
    """Save a small network of two classes with random weights."""
    save_weights(folder, GlobalConvNet(2, "test_resnet"), LabelSpace(("dark", "light")), {})
    return folder


def install(environment: Path, extras: str) -> None:
    """Install the checkout with `extras` and what it requires."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), f"{ROOT}{extras}"], check=True)


def run(environment: Path, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment in `folder`, with nothing of this process's environment."""
    command, home = [str(environment / "bin" / program), *arguments], {"HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, check=False)


def use(environment: Path, folder: Path) -> None:
    """Run what works without torch, and what is refused."""
    helped = run(environment, folder, "globalconv", "--help")
    assert helped.returncode == 0 and "evaluate" in helped.stdout, helped.stderr
    data = ("--data", "data", "--split", "all", "--json")
    scored = run(environment, folder, "globalconv", "evaluate", "--predictions", "maps", *data)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["pixel_accuracy"] == 0.75
    refused = run(environment, folder, "globalconv", "train", "folder", "--data", "data", "--out", "out")
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 2 and line.startswith("globalconv: train: needs ") and line.endswith(REFUSAL), line
    assert run(environment, folder, "python", "-c", "import torch").returncode == 1


def use_exported(environment: Path, folder: Path) -> None:
    """Predict with an exported file, in every way at once, and score it."""
    ways = ("--scales", "0.5", "1", "--flip", "--tile", "32", "--overlap", "0", "--crf", "example")
    predicted = run(environment, folder, "globalconv", "predict", "network.onnx", "data/images", "--out", "out", *ways)
    assert predicted.returncode == 0 and (folder / "out" / "a.png").is_file(), predicted.stderr
    scored = run(environment, folder, "globalconv", "evaluate", "network.onnx", "--data", "data", "--split", "all")
    assert scored.returncode == 0 and "pixel accuracy" in scored.stdout, scored.stderr


def use_server(environment: Path, folder: Path) -> None:
    """Serve the exported file, and ask for a class map."""
    command = [str(environment / "bin" / "globalconv"), "serve", "network.onnx", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, env={"HOME": str(folder)}, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(line.split()[2] for line in server.stderr if "serving at " in line)
            content = (folder / "data" / "images" / "a.png").read_bytes()
            with urllib.request.urlopen(f"{address}/v1/segment", content, timeout=60) as answer:
                assert Image.open(io.BytesIO(answer.read())).size == (32, 32)
        finally:
            server.terminate()


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
