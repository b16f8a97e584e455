"""`globalconv paper report` as files: page, Markdown, images of trained networks, and what is refused."""

from pathlib import Path

import pytest
from helpers.html import check_self_contained
from helpers.paper import SimulatedTrainings
from helpers.training import write_blobs

from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.jobs.paper import write_reports
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.paper.paper_report import read_results_of_datasets, report_markdown
from globalconv.paper.results import write_result
from globalconv.weights import save_weights


def test_files_are_written_and_refused(tmp_path: Path) -> None:
    for result in SimulatedTrainings({"Baseline": 0.0, "GCN k=15": 0.05}).results("table1"):
        write_result(tmp_path / "results", result)
    page, text = tmp_path / "report.html", tmp_path / "docs" / "report.md"
    assert write_reports([tmp_path / "results"], page, text) == [page, text]
    assert text.read_text() == report_markdown(read_results_of_datasets([tmp_path / "results"]))
    with pytest.raises(InputError, match="holds no results"):
        write_reports([tmp_path / "docs"], page, None)
    with pytest.raises(InputError, match="name a file"):
        write_reports([tmp_path / "results"], None, None)


@pytest.mark.parametrize("words", ["--results {a} {b}", "--results {a} --results {b}", "--results={a} --results={b}"])
def test_folders_of_results_may_be_named_together_or_one_by_one(words: str, tmp_path: Path) -> None:
    for name in "ab":
        for result in SimulatedTrainings({"Baseline": 0.0, "GCN k=15": 0.05}).results("table1"):
            write_result(tmp_path / name, result)
    text, named = tmp_path / "page.md", words.format(a=tmp_path / "a", b=tmp_path / "b").split()
    assert main(["paper", "report", *named, "--markdown", str(text)]) == 0
    assert text.read_text().count("### Table 1:") == 2


def test_classes_of_the_headline_are_those_of_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for result in SimulatedTrainings({"Baseline": 0.0, "GCN k=15": 0.05}).results("table1"):
        write_result(tmp_path / "results", result)
    text, command = tmp_path / "page.md", ["paper", "report", "--results", str(tmp_path / "results"), "--markdown"]
    assert main([*command, str(text), "--classes", "road", "sky"]) == 0
    assert "over 2 of 3 classes: road, sky." in text.read_text()
    capsys.readouterr()
    assert main([*command, str(text), "--classes", "road", "skye"]) == 2
    assert capsys.readouterr().err == "globalconv: --classes skye: did you mean 'sky'? known: car, road, sky\n"
    assert main([*command, str(text), "--classes", "road", "road"]) == 2
    assert capsys.readouterr().err == "globalconv: --classes road: is named twice; name each class once\n"


def test_a_report_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "report", "--markdown", str(tmp_path / "page.md")]) == 2
    assert capsys.readouterr().err == "globalconv: paper report: name the folders of results, --results FOLDER ...\n"


def test_the_page_shows_images_and_receptive_fields_of_the_last_weights(tmp_path: Path) -> None:
    write_blobs(tmp_path / "blobs")
    trainings = SimulatedTrainings({"Baseline": 0.0, "GCN": 0.1}, data="blobs", model={"backbone": "test_resnet"})
    for result in trainings.results("table5"):
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
