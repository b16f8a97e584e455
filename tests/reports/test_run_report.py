"""The page: its numbers are the score's, its images the right ones, its sentences true."""

import re

import pytest
from helpers.html import Reader, cells, check_self_contained
from helpers.reporting import Run, findings, log, stripes

from globalconv.evaluation.regions import RegionSettings
from globalconv.labels import LabelSpace
from globalconv.reports.findings import Findings
from globalconv.reports.run_report import changed_settings, render_report

WRONG = [0, 5, 20, 1, 2, 3, 4, 9, 11, 7]


def samples(page: str, after: str) -> list[str]:
    """Return the samples in the gallery under a heading."""
    section = re.split(r"<h[23]", page.split(f">{after}</h", 1)[1])[0]
    return re.findall(r"<h4>([^ ]+) ", section)


def row(page: str, name: str) -> list[str]:
    return next(row for row in cells(page) if row[:1] == [name])


def test_the_numbers_of_one_run_are_the_scores() -> None:
    gathered = findings(stripes(10), Run("mine", WRONG, events=log([3.0, 2.0, 1.0], [0.1, 0.2])))
    page, score = render_report(gathered), gathered.results[0].score
    check_self_contained(page)
    fields = score.to_json()
    assert row(page, "sky")[2] == f"{fields['iou']['sky']:.3f}" and row(page, "car")[2] == "0.000"
    assert row(page, "mean")[2:4] == [f"{score.miou:.3f}", f"{fields['mean_accuracy']:.3f}"]
    assert f"<b>{score.miou:.3f}</b>" in page and f"<b>{fields['pixel_accuracy']:.3f}</b>" in page
    assert row(page, "sky → car") == ["sky → car", f"{sum(WRONG) / 1200:.1%}", str(sum(WRONG))]


def test_worst_and_best_images_are_those_with_the_most_and_fewest_wrong_pixels() -> None:
    page = render_report(findings(stripes(10), Run("mine", WRONG)))
    assert samples(page, "Worst") == ["day/2", "day/8", "day/7", "day/9"]
    assert samples(page, "Best") == ["day/0", "day/3"]
    assert "8.3% wrong" in page


def test_few_images_are_shown_once_and_those_without_labels_never() -> None:
    source = stripes(5)
    source.label_maps[3][:] = 255
    page = render_report(findings(source, Run("mine", [1, 2, 3, 4, 0])))
    assert samples(page, "Worst") == ["day/2", "day/1", "day/0", "day/4"] and ">Best<" not in page


def test_a_comparison_shows_where_runs_differ() -> None:
    settings = {"model.head": ["gcn"], "optim.lr": 0.1, "device": "cpu"}
    other = {**settings, "model.head": ["pointwise"], "device": "cuda"}
    one = Run("one", WRONG, settings=other, events=log([2.0, 1.0], [0.2, 0.3]))
    two = Run("two", [0] * 9 + [20], settings=settings, events=log([2.5, 0.5], [0.3, 0.4]))
    gathered = findings(stripes(10), one, two)
    page = render_report(gathered)
    check_self_contained(page)
    assert row(page, "model.head") == ["model.head", "pointwise", "gcn"]
    assert [row.name for row in changed_settings(gathered.results)] == ["model.head"]  # where it ran changes nothing
    ious = [result.score.matrix.iou()[0] for result in gathered.results]
    assert row(page, "sky")[2:] == [f"{ious[0]:.3f}", f"{ious[1]:.3f}", f"{ious[1] - ious[0]:+.3f}"]
    assert samples(page, "Where they disagree most")[:3] == ["day/2", "day/9", "day/8"]
    assert samples(page, "Worst of two")[0] == "day/9" and samples(page, "Worst of one")[0] == "day/2"
    assert [svg["aria-label"] for svg in Reader(page).all("svg")] == [
        "mIoU of the pixels within a distance of a boundary: one, two",
        "Accuracy of the pixels at a distance from a boundary: one, two",
        "Training loss: one, two",
        "mIoU on the validation split during training: one, two",
    ]
    assert "fewer wrong pixels in 8 of 10 images, more in 1" in page


def test_stages_are_no_rivals() -> None:
    settings = {"data.train_split": "coco:train+voc:train", "epochs": 4}
    one = Run("coco", WRONG, settings=settings)
    two = Run("voc", [0] * 10, settings={"data.train_split": "voc:train", "epochs": 20})
    gathered = findings(stripes(10), one, two)
    page = render_report(gathered, stages=True)
    check_self_contained(page)
    assert "coco, then voc" in page and "coco against voc" not in page
    assert "For voc, the last stage" in page and "Change one setting" not in page
    assert "Change one setting" in render_report(gathered)
    assert "coco:train+<wbr>voc:train" in page


@pytest.mark.parametrize(
    ("first", "second", "sentence", "winners"),
    [
        ([20 + n for n in WRONG], [0] * 10, "two is better than one by", 1),
        (WRONG, [12, *WRONG[1:]], "too little to call it better", 0),
    ],
)
def test_only_a_lead_beyond_chance_makes_a_winner(
    first: list[int], second: list[int], sentence: str, winners: int
) -> None:
    page = render_report(findings(stripes(10), Run("one", first), Run("two", second)))
    assert sentence in page and page.count('class="tile winner"') == winners


def test_three_runs_have_a_difference_each() -> None:
    gathered = findings(stripes(9), *(Run(name, [wrong] * 9) for name, wrong in (("a", 9), ("b", 5), ("c", 2))))
    page = render_report(gathered)
    assert ["", "pixels", "a", "b", "c", "b less a", "c less a"] in cells(page)
    assert len(row(page, "sky")) == 7 and ">c is ahead of b by" in page


def test_without_a_log_there_are_no_curves_and_with_one_evaluation_no_line_of_scores() -> None:
    assert ">Curves<" not in render_report(findings(stripes(2), Run("maps", [1, 2])))
    single = render_report(findings(stripes(2), Run("mine", [1, 2], events=log([2.0, 1.0], [0.3]))))
    assert [svg["aria-label"] for svg in Reader(single).all("svg")][2:] == ["Training loss: mine"]


def test_names_with_markup_stay_words() -> None:
    name = "<script>alert(1)</script>"
    source = stripes(2)
    object.__setattr__(source, "labels", LabelSpace((name, "b", "c")))
    page = render_report(findings(source, Run(name, [1, 2]), Run(f"{name}2", [0, 0])))
    check_self_contained(page)
    assert name in Reader(page).text


def test_a_perfect_run_has_a_page_too() -> None:
    perfect: Findings = findings(stripes(3), Run("all right", [0, 0, 0]), Run("the same", [0, 0, 0]))
    page = render_report(perfect)
    assert "Nothing is confused." in page and "All class maps are alike." in page and "nan" not in Reader(page).text


@pytest.mark.parametrize(
    ("settings", "words", "others"),
    [
        (RegionSettings(), ["bridged"], ["edge of void", "chessboard"]),
        (RegionSettings(3, "chessboard", "edge"), ["within 3 pixels", "edge of void", "chessboard"], ["bridged"]),
    ],
)
def test_the_page_says_which_boundaries_were_asked_for(
    settings: RegionSettings, words: list[str], others: list[str]
) -> None:
    page = render_report(findings(stripes(10), Run("mine", WRONG), regions=settings))
    assert all(word in page for word in words) and not any(word in page for word in others)


def test_one_logged_loss_is_no_curve() -> None:
    gathered = findings(stripes(10), Run("mine", WRONG, events=log([3.0], [])))
    assert "Training loss" not in render_report(gathered)
