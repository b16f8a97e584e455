"""The whole search on tiny data: what it finds, that it is resumed where it stopped, and what it refuses."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.infer import LABELS, Brightest
from PIL import Image

from globalconv.crf_tuning import search as search_module
from globalconv.crf_tuning import trials
from globalconv.crf_tuning.search_settings import ParameterGrid, SearchSettings
from globalconv.crf_tuning.verdict import CrfVerdict
from globalconv.data.datasets import open_source
from globalconv.data.source import Source, Subset
from globalconv.errors import InputError, StoppedError
from globalconv.evaluation.score import score_source
from globalconv.infer.inference_settings import PLAIN, InferenceSettings
from globalconv.infer.predictor import Predictor
from globalconv.infer.saved_crf import crf_from
from globalconv.jobs import crf_search as job
from globalconv.labels import IGNORE

SETTINGS = SearchSettings(images=4, grid=ParameterGrid((2, 4), (5,), (60,), (1,), (3,), iterations=3))
CANDIDATES = 4 + 2 + 2  # published, the grid, and half a step of the weight to both sides


def write(root: Path, count: int, dots: bool) -> Source:
    """Write images of three coloured areas under noise (a CRF helps), or of faint dots (it does harm)."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder / "val").mkdir(parents=True)
    for index in range(count):
        labels = np.zeros((24, 30), np.uint8)
        labels[:, 10:] = 1
        labels[12:, 15:] = 2
        if dots:
            labels[:] = 0
            labels[index % 4 :: 4, ::4] = 1
        image = np.full((*labels.shape, 3), 100) + (1 if dots else 40) * np.eye(3, dtype=int)[labels]
        image += 0 if dots else rng.normal(0, 30, image.shape).astype(int)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"images/val/{index:02d}.png")
        Image.fromarray(labels).save(root / f"labels/val/{index:02d}.png")
    return open_source(root, "all", labels=LABELS)


