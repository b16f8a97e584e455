"""Colours mean classes: palettes, overlays, contours, error maps, legends and panels, at every size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from globalconv.arrays import Uint8Array
from globalconv.labels import CAMVID, IGNORE, VOID_COLOUR, LabelSpace
from globalconv.visual.overlay import (
    LegendEntry,
    classes_present,
    colourise,
    contours,
    draw_legend,
    error_map,
    legend_entries,
    overlay,
    palette_png,
    palette_table,
)
from globalconv.visual.panel import Column, panel

LABELS = LabelSpace(("a", "b"), ((10, 20, 30), (200, 100, 0)))


def grey(height: int, width: int) -> Uint8Array:
    return np.full((height, width, 3), 100, np.uint8)


def test_the_palette_png_holds_indices_and_shows_colours() -> None:
    class_map = np.array([[0, 1, IGNORE]], np.uint8)
    image = palette_png(class_map, LABELS)
    assert image.mode == "P" and (np.asarray(image) == class_map).all()
    shown = np.asarray(image.convert("RGB"))
    assert shown.tolist() == [[[10, 20, 30], [200, 100, 0], list(VOID_COLOUR)]]
    assert (shown == colourise(class_map, LABELS)).all()


def test_void_has_a_colour_of_its_own_and_255_classes_still_fit() -> None:
    assert tuple(palette_table(CAMVID)[IGNORE]) == VOID_COLOUR == (224, 224, 192)
    many = LabelSpace(tuple(f"class {index}" for index in range(255)))
    table = palette_table(many)
    assert [tuple(colour) for colour in table[:255]] == list(many.palette) and tuple(table[255]) == VOID_COLOUR


def test_the_overlay_is_half_image_half_colour() -> None:
    class_map = np.array([[0] * 4 + [1] * 4] * 6, np.uint8)
    image = np.asarray(overlay(grey(6, 8), class_map, LABELS, legend=False)).astype(int)
    assert image.shape == (6, 8, 3)
    assert abs(image[0, 0] - (100 + np.array([10, 20, 30])) / 2).max() <= 1
    assert abs(image[0, 7] - (100 + np.array([200, 100, 0])) / 2).max() <= 1
    assert (image[:, 4] > 200).all() and (image[:, 3] < 70).all()  # a light line, one pixel wide


def test_the_overlay_refuses_a_class_map_of_another_size() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 3\) under a class map of shape \(3, 2\)"):
        overlay(grey(2, 2), np.zeros((3, 2), np.uint8), LABELS)


def test_contours_separate_classes_and_nothing_else() -> None:
    class_map = np.zeros((9, 9), np.uint8)
    assert not contours(class_map).any() and not contours(class_map, 3).any()
    class_map[3:6, 3:6] = 1
    thin, thick = contours(class_map), contours(class_map, 3)
    assert not thin[4, 4] and thin[3, 3:7].all() and thin[3:7, 3].all() and thin.sum() < thick.sum()
    assert (thin <= thick).all() and not thick[0].any()


def test_the_legend_names_only_what_occurs() -> None:
    class_map = np.array([[3, 3, 8], [8, IGNORE, 3]], np.uint8)
    assert classes_present(class_map) == [3, 8, IGNORE]
    assert legend_entries(classes_present(class_map), CAMVID) == [
        LegendEntry("Road", CAMVID.palette[3]),
        LegendEntry("Car", CAMVID.palette[8]),
        LegendEntry("void", VOID_COLOUR),
    ]


def colours_in(image: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def test_the_legend_wraps_to_its_width_and_shows_every_colour() -> None:
    items = legend_entries(range(11), CAMVID)
    wide, narrow = draw_legend(items, 2000, 16), draw_legend(items, 150, 16)
    assert (wide.width, narrow.width) == (2000, 150) and narrow.height > 5 * wide.height / 2
    for strip in (wide, narrow):
        assert set(CAMVID.palette) <= colours_in(strip)
        margin = Image.new("RGB", strip.size, "white")
        box = ImageChops.difference(strip, margin).getbbox()
        assert box is not None and box[0] > 0 and box[2] < strip.width and box[3] < strip.height  # nothing is cut off


@given(st.integers(1, 300), st.integers(1, 300))
def test_overlays_of_every_size_keep_the_image_and_add_a_legend(height: int, width: int) -> None:
    class_map = np.zeros((height, width), np.uint8)
    class_map[height // 2 :] = 8
    image = overlay(grey(height, width), class_map, CAMVID)
    bare = overlay(grey(height, width), class_map, CAMVID, legend=False)
    left = (image.width - width) // 2
    assert image.width >= width and image.height > height
    assert ImageChops.difference(image.crop((left, 0, left + width, height)), bare).getbbox() is None
    assert CAMVID.palette[8] in colours_in(image.crop((0, height, image.width, image.height)))


def test_the_error_map_reddens_wrong_pixels_and_leaves_void_alone() -> None:
    label_map = np.array([[0, 1, IGNORE, 0]], np.uint8)
    class_map = np.array([[0, 0, 1, 1]], np.uint8)
    red, green, _ = np.asarray(error_map(grey(1, 4), class_map, label_map)).astype(int).transpose(2, 0, 1)
    assert (red - green > 50).tolist() == [[False, True, False, True]]


def test_a_panel_has_a_cell_per_image_and_scales_them_alike() -> None:
    rows = [
        [Image.new("RGB", (64, 48), (255, 0, 0)), Image.new("L", (640, 480), 77)],
        [Image.new("RGB", (30, 90), (0, 255, 0)), Image.new("P", (5, 5))],
    ]
    sheet = panel(["Image", Column("GCN + BR", "mIoU 0.6")], rows, legend_entries([0, 1], LABELS), 200, "Scenes")
    assert sheet.width > 400 and sheet.height > 150 + 400
    pixels = np.asarray(sheet)
    assert (pixels == (255, 0, 0)).all(2).sum() == 200 * 150
    assert (pixels == 77).all(2).sum() == 200 * 150
    assert (pixels == (0, 255, 0)).all(2).sum() == 133 * 400  # a tall image is bounded by its height
    assert set(LABELS.palette) <= colours_in(sheet)


def test_a_panel_cuts_titles_that_do_not_fit_and_takes_tiny_cells() -> None:
    long = "A title that is far too long for its column"
    sheet = panel([long, long], [[Image.new("RGB", (4, 3)), Image.new("RGB", (3, 4))]], cell_width=24)
    alone = panel([long], [[Image.new("RGB", (4, 3))]], cell_width=24)
    assert alone.width < sheet.width < 70
