"""The loop: it learns, keeps the best network, names what went wrong, and logs everything in the run folder."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import small_recipe, train

import globalconv
from globalconv.errors import DivergedError, InputError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.model.backbone import batch_norms
from globalconv.model.network import GlobalConvNet
from globalconv.training.assemble import Execution, run_training
from globalconv.training.loss import segmentation_loss
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.weights import load_weights

# fmt: off
GOLDEN_LOSSES = [
    1.0756, 1.1858, 1.0918, 0.9315, 0.7965, 0.8211, 0.8455, 0.7795, 0.4256, 0.4053,
    0.5229, 0.4461, 0.4057, 0.4089, 0.3650, 0.4062, 0.2950, 0.3327, 0.2763, 0.3364,
]
# fmt: on


def longer(**optim: Any) -> Recipe:
    recipe = small_recipe(algorithm="adamw", lr=3e-3, **optim)
    return dataclasses.replace(recipe, steps=40, evaluate_every=20, checkpoint_every=100)


@pytest.fixture(scope="module")
def run(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(longer(), blobs, out)
    return out


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_it_learns(run: Path) -> None:
    losses = [step["loss"] for step in events(run, "step")]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    # three classes told apart by colour; a network that predicts background everywhere has 0.25
    assert events(run, "evaluation")[-1]["best_miou"] > 0.5


def test_numerics_do_not_drift(blobs: Path, tmp_path: Path) -> None:
    """Twenty losses of plain SGD, as first measured. Threads and processors move them by 0.0003."""
    recipe = dataclasses.replace(small_recipe(lr=0.02), steps=20, evaluate_every=20)
    train(recipe, blobs, tmp_path / "run")
    losses = [step["loss"] for step in events(tmp_path / "run", "step")]
    assert losses == pytest.approx(GOLDEN_LOSSES, abs=3e-3)


def test_the_saved_network_has_the_score_of_the_log(run: Path, blobs: Path) -> None:
    best = max(events(run, "evaluation"), key=lambda event: event["miou"])
    score = globalconv.evaluate(run, blobs, device="cpu")
    assert score.miou == pytest.approx(best["miou"], abs=1e-12)
    assert load_weights(run).info["step"] == best["step"]


def test_evaluations_say_how_long_was_trained_until_then(run: Path) -> None:
    seconds = [event["training_seconds"] for event in events(run, "evaluation")]
    (end,) = events(run, "end")
    assert seconds == sorted(seconds) and seconds[0] > 0 and seconds[-1] == pytest.approx(end["seconds"], abs=0.1)


def test_the_last_network_is_kept_beside_the_best(blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are made to fall, so that the best network is the first one evaluated."""
    falling = iter((0.9, 0.5, 0.1))
    monkeypatch.setattr(ConfusionMatrix, "miou", lambda matrix: next(falling, 0.0))
    recipe = dataclasses.replace(small_recipe(lr=0.02), steps=12, evaluate_every=6)
    session = train(recipe, blobs, tmp_path / "run")
    saved = {folder: load_weights(folder) for folder in (tmp_path / "run", tmp_path / "run/last")}
    assert [model.info["step"] for model in saved.values()] == [6, 12]
    for name, tensor in session.evaluated_network().state_dict().items():
        assert torch.equal(saved[tmp_path / "run/last"].network.state_dict()[name], tensor)


@pytest.mark.parametrize(("warmup", "warned"), [(2, False), (3, True)])
def test_a_warm_up_of_more_than_half_the_run_is_warned_about(
    blobs: Path, tmp_path: Path, warmup: int, warned: bool
) -> None:
    recipe = dataclasses.replace(small_recipe(warmup_steps=warmup), steps=4, evaluate_every=4)
    lines: list[str] = []
    run_training(recipe, blobs, tmp_path / "run", Execution(log=lines.append))
    assert any("`optim.warmup_steps` 3 is more than half of the 4 steps" in line for line in lines) == warned


def test_the_run_folder_records_data_hardware_and_steps(run: Path) -> None:
    info = load_weights(run).info
    assert (info["train_split"], info["train_images"]) == ("train", 7)
    dataset = json.loads((run / "dataset.json").read_text())
    assert dataset["val"]["images"] == 3
    start = events(run, "start")[0]
    assert "torch" in start["hardware"] and start["precision"] == "float32"
    step = events(run, "step")[0]
    assert {"step", "epoch", "lr", "loss", "gradient_norm", "seconds", "data_seconds"} <= step.keys()


def test_tensorboard_has_the_same_numbers(run: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = accumulator.EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    written = [scalar.value for scalar in board.Scalars("evaluation/miou")]
    assert written == pytest.approx([event["miou"] for event in events(run, "evaluation")], rel=1e-6)


def test_a_loss_that_is_not_finite_stops_and_names_everything(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))
    monkeypatch.setattr(
        "globalconv.training.segmentation.segmentation_loss",
        lambda *arguments: segmentation_loss(*arguments) * (float("nan") if next(calls) == 4 else 1.0),
    )
    with pytest.raises(DivergedError) as caught:
        train(small_recipe(), blobs, tmp_path / "run")
    message = str(caught.value)
    for words in ("step 5", "learning rate 0.0", "train/", "step-000000004.ckpt", "lower `optim.lr`"):
        assert words in message
    assert caught.value.exit_code == 3


def test_accumulated_batches_step_like_one_large_batch(blobs: Path, tmp_path: Path) -> None:
    """With frozen norms (live ones see other batches) and float32, 2 x 2 images move the weights like 1 x 4."""
    train(longer(), blobs, tmp_path / "start")
    frozen = ModelSettings(backbone="test_resnet", kernel_size=(3,), backbone_norm="frozen")
    results = []
    for name, batch, accumulate in (("parts", 2, 2), ("whole", 4, 1)):
        recipe = small_recipe(accumulate=accumulate, ema_decay=None, clip_norm=None)
        data = dataclasses.replace(recipe.data, batch_size=batch)
        recipe = dataclasses.replace(recipe, model=frozen, data=data, steps=3)
        session = train(recipe, blobs, tmp_path / name, init_from=tmp_path / "start")
        results.append([p.detach().clone() for p in session.network.parameters() if p.requires_grad])
    for parts, whole in zip(*results, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_frozen_norm_stays_as_it_was_loaded(blobs: Path, tmp_path: Path, run: Path) -> None:
    model = ModelSettings(backbone="test_resnet", kernel_size=(3,), backbone_norm="frozen")
    recipe = dataclasses.replace(small_recipe(ema_decay=None), model=model)
    session = train(recipe, blobs, tmp_path / "frozen", init_from=run)
    before, after = load_weights(run).network, session.network
    assert isinstance(before, GlobalConvNet) and isinstance(after, GlobalConvNet)
    for old, new in zip(batch_norms(before.backbone), batch_norms(after.backbone), strict=True):
        assert old.running_mean is not None and new.running_mean is not None
        assert torch.equal(old.running_mean, new.running_mean)
        assert torch.equal(old.weight, new.weight)
    moved = [not torch.equal(a, b) for a, b in zip(before.heads.parameters(), after.heads.parameters(), strict=True)]
    assert all(moved)


def test_too_little_memory_is_refused_with_a_remedy(
    blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU torch has no exception of its own for it."""

    def forward(self: GlobalConvNet, images_N3HW: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(GlobalConvNet, "forward", forward)
    with pytest.raises(InputError, match=r"not enough memory on cpu: lower `data\.batch_size`"):
        train(small_recipe(), blobs, tmp_path / "run")
