"""Claims: the paper's own numbers in each, and results with a known truth get the verdict that they deserve."""

import dataclasses

import numpy as np
import pytest
from helpers.paper_grid import Planted, results

from globalconv.errors import InputError
from globalconv.paper.claims import AGREES, CLAIMS, DISAGREES, OPEN, Verdict, verdict
from globalconv.paper.comparison import Comparison, comparisons
from globalconv.paper.results import RunResult
from globalconv.paper.tables import TABLES

RISING = {"Baseline": 0.0, "GCN k=3": 0.02, "GCN k=7": 0.04, "GCN k=15": 0.06}


def compared(planted: Planted, table: str) -> Comparison:
    (comparison,) = comparisons(TABLES[table], results(planted, table))
    return comparison


def verdicts_on(planted: Planted, table: str) -> dict[str, Verdict]:
    comparison = compared(planted, table)
    return {claim.words: verdict(claim, comparison) for claim in CLAIMS if claim.table == table}


def gained(verdict: Verdict) -> float:
    assert verdict.estimate
    return verdict.estimate.value


def test_the_papers_numbers_are_its_own() -> None:
    """Of whole tables: 5.5 over the baseline, peaks at k = 5, +1.1 inside against +0.2 at boundaries, and so on."""
    printed = []
    for claim in CLAIMS:
        contrast = claim.contrast(TABLES[claim.table].variants)
        assert contrast
        printed.append(round(contrast.printed, 2))
    assert printed[1:] == [5.5, 1.6, 4.6, 4.3, 6.2, 2.5, 0.9, 1.8, 0.2, 5.5, 0.2]
    kernels, scores = [1, 3, 5, 7, 9, 11, 13, 15], [69.0, 70.1, 71.1, 72.8, 73.4, 73.7, 74.0, 74.5]
    assert printed[0] == pytest.approx(np.polyfit(np.log2(kernels), scores, 1)[0], abs=0.005)


@pytest.mark.parametrize(
    ("sign", "noise", "word"), [(1, 0.005, AGREES), (-1, 0.005, DISAGREES), (1, 0.3, OPEN), (0, 0.005, OPEN)]
)
def test_a_planted_slope_gets_its_verdict(sign: int, noise: float, word: str) -> None:
    planted = Planted({name: sign * gain for name, gain in RISING.items()}, noise=noise)
    found = verdicts_on(planted, "table1")["The score rises with the size of the kernel"]
    assert found.word == word
    assert found.lacking == ""


def test_one_seed_decides_nothing() -> None:
    found = verdicts_on(Planted(RISING, seeds=(4,)), "table1")["The largest kernel is above the 1x1 baseline"]
    assert gained(found) == pytest.approx(0.06, abs=0.02)
    assert found.word == OPEN and "one seed is too few" in found.lacking


def test_peaks_and_falls_are_looked_for_where_the_paper_has_them() -> None:
    falling = {"GCN k=3": 0.0, "GCN k=9": 0.05, "conv k=3": 0.0, "conv k=5": 0.04, "conv k=9": -0.03}
    found = verdicts_on(Planted(falling, noise=0.005), "table2")
    assert found["A plain k x k convolution peaks and falls"].word == AGREES
    assert gained(found["A plain k x k convolution peaks and falls"]) == pytest.approx(0.07, abs=0.01)
    assert gained(found["GCN is above the plain convolution of its size"]) == pytest.approx(0.08, abs=0.01)


def test_gains_by_region_are_told_apart() -> None:
    gains, borders = {"Baseline": 0.0, "GCN": 0.05, "GCN + BR": 0.05}, {"GCN": -0.04, "GCN + BR": 0.02}
    found = verdicts_on(Planted(gains, borders, noise=0.005), "table5")
    inside = found["GCN gains more inside objects than at their boundaries"]
    border = found["Boundary Refinement gains more at boundaries than inside"]
    assert (gained(inside), gained(border)) == pytest.approx((0.04, 0.06), abs=0.003)
    assert inside.word == border.word == AGREES
    assert found["Boundary Refinement raises the score"].word == OPEN


def test_widths_are_those_of_the_backbone() -> None:
    stacks = {
        "stack m=full (2048 of 2048)": 0.04,
        "stack m=half (1024 of 2048)": 0.02,
        "stack m=narrow (210 of 2048)": 0,
    }
    comparison = compared(Planted(stacks, noise=0.005), "table4")
    assert [len(row.seeds) for row in comparison.rows] == [3, 3, 3, 0]
    (found,) = verdicts_on(Planted(stacks, noise=0.005), "table4").values()
    assert found.word == AGREES and gained(found) == pytest.approx(0.04, abs=0.01)


