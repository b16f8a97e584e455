"""`globalconv card RUN`: the model card of a run, to read or to publish."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class CardOptions:
    """Options of `globalconv card`."""

    run: tyro.conf.Positional[Path]
    """Run folder, folder with weights.safetensors and model.json, or hf://USER/NAME (docs/hub.md)."""
    out: Path | None = None
    """Markdown file to write, such as README.md; printed where not given."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ...: scores its validation split for intervals of each class."""
    layout: str | None = None
    """Layout of the data (docs/data.md); by default the training's."""
    split: str | None = None
    """Split to score; by default that of the training's validation."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    images: bool = False
    """Put overlay images beside the card. They show your data: leave it out where these are private."""
    license: str | None = None
    """The hub's identifier of the licence, such as apache-2.0; not stated where not given."""
    repository: str | None = None
    """Where the network lies on the hub, USER/NAME: for the lines of use."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Write or print the card."""
    options = read_options(CardOptions, "card", arguments, "Write the model card of a run.")
    with fast_imports():
        from globalconv.jobs.card import CardScoring, card

    scoring = CardScoring(
        parse_data(options.data), options.split, options.layout, options.device, options.images
    )  # fmt: skip
    text = card(options.run, options.out, scoring, options.license, options.repository)
    print_text(text if options.out is None else f"done: {options.out}")
    return 0
