"""The page: well-formed, self-contained, safe against whatever a name holds, and never written over something else."""

from pathlib import Path

import numpy as np
import pytest
from helpers.html import Reader, check_self_contained
from PIL import Image

from globalconv.errors import InputError
from globalconv.labels import CAMVID
from globalconv.reports import page
from globalconv.reports.curves import Curve, curves, run_legend
from globalconv.reports.page import STYLE, Row, ScoreRow, confusion_matrix, facts, gallery, scores
from globalconv.visual.overlay import LegendEntry, legend_entries


def every_part(name: str, legend: list[LegendEntry]) -> list[str]:
    """One of each part that a page can have, with `name` wherever there is a name."""
    return [
        page.contents({"scores": name}),
        page.heading(name, "scores"),
        page.subheading(name),
        page.paragraph(name, name),
        page.note(name),
        page.points([name]),
        page.tiles([page.tile(name, name, name, winner=True)]),
        page.advice([(name, name, name)]),
        page.folded(name, facts({name: name})),
        scores([name, name], [ScoreRow(name, [0.5], (1, 2, 3), [name])]),
        facts({name: [name, name]}, [name, name]),
        confusion_matrix(np.eye(2, dtype=np.int64), [name, "b"]),
        page.columns([curves(name, name, [Curve(name, 0, [(1, 1.0), (2, 2.0)])]), run_legend([name])]),
        gallery([name], [Row(name, name, [Image.new("RGB", (8, 6))])], legend),
    ]


def test_a_whole_page_is_well_formed_and_fetches_nothing() -> None:
    text = page.page("Title", "Lead", every_part("word", legend_entries([8], CAMVID)), "the end")
    check_self_contained(text)
    read = Reader(text)
    assert all(word in read.text for word in ("Title", "Lead", "word", "0.500", "Car", "the end"))
    assert all(image["alt"] for image in read.all("img")) and all(svg["aria-label"] for svg in read.all("svg"))
    anchors = {found["href"] for found in read.all("a")}
    assert anchors == {f"#{found['id']}" for found in read.all("h2")}


def test_names_cannot_break_out_of_the_page() -> None:
    evil = '"><script>alert(1)</script>&'
    text = page.page(evil, evil, every_part(evil, [LegendEntry(evil, (1, 2, 3))]), evil)
    read = Reader(text)
    assert not read.all("script")
    names = [name for _, given in read.tags for name in given]
    assert not {name for name in names if name.startswith("on")}
    assert read.text.count(evil) > 25


def test_pages_adapt_to_dark_and_narrow() -> None:
    assert "prefers-color-scheme: dark" in STYLE and "max-width: 640px" in STYLE and "http" not in STYLE


def test_a_page_replaces_a_page_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.html"
    page.write_page(file, page.page("one", "", []))
    page.write_page(file, page.page("two", "", []))
    assert "two" in file.read_text(encoding="utf-8")
    (tmp_path / "mine.html").write_text("<html>my own</html>")
    (tmp_path / "folder.html").mkdir()
    for name, words in (("mine.html", "not written by"), ("folder.html", "is a folder"), ("page.txt", r"page\.html")):
        with pytest.raises(InputError, match=words):
            page.write_page(tmp_path / name, page.page("three", "", []))
    assert (tmp_path / "mine.html").read_text() == "<html>my own</html>" and not (tmp_path / "page.txt").exists()
