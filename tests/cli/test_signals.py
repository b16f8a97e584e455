"""Real processes, real signals: 143 and 130 with the state saved, whenever they strike; SIGKILL loses nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.training import final_state, log_without_clock, same_bits, write_blobs

from globalconv.training.checkpoint import checkpoints, is_intact, load_newest

pytestmark = pytest.mark.slow

OPTIONS = """
    --model.backbone test_resnet --model.backbone-weights none --model.kernel-size 3
    --data.augmentation.crop 48 64 --data.batch-size 2
    --precision float32 --optim.ema-decay 0.9 --log-every 1
""".split()


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blobs(tmp_path_factory.mktemp("blobs"))


def command(data: Path, out: Path, *more: str, workers: int = 1) -> list[str]:
    return [
        sys.executable, "-m", "globalconv.cli.main", "train", "folder", "--data", str(data), "--out", str(out),
        "--data.workers", str(workers), *OPTIONS, *more,
    ]  # fmt: skip


def start(arguments: list[str]) -> subprocess.Popen[str]:
    # A session of its own, so that a signal to the group reaches the workers too, as a terminal's Ctrl-C does.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True, env=environment
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def logged(out: Path) -> int:
    log = out / "metrics.jsonl"
    return log.read_text().count('"event": "step"') if log.exists() else 0


def wait_for_steps(steps: int, out: Path, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: logged(out) >= steps, process)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_training_saves_and_resume_is_exact(
    number: signal.Signals, code: int, blobs: Path, tmp_path: Path
) -> None:
    out, steps = tmp_path / "run", ["--steps", "30", "--evaluate-every", "10", "--checkpoint-every", "1000"]
    process = start(command(blobs, out, *steps))
    wait_for_steps(3, out, process)
    os.killpg(process.pid, number)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert "the same command with --resume goes on" in errors
    state = load_newest(out / "checkpoints")
    assert state is not None
    assert state["state"]["step"] == logged(out)  # the step that was under way is done, and saved
    whole = tmp_path / "whole"
    resumed = start(command(blobs, out, *steps, "--resume"))
    uninterrupted = start(command(blobs, whole, *steps))
    for process in (resumed, uninterrupted):
        process.communicate()
        assert process.returncode == 0
    assert same_bits(final_state(out), final_state(whole))
    assert log_without_clock(out) == log_without_clock(whole)


@pytest.mark.parametrize("delay", [0.1, 1.0, 2.0, 3.0])
def test_a_signal_during_start_up(delay: float, blobs: Path, tmp_path: Path) -> None:
    process = start(command(blobs, tmp_path / "run", "--steps", "100000"))
    time.sleep(delay)
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=300)[1]
    if process.returncode == -signal.SIGTERM:  # Python itself was not up yet: a shell calls this 143, too
        assert delay < 1 and not errors
    else:
        assert process.returncode == 143
        assert errors.splitlines()[-1].startswith("globalconv: stopped by SIGTERM")


def test_a_signal_during_evaluation(tmp_path: Path) -> None:
    """Evaluation of many images is broken off; the resumed run makes it again and ends as if nothing had happened."""
    data = write_blobs(tmp_path / "data")
    for index in range(400):
        for folder in ("images", "labels"):
            os.link(data / folder / "val" / "0.png", data / folder / "val" / f"copy-{index}.png")
    out, whole = tmp_path / "run", tmp_path / "whole"
    steps = ["--steps", "4", "--evaluate-every", "3", "--checkpoint-every", "1"]
    process = start(command(data, out, *steps))
    wait_for_steps(3, out, process)
    time.sleep(0.3)  # step 3 is done and saved, its evaluation is under way
    process.send_signal(signal.SIGTERM)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 143, errors
    state = load_newest(out / "checkpoints")
    assert state is not None
    assert (state["state"]["step"], state["state"]["evaluated_step"]) == (3, 0)
    for arguments in (command(data, out, *steps, "--resume"), command(data, whole, *steps)):
        assert (
            subprocess.run(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode == 0
        )
    assert same_bits(final_state(out), final_state(whole))
    assert log_without_clock(out) == log_without_clock(whole)


def test_a_reader_that_has_gone_costs_nothing(blobs: Path, tmp_path: Path) -> None:
    """Ctrl-C ends `2>&1 | tee log` with the training, whose lines then go nowhere: its state is saved all the same."""
    out = tmp_path / "run"
    process = start(command(blobs, out, "--steps", "100000", "--evaluate-every", "3", "--checkpoint-every", "100000"))
    wait_for_steps(2, out, process)
    assert process.stderr is not None
    process.stderr.close()
    wait_for_steps(8, out, process)  # past evaluations, which say something
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == 130
    state = load_newest(out / "checkpoints")
    assert state is not None
    assert state["state"]["step"] == logged(out)


def test_killed_twenty_times_the_newest_checkpoint_always_loads(blobs: Path, tmp_path: Path) -> None:
    """SIGKILL at random instants of a run that saves after every step: never a checkpoint that does not load."""
    out, rng, seen = tmp_path / "run", random.Random(0), 0
    for kill in range(20):
        steps = ["--steps", "100000", "--checkpoint-every", "1", "--evaluate-every", "20"]
        process = start(command(blobs, out, *steps, *(["--resume"] if kill else []), workers=0))
        wait_for_steps(logged(out) + 2, out, process)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.communicate()
        newest = checkpoints(out / "checkpoints")[0]
        assert is_intact(newest), f"kill {kill}: {newest}"
        state = load_newest(out / "checkpoints")
        assert state is not None
        assert state["state"]["step"] >= seen
        seen = state["state"]["step"]
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines[:-1]]) >= seen  # only the last line can be half written
