"""The report: its numbers are the results', its sentences say what is missing, page and Markdown say the same."""

import dataclasses
import statistics
from pathlib import Path

import pytest
from helpers.html import Reader, cells, check_self_contained
from helpers.paper_grid import Planted, results
from helpers.training import write_blobs

from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.paper.paper_report import Dataset, html, markdown, read_datasets, write_reports
from globalconv.paper.paper_sections import padding
from globalconv.paper.parts import Grid
from globalconv.paper.results import RunResult, write_result
from globalconv.weights import save_weights

GAINS = {"Baseline": 0.0, "GCN k=7": 0.03, "GCN k=15": 0.05, "GCN": 0.05, "GCN + BR": 0.06, "conv k=7": 0.01}
EVERY = ("table1", "table2", "table5")


def planted(**fields: object) -> list[RunResult]:
    grid = dataclasses.replace(Planted(GAINS, {"GCN + BR": 0.03}), **fields)  # type: ignore[arg-type]
    return list({result.key: result for table in EVERY for result in results(grid, table)}.values())


def rows(text: str, name: str) -> list[list[str]]:
    """Return the rows of Markdown tables that begin with a name."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [line[1:] for line in lines if line[0] == name]


def test_the_numbers_are_the_results() -> None:
    found = planted()
    text = markdown([Dataset("blobs", found)])
    first = rows(text, "GCN k=15")[0]
    settings = [(result, result.recipe["model"]) for result in found]
    plain = [
        r for r, m in settings if (m["head"], m["kernel_size"]) == (["gcn"], [15]) and not m["boundary_refinement"]
    ]
    mious = [sum(image[0] for image in result.hits) / (24 * 4000) for result in plain]
    assert first[0].startswith(f"{100 * statistics.fmean(mious):.1f} (") and first[1] == "74.5"
    assert first[2:] == ["3 of 3", "0.250", "21,000", "3.21", "6.5"]
    assert rows(text, "GCN k=3")[0] == ["–", "70.1", "0 of 3", "–", "–", "–", "–"]
    assert rows(text, "in training and scoring together") == [["1h37m"]]  # 15 trainings of 6.5 minutes


def test_a_table_without_a_row_of_its_own_is_left_out() -> None:
    """Tables 2 and 3 share rows with Table 1, and Table 5 has other scores of the same networks."""
    grid = Planted(GAINS, {})
    text = markdown([Dataset("blobs", results(grid, "table1"))])
    assert "### Table 1:" in text and not rows(text, "conv k=7")
    assert "### Table 2:" not in text and "### Table 3:" not in text and "### Table 5:" in text
    assert "### Table 2:" in markdown([Dataset("blobs", planted())])


def test_page_and_markdown_say_the_same() -> None:
    dataset = Dataset("<b>blobs</b>", planted())
    page = html([dataset], "", {})
    check_self_contained(page)
    words = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in cells(page)]
    for name in ("Baseline", "conv k=7", "GCN is above the plain convolution of its size"):
        assert rows(markdown([dataset]), name) == [row[1:] for row in words if row[0] == name]
    assert [svg["aria-label"] for svg in Reader(page).all("svg")] == [
        "mIoU % by the size of the kernel: GCN, conv",
        "mIoU above the 1x1 baseline, points; dashed: the paper: GCN, GCN, paper, conv, conv, paper",
        "Gain in accuracy by region, points; hollow: the paper: internal, internal, paper, boundary, boundary, paper",
    ]


def test_verdicts_of_all_data_sets_stand_side_by_side() -> None:
    falling = {name: -gain for name, gain in GAINS.items()}
    few = {"Baseline": 0.0, "GCN": 0.05}  # "GCN" of Table 5 is the "GCN k=15" of Table 1
    datasets = [
        Dataset("one", planted(noise=0.002)),
        Dataset("two", planted(gains=falling, noise=0.002)),
        Dataset("three", planted(gains=few, seeds=(0,))),
    ]
    text = markdown(datasets)
    line = rows(text, "The largest kernel is above the 1x1 baseline")[0]
    assert [cell.split(":")[0] for cell in line] == ["+5.50", "agrees", "disagrees", "cannot be told at this scale"]
    assert "Not measured: A plain k x k convolution peaks and falls;" in text


def test_what_is_missing_is_said() -> None:
    found = planted()
    kept = [r for r in found if (r.seed, r.recipe["model"]["head"]) != (1, ["conv"])]
    last = kept.pop()
    broken = dataclasses.replace(last, diverged=True, final_loss=None, images=[], hits=[], unions=[], regions=[])
    text = markdown([Dataset("blobs", [*kept, broken])])
    assert "Not finished: seed 1 of conv k=7." in text
    assert f"Diverged: GCN + BR, seed {last.seed}. It has no score and is left out." in text
    assert rows(text, "GCN + BR")[0][6] == "2 of 3"


def test_where_every_training_diverged_that_is_said() -> None:
    nothing = {"diverged": True, "region": {}, "images": [], "hits": [], "unions": [], "regions": []}
    text = markdown([Dataset("blobs", [dataclasses.replace(result, **nothing) for result in planted()])])  # type: ignore[arg-type]
    assert "Every training diverged." in text and "Diverged: Baseline, seed 0, 1, 2." in text


def test_a_single_result_has_a_page_too() -> None:
    text = markdown([Dataset("blobs", planted()[:1])])
    assert "No table of the paper has two of its rows here yet." in text and "nan" not in text


def test_settings_are_told_apart() -> None:
    found = planted() + planted(model={"backbone": "resnet50"}, seeds=(0,))
    text = markdown([Dataset("blobs", found)])
    assert "Setting 1 of 2: model.backbone resnet18." in text and "Setting 2 of 2: model.backbone resnet50." in text


@pytest.mark.parametrize(("crop", "k"), [([224, 224], 15), ([64, 160], 7), ([512, 512], 15), ([33, 33], 1)])
def test_padding_is_counted(crop: list[int], k: int) -> None:
    result = dataclasses.replace(planted()[0], crop=crop)
    shares = []
    for side in (-(-crop[0] // 32), -(-crop[1] // 32)):
        taps = [not 0 <= at + tap < side for at in range(side) for tap in range(-(k // 2), k // 2 + 1)]
        shares += [sum(taps[place * k : place * k + k]) / k for place in range(side)]
    grid = padding(result, [k])[-1]
    assert isinstance(grid, Grid) and grid.rows[f"k = {k}"][0] == f"{statistics.fmean(shares):.0%}"


def test_files_are_written_and_refused(tmp_path: Path) -> None:
    for result in planted():
        write_result(tmp_path / "results", result)
    page, text = tmp_path / "report.html", tmp_path / "docs" / "report.md"
    assert write_reports([tmp_path / "results"], page, text) == [page, text]
    assert text.read_text() == markdown(read_datasets([tmp_path / "results"]))
    with pytest.raises(InputError, match="holds no results"):
        write_reports([tmp_path / "docs"], page, None)
    with pytest.raises(InputError, match="name a file"):
        write_reports([tmp_path / "results"], None, None)


@pytest.mark.parametrize("words", ["--results {a} {b}", "--results {a} --results {b}", "--results={a} --results={b}"])
def test_folders_of_results_may_be_named_together_or_one_by_one(words: str, tmp_path: Path) -> None:
    for name in "ab":
        for result in planted():
            write_result(tmp_path / name, result)
    text, named = tmp_path / "page.md", words.format(a=tmp_path / "a", b=tmp_path / "b").split()
    assert main(["paper", "report", *named, "--markdown", str(text)]) == 0
    assert text.read_text().count("### Table 1:") == 2


def test_a_report_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "report", "--markdown", str(tmp_path / "page.md")]) == 2
    assert capsys.readouterr().err == "globalconv: paper report: name the folders of results, --results FOLDER ...\n"


def test_images_are_of_the_last_weights(tmp_path: Path) -> None:
    write_blobs(tmp_path / "blobs")
    grid = Planted({"Baseline": 0.0, "GCN": 0.1}, data="blobs", model={"backbone": "test_resnet"})
    for result in results(grid, "table5"):
        write_result(tmp_path / "results", result)
        if result.seed == 0:
            network = GlobalConvNet(3, "test_resnet", 3, result.recipe["model"]["head"][0], boundary_refinement=False)
            labels = LabelSpace(("grey", "red", "green"))
            save_weights(tmp_path / "runs" / result.key / "run" / "last", network, labels, {})
    page = tmp_path / "report.html"
    write_reports([tmp_path / "results"], page, None, tmp_path / "runs", tmp_path / "blobs")
    check_self_contained(page.read_text())
    assert page.read_text().count("<img") == 3 * 4 and "GCN + BR of" not in page.read_text()
    write_reports([tmp_path / "results"], page, None, tmp_path / "runs", tmp_path / "blobs", occluders=300)
    assert page.read_text().count("<img") == 3 * 4 + 2 * 3 and "Baseline, scale 2" in page.read_text()
    with pytest.raises(InputError, match="`occluders`: measures trained networks"):
        write_reports([tmp_path / "results"], page, None, occluders=300)
    with pytest.raises(InputError, match="weights of a result are not there"):
        write_reports([tmp_path / "results"], page, None, tmp_path, tmp_path / "blobs")
    with pytest.raises(InputError, match="no results of Table 5 on results"):
        write_reports([tmp_path / "results"], page, None, tmp_path / "runs", tmp_path / "results")