@pytest.fixture(scope="session")
def helps(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write(tmp_path_factory.mktemp("helps"), 20, dots=False)


@pytest.fixture(scope="session")
def harms(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write(tmp_path_factory.mktemp("harms"), 20, dots=True)


@pytest.fixture
def brightest() -> Predictor:
    return Predictor(Brightest(), LABELS, "cpu", "float32")


def run(
    predictor: Predictor, source: Source, out: Path, settings: SearchSettings = SETTINGS, resume: bool = False
) -> CrfVerdict:
    """Search on `source`, whatever data and split the job asks for, with `predictor`, whatever the weights."""
    weights = out.parent / "weights.safetensors"
    weights.write_bytes(b"stands for weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "load", lambda *_, **__: predictor)
        patch.setattr(job, "open_scored", lambda _, root, split, layout: source)
        return job.crf_search(weights, "place", out, settings, resume, workers=1)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_crf_that_helps(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    verdict = run(brightest, helps, tmp_path / "out")
    assert verdict.word == "use it" and verdict.interval and verdict.interval[0] > 0.02
    result = json.loads((tmp_path / "out" / "crf.json").read_text())
    question = result["question"]
    assert len(question["searched_on"]) == 4 and len(question["reported_on"]) == verdict.images == 10
    assert not set(question["searched_on"]) & set(question["reported_on"])
    assert len(lines(tmp_path / "out" / "trials.jsonl")) == result["search"]["trials"] == CANDIDATES
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock", "crf.json", "report.jsonl", "search.json", "trials.jsonl",
    ]  # fmt: skip


def test_the_report_is_what_an_evaluation_gives(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    verdict = run(brightest, helps, tmp_path / "out")
    result = json.loads((tmp_path / "out" / "crf.json").read_text())
    numbers = [index for index in range(20) if helps.sample_name(index) in result["question"]["reported_on"]]
    reported = Subset("reported", helps, tuple(numbers))
    refined = Predictor(Brightest(), LABELS, "cpu", "float32", refine=crf_from(str(tmp_path / "out" / "crf.json")))
    for predictor, miou in ((brightest, verdict.off), (refined, verdict.on)):
        assert score_source(predictor.class_maps, reported, "float32").miou == pytest.approx(miou, abs=1e-12)


def test_a_crf_that_does_harm(brightest: Predictor, harms: Source, tmp_path: Path) -> None:
    verdict = run(brightest, harms, tmp_path / "out")
    assert verdict.word == "do not use it" and verdict.off == 1 and not verdict.won_search
    with pytest.warns(UserWarning, match="do not use it"):
        crf_from(str(tmp_path / "out" / "crf.json"))


@contextmanager
def stopping_after(calls: int) -> Iterator[None]:
    """Let a signal strike after so many images were refined."""
    real, count = trials._class_map, itertools.count(1)

    def call(*arguments: Any) -> Any:
        if next(count) > calls:
            raise StoppedError("stopped by SIGINT", 2)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "_class_map", call)
        yield


@pytest.mark.parametrize("calls", [0, 3, 4 * 5 + 2, 4 * 7])
def test_a_stopped_search_is_resumed(calls: int, brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    with stopping_after(calls), pytest.raises(StoppedError, match="with `resume` goes on") as stopped:
        run(brightest, helps, out)
    assert stopped.value.exit_code == 130
    with (out / "trials.jsonl").open("a") as log:
        log.write('{"stage": "coa')  # as a kill leaves it
    assert run(brightest, helps, out, resume=True) == run(brightest, helps, whole)
    for file in ("trials.jsonl", "report.jsonl", "crf.json"):
        assert (out / file).read_text() == (whole / file).read_text()


def test_what_is_done_is_not_done_again(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    verdict = run(brightest, helps, tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictor, "__call__", None)
        assert run(brightest, helps, tmp_path / "out", resume=True) == verdict


def test_processes_change_nothing(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    """Each process is the same, so the order of the results is what could go wrong."""
    samples = trials.keep_probabilities(brightest, Subset("some", helps, (3, 5, 9)), tmp_path, lambda done: None)
    candidates, done = trials.published(), list[int]()
    counted = [trials.matrices(candidates, samples, workers, done.append) for workers in (1, 2)]
    alone, shared = ([matrix.miou() for matrix in matrices] for matrices in counted)
    assert alone == shared and len(set(alone)) > 2
    assert done == [*range(1, 13)] * 2


def test_changed_settings_are_refused(brightest: Predictor, helps: Source, harms: Source, tmp_path: Path) -> None:
    run(brightest, helps, tmp_path / "out", replace(SETTINGS, images=1))
    for settings, message in (
        (SETTINGS, r"images \(1, now 4\)"),
        (
            replace(SETTINGS, images=1, grid=ParameterGrid((1,), (5,), (60,))),
            r"appearance_weight \(\[2, 4\], now \[1\]\)",
        ),
    ):
        with pytest.raises(InputError, match=message):
            run(brightest, helps, tmp_path / "out", settings, resume=True)
    more = replace(SETTINGS, inference=InferenceSettings(flip=True, scales=(0.5, 1)))
    run(brightest, helps, tmp_path / "more", more)
    for settings, message in (
        (replace(more, inference=InferenceSettings(flip=True)), r"scales \(\[0\.5, 1(\.0)?\], now null\)"),
        (replace(more, inference=PLAIN), r"flip \(true, now null\)"),
    ):
        with pytest.raises(InputError, match=message):
            run(brightest, helps, tmp_path / "more", settings, resume=True)
    fewer = Subset("fewer", harms, tuple(range(9)))
    with pytest.raises(InputError, match="reported_on"):
        run(brightest, fewer, tmp_path / "out", replace(SETTINGS, images=1), resume=True)
    with pytest.raises(InputError, match="add `resume`"):
        run(brightest, helps, tmp_path / "out")


def test_a_report_on_the_same_data_by_another_name_is_refused(
    brightest: Predictor, helps: Source, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, report_data=Path.cwd() / "place")
    with pytest.raises(InputError, match="20 of its images are searched on"):
        run(brightest, helps, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["trials.jsonl", "report.jsonl"])
def test_a_damaged_line_is_refused(file: str, brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    run(brightest, helps, tmp_path / "out")
    with (tmp_path / "out" / file).open("ab") as log:
        log.write(b"{}\n")
    with pytest.raises(InputError, match=f"{file}: damaged"):
        run(brightest, helps, tmp_path / "out", resume=True)


def test_what_a_stop_left_may_have_no_labels(
    brightest: Predictor, helps: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(brightest, helps, tmp_path / "out")
    report = tmp_path / "out" / "report.jsonl"
    *kept, last = report.read_text().splitlines(keepends=True)
    report.write_text("".join(kept))
    name, real = json.loads(last)["image"], type(helps).label_map

    def label_map(self: Any, index: int) -> Any:
        return real(self, index) if self.sample_name(index) != name else np.full_like(real(self, index), IGNORE)

    monkeypatch.setattr(type(helps), "label_map", label_map)
    assert run(brightest, helps, tmp_path / "out", resume=True).images == len(kept)


def test_one_film_on_both_sides_is_noted(
    brightest: Predictor, helps: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for group_by, notes in ((None, 0), ("^val", 1)):
        run(brightest, helps, tmp_path / f"out{notes}", replace(SETTINGS, group_by=group_by))
        assert capsys.readouterr().err.count("in both parts: group val; its images") == notes


def test_two_searches_in_one_folder_are_refused(
    brightest: Predictor, helps: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes while the first one works: neither may write into the other's lines."""
    real, refused = trials.keep_probabilities, list[str]()

    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.setattr(search_module, "keep_probabilities", real)
        with pytest.raises(InputError) as error:
            run(brightest, helps, tmp_path / "out", resume=True)
        refused.append(str(error.value))
        return real(*arguments)

    monkeypatch.setattr(search_module, "keep_probabilities", meanwhile)
    verdict = run(brightest, helps, tmp_path / "out")
    assert refused == [f"`out` {tmp_path / 'out'}: another process searches there; wait for it or stop it"]
    assert run(brightest, helps, tmp_path / "out", resume=True) == verdict


def test_what_a_start_left_that_failed_is_no_obstacle(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in (".lock", ".search.json.abc.partial"):
        (tmp_path / "out" / name).touch()
    run(brightest, helps, tmp_path / "out")


def test_folders_that_are_no_place_for_a_search(brightest: Predictor, helps: Source, tmp_path: Path) -> None:
    (tmp_path / "full" / "of things").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for name, resume, message in (("full", False, "not empty"), ("file", False, "a file"), ("new", True, "no search")):
        with pytest.raises(InputError, match=message):
            run(brightest, helps, tmp_path / name, resume=resume)
    assert not (tmp_path / "new").exists()
