"""Markdown and YAML that hold any text: what is not marked `Written` is escaped where it is put into a template.

Names of classes, data and runs come from anywhere. In Markdown all that could be markup, HTML, a mention, a link or the
end of a table's cell becomes a character reference, which Markdown never takes for markup; in YAML every text is a JSON
string, which YAML reads as well.
"""

import json
import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from globalconv.runtime.text import printable

MARKUP = re.compile(r"[^\w\s.,;:()%/+=-]|(?<![^\W_])_|_(?![^\W_])|:(?=\S)")
"""All punctuation but that which means nothing inside a line, as _ does between two letters and : before a space."""

LINK = re.compile(r"(?i)(?<=www)\.")
"""What makes a link without any markup; one with https:// has lost its colon."""


class Written(str):
    """Text that is Markdown or YAML already."""

    __slots__ = ()


def escape_markdown(value: object) -> str:
    """Return a value as Markdown that shows it, on one line."""
    if isinstance(value, Written):
        return value
    text = MARKUP.sub(lambda mark: f"&#{ord(mark[0])};" if ord(mark[0]) < 128 else mark[0], printable(str(value)))
    return LINK.sub("&#46;", text)


def yaml_scalar(value: Any) -> Written:
    """Return a text or a number as YAML."""
    return Written(json.dumps(printable(value) if isinstance(value, str) else value, ensure_ascii=False))


@cache
def card_environment() -> Environment:
    """Return the templates of cards, in which every value is escaped."""
    environment = Environment(
        loader=PackageLoader("globalconv.cards"),
        autoescape=False,  # of HTML; `finalize` escapes more
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=escape_markdown,
    )
    environment.filters["yaml"] = yaml_scalar
    return environment
