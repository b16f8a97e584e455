"""The benchmarks' arithmetic, and that the page of figures is what the committed results say."""

import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from helpers.infer import LABELS, Brightest
from torch import nn

from globalconv.infer.predictor import Predictor
from globalconv.labels import VOC
from globalconv.model.network import GlobalConvNet
from globalconv.paper.statistics import Estimate
from globalconv.training.recipes.index import RECIPES

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_results() -> None:
    table = load("table")
    assert table.DOCUMENT.read_text() == table.page()
    assert table.README.read_text() == table.readme()


def test_the_reproduction_is_generated_from_the_results() -> None:
    table = load("table")
    assert table.REPRODUCTION.exists() == table.PAPER.is_dir()
    if table.PAPER.is_dir():
        assert table.REPRODUCTION.read_text() == table.reproduction()


def test_what_was_wanted_stands_beside_what_was_measured() -> None:
    goals = load("goals")
    millis = {"network, optimised, bfloat16": 110, "smp FPN, bfloat16": 125, "smp Unet, bfloat16": 150}
    millis |= {"smp FPN, compiled, bfloat16": 100, "backbone, bfloat16": 100, "backbone, compiled, bfloat16": 80}
    rows = [{"case": name, "median_ms": taken} for name, taken in millis.items()]
    rows.append({"case": "network, float32, NCHW", "median_ms": 880})
    facts = {"cpu": "A", "threads": 1, "cores": 1}
    report: dict[str, Any] = {"command": "python x.py", "hardware": facts, "tables": {"t": rows}}
    (found,) = goals.tables({f"{goals.RESNET50}.a-1": report, "other.a-1": report}).values()
    shown = {row["what"]: (row["wanted"], row["measured"], row["reached"].partition(":")[0]) for row in found}
    assert list(shown.values()) == [
        ("<= 1.35", "1.1", "yes"), ("<= 1.3", "1.38", "no"), (">= 7", "8", "yes"), ("<= 1", "0.88", "yes"),
        ("<= 1", "1.1", "no"),
    ]  # fmt: skip
    few = {**report, "tables": {"t": [row for row in rows if not str(row["case"]).startswith("smp")]}}
    (left,) = goals.tables({f"{goals.RESNET50}.a-1": few}).values()
    assert left == found[:3]


def test_every_goal_has_its_figure_in_the_committed_results() -> None:
    goals, results = load("goals"), load("table").RESULTS
    shown = goals.tables({path.stem: json.loads(path.read_text()) for path in results.glob("*.json")})
    assert {row["what"] for rows in shown.values() for row in rows} == {goal.what for goal in goals.GOALS}


def test_ratios_are_between_medians() -> None:
    rows = load("common").compare({"a": [1.0, 3.0, 2.0], "b": [1.0, 1.0, 9.0]}, "a")
    assert [row["case"] for row in rows] == ["a", "b"]
    assert rows[1] == {"case": "b", "median_ms": 1000.0, "min_ms": 1000.0, "max_ms": 9000.0, "ratio": 0.5, "repeats": 3}


def test_cases_are_measured_in_turns() -> None:
    calls: list[str] = []
    seconds = load("common").measure({name: lambda name=name: calls.append(name) for name in "ab"}, repeats=2, warmup=1)
    assert calls == ["a", "b"] * 3
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 2, "b": 2}


def test_results_name_hardware_settings_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = load("common")
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    rows = common.compare({"a": [0.5]}, "a")
    common.write_results("sample", "cpu", {"repeats": 1}, {"sample": rows})
    (path,) = tmp_path.iterdir()
    report = json.loads(path.read_text())
    assert path.name.startswith("sample.") and path.name.endswith(f"-{report['hardware']['threads']}-threads.json")
    assert report["settings"] == {"repeats": 1} and report["tables"] == {"sample": rows}
    assert report["command"].startswith("python benchmarks/sample.py")
    assert "| a | 500.0 |" in load("table").page(tmp_path)


