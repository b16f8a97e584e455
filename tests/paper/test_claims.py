"""Claims: the paper's own numbers in each, and results with a known truth get the right verdict."""

import dataclasses

import numpy as np
import pytest
from helpers.paper import SimulatedTrainings

from globalconv.paper.claims import AGREES, CLAIMS, DISAGREES, INCONCLUSIVE, TestedClaim, evaluate_claim
from globalconv.paper.measured_tables import measured_tables
from globalconv.paper.tables import TABLES

RISING = {"Baseline": 0.0, "GCN k=3": 0.02, "GCN k=7": 0.04, "GCN k=15": 0.06}


def claims_on(trainings: SimulatedTrainings, name: str) -> dict[str, TestedClaim]:
    (table,) = measured_tables(TABLES[name], trainings.results(name))
    return {claim.sentence: evaluate_claim(claim, table) for claim in CLAIMS if claim.table == name}


def value(tested: TestedClaim) -> float:
    assert tested.estimate
    return tested.estimate.value


def test_contrasts_of_whole_tables_have_the_papers_numbers() -> None:
    """5.5 over the baseline, peaks at k = 5, +1.1 inside against +0.2 at boundaries, and so on."""
    printed = []
    for claim in CLAIMS:
        contrast = claim.contrast(TABLES[claim.table].variants)
        assert contrast
        printed.append(round(contrast.printed, 2))
    assert printed[1:] == [5.5, 1.6, 4.6, 4.3, 6.2, 2.5, 0.9, 1.8, 0.2, 5.5, 0.2]
    kernels, scores = [1, 3, 5, 7, 9, 11, 13, 15], [69.0, 70.1, 71.1, 72.8, 73.4, 73.7, 74.0, 74.5]
    assert printed[0] == pytest.approx(np.polyfit(np.log2(kernels), scores, 1)[0], abs=0.005)


@pytest.mark.parametrize(
    ("sign", "noise", "verdict"),
    [(1, 0.005, AGREES), (-1, 0.005, DISAGREES), (1, 0.3, INCONCLUSIVE), (0, 0.005, INCONCLUSIVE)],
)
def test_a_known_slope_gets_its_verdict(sign: int, noise: float, verdict: str) -> None:
    trainings = SimulatedTrainings({name: sign * gain for name, gain in RISING.items()}, noise=noise)
    tested = claims_on(trainings, "table1")["The score rises with the size of the kernel"]
    assert tested.verdict == verdict
    assert tested.missing == ""


def test_one_seed_is_inconclusive() -> None:
    claims = claims_on(SimulatedTrainings(RISING, seeds=(4,)), "table1")
    tested = claims["The largest kernel is above the 1x1 baseline"]
    assert value(tested) == pytest.approx(0.06, abs=0.02)
    assert tested.verdict == INCONCLUSIVE and "one seed is too few" in tested.missing


def test_peaks_are_tested_at_the_k_where_the_paper_has_them() -> None:
    falling = {"GCN k=3": 0.0, "GCN k=9": 0.05, "conv k=3": 0.0, "conv k=5": 0.04, "conv k=9": -0.03}
    claims = claims_on(SimulatedTrainings(falling, noise=0.005), "table2")
    assert claims["A plain k x k convolution peaks and falls"].verdict == AGREES
    assert value(claims["A plain k x k convolution peaks and falls"]) == pytest.approx(0.07, abs=0.01)
    assert value(claims["GCN is above the plain convolution of its size"]) == pytest.approx(0.08, abs=0.01)


def test_gains_are_separated_by_region() -> None:
    gains, boundary_gains = {"Baseline": 0.0, "GCN": 0.05, "GCN + BR": 0.05}, {"GCN": -0.04, "GCN + BR": 0.02}
    claims = claims_on(SimulatedTrainings(gains, boundary_gains, noise=0.005), "table5")
    inside = claims["GCN gains more inside objects than at their boundaries"]
    boundary = claims["Boundary Refinement gains more at boundaries than inside"]
    assert (value(inside), value(boundary)) == pytest.approx((0.04, 0.06), abs=0.003)
    assert inside.verdict == boundary.verdict == AGREES
    assert claims["Boundary Refinement raises the score"].verdict == INCONCLUSIVE


def test_the_widest_stack_is_compared_with_the_narrowest() -> None:
    stacks = {
        "stack m=full (2048 of 2048)": 0.04,
        "stack m=half (1024 of 2048)": 0.02,
        "stack m=narrow (210 of 2048)": 0,
    }
    (tested,) = claims_on(SimulatedTrainings(stacks, noise=0.005), "table4").values()
    assert tested.verdict == AGREES and value(tested) == pytest.approx(0.04, abs=0.01)


def test_missing_rows_are_not_measured() -> None:
    claims = claims_on(SimulatedTrainings({"GCN": 0.0, "GCN + BR": 0.1}), "table5")
    assert claims["GCN gains more inside objects than at their boundaries"].missing == "not measured"
    assert claims["Boundary Refinement raises the score"].verdict == AGREES


def test_a_diverged_training_takes_its_seed_out_of_a_claim() -> None:
    first, *others = SimulatedTrainings(RISING).results("table1")
    diverged = dataclasses.replace(first, diverged=True, images=[], hits=[], unions=[], regions=[])
    (table,) = measured_tables(TABLES["table1"], [diverged, *others])
    tested = evaluate_claim(CLAIMS[1], table)
    assert tested.estimate and tested.estimate.seeds == 2 and tested.verdict == INCONCLUSIVE


def test_backbones_are_compared_in_table_6() -> None:
    gains = {"ResNet50, Baseline": 0.0, "ResNet50-GCN, Baseline": 0.05}
    claims = claims_on(SimulatedTrainings(gains, noise=0.005), "table6")
    assert claims["ResNet50-GCN is above ResNet50 under 1x1 heads"].verdict == AGREES
    assert claims["ResNet50-GCN is above ResNet50 under GCN + BR"].missing == "not measured"
