"""Whether the masks of a data set agree on what is shown in which colour: indices of palettes, and grey values.

Programs that make files small (optimisers, `quantize()`, writers of GIF) order the palette of each file anew: index 1
is the car in one file and the tree in another, and only the colours still say which. Grey of few bits has the same
fault: white is 255 in one file and 1 in another. A data set whose masks disagree holds no indices.
"""

from collections.abc import Mapping
from pathlib import Path

from globalconv.data.mask_files import WHITE, StoredMask
from globalconv.labels import IGNORE, Colour

DARK = 32
"""Greys below this look all the same. Nobody chooses a palette of them: they are indices that became colours."""


class ShownColours:
    """The colours in which the values of masks are shown, learnt from one mask after the other."""

    def __init__(self) -> None:
        self._colours: dict[int, tuple[Colour, Path]] = {}
        """Of each index of palettes that occurs: its colour, and the first mask that has it."""
        self._values: dict[Colour, tuple[int, Path]] = {}
        """Of each colour that occurs: the value that is shown in it, and the first mask that has it."""
        self._void = False
        """Some palette mask holds 255, which then is void whatever its colour, and white in grey masks."""

    def find_conflict(self, mask: StoredMask) -> str:
        """Return in what a mask and those before contradict each other; "" if in nothing. Both files are named."""
        kind, values = _examine(mask)
        void = self._void or (kind == "palette" and IGNORE in mask.present)
        for value, colour in values.items():
            known, elsewhere = self._colours.get(value, (colour, mask.path))
            if kind == "palette" and known != colour:
                return f"index {value} is {colour} in the palette of {mask.path} and {known} in that of {elsewhere}"
            other, elsewhere = self._values.get(colour, (value, mask.path))
            if other != value and not (IGNORE in (value, other) and void):
                return f"{colour} is the value {value} in {mask.path} and the value {other} in {elsewhere}"
        return ""

    def learn(self, mask: StoredMask) -> None:
        """Note which values of a mask are shown in which colours."""
        kind, values = _examine(mask)
        self._void |= kind == "palette" and IGNORE in mask.present
        for value, colour in values.items():
            if kind == "palette":
                self._colours.setdefault(value, (colour, mask.path))
            self._values.setdefault(colour, (value, mask.path))


def holds_dark_indices(mask: StoredMask) -> bool:
    """Return whether a palette holds what were indices: greys that nobody can tell apart, at other indices."""
    colours = {*mask.palette.values()}
    if mask.kind != "palette" or any(c != (c[0],) * 3 or DARK <= c[0] < WHITE for c in colours):
        return False
    return any(grey not in (0, value, WHITE) for value, (grey, _, _) in mask.shown.items())


def _examine(mask: StoredMask) -> tuple[str, Mapping[int, Colour]]:
    """Return a mask's kind, and those of its values whose colours say something.

    Palettes that are filled up with one colour say nothing there, nor where they have no other; one that holds the
    greys in order is no palette. Of 8-bit grey, 0 is left out: palettes have black anywhere.
    """
    if mask.kind == "palette":
        colours = [*mask.palette.values()]
        if len(colours) > 1 and colours.count(colours[0]) == len(colours):
            return "palette", {}
        if len(colours) == 1 or any(colour != (value, value, value) for value, colour in mask.palette.items()):
            return "palette", {value: c for value, c in mask.shown.items() if mask.own_colour(value) is not None}
    black_counts = mask.levels < WHITE
    return "greys", {value: colour for value, colour in mask.shown.items() if value or black_counts}