def test_a_stack_of_one_convolution_is_that_convolution() -> None:
    planted = results(Planted({"GCN k=3": 0.0, "conv k=3": 0.1}), "table2")
    (comparison,) = comparisons(TABLES["table3"], planted)
    assert comparison.row("stack k=3").seeds == [0, 1, 2]


def test_missing_rows_are_not_measured() -> None:
    found = verdicts_on(Planted({"GCN": 0.0, "GCN + BR": 0.1}), "table5")
    assert found["GCN gains more inside objects than at their boundaries"].lacking == "not measured"
    assert found["Boundary Refinement raises the score"].word == AGREES


def on_folds() -> list[RunResult]:
    """Return results on five folds of nine frames each."""
    found = []
    for fold, clip in FOLDS.items():
        images = [f"{clip}_f{fold}{number:04}" for number in range(9)]
        planted = Planted({"Baseline": 0.0, "GCN k=15": 0.05}, images=images)
        planted = dataclasses.replace(planted, train_split=f"folds/{fold}.train", val_split=f"folds/{fold}.val")
        found += results(planted, "table1")
    return found


FOLDS = {"a": "0006R0", "b": "0016E5", "c": "0016E5", "d": "0001TP", "e": "Seq05VD"}


def test_folds_are_one_data_set_whose_parts_are_the_folds() -> None:
    (comparison,) = comparisons(TABLES["table1"], on_folds())
    scores = comparison.row("GCN k=15").scores("miou")
    assert scores and scores.clusters == 5 and scores.seeds == (0, 1, 2)
    hits = sum(sum(sum(image) for image in r.hits) for r in comparison.row("GCN k=15").every_result if r.seed == 0)
    assert scores.found_S[0] == pytest.approx(hits / (5 * 9 * 3 * 4000))


def test_a_seed_without_all_folds_is_not_finished() -> None:
    some = [result for result in on_folds() if (result.seed, result.data["val_split"]) != (1, "folds/c.val")]
    (comparison,) = comparisons(TABLES["table1"], some)
    assert [row.seeds for row in comparison.rows if row.results] == [[0, 2], [0, 2]]


def test_frames_of_a_clip_are_no_images() -> None:
    clips = [f"train/{clip}_f{number:05}" for clip in FOLDS.values() for number in range(9)]
    scores = compared(Planted(RISING, images=clips), "table1").row("Baseline").scores("miou")
    assert scores and scores.clusters == 4
    images = compared(Planted(RISING, images=["2007_000033", "2007_000042"]), "table1").row("Baseline").scores("miou")
    assert images and images.clusters == 2


def test_diverged_trainings_have_no_score_and_take_their_seed_out() -> None:
    first, *others = results(Planted(RISING), "table1")
    broken = dataclasses.replace(first, diverged=True, images=[], hits=[], unions=[], regions=[])
    (comparison,) = comparisons(TABLES["table1"], [broken, *others])
    assert comparison.row("Baseline").seeds == [1, 2] and comparison.seeds == [0, 1, 2]
    found = verdict(CLAIMS[1], comparison)
    assert found.estimate and found.estimate.seeds == 2 and found.word == OPEN


def test_other_settings_are_compared_apart_and_other_images_not_at_all() -> None:
    small, large = (Planted(RISING, model={"backbone": name}) for name in ("resnet18", "resnet50"))
    found = comparisons(TABLES["table1"], results(small, "table1") + results(large, "table1"))
    assert [len(comparison.every_result) for comparison in found] == [12, 12]
    both = results(small, "table1") + results(dataclasses.replace(small, images=["other"], seeds=(7,)), "table1")
    with pytest.raises(InputError, match="other images"):
        comparisons(TABLES["table1"], both)
    again = [dataclasses.replace(r, data={**r.data, "fingerprint": "1"}) for r in results(small, "table1")]
    with pytest.raises(InputError, match="trained on other images"):
        comparisons(TABLES["table1"], results(small, "table1") + again)


def test_backbones_are_compared_in_table_6() -> None:
    gains = {"ResNet50, Baseline": 0.0, "ResNet50-GCN, Baseline": 0.05}
    found = verdicts_on(Planted(gains, noise=0.005), "table6")
    assert found["ResNet50-GCN is above ResNet50 under 1x1 heads"].word == AGREES
    assert found["ResNet50-GCN is above ResNet50 under GCN + BR"].lacking == "not measured"
