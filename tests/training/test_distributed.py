"""Two processes (gloo, on the CPU) train as one does on the same batches, score as one, stop and refuse together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import rank_script
from helpers.training import write_blobs

from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.training.checkpoint import load_newest
from globalconv.training.distributed import Cluster
from globalconv.training.segmentation import build_network

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parent.parent
OPTIONS = """
    --model.backbone test_resnet --model.backbone-weights none --model.kernel-size 3
    --data.augmentation.crop 48 64 --data.batch-size 4
    --precision float32 --log-every 1 --device cpu --data.workers 0
""".split()


def start(command: list[str]) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return errors


def script(*arguments: object) -> None:
    finish(start([sys.executable, "-m", "helpers.rank_script", *map(str, arguments)]))


def command(data: Path, out: Path, *more: str) -> list[str]:
    common = ["train", "folder", "--data", str(data), "--out", str(out)]
    return [sys.executable, "-m", "globalconv.cli.main", *common, *OPTIONS, *more]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images to train on and seven to validate, the last with every second pixel void."""
    root = write_blobs(tmp_path_factory.mktemp("blobs"))
    for index in range(3, 7):
        for folder in ("images", "labels"):
            os.link(root / folder / "train" / f"{index}.png", root / folder / "val" / f"{index}.png")
    return root


def test_two_processes_train_and_score_as_one(data: Path, tmp_path: Path) -> None:
    """Twenty steps of float64 on the same global batches, frozen batch norm: to 1e-9; seven images: the same matrix."""
    script(data, tmp_path / "start", 1, 2, 0)
    for devices in (1, 2):
        script(data, tmp_path / f"by-{devices}", devices, 20, 0, tmp_path / "start")
    one, two = (state(tmp_path / f"by-{devices}")["network"] for devices in (1, 2))
    assert next(iter(one.values())).dtype == torch.float64
    moved = state(tmp_path / "start")["network"]
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=1e-9)
    assert not any(torch.equal(one[name], moved[name]) for name in one if name.startswith("heads."))
    by_one, by_two = (events(tmp_path / f"by-{devices}", "evaluation")[-1] for devices in (1, 2))
    for field in ("miou", "iou", "pixel_accuracy", "images"):
        assert by_two[field] == by_one[field]
    assert by_two["images"] == 7


def test_two_processes_leave_the_backbone_alone_as_one_does(data: Path, tmp_path: Path) -> None:
    """Seven of twelve steps, also with live batch norm; then it learns the same, to 1e-9."""
    script(data, tmp_path / "start", 1, 2, 0)
    for devices in (1, 2):
        script(data, tmp_path / f"by-{devices}", devices, 12, 7, tmp_path / "start")
    one, two = (state(tmp_path / f"by-{devices}") for devices in (1, 2))
    moved = state(tmp_path / "start")["network"]
    for name, tensor in one["network"].items():
        torch.testing.assert_close(two["network"][name], tensor, rtol=0, atol=1e-9)
    assert not torch.equal(one["network"]["backbone.body.conv1.0.weight"], moved["backbone.body.conv1.0.weight"])

    script(data, tmp_path / "resting", 2, 4, 4)
    live = rank_script.recipe(4, frozen=False)
    torch.manual_seed(live.seed)
    fresh = build_network(live.model, LabelSpace(("a", "b", "c")), live.seed, None, False, lambda line: None).double()
    after, before = state(tmp_path / "resting")["network"], fresh.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) is name.startswith("backbone."), name


def state(out: Path) -> dict[str, Any]:
    checkpoint = load_newest(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_a_signal_to_one_process_stops_both_at_one_step(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    steps = ["--steps", "100000", "--evaluate-every", "100000", "--checkpoint-every", "100000"]
    process = start(command(data, out, *steps, "--devices", "2"))
    while not (out / "metrics.jsonl").exists() or len(events(out, "step")) < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    (other,) = children(process.pid)
    os.kill(other, signal.SIGTERM)
    errors = finish(process, 143)
    assert "the same command with --resume goes on" in errors
    assert state(out)["state"]["step"] == len(events(out, "step"))
    assert state(out)["processes"] == 2
    one = main([*command(data, out, *steps)[3:], "--resume"])  # by this process alone
    assert one == 2
    finish(start(command(data, out, *steps, "--devices", "3", "--resume")), 2)


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_batch_that_cannot_be_divided_is_refused(data: Path, tmp_path: Path) -> None:
    errors = finish(start(command(data, tmp_path / "run", "--data.batch-size", "3", "--devices", "2")), 2)
    assert errors.count("globalconv: --data.batch-size 3") == 1


def test_the_script_is_frozen_where_it_starts_from_weights() -> None:
    assert rank_script.recipe(1, frozen=True).model.backbone_norm == "frozen"


@pytest.mark.parametrize(
    ("cluster", "torchrun", "message"),
    [
        (Cluster(devices=0), {}, "`devices` 0: must be at least 1"),
        (Cluster(nodes=0), {}, "`nodes` 0: must be at least 1"),
        (Cluster(devices=4), {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}, r"torchrun has started 2 process\(es\)"),
    ],
)
def test_impossible_numbers_of_processes_are_refused(
    cluster: Cluster, torchrun: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        cluster.size()


def test_torchrun_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "6")
    assert Cluster().size() == Cluster(devices=2, nodes=3).size() == (2, 3)
