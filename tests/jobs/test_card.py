"""`card`: what a run's folder gives, with intervals where data are given, and nothing private in it."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.private import SECRETS, USER, belong_to_user, private_run
from helpers.training import small_recipe, write_blobs
from PIL import Image

from globalconv.cli.main import main
from globalconv.errors import InputError, InputWarning
from globalconv.jobs.card import CardScoring, card
from globalconv.labels import LabelSpace
from globalconv.weights import load_weights, save_weights


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blobs with twelve validation images: enough for intervals."""
    root = write_blobs(tmp_path_factory.mktemp("many") / "My Blobs")
    for kind in ("images", "labels"):
        for number in range(3, 12):
            shutil.copy(root / kind / "val" / f"{number % 3}.png", root / kind / "val" / f"{number}.png")
    return root


def test_a_card_says_what_the_training_found(trained: Path) -> None:
    text = card(trained / "run")
    values = yaml.safe_load(text.split("---\n")[1])
    miou = load_weights(trained / "run").info["miou"]
    assert values["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(miou, abs=1e-4)
    for words in (
        "data set: blobs",
        "train: 7 images",
        "val: 3 images",
        "| optim.lr |",
        "hardware: cpu",
        "test_resnet",
    ):
        assert words in text
    assert "There is none for a class in fewer than 8 images." in text
    assert text == card(trained / "run"), "equal runs have equal cards"


def test_a_training_keeps_its_scores_with_intervals(many: Path, tmp_path: Path) -> None:
    import globalconv

    run = globalconv.train(dataclasses.replace(small_recipe(), steps=3), many, tmp_path / "run")
    kept = card(run)
    again = card(run, scoring=CardScoring(many, device="cpu"))
    assert kept == again, "the same network on the same images"
    assert "(95 %: " in kept
    model = load_weights(run)
    save_weights(run, model.network, model.labels, {**model.info, "step": 1})
    assert "(95 %: " not in card(run), "they are not of another network"


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(miou=7),
        lambda values: values.update(interval=["a", 1]),
        lambda values: values["classes"].pop(),
        lambda values: values["classes"][0].pop("iou"),
        lambda values: values.pop("digest"),
        lambda values: values.update(classes=3),
    ],
)
def test_damaged_scores_are_refused(change: Callable[[dict[str, Any]], object], trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    values = json.loads((tmp_path / "run" / "scores.json").read_text())
    change(values)
    (tmp_path / "run" / "scores.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"scores\.json: damaged"):
        card(tmp_path / "run")


def test_without_kept_scores_the_log_is_taken_and_has_no_intervals(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    (tmp_path / "run" / "scores.json").unlink()
    assert "They have no intervals" in card(tmp_path / "run")


def test_a_folder_of_weights_alone_has_a_card_with_less(trained: Path, tmp_path: Path) -> None:
    for name in ("weights.safetensors", "model.json"):
        shutil.copy(trained / "run" / name, tmp_path / name)
    text = card(tmp_path)
    assert "Only the mean was kept" in text
    assert "trained on: train: 7 images" in text
    assert "hardware" not in text


def test_data_give_intervals_and_the_same_score_as_evaluate(trained: Path, many: Path) -> None:
    import globalconv

    text = card(trained / "run", scoring=CardScoring(many, device="cpu"))
    score = globalconv.evaluate(trained / "run", many, device="cpu")
    assert f"**mIoU {score.miou:.3f}** (95 %: " in text
    assert "12 images, computed in float32" in text
    assert "The step that was kept is the one" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and " – " in line]
    assert len(rows) > 1
    low, high = (float(word) for word in rows[-1].split("|")[3].split(" – "))
    assert low <= score.miou <= high


def test_images_are_written_beside_the_card_and_named_after_nothing(trained: Path, many: Path, tmp_path: Path) -> None:
    text = card(trained / "run", tmp_path / "new" / "README.md", CardScoring(many, images=True))
    assert (tmp_path / "new" / "README.md").read_text() == text
    files = sorted((tmp_path / "new" / "images").iterdir())
    assert [file.name for file in files] == [f"example-{number}.jpg" for number in range(1, 5)]
    assert all(f"(images/{file.name})" in text for file in files)
    with Image.open(files[0]) as image:
        assert not image.getexif()
        assert np.asarray(image).std() > 10
    card(trained / "run", tmp_path / "new" / "README.md", CardScoring(many, images=True))  # ours are replaced


def test_no_images_without_being_asked(trained: Path, many: Path, tmp_path: Path) -> None:
    text = card(trained / "run", tmp_path / "README.md", CardScoring(many))
    assert "![" not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md"]


def test_a_card_leaks_nothing_of_any_field(
    trained: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = private_run(trained / "run", tmp_path)
    belong_to_user(monkeypatch)
    for scoring in (CardScoring(), CardScoring(many, split="val", layout="folder")):
        text = card(run, scoring=scoring)
        assert "optim.lr" in text
        found = [secret for secret in (*SECRETS, str(tmp_path), str(trained)) if secret in text]
        assert not found, [line for line in text.splitlines() if any(secret in line for secret in found)][:5]


def test_classes_that_name_the_user_are_told(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    belong_to_user(monkeypatch)
    model = load_weights(trained / "run")
    names = model.labels.class_names
    save_weights(tmp_path, model.network, LabelSpace((*names[:-1], f"{USER}'s")), model.info)
    with pytest.warns(InputWarning, match="is published as it is"):
        card(tmp_path)
    save_weights(tmp_path, model.network, LabelSpace((*names[:-1], f"/home/{USER}/x")), model.info)
    with pytest.raises(InputError, match="holds a path"):
        card(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--images"], "give --data PATH"),
        (["--split", "val"], "give --data PATH"),
        (["--data", "DATA", "--images"], "say with --out"),
        (["--license", "My Own"], "--license 'My Own'"),
        (["--repository", "net"], "write USER/NAME"),
        (["--out", "card.txt"], "--out card.txt"),
        (["--out", "other.md"], "was not written by globalconv"),
    ],
)
def test_refusals_are_one_line(
    options: list[str],
    words: str,
    trained: Path,
    many: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.md").write_text("mine")
    assert main(["card", str(trained / "run"), *(str(many) if word == "DATA" else word for word in options)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert (tmp_path / "other.md").read_text() == "mine"


def test_the_command_prints_or_writes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(trained / "run"), "--license", "mit"]) == 0
    assert 'license: "mit"' in capsys.readouterr().out
    assert main(["card", str(trained / "run"), "--out", str(tmp_path / "README.md")]) == 0
    assert capsys.readouterr().out == f"done: {tmp_path / 'README.md'}\n"
