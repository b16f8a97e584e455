"""The report: its numbers are those of the results, missing runs are named, page and Markdown have the same content."""

import dataclasses
import statistics

import pytest
from helpers.html import Reader, cells, check_self_contained
from helpers.paper import PIXELS, SimulatedTrainings

from globalconv.paper.paper_report import DatasetResults, report_html, report_markdown
from globalconv.paper.paper_sections import padding_blocks
from globalconv.paper.results import RunResult
from globalconv.reports.page import Table

GAINS = {"Baseline": 0.0, "GCN k=7": 0.03, "GCN k=15": 0.05, "GCN": 0.05, "GCN + BR": 0.06, "conv k=7": 0.01}


def simulated_results(**fields: object) -> list[RunResult]:
    """Return results of Tables 1, 2 and 5, each once."""
    trainings = dataclasses.replace(SimulatedTrainings(GAINS, {"GCN + BR": 0.03}), **fields)  # type: ignore[arg-type]
    tables = ("table1", "table2", "table5")
    return list({result.key: result for table in tables for result in trainings.results(table)}.values())


def markdown(results: list[RunResult]) -> str:
    return report_markdown([DatasetResults("blobs", results)])


def rows(text: str, name: str) -> list[list[str]]:
    """Return the rows of Markdown tables that begin with a name."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [line[1:] for line in lines if line[0] == name]


def test_the_numbers_are_those_of_the_results() -> None:
    results = simulated_results()
    text = markdown(results)
    first = rows(text, "GCN k=15")[0]
    settings = [(result, result.recipe["model"]) for result in results]
    plain = [
        r for r, m in settings if (m["head"], m["kernel_size"]) == (["gcn"], [15]) and not m["boundary_refinement"]
    ]
    mious = [sum(image[0] for image in result.hits) / (24 * 4000) for result in plain]
    assert first[0].startswith(f"{100 * statistics.fmean(mious):.1f} (") and first[1] == "74.5"
    assert first[2:] == ["3 of 3", "0.250", "21,000", "3.21", "6.5"]
    assert rows(text, "GCN k=3")[0] == ["–", "70.1", "0 of 3", "–", "–", "–", "–"]
    assert rows(text, "in training and scoring together") == [["1h37m"]]  # 15 trainings of 6.5 minutes


def test_the_headline_may_be_over_some_classes_with_all_beside_it() -> None:
    """One class of three is found everywhere: it counts in the mean over all, and not in that over the others."""
    plain = simulated_results()
    results = [dataclasses.replace(result, hits=[[*counts[:2], PIXELS] for counts in result.hits]) for result in plain]
    text = report_markdown([DatasetResults("blobs", results, (0, 1))])
    assert "mIoU on blobs is the mean over 2 of 3 classes: sky, road." in text
    expected = rows(markdown(plain), "GCN k=15")[0]
    over_two, over_all, *rest = rows(text, "GCN k=15")[0]
    assert over_two == expected[0] and rest == expected[1:]
    mean = float(over_two.split()[0])
    assert float(over_all.split()[0]) == pytest.approx((2 * mean + 100) / 3, abs=0.1)
    assert "of all classes" not in markdown(plain)


def test_a_table_without_a_row_of_its_own_is_left_out() -> None:
    """Tables 2 and 3 share rows with Table 1, and Table 5 has other scores of the same networks."""
    text = markdown(SimulatedTrainings(GAINS).results("table1"))
    assert "### Table 1:" in text and not rows(text, "conv k=7")
    assert "### Table 2:" not in text and "### Table 3:" not in text and "### Table 5:" in text
    assert "### Table 2:" in markdown(simulated_results())


def test_page_and_markdown_have_the_same_content() -> None:
    dataset = DatasetResults("<b>blobs</b>", simulated_results())
    page = report_html([dataset], {}, "")
    check_self_contained(page)
    words = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in cells(page)]
    for name in ("Baseline", "conv k=7", "GCN is above the plain convolution of its size"):
        assert rows(report_markdown([dataset]), name) == [row[1:] for row in words if row[0] == name]
    assert [svg["aria-label"] for svg in Reader(page).all("svg")] == [
        "mIoU % by the size of the kernel: GCN, conv",
        "mIoU above the 1x1 baseline, points; dashed: the paper: GCN, GCN, paper, conv, conv, paper",
        "Gain in accuracy by region, points; hollow: the paper: internal, internal, paper, boundary, boundary, paper",
    ]


def test_verdicts_on_all_data_sets_are_side_by_side() -> None:
    falling = {name: -gain for name, gain in GAINS.items()}
    few = {"Baseline": 0.0, "GCN": 0.05}  # "GCN" of Table 5 is the "GCN k=15" of Table 1
    datasets = [
        DatasetResults("one", simulated_results(noise=0.002)),
        DatasetResults("two", simulated_results(gains=falling, noise=0.002)),
        DatasetResults("three", simulated_results(gains=few, seeds=(0,))),
    ]
    text = report_markdown(datasets)
    line = rows(text, "The largest kernel is above the 1x1 baseline")[0]
    assert [cell.split(":")[0] for cell in line] == ["+5.50", "agrees", "disagrees", "inconclusive at this scale"]
    assert "Not measured: A plain k x k convolution peaks and falls;" in text


def test_missing_and_diverged_runs_are_named() -> None:
    results = simulated_results()
    kept = [r for r in results if (r.seed, r.recipe["model"]["head"]) != (1, ["conv"])]
    last = kept.pop()
    diverged = dataclasses.replace(last, diverged=True, final_loss=None, images=[], hits=[], unions=[], regions=[])
    text = markdown([*kept, diverged])
    assert "Not finished: seed 1 of conv k=7." in text
    assert f"Diverged: GCN + BR, seed {last.seed}. It has no score and is left out." in text
    assert rows(text, "GCN + BR")[0][6] == "2 of 3"


def test_a_report_names_the_data_set_on_which_every_training_diverged() -> None:
    nothing = {"diverged": True, "region": {}, "images": [], "hits": [], "unions": [], "regions": []}
    text = markdown([dataclasses.replace(result, **nothing) for result in simulated_results()])  # type: ignore[arg-type]
    assert "Every training diverged." in text and "Diverged: Baseline, seed 0, 1, 2." in text


def test_a_single_result_has_a_report_too() -> None:
    text = markdown(simulated_results()[:1])
    assert "No table of the paper has two of its rows here yet." in text and "nan" not in text


def test_settings_of_a_table_are_described() -> None:
    text = markdown(simulated_results() + simulated_results(model={"backbone": "resnet50"}, seeds=(0,)))
    assert "Setting 1 of 2: model.backbone resnet18." in text and "Setting 2 of 2: model.backbone resnet50." in text


@pytest.mark.parametrize(("crop", "k"), [([224, 224], 15), ([64, 160], 7), ([512, 512], 15), ([33, 33], 1)])
def test_padding_is_counted(crop: list[int], k: int) -> None:
    result = dataclasses.replace(simulated_results()[0], crop=crop)
    shares = []
    for side in (-(-crop[0] // 32), -(-crop[1] // 32)):
        taps = [not 0 <= at + tap < side for at in range(side) for tap in range(-(k // 2), k // 2 + 1)]
        shares += [sum(taps[place * k : place * k + k]) / k for place in range(side)]
    table = padding_blocks(result, [k])[-1]
    assert isinstance(table, Table) and table.rows[0].cells[0] == f"{statistics.fmean(shares):.0%}"
