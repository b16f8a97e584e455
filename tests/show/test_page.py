"""The page: well-formed, self-contained, safe against whatever a name holds, honest about missing scores."""

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image

from globalconv.labels import CAMVID
from globalconv.show.legend import entries
from globalconv.show.page import embedded, facts, gallery, heading, paragraph, scores, write_page
from globalconv.show.panel import Column

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags nest; collects them with their attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_whole_page(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 6), (10, 200, 30))
    parts = [
        heading("Scores"),
        scores({"Baseline": {"mIoU": 0.5, "car": None}, "GCN + BR": {"mIoU": 0.6, "car": 1.0}}, strong=["mIoU"]),
        gallery(["Image", Column("GCN + BR", "mIoU 0.6")], [["a b.jpg", embedded(picture)]] * 2, entries([8], CAMVID)),
        facts({"device": "cpu"}),
        paragraph("Again with", "make demo"),
    ]
    write_page(tmp_path / "page.html", "Title", "Lead", parts, "globalconv")
    read = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    for word in ("Title", "Lead", "Scores", "0.500", "0.600", "1.000", "–", "mIoU 0.6", "Car", "make demo", "cpu"):
        assert word in read.text
    sources = [image["src"] for image in read.all("img")]
    assert len(sources) == 4 and sources[0] == "a%20b.jpg" and all(image["alt"] for image in read.all("img"))
    assert not read.all("script") and not read.all("link")


def test_the_page_fetches_nothing_and_adapts() -> None:
    write = gallery(["Image"], [["a.png"]])
    assert "http" not in write
    source = Path(__file__).parents[2].joinpath("src/globalconv/show/page.py").read_text()
    assert "http" not in source and "prefers-color-scheme: dark" in source and "max-width: 640px" in source


def test_the_better_score_is_marked_and_a_tie_is_not() -> None:
    read = Reader(scores({"one": {"x": 0.5, "y": 0.4, "z": None}, "two": {"x": 0.25, "y": 0.4, "z": 0.1}}))
    marks = ["best" in (cell["class"] or "") for cell in read.all("td")]
    assert marks == [True, False, False, False, False, False]
    assert "best" not in scores({"alone": {"x": 0.5}})


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>&'
    parts = [
        heading(evil),
        scores({evil: {evil: 0.5}}),
        gallery([Column(evil, evil)], [[evil]]),
        facts({evil: evil}),
        paragraph(evil, evil),
    ]
    write_page(tmp_path / "page.html", evil, evil, parts, evil)
    read = Reader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert not read.all("script")
    assert read.text.count(evil) == 13 and [unquote(image["src"] or "") for image in read.all("img")] == [evil]


def test_embedded_pictures_are_the_pictures() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for quality, kind in ((None, "png"), (90, "jpeg")):
        head, _, data = embedded(Image.fromarray(pixels), quality).partition(",")
        assert head == f"data:image/{kind};base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (7, 5)
            assert kind == "jpeg" or (np.asarray(picture) == pixels).all()