def test_gains_are_paired_by_seed(tmp_path: Path) -> None:
    """Seed 1 lacks a kernel, so only seeds 0 and 2 count; hand-made numbers give hand-made gains."""
    cue = load("cue")
    dial = cue.DIALS[2]
    scores = {0: (0.40, 0.41, 0.44, 0.50), 1: (0.1, 0.1, 0.9), 2: (0.50, 0.51, 0.56, 0.56)}
    rows = [
        {"case": cue.name(dial, kernel, seed), "miou": miou}
        for seed, mious in scores.items()
        for kernel, miou in zip(cue.KERNELS, mious, strict=False)
    ]
    table = {row["k"]: row for row in cue.gains(rows)}
    assert [row["gain"] for row in table.values()] == [0, 1, 5, 8]
    assert (table[15]["least"], table[15]["seeds"], table[15]["miou"]) == (6.0, 2, 0.53)
    assert table[15]["interval"] == pytest.approx(2 * 12.706, abs=0.01), "t of one degree of freedom times 2"
    cue.plot(cue.gains(rows), tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text().count("<path") > 20


def test_no_crf_is_reported_on_what_it_was_chosen_on(real_data: Path, tmp_path: Path) -> None:
    inference = load("inference")
    for name in ("dusk-0001TP", "day-0006R0", "day-0016E5-late"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_bytes(name.encode())
    for experiment, cases in inference.EXPERIMENTS.items():
        for case in cases(inference.Settings(experiment, tmp_path)):
            parts = [set(inference.names(part.source)) for part in (case.reported, *case.searched)]
            assert len(parts) == (3 if experiment == "camvid" else 2)
            assert not any(parts[0] & other for other in parts[1:])
            assert case.reported.run not in {part.run for part in case.searched} or experiment == "msrc21"


def test_means_of_inference_wait_for_all_cases(tmp_path: Path) -> None:
    inference = load("inference")
    columns = ("case", "way", "over", "miou", "gain", "cpu_s", "images", "fingerprint")
    rows = [
        dict(zip(columns, row, strict=True))
        for row in (
            ("a", "single", "", 0.4, None, 1, 10, "x"), ("a", "+ flip", "single", 0.5, 0.1, 2, 10, "x"),
            ("b", "single", "", 0.6, None, 3, 20, "y"), ("b", "+ flip", "single", 0.6, 0.0, 4, 20, "y"),
        )
    ]  # fmt: skip
    cases = [None, None]  # only how many there are matters
    assert inference.mean_rows(rows[:2], cases) == []
    single, flip = inference.mean_rows(rows, cases)
    assert (single["miou"], single["gain"], single["images"]) == (0.5, None, 30)
    assert (flip["miou"], flip["gain"], flip["over"], flip["cpu_s"]) == (0.55, 0.05, "single", 3)


@pytest.mark.parametrize(("kernel", "least", "most"), [(1, 0.0, 0.001), (7, 0.2, 0.5)])
def test_what_reaches_a_score_from_beyond_the_farthest_cue(kernel: int, least: float, most: float) -> None:
    """The share of |gradient| of one output that lies farther than 112 pixels away at the input, nothing shut off."""
    cue = load("cue")
    model = cue.recipe(kernel, 0, 1).model
    torch.manual_seed(0)
    network = GlobalConvNet(3, model.backbone, kernel, model.head[0], boundary_refinement=False).eval()
    for norm in network.modules():  # residual branches start at zero and ReLUs half shut
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)
            nn.init.constant_(norm.bias, 2.0)
    side = 576
    image = torch.rand(1, 3, side, side, requires_grad=True)
    network(image)[0, :, side // 2, side // 2].sum().backward()
    assert image.grad is not None
    strength_HW = image.grad.abs().sum((0, 1))
    away = (torch.arange(side) - side // 2).abs()
    far_HW = torch.maximum(away[:, None], away[None]) > max(dial.distance for dial in cue.DIALS)
    assert least <= float(strength_HW[far_HW].sum() / strength_HW.sum()) <= most


def test_rows_of_another_recipe_are_dropped_and_the_newest_kept() -> None:
    trainings = load("trainings")
    recipe = RECIPES["scenes"]()
    cases = [trainings.Case("a", recipe, Path()), trainings.Case("b", dataclasses.replace(recipe, seed=1), Path())]
    today, other = (case.fingerprint() for case in cases)
    rows = [
        {"case": "b", "recipe": today, "miou": 1},
        {"case": "a", "recipe": today, "miou": 2},
        {"case": "a", "recipe": today, "miou": 3},
        {"case": "gone", "recipe": other, "miou": 4},
    ]
    assert trainings.still_valid(cases, rows) == [{"case": "a", "recipe": today, "miou": 3}]


def test_parts_of_a_crf_are_those_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark goes the way of a call on its own feet; without data, on a generated scene."""
    monkeypatch.delenv("GLOBALCONV_DATA", raising=False)
    crf = load("crf")
    case = crf.Case("example", 20, 30, 3)
    image, probabilities = crf.photo(case, 0)
    assert image.shape == (20, 30, 3) and probabilities.sum(0) == pytest.approx(1, abs=1e-5)
    rows = crf.breakdown(case, [(image, probabilities)], repeats=2)
    assert [row["part"] for row in rows][-2:] == ["update: slice and softmax", "result"]
    assert crf.run(crf.OWN, case, image, probabilities).shape == (3, 20, 30)


def test_the_ratio_is_the_networks_over_the_backbones() -> None:
    over = load("network_over_backbone")
    rows = [{"case": over.BACKBONE, "median_ms": 100.0}, {"case": over.NETWORK, "median_ms": 125.0}]
    found = over.ratio(rows, over.BACKBONE, over.NETWORK)
    assert found == {"backbone_ms": 100.0, "network_ms": 125.0, "ratio": 1.25, "path": found["path"]}
    settings = over.Settings("test_resnet", size=(64, 64), classes=3, kernel_size=3)
    cases = over.cases(settings)
    assert {over.BACKBONE, over.NETWORK} < set(cases)
    maps = [call() for name, call in cases.items() if name.startswith("network")]
    assert all(found.shape == (1, 64, 64) and found.dtype == torch.uint8 for found in maps) and len(maps) == 5


def test_a_step_of_the_backbone_and_of_the_network_changes_their_weights() -> None:
    steps = load("training_step")
    settings = steps.Settings("test_resnet", size=64, batch=2, classes=3, kernel_size=3)
    assert {steps.BACKBONE, steps.NETWORK} < set(steps.cases(settings))
    for build in steps.networks(settings).values():
        network = build()
        before = [weight.detach().clone() for weight in network.parameters()]
        steps.training_step(settings, lambda network=network: network, fast=True)()
        moved = [bool((old != new).any()) for old, new in zip(before, network.parameters(), strict=True)]
        assert sum(moved) > len(moved) / 2


def test_every_way_to_predict_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLOBALCONV_DATA", raising=False)
    predict = load("predict")
    images = predict.photos(tmp_path / "images", 3)
    predictor = Predictor(Brightest(), LABELS, "cpu", "float32")
    made: dict[str, dict[str, bytes]] = {}
    cases = predict.cases(predictor, images, tmp_path / "out")
    cases.pop(predict.ALONE)()
    assert not (tmp_path / "out").exists()
    for name, call in cases.items():
        call()
        made[name] = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert len(made[name]) == 2 * len(images)
        for path in (tmp_path / "out").iterdir():
            path.unlink()
    assert len(made) == 4 and all(files == made[predict.APART] for files in made.values())
    (row,) = predict.share(predictor, images, tmp_path / "out")
    assert "network" in row["line"]


def test_coarse_labels_are_rough_and_right() -> None:
    """A disc and a sliver on a ground with a margin: the disc is drawn inside itself, the sliver is not drawn."""
    coarse = load("coarse")
    label_map = np.zeros((120, 160), np.uint8)
    rows, columns = np.mgrid[:120, :160]
    label_map[(rows - 60) ** 2 + (columns - 60) ** 2 < 30**2] = 1
    label_map[10:110, 130:134] = 2
    rough = coarse.coarse(label_map)
    assert (rough == coarse.coarse(label_map)).all()
    assert set(np.unique(rough)) == {0, 1, 255}
    drawn = rough != 255
    assert 0.6 < drawn.mean() < 0.95
    assert (rough == label_map)[drawn].mean() > 0.99
    disc = rough == 1
    assert disc.sum() < (label_map == 1).sum() and not disc[label_map != 1].any()


def test_simplified_outlines_stay_within_the_tolerance() -> None:
    coarse = load("coarse")
    zigzag = np.array([(x, (x % 2) * 0.9) for x in range(50)], float)
    assert len(coarse.simplified(zigzag, 1.0)) == 2
    assert len(coarse.simplified(zigzag, 0.4)) > 40


def test_the_gain_of_stages_is_paired_by_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = load("stages")
    monkeypatch.setattr(stages, "folds", lambda: ["a", "b", "c"])
    scores = {"a fine": 0.40, "a staged": 0.43, "b fine": 0.50, "b staged": 0.51, "c fine": 0.6}
    table = stages.gains([{"case": case, "miou": miou} for case, miou in scores.items()])
    assert [(row["fold"], row["gain"]) for row in table] == [("a", 3.0), ("b", 1.0), ("mean", 2.0)]


def test_both_cases_of_stages_have_the_same_budget(real_data: Path) -> None:
    stages = load("stages")
    fine, staged = (recipe for _, recipe in stages.recipes("day-0006R0", 601))
    assert sum(stage.steps for stage in staged.stages.values()) == fine.steps == 601
    assert staged.stages["fine"].data == fine.data


MEASURED = [path.stem.removeprefix("accuracy-") for path in sorted((BENCHMARKS / "results").glob("accuracy-*.json"))]


@pytest.mark.parametrize("experiment", [name for name in MEASURED if not name.startswith("folds")])  # they need CamVid
def test_committed_rows_are_of_todays_recipes(experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that is added or moved must not drop what took days to measure (see `trainings.LATER`)."""
    monkeypatch.setenv("GLOBALCONV_DATA", "data")
    accuracy = load("accuracy")
    cases = accuracy.EXPERIMENTS[experiment]()
    (rows,) = json.loads((BENCHMARKS / "results" / f"accuracy-{experiment}.json").read_text())["tables"].values()
    assert load("trainings").still_valid(cases, rows) == rows


def test_what_was_measured_from_scratch_keeps_its_name_and_the_others_start_from_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOBALCONV_DATA", "data")
    accuracy = load("accuracy")
    assert {"camvid-scratch", "folds-scratch", "msrc21-scratch", "paper"} <= set(MEASURED) <= set(accuracy.EXPERIMENTS)
    for experiment in ("camvid", "msrc21", "folder-msrc21", "camvid-scratch", "msrc21-scratch", "paper"):
        scratch = experiment not in ("camvid", "msrc21", "folder-msrc21")
        for case in accuracy.EXPERIMENTS[experiment]():
            none = scratch or case.name.endswith("from scratch")
            assert case.recipe.model.backbone_weights == (None if none else "imagenet")


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The comparison of decoders, with files of results in a folder of its own."""
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", MagicMock())
    module = load("decoders")
    monkeypatch.setattr(sys.modules["decoder_runs"], "FOLDER", tmp_path)
    return module


def write_result(decoders: ModuleType, one: Any, hits: list[list[int]]) -> None:
    """Write the file of a training with these correct pixels of 10 a class, image by image."""
    content = {
        "case": one.name, "recipe": one.fingerprint(), "minutes": 1.0, "machine": "m",
        "class_names": [f"class {k}" for k in range(len(hits[0]))], "scores": {"miou": 0.25, **REGIONS},
        "images": [f"image {n}" for n in range(len(hits))], "hits": hits, "unions": [[10] * len(row) for row in hits],
        "regions": [[1, 2, 3, 4]] * len(hits),
    }  # fmt: skip
    file = sys.modules["decoder_runs"].result_file(one)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content))


REGIONS = {"boundary_accuracy": 0.5, "internal_accuracy": 0.75}


def test_the_best_rates_of_a_decoder_are_those_it_trains_with(decoders: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no rate has been tried"):
        decoders.chosen_rate("FPN")
    low, middle, high = decoders.RATES[1:-1]
    for one, right in zip(trainings_of(decoders, "tune"), (1, 9, 3), strict=True):
        write_result(decoders, one, [[right, right]] * 6)
    assert decoders.chosen_rate("FPN") == middle
    assert decoders.rates_tried("FPN") == {low: 0.1, middle: 0.9, high: pytest.approx(0.3)}
    (trained,) = trainings_of(decoders, "voc")
    assert trained.recipe.optim.lr == middle
    assert trained.recipe.optim.backbone_lr_scale * middle == sys.modules["decoder_runs"].BACKBONE_RATE
    stale = trainings_of(decoders, "tune")[1]
    stale = dataclasses.replace(stale, recipe=dataclasses.replace(stale.recipe, steps=1))
    write_result(decoders, stale, [[9, 9]] * 6)  # the file of another recipe under the same name
    assert decoders.chosen_rate("FPN") == high


@pytest.mark.parametrize(("correct", "beyond"), [((9, 3, 1), 0), ((1, 3, 9), -1)])
def test_a_best_rate_at_the_end_has_the_next_one_tried(
    decoders: ModuleType, correct: tuple[int, ...], beyond: int
) -> None:
    for one, right in zip(trainings_of(decoders, "tune"), correct, strict=True):
        write_result(decoders, one, [[right, right]] * 6)
    *_, last = trainings_of(decoders, "tune")
    assert last.recipe.optim.lr == decoders.RATES[beyond]
    write_result(decoders, last, [[5, 5]] * 6)
    assert decoders.chosen_rate("FPN") == decoders.RATES[1 if beyond == 0 else -2]
    assert len(trainings_of(decoders, "tune")) == 4


def trainings_of(decoders: ModuleType, part: str) -> list[Any]:
    """Return the trainings of FPN in a part."""
    return list(decoders.cases(decoders.Settings(part, ("FPN",))))


def test_decoders_stand_beside_the_best_peer_with_paired_intervals(decoders: ModuleType) -> None:
    scores = {"FPN": 4, "Unet": 3, "GCN + BR": 6}
    for decoder, right in scores.items():
        write_result(decoders, next(decoders.cases(decoders.Settings("tune", (decoder,)))), [[1, 1]])
        settings = decoders.Settings("msrc21", (decoder,), seeds=(0, 1, 2))
        for seed, one in enumerate(decoders.cases(settings)):
            # Images and seeds differ, but every decoder in the same way: the paired difference has no spread.
            write_result(decoders, one, [[right + seed - 1 + n % 2, right + seed - 1 + n % 2] for n in range(8)])
    rows = {row["decoder"]: row for row in decoders.table_of("msrc21", None)}
    assert list(rows) == ["GCN + BR", "FPN", "Unet"]
    assert rows["GCN + BR"]["over FPN"] == "20.0 (20.0, 20.0)" and rows["FPN"]["over FPN"] == ""
    assert rows["Unet"]["over FPN"] == "-10.0 (-10.0, -10.0)"
    assert rows["Unet"]["miou"].startswith("35.0 (") and rows["Unet"]["seeds"] == 3
    assert rows["FPN"]["boundary_accuracy"].startswith("50.0") and rows["FPN"]["internal_accuracy"].startswith("75.0")


def test_the_plot_names_every_decoder_that_has_a_score_and_a_time(decoders: ModuleType, tmp_path: Path) -> None:
    scores = {name: Estimate(share, None, 1, 8) for name, share in {"FPN": 0.6, "Unet": 0.5, "GCN + BR": 0.7}.items()}
    times_of = {job: {"FPN": 60.0, "GCN + BR": 50.0} for job in decoders.AXES}
    decoders.plot(scores, times_of, tmp_path / "plot.svg")
    texts = re.findall(r"<!-- (.*?) -->", (tmp_path / "plot.svg").read_text())
    assert texts.count("FPN") == texts.count("GCN + BR") == 2 and "Unet" not in texts


def test_vocs_headline_is_over_the_classes_with_images(decoders: ModuleType) -> None:
    runs = sys.modules["decoder_runs"]
    names = list(VOC.class_names)
    counted = [names.index(name) for name in runs.WELL_REPRESENTED]
    hits = [[5 if k in counted else 0 for k in range(21)]]
    content = {"class_names": names, "hits": hits, "unions": [[10] * 21], "scores": {"miou": 0.1, **REGIONS}}
    assert runs.headline(content) == {"miou": 0.5, "miou_all": 0.1, **REGIONS}
