"""Results of trainings find their table, row, seed and fold; those that cannot be compared are refused."""

import dataclasses

import pytest
from helpers.paper import SimulatedTrainings

from globalconv.errors import InputError
from globalconv.paper.measured_tables import measured_tables
from globalconv.paper.results import RunResult
from globalconv.paper.tables import TABLES

RISING = {"Baseline": 0.0, "GCN k=3": 0.02, "GCN k=7": 0.04, "GCN k=15": 0.06}
FOLDS = {"a": "0006R0", "b": "0016E5", "c": "0016E5", "d": "0001TP", "e": "Seq05VD"}
"""Name of a fold -> the clip in the names of its frames."""


def results_on_folds() -> list[RunResult]:
    """Return results on five folds of nine frames each."""
    results = []
    for fold, clip in FOLDS.items():
        images = [f"{clip}_f{fold}{number:04}" for number in range(9)]
        splits = {"train_split": f"folds/{fold}.train", "val_split": f"folds/{fold}.val"}
        trainings = SimulatedTrainings({"Baseline": 0.0, "GCN k=15": 0.05}, images=images, **splits)  # type: ignore[arg-type]
        results += trainings.results("table1")
    return results


def test_stacks_of_table_4_have_the_widths_of_their_backbone() -> None:
    stacks = dict.fromkeys(
        ["stack m=full (2048 of 2048)", "stack m=half (1024 of 2048)", "stack m=narrow (210 of 2048)"], 0.0
    )
    (table,) = measured_tables(TABLES["table4"], SimulatedTrainings(stacks).results("table4"))
    assert [len(row.seeds) for row in table.rows] == [3, 3, 3, 0]


def test_a_stack_of_one_convolution_is_that_convolution() -> None:
    results = SimulatedTrainings({"GCN k=3": 0.0, "conv k=3": 0.1}).results("table2")
    (table,) = measured_tables(TABLES["table3"], results)
    assert table.row("stack k=3").seeds == [0, 1, 2]


def test_folds_are_one_data_set_whose_clusters_are_the_folds() -> None:
    (table,) = measured_tables(TABLES["table1"], results_on_folds())
    row = table.row("GCN k=15")
    scores = row.scores["miou"]
    assert scores.clusters == 5 and scores.seeds == (0, 1, 2)
    hits = sum(sum(sum(image) for image in result.hits) for result in row.all_results if result.seed == 0)
    assert scores.scores_S[0] == pytest.approx(hits / (5 * 9 * 3 * 4000))


def test_a_seed_without_all_folds_is_not_complete() -> None:
    results = [r for r in results_on_folds() if (r.seed, r.data["val_split"]) != (1, "folds/c.val")]
    (table,) = measured_tables(TABLES["table1"], results)
    assert [row.seeds for row in table.rows if row.results] == [[0, 2], [0, 2]]


@pytest.mark.parametrize(
    ("images", "clusters"),
    [
        ([f"train/{clip}_f{number:05}" for clip in FOLDS.values() for number in range(9)], 4),
        (["2007_000033", "2007_000042"], 2),
    ],
    ids=["frames of clips", "images"],
)
def test_clusters_are_clips_or_images(images: list[str], clusters: int) -> None:
    (table,) = measured_tables(TABLES["table1"], SimulatedTrainings(RISING, images=images).results("table1"))
    assert table.row("Baseline").scores["miou"].clusters == clusters


def test_diverged_trainings_have_no_score_and_take_their_seed_out() -> None:
    first, *others = SimulatedTrainings(RISING).results("table1")
    diverged = dataclasses.replace(first, diverged=True, images=[], hits=[], unions=[], regions=[])
    (table,) = measured_tables(TABLES["table1"], [diverged, *others])
    assert table.row("Baseline").seeds == [1, 2] and table.seeds == [0, 1, 2]


def test_other_settings_are_tables_of_their_own() -> None:
    trainings = [SimulatedTrainings(RISING, model={"backbone": name}) for name in ("resnet18", "resnet50")]
    results = [result for one in trainings for result in one.results("table1")]
    assert [len(table.all_results) for table in measured_tables(TABLES["table1"], results)] == [12, 12]


def test_results_of_before_a_setting_stand_beside_those_of_today() -> None:
    """The first results lack `data.white_level` and the settings of fine-tuning; today's have their defaults."""
    old, *others = SimulatedTrainings(RISING).results("table1")
    recipe = {**old.recipe, "data": {**old.recipe["data"]}, "optim": {**old.recipe["optim"]}}
    del recipe["data"]["white_level"], recipe["optim"]["freeze_steps"]
    (table,) = measured_tables(TABLES["table1"], [dataclasses.replace(old, recipe=recipe), *others])
    assert len(table.all_results) == len(others) + 1


def test_results_on_other_images_are_refused() -> None:
    results = SimulatedTrainings(RISING).results("table1")
    scored_elsewhere = SimulatedTrainings(RISING, images=["other"], seeds=(7,)).results("table1")
    with pytest.raises(InputError, match="scored on other images"):
        measured_tables(TABLES["table1"], results + scored_elsewhere)
    trained_elsewhere = [dataclasses.replace(r, data={**r.data, "fingerprint": "1"}) for r in results]
    with pytest.raises(InputError, match="trained on other images"):
        measured_tables(TABLES["table1"], results + trained_elsewhere)
