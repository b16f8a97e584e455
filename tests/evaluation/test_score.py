"""Scores over a source: numbers, table and JSON, progress, what stops them, and class maps from a folder."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.errors import InputError, StoppedError
from globalconv.evaluation.confusion import ConfusionMatrix
from globalconv.evaluation.regions import RegionCounts, RegionSettings, region_counts
from globalconv.evaluation.score import (
    STAGES,
    Predictions,
    Score,
    predictions_in,
    score_predictions,
    score_source,
    score_together,
)
from globalconv.labels import IGNORE, LabelSpace
from globalconv.runtime.threads import StageTimes

LABELS = LabelSpace(("sky", "road", "car"))


@dataclass(frozen=True)
class Maps:
    """A source whose images show their own label maps in the red channel."""

    label_maps: list[Uint8Array]
    labels: LabelSpace = LABELS
    name: str = "maps"
    folder: str = "day"
    read: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.label_maps)

    def sample_name(self, index: int) -> str:
        return f"{self.folder}/{index:03d}"

    def image(self, index: int) -> Uint8Array:
        self.read.append(index)
        return np.repeat(self.label_maps[index][..., None], 3, axis=2)

    def label_map(self, index: int) -> Uint8Array:
        return self.label_maps[index]


def maps(*rows: list[int]) -> Maps:
    return Maps([np.array([row], np.uint8) for row in rows])


def always_sky(images: Sequence[Uint8Array]) -> list[Uint8Array]:
    return [np.zeros(image.shape[:2], np.uint8) for image in images]


def red_channel(images: Sequence[Uint8Array]) -> list[Uint8Array]:
    return [image[..., 0] for image in images]


def test_scores_every_image_once_into_one_matrix() -> None:
    source = maps([0, 0, 1], [1, IGNORE], [0])
    score = score_source(always_sky, source, "float32")
    assert source.read == [0, 1, 2]
    assert score.matrix.counts.tolist() == [[3, 0, 0], [2, 0, 0], [0, 0, 0]]
    assert (score.images, score.precision, score.absent_classes) == (3, "float32", ["car"])
    assert score.miou == pytest.approx(3 / 5 / 2)


def test_json_names_the_classes_and_has_null_for_absent_ones() -> None:
    values = json.loads(json.dumps(score_source(always_sky, maps([0, 0, 1]), "bfloat16").to_json(), allow_nan=False))
    assert values.pop("seconds") >= 0
    assert values == {
        "miou": pytest.approx(1 / 3),
        "iou": {"sky": pytest.approx(2 / 3), "road": 0.0, "car": None},
        "pixel_accuracy": pytest.approx(2 / 3),
        "mean_accuracy": 0.5,
        "images": 1,
        "precision": "bfloat16",
        "absent_classes": ["car"],
    }


def test_the_table_pastes_into_a_terminal() -> None:
    lines = score_source(always_sky, maps([0, 0, 1]), "float32").table().splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["class", "IoU", "accuracy", "pixels"],
        ["sky", "0.6667", "1.0000", "66.67%"],
        ["road", "0.0000", "0.0000", "33.33%"],
        ["car", "-", "-", "0.00%"],
        ["mean", "0.3333", "0.5000"],
    ]
    assert lines[5] == "pixel accuracy 0.6667, 1 image, float32"
    assert lines[6].endswith(": car") and len(lines) == 7
    assert max(map(len, lines)) < 80


def test_progress_is_reported_after_every_image_and_may_stop() -> None:
    seen: list[tuple[int, float]] = []

    def on_image(done: int, matrix: ConfusionMatrix) -> None:
        seen.append((done, matrix.pixel_accuracy()))
        if done == 2:
            raise StoppedError("enough", 15)

    source = maps([0], [1], [0])
    with pytest.raises(StoppedError):
        score_source(always_sky, source, "float32", on_image=on_image)
    assert seen == [(1, 1.0), (2, 0.5)]
    assert source.read in ([0, 1], [0, 1, 2])  # one image may have been read ahead


def test_wrong_sizes_and_values_name_the_sample() -> None:
    with pytest.raises(InputError, match=r"maps, day/001: class_map of shape \(1, 1\) against"):
        score_predictions(Predictions(lambda _: np.zeros((1, 1), np.uint8), "float32"), maps([0], [0, 0]))
    with pytest.raises(InputError, match=r"maps, day/000: class_map holds 7"):
        score_predictions(Predictions(lambda _: np.full((1, 1), 7, np.uint8), "float32"), maps([0]))


@pytest.mark.parametrize("source", [maps(), maps([IGNORE, IGNORE])])
def test_nothing_to_score_is_refused(source: Maps) -> None:
    with pytest.raises(InputError, match="maps: not one labelled pixel in"):
        score_source(always_sky, source, "float32")


def write_maps(folder: Path, names: list[str], source: Maps) -> Path:
    for name, label_map in zip(names, source.label_maps, strict=True):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(label_map % 3).save(file)
    return folder


def comparable(score: Score) -> list[list[int]]:
    counts: list[list[int]] = score.matrix.counts.tolist()
    return counts


@pytest.mark.parametrize("names", [["day/000", "day/001"], ["000", "001"]])
def test_a_folder_of_class_maps_scores_as_the_predictor_that_wrote_it(tmp_path: Path, names: list[str]) -> None:
    source = maps([0, 1, 2, IGNORE], [2, 2, 1, 0])
    folder = write_maps(tmp_path, names, source)
    score = score_source(lambda images: [image[..., 0] % 3 for image in images], source, "float32")
    assert comparable(score_predictions(predictions_in(folder, source), source)) == comparable(score)
    assert score.miou == 1


def test_what_is_wrong_with_a_class_map_names_its_file(tmp_path: Path) -> None:
    source = maps([0, 1], [1, 0])
    write_maps(tmp_path, ["day/000", "day/001"], maps([0, 1], [IGNORE % 3, 1]))
    for values, message in (([0, 7], r"label value 7 out of range"), ([0, 255], "class_map holds 255")):
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "day/001.png")
        with pytest.raises(InputError, match=rf"^{tmp_path}/day/001\.png: {message}"):
            score_predictions(predictions_in(tmp_path, source), source)


def test_missing_class_maps_are_counted_before_anything_is_read(tmp_path: Path) -> None:
    source = maps([0, 1], [1, 0])
    write_maps(tmp_path, ["day/000"], maps([0, 1]))
    with pytest.raises(InputError, match=r"1 of 2 class maps are not there, the first is .*001\.png"):
        score_predictions(predictions_in(tmp_path, source), source)
    with pytest.raises(InputError, match="no such folder"):
        score_predictions(predictions_in(tmp_path / "nowhere", source), source)


@pytest.mark.parametrize(
    ("sample", "file"),
    [
        ("\u00e1/000", "a\u0301/000.png"),
        ("\u00e1/000", "000.bmp"),
        ("d.a.y/000", "d.a.y/000.PNG"),
        ("day/000", "day/000.tif"),
    ],
)
def test_class_maps_are_found_in_any_unicode_form_and_lossless_format(sample: str, file: str, tmp_path: Path) -> None:
    source = Maps([np.array([[0, 1, 2, 0]], np.uint8)], folder=sample.partition("/")[0])
    (tmp_path / file).parent.mkdir(exist_ok=True)
    Image.fromarray(source.label_maps[0]).save(tmp_path / file)
    (tmp_path / "._000.png").write_bytes(b"AppleDouble")
    assert score_predictions(predictions_in(tmp_path, source), source).miou == 1


def test_two_class_maps_of_a_sample_are_refused_and_another_case_is_named(tmp_path: Path) -> None:
    source = maps([0, 1])
    for suffix in ("bmp", "tif"):
        Image.fromarray(source.label_maps[0]).save(tmp_path / f"000.{suffix}")
    with pytest.raises(InputError, match=r"000\.bmp and 000\.tif are both the class map of '000'; remove or rename"):
        predictions_in(tmp_path, source)
    Image.fromarray(source.label_maps[0]).save(tmp_path / "000.png")
    assert score_predictions(predictions_in(tmp_path, source), source).miou == 1, "PNGs first"
    (tmp_path / "day").mkdir()
    (tmp_path / "000.png").rename(tmp_path / "day/000_pred.png")
    (tmp_path / "000.bmp").unlink()
    (tmp_path / "000.tif").unlink()
    source = maps([0, 1], [1, 0])
    with pytest.raises(InputError, match=r"2 of 2 .* the first is .*/000\.png: 000_pred\.png is not equal; maps needs"):
        predictions_in(tmp_path, source)


def test_the_label_maps_of_real_streets_score_one_against_themselves(real_data: Path) -> None:
    source = open_source(real_data / "CamVid", "val")
    score = score_predictions(predictions_in(real_data / "CamVid" / "valannot", source), source)
    assert (score.miou, score.images, score.absent_classes) == (1, 101, [])
    assert score.matrix.counts.sum() < 101 * 360 * 480  # void is not counted


def test_images_of_equal_size_are_predicted_together_with_the_same_score() -> None:
    source = maps([0, 1], [1, 1], [0], [2], [1], [0, 0])
    batches: list[int] = []

    def predict(images: Sequence[Uint8Array]) -> list[Uint8Array]:
        assert len({image.shape for image in images}) == 1
        batches.append(len(images))
        return red_channel(images)

    times = StageTimes(*STAGES)
    score = score_source(predict, source, "float32", 2, times=times)
    assert batches == [2, 2, 1, 1] and score.miou == 1 and source.read == [0, 1, 2, 3, 4, 5]
    assert comparable(score) == comparable(score_source(red_channel, source, "float32"))
    assert "decode" in times.summary(6, "images") and "count" in times.summary(6, "images")


def test_an_image_that_cannot_be_read_stops_where_it_stands() -> None:
    class Broken(Maps):
        def image(self, index: int) -> Uint8Array:
            if index == 1:
                raise InputError("1.png: damaged")
            return super().image(index)

    seen: list[int] = []
    with pytest.raises(InputError, match=r"1\.png"):
        source = Broken(maps([0], [1], [0]).label_maps)
        score_source(always_sky, source, "float32", on_image=lambda done, matrix: seen.append(done))
    assert seen == [1]


def test_regions_are_those_of_all_images_one_by_one() -> None:
    random = np.random.default_rng(0)
    class_maps = [random.integers(0, 3, (9, 14)).astype(np.uint8) for _ in range(5)]
    source = Maps([random.choice(np.array([0, 1, 2, 255], np.uint8), (9, 14)) for _ in class_maps])
    settings = RegionSettings(1.5, "chessboard")
    several = [Predictions(class_maps.__getitem__, "float32"), Predictions(class_maps[::-1].__getitem__, "float32")]
    scores = score_together(several, source, lambda scored: None, regions=settings)
    for score, scored_maps in zip(scores, (class_maps, class_maps[::-1]), strict=True):
        counts = [region_counts(scored_maps[index], source.label_map(index), settings) for index in range(5)]
        whole = sum(counts, RegionCounts())
        assert score.regions is not None and score.regions.counts() == whole
        values = score.to_json()
        assert values["boundary_accuracy"] == whole.boundary_accuracy()
        assert values["internal_accuracy"] == (whole.internal_accuracy() if whole.internal else None)
        assert values["regions"]["width"] == 1.5 and values["regions"]["metric"] == "chessboard"
        assert f"boundary accuracy {whole.boundary_accuracy():.4f} within 1.5 pixels" in score.table()


def test_refusals_of_regions_name_the_image() -> None:
    """The confusion matrix counts any integers; regions take bytes."""
    wide = [np.array([[0]], np.uint8), np.array([[1]], np.int64)]
    predictions = Predictions(lambda index: wide[index], "float32")  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match=r"maps, day/001: class_map of shape \(1, 1\), int64"):
        score_predictions(predictions, maps([0], [1]), regions=RegionSettings())


def test_an_error_in_the_regions_of_the_last_image_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.evaluation.region_curves.RegionScores.update", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_source(always_sky, maps([0, 1]), "float32", regions=RegionSettings())
