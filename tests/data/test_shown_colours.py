"""Contradictions between what masks show in which colour, and what is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from globalconv.data.mask_files import load_mask
from globalconv.data.shown_colours import ShownColours, holds_dark_indices
from globalconv.labels import Colour, voc_palette

RED, GREEN, BLACK, WHITE = (250, 0, 0), (0, 250, 0), (0, 0, 0), (255, 255, 255)
FILL = [(9, 9, 9)] * 250
RAMP = [(value, value, value) for value in range(256)]


def palette_mask(path: Path, values: list[int], colours: list[Colour]) -> Path:
    image = Image.fromarray(np.array([values], np.uint8), "P")
    image.putpalette([channel for colour in colours for channel in colour])
    image.save(path)
    return path


def conflict(folder: Path, *masks: tuple[list[int], list[Colour] | None]) -> str:
    """Return the first contradiction between masks with the given values and palettes (None: grey)."""
    shown = ShownColours()
    for number, (values, colours) in enumerate(masks):
        path = folder / f"{number}.png"
        if colours is None:
            Image.fromarray(np.array([values], np.uint8)).save(path)
        else:
            palette_mask(path, values, colours)
        mask = load_mask(path)
        if found := shown.find_conflict(mask):
            return found.replace(f"{folder}/", "")
        shown.learn(mask)
    return ""


def test_an_index_of_two_colours_and_a_colour_at_two_indices(tmp_path: Path) -> None:
    first, second = ([0, 1], [BLACK, RED, GREEN, *FILL]), ([0, 1], [BLACK, GREEN, RED, *FILL])
    assert conflict(tmp_path, first, second) == (
        f"index 1 is {GREEN} in the palette of 1.png and {RED} in that of 0.png"
    )
    assert conflict(tmp_path, first, ([0, 2], [BLACK, GREEN, RED, *FILL])) == (
        f"{RED} is the value 2 in 1.png and the value 1 in 0.png"
    )


@pytest.mark.parametrize(
    "masks",
    [
        [([0, 1], [BLACK, RED, GREEN, *FILL]), ([0, 1], [BLACK, RED, WHITE, *FILL])],  # others do not occur
        [([0, 1], [BLACK, RED]), ([0, 1], [BLACK, RED, *FILL]), ([0, 1], [BLACK, RED, *[BLACK] * 254])],
        [([0, 1, 255], list(voc_palette(256))), ([0, 1, 255], [*voc_palette(21), *[BLACK] * 235])],  # filled up
        [([0, 1, 2], [BLACK] * 256), ([0, 1, 2], [BLACK, RED, GREEN, *FILL])],  # a palette that says nothing
        [([0, 1, 2], RAMP), ([0, 1, 2], [BLACK, RED, GREEN, *FILL]), ([0, 1, 2], None)],
        [([0, 1, 2, 255], None), ([0, 1, 2, 255], list(voc_palette(256)))],
        [([0, 1, 255], [BLACK, WHITE, RED, *FILL, RED, GREEN, RED]), ([0, 1, 255], None)],  # 255 is void in both
    ],
)
def test_what_is_no_contradiction(masks: list[tuple[list[int], list[Colour] | None]], tmp_path: Path) -> None:
    assert conflict(tmp_path, *masks) == ""
    assert conflict(tmp_path, *reversed(masks[:2])) == ""


def test_grey_masks_contradict_palettes_that_show_their_values_elsewhere(tmp_path: Path) -> None:
    assert conflict(tmp_path, ([0, 1], [BLACK, (3, 3, 3)]), ([0, 3], None)) == (
        "(3, 3, 3) is the value 3 in 1.png and the value 1 in 0.png"
    )
    assert "(255, 255, 255) is the value 255" in conflict(tmp_path, ([0, 1], [BLACK, WHITE]), ([0, 255], None))
    assert conflict(tmp_path, ([0, 3], [RED, GREEN, GREEN, BLACK]), ([0, 1], None)) == "", (
        "palettes have black anywhere"
    )


def test_a_palette_of_greys_that_nobody_can_tell_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert holds_dark_indices(load_mask(palette_mask(path, [0, 1], [BLACK, (3, 3, 3)])))
    assert holds_dark_indices(load_mask(palette_mask(path, [0, 2], [BLACK, WHITE, (1, 1, 1)])))
    for colours in (
        [BLACK, (1, 1, 1), (2, 2, 2)],
        [BLACK, (85, 85, 85), (170, 170, 170)],
        RAMP,
        [BLACK, RED, (3,) * 3],
    ):
        assert not holds_dark_indices(load_mask(palette_mask(path, [0, 1], colours)))
