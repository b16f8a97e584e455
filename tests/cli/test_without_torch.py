"""Where torch is not installed: verbs that need it say so in one line, the others work, and Python says the same."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.training import write_blobs
from helpers.without_torch import TESTS, run_without_torch
from PIL import Image

from globalconv.cli.main import VERBS
from globalconv.jobs.evaluate import evaluate_predictions

WORK_WITHOUT = {"recipes", "data"}


def commands(data: Path, out: Path) -> dict[str, list[object]]:
    """A command of every verb that needs a network of torch, with options that are in order."""
    return {
        "demo": ["--out", out],
        "train": ["folder", "--data", data, "--out", out],
        "pretrain": ["--data", data, "--out", out],
        "evaluate": [data, "--data", data],
        "report": [data],
        "card": [data],
        "push": [data, "somebody/name"],
        "export": [data, "--out", out / "a.onnx"],
        "predict": [data, data, "--out", out],
        "serve": [data],
        "submit": ["voc", data, "--data", data, "--out", out],
        "cost": [],
        "vrf": [data, data / "images/val/0.png", "--at", "3,3"],
        "paper": ["table1", "--data", data],
        "advise": ["--data", data],
        "crf-search": [data, "--data", data, "--out", out],
    }


def test_verbs_that_need_torch_say_so_in_one_line(tmp_path: Path) -> None:
    data = write_blobs(tmp_path / "blobs")
    refused = commands(data, tmp_path / "out")
    assert set(refused) == set(VERBS) - WORK_WITHOUT
    for verb, ran in zip(refused, run_without_torch([[verb, *rest] for verb, rest in refused.items()]), strict=True):
        assert (ran.code, ran.output) == (2, ""), (verb, ran)
        (line,) = ran.errors.splitlines()
        assert line.startswith(f"globalconv: {verb}: "), line
        assert line.endswith(' is not installed here; pip install "globalconv[train]" brings it'), line
    assert not (tmp_path / "out").exists()


def test_the_other_verbs_and_all_help_work(tmp_path: Path) -> None:
    data = write_blobs(tmp_path / "blobs")
    helps = [[verb, "--help"] for verb in VERBS]
    for ran in run_without_torch([["--help"], ["recipes"], ["data", "check", data], *helps]):
        assert ran.code == 0 and ran.output, ran


def test_class_maps_are_scored_as_with_torch(tmp_path: Path) -> None:
    data = write_blobs(tmp_path / "blobs")
    for path in (data / "labels" / "val").iterdir():
        with Image.open(path) as mask:
            values = np.roll(np.asarray(mask), 5)
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(np.where(values == 255, 0, values).astype(np.uint8)).save(tmp_path / "maps" / path.name)
    scoring = ["evaluate", "--predictions", tmp_path / "maps", "--data", data]
    scored, reported = run_without_torch([[*scoring, "--json"], [*scoring, "--report", tmp_path / "page.html"]])
    expected = evaluate_predictions(tmp_path / "maps", data).to_json()
    assert scored.code == 0 and json.loads(scored.output) | {"seconds": 0} == expected | {"seconds": 0}
    assert reported.code == 2 and reported.errors.startswith("globalconv: evaluate: --report: needs jinja2, "), reported


@pytest.mark.parametrize("call", ["train", "GlobalConvNet", "network_cost"])
def test_python_says_the_same(call: str) -> None:
    code = f"""
import globalconv
from helpers.without_torch import block
block()
try:
    globalconv.{call}
except globalconv.InputError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"globalconv.{call}: needs t")
    assert run.stdout.endswith(' is not installed here; pip install "globalconv[train]" brings it\n')
