"""`globalconv push RUN USER/NAME`: publish a network on the hub, with its model card."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.data.roots import parse_data
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class PushOptions:
    """Options of `globalconv push`."""

    run: tyro.conf.Positional[Path]
    """Run folder, or folder with weights.safetensors and model.json."""
    repository: tyro.conf.Positional[str]
    """USER/NAME on the hub; made where it is not there."""
    private: bool = False
    """Make it a repository that only its owner sees."""
    revision: str | None = None
    """Branch to publish to, made where it is not there; the default branch where not given."""
    license: str | None = None
    """The hub's identifier of the licence, such as apache-2.0; the card says "not stated" where not given."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ...: scores its validation split for the intervals in the card."""
    layout: str | None = None
    """Layout of the data (docs/data.md); by default the training's."""
    split: str | None = None
    """Split to score; by default that of the training's validation."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    images: bool = False
    """Publish overlay images. They show your data: leave it out where these are private."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Publish, and print where it is."""
    options = read_options(PushOptions, "push", arguments, "Publish a network on the hub, with its model card.")
    with fast_imports():
        from globalconv.jobs.card import CardScoring
        from globalconv.jobs.push import push

    scoring = CardScoring(parse_data(options.data), options.split, options.layout, options.device, options.images)
    published = push(
        options.run, options.repository, options.private, options.revision, scoring, options.license
    )  # fmt: skip
    unchanged = "" if published.changed else "; nothing has changed since it was last published"
    print_text(f"done: {published.page}, commit {published.address.revision}{unchanged}")
    at = "" if options.revision is None else f"@{options.revision}"
    print_text(f"next: globalconv predict hf://{options.repository}{at} IMAGE --out FOLDER")
    return 0
