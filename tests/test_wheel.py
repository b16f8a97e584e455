"""The built wheel runs outside the checkout."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_the_wheel_runs_the_demo_in_a_fresh_environment(tmp_path: Path) -> None:
    """Build it, install it into a new environment, and train and compare both networks of the demo there.

    What it requires is taken from the environment of the tests: a line in a `.pth` file adds that folder and none of
    its own `.pth` files, so that the editable install of the checkout is not there.
    """
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        tmp_path,
        ROOT,
    ]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("globalconv-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "globalconv/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]

    venv.create(tmp_path / "fresh", with_pip=False, symlinks=True)
    layout = {"base": str(tmp_path / "fresh"), "platbase": str(tmp_path / "fresh")}
    packages = Path(sysconfig.get_path("purelib", "venv", layout))
    scripts = Path(sysconfig.get_path("scripts", "venv", layout))
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        scripts / "python",
        "install",
        "--no-deps",
        "--quiet",
        wheel,
    ]
    environment = {"PATH": str(scripts), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run(install, check=True, env=environment)
    (packages / "requirements.pth").write_text(f"{sysconfig.get_path('purelib')}\n")

    where: list[str | Path] = [scripts / "python", "-c", "import globalconv; print(globalconv.__file__)"]
    place = subprocess.run(where, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert Path(place.strip()).is_relative_to(packages)
    demo: list[str | Path] = [scripts / "globalconv", "demo", "--scenes", "50", "--steps", "20", "--out", "demo"]
    ran = subprocess.run(demo, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    page = (tmp_path / "demo" / "index.html").read_text(encoding="utf-8")
    assert "<style>" in page
    assert "mIoU" in page
