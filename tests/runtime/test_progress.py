"""Progress: plain lines outside a terminal, a live bar in one."""

import io

import pytest
from rich.console import Console

from globalconv.runtime.progress import Progress, duration


@pytest.mark.parametrize(("seconds", "words"), [(0, "0s"), (59.4, "59s"), (185, "3m05s"), (7620, "2h07m")])
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_plain_lines_have_units_rate_time_left_and_facts() -> None:
    out = io.StringIO()
    with Progress("step", 3, "steps", console=Console(file=out, width=300)) as progress:
        for done in (1, 2, 3):
            progress.update(done, {"loss": f"{1 / done:.2f}"})
        progress.print("step 3: mIoU 0.5")
    lines = out.getvalue().splitlines()
    assert len(lines) == 2  # not one a step: the first two came too soon after each other
    assert lines[0].startswith("step 3/3  0s left")
    assert "steps/s" in lines[0] and "loss 0.33" in lines[0]
    assert lines[1] == "step 3: mIoU 0.5"


def test_live_bar_in_a_terminal() -> None:
    out = io.StringIO()
    with Progress("step", 4, "steps", start=2, console=Console(file=out, force_terminal=True, width=120)) as progress:
        progress.update(3, {"mIoU": "0.41"})
        progress.print("stays")
    assert "3/4" in out.getvalue() and "mIoU 0.41" in out.getvalue() and "stays" in out.getvalue()


def test_the_end_is_printed_once() -> None:
    """The evaluation after the last step reports every image at that step."""
    out = io.StringIO()
    with Progress("step", 3, "steps", console=Console(file=out, width=300)) as progress:
        progress.update(3)
        for image in (1, 2, 3):
            progress.update(3, {"evaluating": f"{image}/3"})
    assert len(out.getvalue().splitlines()) == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_shown_as_they_are_spelt(terminal: bool) -> None:
    """Neither obeyed by the terminal nor read as rich's markup or the name of an emoji."""
    out, name = io.StringIO(), "\x1b[2K[red]:cat:\u202e"
    console = Console(file=out, force_terminal=terminal, width=300, color_system=None)
    with Progress(name, 1, "images", console=console) as progress:
        progress.update(1, {"class": name})
        progress.print(name)
    text = out.getvalue()
    assert text.count(r"\x1b[2K[red]:cat:\u202e") >= 3 and "\u202e" not in text
    assert terminal or "\x1b" not in text
