"""`globalconv demo`: the main job end to end, on built-in data, in minutes."""

from dataclasses import dataclass
from pathlib import Path

from globalconv.cli.options import read_options
from globalconv.errors import print_line
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class DemoOptions:
    """Options of `globalconv demo`."""

    out: Path = Path("runs/demo")
    """Folder for the scenes, the two runs, an image and the report; a demo that was stopped goes on there."""
    scenes: int = 2000
    """Scenes that are drawn and trained on."""
    steps: int | None = None
    """Steps of training per network, instead of the recipe's."""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Run the demo and print the path of its report last."""
    options = read_options(DemoOptions, "demo", arguments, "Train and compare two small networks on built-in scenes.")
    with fast_imports():
        from globalconv.jobs.demo import run_demo

    page = run_demo(options.out, options.scenes, options.steps, stop, print_line)
    print_text(page.resolve())
    return 0
