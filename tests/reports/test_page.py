"""The page: well-formed, self-contained, safe against whatever a name holds, and never written over something else."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from helpers.html import Reader, cells, check_self_contained, render
from PIL import Image

from globalconv.errors import InputError
from globalconv.labels import CAMVID
from globalconv.reports.curves import Curve, Curves
from globalconv.reports.page import (
    IMAGE_WIDTH,
    Block,
    ClassLegend,
    Columns,
    DifferenceCell,
    EmbeddedImage,
    Folded,
    Gallery,
    GalleryRow,
    NextStep,
    NextSteps,
    Note,
    Points,
    RunLegend,
    ScoreCell,
    Section,
    ShareCell,
    Subheading,
    Table,
    TableRow,
    Text,
    Tile,
    Tiles,
    embed,
    render_page,
    signed,
    write_page,
)
from globalconv.visual.overlay import LegendEntry, legend_entries


def every_block(name: str, legend: list[LegendEntry]) -> list[Block]:
    """One of each block that a page can have, with `name` wherever there is a name."""
    scores = TableRow(name, [name, ScoreCell(0.5), DifferenceCell(-0.1), ShareCell(0.3, right=True)], (1, 2, 3))
    return [
        Text(name),
        Note(name),
        Subheading(name),
        Points([name]),
        Tiles([Tile(name, name, name, winner=True)]),
        NextSteps([NextStep(name, name, name)]),
        Table([name] * 4, [scores]),
        Folded(name, [Table([], [TableRow(name, [name])], "words")]),
        Columns([[Curves(name, name, [Curve(name, 0, [(1, 1.0), (2, 2.0)])]), RunLegend([name])]]),
        Gallery([name], [GalleryRow(name, name, [embed(Image.new("RGB", (8, 6)))])]),
        ClassLegend(legend),
    ]


def test_a_whole_page_is_well_formed_and_fetches_nothing() -> None:
    html = render_page(
        "Title", "Lead", [Section("Scores of all", every_block("word", legend_entries([8], CAMVID)))], "the end"
    )
    check_self_contained(html)
    page = Reader(html)
    assert all(word in page.text for word in ("Title", "Lead", "Scores of all", "word", "0.500", "Car", "the end"))
    assert all(image["alt"] for image in page.all("img")) and all(svg["aria-label"] for svg in page.all("svg"))


def test_the_contents_lead_to_every_section() -> None:
    page = Reader(render_page("Title", "", [Section("One, two", []), Section("Three", [Note("words")])]))
    assert [link["href"] for link in page.all("a")] == [f"#{heading['id']}" for heading in page.all("h2")]
    assert len(page.all("a")) == 2


def test_names_cannot_break_out_of_the_page() -> None:
    name = "\"><script>alert(1)</script>&amp; '<b>x"
    html = render_page(name, name, [Section(name, every_block(name, [LegendEntry(name, (1, 2, 3))]))], name)
    check_self_contained(html)
    page, plain = (
        Reader(html),
        Reader(render_page("n", "n", [Section("n", every_block("n", [LegendEntry("n", (1, 2, 3))]))], "n")),
    )
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert [list(attributes) for _, attributes in page.tags] == [list(attributes) for _, attributes in plain.tags]
    assert page.text.count(name) > 25
    assert page.all("img")[0]["alt"] == f"{name} of {name}" and page.all("svg")[0]["aria-label"] == f"{name}: {name}"


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.html"
    write_page(file, render_page("one", "", []))
    write_page(file, render_page("two", "", []))
    assert "two" in file.read_text(encoding="utf-8")
    (tmp_path / "mine.html").write_text("<html>my own</html>")
    (tmp_path / "folder.html").mkdir()
    for name, words in (("mine.html", "not written by"), ("folder.html", "is a folder"), ("page.txt", r"page\.html")):
        with pytest.raises(InputError, match=words):
            write_page(tmp_path / name, render_page("three", "", []))
    assert (tmp_path / "mine.html").read_text() == "<html>my own</html>" and not (tmp_path / "page.txt").exists()


def test_scores_have_three_digits_differences_a_sign_and_what_is_undefined_a_dash() -> None:
    undefined = float("nan")
    row = TableRow("x", ["3%", ScoreCell(1.0), ScoreCell(undefined), DifferenceCell(-0.5), DifferenceCell(undefined)])
    assert cells(render(Table([], [row]))) == [["x", "3%", "1.000", "–", "−0.500", "–"]]
    assert (signed(0.0123), signed(-0.5), signed(0.0), signed(-0.0004)) == ("+0.012", "−0.500", "0.000", "0.000")


def test_names_of_rows_break_at_dots_and_underscores_and_are_escaped() -> None:
    page = render(Table([], [TableRow("model.<b>_x", ["1"])]))
    assert "model.<wbr>&lt;b&gt;_<wbr>x" in page
    assert cells(page) == [["model.&lt;b&gt;_x", "1"]]


def test_a_table_has_a_head_only_for_columns_with_names() -> None:
    row = TableRow("a", ["1", "2"])
    assert cells(render(Table([], [row], "words"))) == [["a", "1", "2"]]
    assert cells(render(Table(["x", "y"], [row], "words"))) == [["", "x", "y"], ["a", "1", "2"]]


def opened(image: EmbeddedImage) -> Image.Image:
    head, _, data = image.address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_wide_images_are_reduced_and_small_ones_kept() -> None:
    assert opened(embed(Image.new("RGB", (2000, 1000)))).size == (IMAGE_WIDTH, IMAGE_WIDTH // 2)
    assert opened(embed(Image.new("RGB", (4000, 1)))).size == (IMAGE_WIDTH, 1)
    half = np.zeros((40, 60, 3), np.uint8)
    half[:, 30:] = 200
    kept = np.asarray(opened(embed(Image.fromarray(half)))).astype(int)
    assert kept.shape == half.shape and abs(kept[:, 4:20] - 0).max() < 12 and abs(kept[:, 40:] - 200).max() < 12


def test_every_image_has_its_column_and_its_sample() -> None:
    image = embed(Image.new("RGB", (8, 6)))
    page = Reader(render(Gallery(["Image", "Truth"], [GalleryRow("day/1", "3% wrong", [image, image])])))
    assert [image["alt"] for image in page.all("img")] == ["Image of day/1", "Truth of day/1"]
    assert all((image["width"], image["height"]) == ("8", "6") for image in page.all("img"))
    assert "day/1" in page.text and "3% wrong" in page.text
