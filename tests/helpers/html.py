"""A page as a test reads it."""

import re
from html.parser import HTMLParser

from globalconv.reports.page import Block, Section, render_page

VOID = {"meta", "wbr", "img", "br"}


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

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_self_contained(text: str) -> None:
    """Assert that nothing in the page is fetched from anywhere, and nothing in it runs."""
    read = Reader(text)
    assert not read.all("script") and not read.all("link") and not read.all("iframe")
    addresses = [value for _, attributes in read.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all((address or "").startswith(("#", "data:image/")) for address in addresses)
    assert "@import" not in text and not re.search(r"url\((?!#)", text) and "://" not in text


def cells(text: str) -> list[list[str]]:
    """Return the rows of all tables as their words."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def render(block: Block) -> str:
    """Return a page with nothing but one block."""
    return render_page("", "", [Section("", [block])])
