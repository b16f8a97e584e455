"""The paper's staged recipes, end to end on miniatures of the official data: one command, killed in each stage."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.official import cityscapes_tree, coco_tree, sbd_tree, voc_tree
from helpers.training import Killed

from globalconv.cli.main import main
from globalconv.training import loop
from globalconv.training.loop import Session

pytestmark = pytest.mark.slow

SMALL = """
    --model.backbone test_resnet --model.backbone-weights None --model.backbone-norm train --data.batch-size 2
    --steps 3 --checkpoint-every 1 --log-every 1 --data.workers 0 --precision float32 --optim.lr 0.01
""".split()


def killed_at(monkeypatch: pytest.MonkeyPatch, stage: str, step: int) -> None:
    real_step = loop.train_step

    def train_step(session: Session, parts: object) -> object:
        if session.run.path.name.endswith(stage) and session.state.step == step:
            monkeypatch.undo()
            raise Killed
        return real_step(session, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", train_step)


def run_with_kills(command: list[str], stages: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that is killed once in each stage and goes on; return its log."""
    for number, stage in enumerate(stages):
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, stage, 2 - number % 2)
            with pytest.raises(Killed):
                main([*command, *(["--resume"] if number else [])])
    assert main([*command, "--resume"]) == 0
    return capsys.readouterr().err


def starts(out: Path) -> list[tuple[int, list[int], list[int]]]:
    facts = []
    for log in sorted(out.glob("*/metrics.jsonl")):
        start = json.loads(log.read_text().splitlines()[0])
        facts.append((start["images"], start["crop"], start["network"]["kernel_size"]))
    return facts


def test_voc_in_three_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [f"voc={voc_tree(tmp_path)}", f"sbd={sbd_tree(tmp_path)}", f"coco={coco_tree(tmp_path)}"]
    out = tmp_path / "run"
    crops = ["--data.augmentation.crop", "64", "64", "--coco.data.augmentation.crop", "80", "80"]
    command = ["train", "voc", "--data", *places, "--out", str(out), *SMALL, *crops]
    log_text = run_with_kills(command, ("coco", "sbd", "voc"), capsys)
    counts = [images for images, _, _ in starts(out)]
    sizes = [([80, 80], [15] * 4), ([64, 64], [15] * 4), ([64, 64], [15] * 4)]
    assert [(crop, kernels) for _, crop, kernels in starts(out)] == sizes
    assert counts[0] > counts[1] > counts[2] == 4
    for number, images in enumerate(counts, start=1):
        crop, kernels = "80x80" if number == 1 else "64x64", r'"kernel_size": \[15, 15, 15, 15\]'
        data = rf"data .*: {images} images; .* to {crop}"
        assert re.search(rf"stage {number} of 3: .*\n(.*\n)*?{data}\nnetwork .*{kernels}", log_text)
    assert main(["evaluate", str(out), "--data", *places, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3


def test_cityscapes_in_two_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, out = cityscapes_tree(tmp_path), tmp_path / "run"
    command = ["train", "cityscapes", "--data", f"cityscapes={place}", "--out", str(out), *SMALL]
    run_with_kills([*command, "--data.augmentation.crop", "64", "64"], ("coarse", "fine"), capsys)
    assert starts(out) == [(7, [64, 64], [25] * 4), (4, [64, 64], [25] * 4)]
    assert main(["evaluate", str(out), "--data", f"cityscapes={place}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3


def test_a_field_of_a_stage_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "voc", "--data", "x", "--out", str(tmp_path / "run"), "--coco.optim.lrr", "1"]) == 2
    assert "did you mean --optim.lr?" in capsys.readouterr().err
