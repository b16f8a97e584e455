"""Pre-training: it learns, resumes to the same bits, refuses bad folders, and leaves what `backbone_weights` takes."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers.pretraining import small_pretraining, write_colours
from helpers.training import final_state, killed_after, log_without_clock, same_bits, signal_after, small_recipe, train
from safetensors import safe_open
from safetensors.torch import load_file

import globalconv
from globalconv.cli.main import main
from globalconv.errors import InputError, StoppedError
from globalconv.jobs.pretrain import pretrain
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import Classifier
from globalconv.training.pretraining import Classification, open_image_splits
from globalconv.training.recipe import ClassifierSettings, ImageSettings, PretrainOptim, PretrainRecipe
from globalconv.weights import BACKBONE_FILE


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def whole(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(small_pretraining(), colours, out)
    return out


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == kind]


def test_it_learns(colours: Path, tmp_path: Path) -> None:
    recipe = small_pretraining(algorithm="adamw", lr=3e-3, accumulate=1, clip_norm=None, ema_decay=None)
    pretrain(dataclasses.replace(recipe, steps=40, evaluate_every=20), colours, tmp_path / "run")
    losses = [step["loss"] for step in events(tmp_path / "run", "step")]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    last = events(tmp_path / "run", "evaluation")[-1]
    assert last["best_top1"] > 0.6  # three colours told apart; chance is 0.33
    assert last["top5"] == 1  # there are three classes
    assert last["images"] == 6


@pytest.mark.parametrize("steps", [0, 3, 5])
def test_killed_and_resumed_with_another_number_of_workers(
    steps: int, colours: Path, whole: Path, tmp_path: Path
) -> None:
    with killed_after(steps):
        pretrain(dataclasses.replace(small_pretraining(), checkpoint_every=2), colours, tmp_path / "run")
    pretrain(small_pretraining(workers=1), colours, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(whole))
    assert log_without_clock(tmp_path / "run") == log_without_clock(whole)
    assert (tmp_path / "run" / BACKBONE_FILE).exists()


def test_a_signal_stops_with_the_state_saved(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = signal_after(3, monkeypatch)
    recipe = dataclasses.replace(small_pretraining(), checkpoint_every=100)
    with pytest.raises(StoppedError, match="after step 3") as end:
        pretrain(recipe, colours, tmp_path / "run", stop=stop)
    assert end.value.exit_code == 143
    assert final_state(tmp_path / "run")["state"]["step"] == 3


def test_the_file_is_timms_whole_model_with_a_description(whole: Path) -> None:
    tensors = load_file(whole / BACKBONE_FILE)
    timm.create_model("test_resnet", num_classes=3).load_state_dict(tensors)
    with safe_open(whole / BACKBONE_FILE, framework="pt") as file:
        description = json.loads(file.metadata()["description"])
    assert description["backbone"] == "test_resnet"
    assert description["class_names"] == ["colour 0", "colour 1", "colour 2"]
    assert len(description["mean"]) == len(description["std"]) == 3
    best = max(events(whole, "evaluation"), key=lambda event: event["top1"])
    assert (description["info"]["step"], description["info"]["top1"]) == (best["step"], best["top1"])


def test_the_average_is_what_is_saved(colours: Path, tmp_path: Path) -> None:
    pretrain(small_pretraining(), colours, tmp_path / "run")
    saved = load_file(tmp_path / "run" / "last" / BACKBONE_FILE)
    average = final_state(tmp_path / "run")["average"]
    assert len(saved) > 20
    assert all(torch.equal(average[f"body.{name}"], tensor) for name, tensor in saved.items())


def test_a_segmentation_network_is_trained_from_the_file(whole: Path, blobs: Path, tmp_path: Path) -> None:
    plain, file = small_recipe(), whole / BACKBONE_FILE
    model = dataclasses.replace(plain.model, backbone_weights=str(file), backbone_norm="frozen")
    session = train(dataclasses.replace(plain, model=model, steps=1), blobs, tmp_path / "run")
    assert isinstance(session.network, GlobalConvNet)
    mean = load_file(file)["bn1.running_mean"]
    assert mean.any()
    assert any(torch.equal(mean, tensor) for tensor in session.network.backbone.state_dict().values())


@pytest.mark.parametrize("backbone", ["resnet50_gcn", "mobilenetv3_small_050", "densenet121", "mambaout_femto"])
def test_any_backbone_takes_what_is_saved_of_it(backbone: str, colours: Path, tmp_path: Path) -> None:
    train_source, val_source = open_image_splits(colours)
    task = Classification(small_pretraining().data, 0, 0.1, train_source, val_source, 0)
    network = Classifier(backbone, 3)
    task.save(tmp_path, network, {})
    ours = GlobalConvNet(2, backbone, 3, backbone_weights=str(tmp_path / BACKBONE_FILE)).backbone.body.state_dict()
    theirs = list(network.body.state_dict().values())
    assert all(any(torch.equal(tensor, other) for other in theirs) for tensor in ours.values())


def test_a_run_of_the_other_kind_is_not_continued(colours: Path, blobs: Path, whole: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.json: not a recipe"):
        train(small_recipe(), blobs, whole, resume=True)
    with pytest.raises(InputError, match="holds a run already"):
        pretrain(small_pretraining(), colours, whole)
    with pytest.raises(InputError, match=r"optim\.lr \(0\.05, now 0\.1\)"):
        pretrain(small_pretraining(lr=0.1), colours, whole, resume=True)


def test_what_segments_refuses_a_backbone_and_says_what_it_is_for(whole: Path) -> None:
    with pytest.raises(InputError, match=r"holds a pre-trained backbone.*--model\.backbone-weights .*backbone\.saf"):
        globalconv.load(whole)


def test_changed_images_are_refused(tmp_path: Path) -> None:
    data = write_colours(tmp_path / "data")
    with killed_after(1):
        pretrain(small_pretraining(), data, tmp_path / "run")
    (data / "train" / "colour 0" / "0.png").unlink()
    with pytest.raises(InputError, match="the train split has changed"):
        pretrain(small_pretraining(), data, tmp_path / "run", resume=True)


def _halve(path: Path) -> int:
    return path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_an_image_that_breaks_on_the_way_stops_with_the_state_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalconv.training.pretraining.DECODED", 1)  # as if it broke after the start
    data = write_colours(tmp_path / "data")
    _halve(data / "train" / "colour 1" / "3.png")
    with pytest.raises(InputError, match=r"colour 1/3\.png: cannot be decoded"):
        pretrain(dataclasses.replace(small_pretraining(), evaluate_every=100), data, tmp_path / "run")
    assert final_state(tmp_path / "run")["state"]["step"] >= 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: shutil.rmtree(data / "train"), "has no folder train/"),
        (lambda data: shutil.rmtree(data / "val"), "split 'val'"),
        (lambda data: list(map(shutil.rmtree, data.glob("train/colour [12]"))), "fewer than two folders"),
        (lambda data: shutil.rmtree(data / "train" / "colour 2"), "val/colour 2: is a folder of no class of train/"),
        (lambda data: list(map(Path.unlink, (data / "train" / "colour 1").iterdir())), "'colour 1' has no image"),
        (lambda data: (data / "val" / "colour 0" / "1.png").write_bytes(b"GIF"), r"colour 0/1\.png: .* no image"),
        (lambda data: _halve(data / "train" / "colour 0" / "0.png"), r"colour 0/0\.png: cannot be decoded"),
    ],
)
def test_bad_folders_are_refused_before_anything_starts(spoil: Any, message: str, tmp_path: Path) -> None:
    data = write_colours(tmp_path / "data")
    spoil(data)
    with pytest.raises(InputError, match=message):
        pretrain(small_pretraining(), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: PretrainRecipe(data=ImageSettings(batch_size=1)), "`data.batch_size` 1: batch norm"),
        (lambda: PretrainRecipe(optim=PretrainOptim(label_smoothing=1.0)), "`optim.label_smoothing`"),
        (lambda: PretrainRecipe(optim=PretrainOptim(lr=0)), "`optim.lr`"),
        (lambda: PretrainRecipe(epochs=0), "`epochs`"),
    ],
)
def test_impossible_values_are_refused_by_option(make: Any, option: str) -> None:
    with pytest.raises(InputError, match=option):
        make()


def test_several_processes_are_refused_before_they_write_into_one_folder(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(InputError, match="pretrain: trains in one process"):
        pretrain(small_pretraining(), colours, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_a_backbone_is_not_pretrained(colours: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(small_pretraining(), model=ClassifierSettings("vit_tiny_patch16_224"))
    with pytest.raises(InputError, match="choose a convolutional model"):
        pretrain(recipe, colours, tmp_path / "run")


def test_recipe_survives_json() -> None:
    recipe = small_pretraining()
    assert PretrainRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_from_the_command_line(colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = f"--model.backbone test_resnet --data.batch-size 4 --data.augmentation.crop 32 --steps 2 --out {out}"
    assert main(["pretrain", "--data", str(colours), *words.split(), "--data.workers", "0"]) == 0
    output = capsys.readouterr()
    assert f"done: {out / BACKBONE_FILE}" in output.out
    assert "--model.backbone test_resnet --model.backbone-weights" in output.out
    assert "15 images of 3 classes" in output.err and "top-1" in output.err
    assert json.loads((out / "recipe.json").read_text())["optim"]["label_smoothing"] == 0.1
    assert main(["pretrain", "--data", str(colours), "--out", str(out), "--optim.label-smooth", "0"]) == 2
    assert "did you mean --optim.label-smoothing" in capsys.readouterr().err


def test_images_and_their_label_maps_are_no_classes(tmp_path: Path) -> None:
    root = write_colours(tmp_path / "data", classes=2)
    for split in ("train", "val"):
        for number, name in enumerate(("images", "labels")):
            (root / split / f"colour {number}").rename(root / split / name)
    with pytest.raises(InputError, match="images and labels, which are no classes"):
        open_image_splits(root)
