"""Masks that only all of a data set explain: palettes ordered file by file, what is on, greys beside colours."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.datasets import image, refused
from numpy.typing import NDArray
from PIL import Image

from globalconv.data.datasets import open_source
from globalconv.data.mask_survey import SAMPLED, settle_predictions
from globalconv.data.masks import INDEX_MASKS, MaskFormat, read_label_map
from globalconv.errors import InputError, InputWarning
from globalconv.labels import CITYSCAPES_LABEL_IDS, IGNORE, VOC, Colour, LabelSpace, voc_palette

OWN: list[Colour] = [(10, 20, 30), (250, 0, 0), (0, 250, 0), (0, 0, 250)]
NAMES = ["bg", "a", "b", "c"]
COLOURED = [{"name": name, "color": colour} for name, colour in zip(NAMES, OWN, strict=True)]
MAPS = [
    np.array([row] * 4, np.uint8)
    for row in ([0, 1, 2, 3], [0, 0, 2, 2], [3, 3, 0, 1], [1, 1, 1, 1], [0, 3, 3, 2], [2, 2, 0, 0])
]
Save = Callable[[NDArray[np.uint8], int], Image.Image]


def data(root: Path, save: Save, classes: object = None, maps: Sequence[NDArray[np.uint8]] = MAPS) -> Path:
    """Write `maps` as masks, by `save`, which gets a map and its number; and images and a class list."""
    for number, values in enumerate(maps):
        image(root / f"images/{number}.png", values.shape[::-1])
        (root / "labels").mkdir(exist_ok=True)
        save(values, number).save(root / f"labels/{number}.png")
    if classes is not None:
        (root / "classes.json").write_text(json.dumps(classes))
    return root


def with_palette(values: NDArray[np.uint8], colours: Sequence[Colour]) -> Image.Image:
    stored = Image.fromarray(values, "P")
    stored.putpalette([channel for colour in colours for channel in colour])
    return stored


def reordered(colours: Sequence[Colour]) -> Save:
    """Save a map with a palette of its own: its colours alone, ordered by how often they occur."""

    def save(values: NDArray[np.uint8], number: int) -> Image.Image:
        used = np.argsort(-np.bincount(values.ravel()), kind="stable")[: len(np.unique(values))]
        table = np.zeros(256, np.uint8)
        table[used] = np.arange(len(used))
        return with_palette(table[values], [colours[value] for value in used])

    return save


def in_colours(values: NDArray[np.uint8], number: int) -> Image.Image:
    return Image.fromarray(np.array(OWN, np.uint8)[values])


def read(root: Path, labels: LabelSpace | None = None) -> list[list[list[int]]]:
    source = open_source(root, "all", labels=labels)
    return [source.label_map(index).tolist() for index in range(len(source))]


EXPECTED = [values.tolist() for values in MAPS]
OPENED: list[tuple[object, LabelSpace | None]] = [(None, None), (NAMES, None), (None, LabelSpace(tuple(NAMES)))]


@pytest.mark.parametrize(("classes", "labels"), OPENED)
def test_palettes_ordered_file_by_file_are_refused(classes: object, labels: LabelSpace | None, tmp_path: Path) -> None:
    message = (
        r"index \d is .* in the palette of .*/labels/\d\.png and .* in that of .*/labels/\d\.png; programs that make"
    )
    refused(data(tmp_path, reordered(OWN), classes), message, "all", labels=labels)


@pytest.mark.parametrize(("classes", "labels"), OPENED)
def test_in_vocs_colours_they_are_read_by_them(classes: object, labels: LabelSpace | None, tmp_path: Path) -> None:
    data(tmp_path, reordered(voc_palette()), classes)
    with pytest.warns(
        InputWarning, match=r"so palettes are ordered file by file; masks are read by their colours"
    ) as told:
        assert read(tmp_path, labels) == EXPECTED
    assert len(told) == 1


def test_with_the_colours_of_a_class_list_they_are_read_by_these(tmp_path: Path) -> None:
    assert read(data(tmp_path, reordered(OWN), COLOURED)) == EXPECTED


def test_a_quantised_palette_is_never_taken_for_indices(tmp_path: Path) -> None:
    near = [(red + 1, green + 1, blue + 1) for red, green, blue in OWN]
    refused(data(tmp_path, reordered(near), COLOURED), "have colours of no class", "all")
    assert read(data(tmp_path, reordered(near), {"classes": COLOURED, "tolerance": 1})) == EXPECTED


def test_a_palette_that_agrees_with_the_others_is_an_order_of_classes(tmp_path: Path) -> None:
    fills = [[(0, 0, 0)] * 252, [], [(number, 1, 2) for number in range(252)]]
    data(tmp_path, lambda values, number: with_palette(values, [*OWN, *fills[number % 3]]), NAMES)
    assert read(tmp_path) == EXPECTED


def test_vocs_colours_at_other_indices_in_all_masks_alike_are_told(tmp_path: Path) -> None:
    moved = [voc_palette()[index] for index in (0, 2, 1, 3)]
    data(tmp_path, lambda values, number: with_palette(values, moved), NAMES)
    with pytest.warns(InputWarning, match=r"index 1 in \(0, 128, 0\), which is index 2 of VOC's palette, and 1 more"):
        assert read(tmp_path) == EXPECTED


def test_vocs_colour_of_void_at_another_index_is_told(tmp_path: Path) -> None:
    """What an optimiser leaves of VOC's palette where few classes occur: void comes right after them."""
    colours = [*voc_palette()[:3], voc_palette()[255]]
    data(tmp_path, lambda values, number: with_palette(values, colours))
    message = r"index 3 in \(224, 224, 192\), which is index 255 of VOC's palette, as all masks do"
    with pytest.warns(InputWarning, match=message):
        assert read(tmp_path) == EXPECTED


@pytest.mark.parametrize("classes", [None, ["background", "crack"]])
def test_white_before_black_in_all_palettes_is_told(classes: object, tmp_path: Path) -> None:
    maps = [np.minimum(values, 1) for values in MAPS]
    white_first = [(255, 255, 255), (0, 0, 0)]
    data(tmp_path / "a", lambda values, number: with_palette(values, white_first), classes, maps)
    with pytest.warns(InputWarning, match=r"index 0 in white and index 1 in black, as all masks do, so black is class"):
        assert read(tmp_path / "a") == [values.tolist() for values in maps]
    data(tmp_path / "b", lambda values, number: with_palette(values, white_first[::-1]), classes, maps)
    assert read(tmp_path / "b") == [values.tolist() for values in maps]


def test_a_mask_that_was_not_looked_at_is_refused_where_it_contradicts(tmp_path: Path) -> None:
    count = SAMPLED + 8
    last = np.random.default_rng(0).permutation(count)[-1]

    def save(values: NDArray[np.uint8], number: int) -> Image.Image:
        # Samples are listed in the order of their names.
        odd = sorted(map(str, range(count)))[last] == str(number)
        return with_palette(values, [OWN[0], OWN[2], OWN[1], OWN[3]] if odd else OWN)

    data(tmp_path, save, NAMES, [MAPS[0]] * count)
    source = open_source(tmp_path, "all")
    assert len(source) == count
    for index in range(count):
        if index == last:
            with pytest.raises(InputError, match=r"index 1 is .* in the palette of .*; save all masks in one way"):
                source.label_map(index)
        else:
            source.label_map(index)


def test_palettes_of_vocs_layout_are_vocs_by_their_colours(tmp_path: Path) -> None:
    for number, values in enumerate(MAPS):
        image(tmp_path / f"JPEGImages/{number}.png", (4, 4))
        (tmp_path / "SegmentationClass").mkdir(exist_ok=True)
        reordered(voc_palette())(values, number).save(tmp_path / f"SegmentationClass/{number}.png")
    with pytest.warns(InputWarning, match="read by their colours"):
        source = open_source(tmp_path, "all")
    assert source.labels == VOC
    assert [source.label_map(index).tolist() for index in range(len(source))] == EXPECTED


def test_vocs_own_masks_may_be_reordered_and_void_may_have_lost_its_colour(tmp_path: Path) -> None:
    masks, path = MaskFormat(palette=VOC.palette), tmp_path / "x.png"
    values = np.array([[0, 1, 2, 255]], np.uint8)
    for colours in ([*voc_palette(21), *[(0, 0, 0)] * 235], [*voc_palette(255), (255, 255, 255)], voc_palette(256)):
        with_palette(values, colours).save(path)
        assert read_label_map(path, VOC, masks).tolist() == [[0, 1, 2, 255]]
    moved = [voc_palette()[2], voc_palette()[0], voc_palette()[20], *[(1, 1, 1)] * 252, voc_palette()[5]]
    with_palette(values, moved).save(path)
    assert read_label_map(path, VOC, masks).tolist() == [[2, 0, 20, 5]]
    with_palette(values, [(0, 0, 0)] * 256).save(path)
    with pytest.raises(InputError, match="its palette is not VOC's, for index 1 is"):
        read_label_map(path, VOC, masks)


def binary(*on: int) -> Save:
    return lambda values, number: Image.fromarray(((values > 1) * on[number % len(on)]).astype(np.uint8))


@pytest.mark.parametrize("classes", [None, ["wall", "crack"]])
def test_on_is_1_in_some_masks_and_255_in_others(classes: object, tmp_path: Path) -> None:
    message = (
        r"labels/0\.png holds 1, .*labels/1\.png holds 0 and 255, and no mask holds 1 and 255.*; save all masks in one"
    )
    refused(data(tmp_path, binary(1, 255), classes), message, "all")
    both = Image.fromarray(np.array([[0, 1, 255, 0]] * 4, np.uint8))
    both.save(tmp_path / "labels/5.png")
    assert read(tmp_path)[1][0] == [0, 0, 255, 255], "here 255 is void"


def test_void_that_a_list_declares_is_void(tmp_path: Path) -> None:
    listed = [{"name": "wall", "index": 0}, {"name": "crack", "index": 1}, {"name": "void", "index": 255}]
    assert read(data(tmp_path, binary(1, 255), listed))[1][0] == [0, 0, 255, 255]
    assert read(data(tmp_path, binary(255), listed))[0][0] == [0, 0, 255, 255]


def test_a_mask_that_was_not_looked_at_may_not_have_another_on(tmp_path: Path) -> None:
    masks, path = MaskFormat(one_is_on=True), tmp_path / "x.png"
    labels = LabelSpace(("a", "b"))
    for values, allowed in (([0, 1], True), ([0, 1, 255], True), ([255], True), ([0, 255], False)):
        Image.fromarray(np.array([values], np.uint8)).save(path)
        if allowed:
            assert read_label_map(path, labels, masks).tolist() == [values]
        else:
            with pytest.raises(
                InputError, match=r"holds 0 and 255 where the other masks hold 0 and 1, .*; save all masks"
            ):
                read_label_map(path, labels, masks)


def test_1_bit_beside_8_bits_where_white_is_either(tmp_path: Path) -> None:
    def save(values: NDArray[np.uint8], number: int) -> Image.Image:
        return (
            Image.fromarray(np.where(values == 3, 255, values).astype(np.uint8))
            if number
            else Image.fromarray(values > 2)
        )

    refused(data(tmp_path, save, NAMES[:3]), r"is the value 255 in .*2\.png and the value 1 in .*0\.png", "all")


ROADS = [{"name": "road", "color": OWN[0]}, {"name": "tree", "color": OWN[1]}, {"name": "void", "color": [0, 0, 0]}]


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_a_mask_of_one_colour_that_a_program_made_grey_counts_by_its_colour(mode: str, tmp_path: Path) -> None:
    def save(values: NDArray[np.uint8], number: int) -> Image.Image:
        return Image.new(mode, (4, 4), 0) if number == 3 else in_colours(values % 2, number)

    assert read(data(tmp_path, save, ROADS))[3] == [[IGNORE] * 4] * 4, "black is void, not index 0"


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white_count_by_colour_in_every_mask_of_the_data(mode: str, tmp_path: Path) -> None:
    listed = [{"name": "paper", "color": [255, 255, 255]}, {"name": "ink", "color": [0, 0, 0]}]
    white = [np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8), np.eye(4, dtype=np.uint8)]
    data(tmp_path, lambda values, number: Image.fromarray(values * 255).convert(mode), listed, white)
    assert read(tmp_path) == [(1 - values).tolist() for values in white]


def test_a_palette_with_the_colours_of_classes_at_other_indices_is_read_one_way_in_all_files(tmp_path: Path) -> None:
    listed = [
        {"name": "a", "color": voc_palette()[3]},
        {"name": "b", "color": voc_palette()[0]},
        {"name": "c", "color": "#010203"},
    ]
    maps = [np.full((4, 4), value, np.uint8) for value in (0, 0, 3, 3)]
    assert [rows[0][0] for rows in read(data(tmp_path, lambda v, n: with_palette(v, voc_palette()), listed, maps))] == [
        1,
        1,
        0,
        0,
    ]


def predictions(folder: Path, save: Save, maps: Sequence[NDArray[np.uint8]] = MAPS) -> list[Path]:
    files = [folder / f"{number}.png" for number in range(len(maps))]
    for number, file in enumerate(files):
        save(maps[number], number).save(file)
    return files


def read_predictions(labels: LabelSpace, truth: MaskFormat, files: list[Path]) -> list[list[list[int]]]:
    masks = settle_predictions(labels, truth, files)
    return [read_label_map(file, labels, masks).tolist() for file in files]


def test_predictions_in_every_form(tmp_path: Path) -> None:
    labels = LabelSpace(tuple(NAMES), tuple(OWN))
    declared = MaskFormat(tuple(OWN))
    forms: list[Save] = [
        lambda values, number: Image.fromarray(values), in_colours, reordered(OWN),
        lambda values, number: with_palette(values, [*OWN, *[(1, 2, 3)] * 250]),
    ]  # fmt: skip
    for truth in (INDEX_MASKS, declared):
        for save in forms:
            assert read_predictions(labels, truth, predictions(tmp_path, save)) == EXPECTED
    unknown = predictions(tmp_path, reordered([(1, 1, 7), (2, 2, 8), (3, 3, 9), (4, 4, 9)]))
    with pytest.raises(InputError, match=r"index \d is .* in the palette of .*\d\.png"):
        read_predictions(labels, INDEX_MASKS, unknown)


def test_two_classes_are_predicted_as_0_and_255_or_1_whatever_the_truth_is(tmp_path: Path) -> None:
    labels = LabelSpace(("a", "b"))
    on = [(values > 1).astype(int).tolist() for values in MAPS]
    for truth in (INDEX_MASKS, MaskFormat(binary=True)):
        for value in (1, 255):
            assert read_predictions(labels, truth, predictions(tmp_path, binary(value))) == on
            shown = [with_palette((values > 1) * np.uint8(value), voc_palette(256)) for values in MAPS]
            assert read_predictions(labels, truth, predictions(tmp_path, lambda _, number: shown[number])) == on  # noqa: B023
        nothing = predictions(tmp_path, lambda values, number: Image.fromarray(values * 0))
        assert read_predictions(labels, truth, nothing) == [[[0] * 4] * 4] * len(MAPS)
        with pytest.raises(InputError, match=r"0\.png holds 1, .*1\.png holds 0 and 255"):
            read_predictions(labels, truth, predictions(tmp_path, binary(1, 255)))


def test_predictions_of_cityscapes_in_label_ids_and_in_train_ids(tmp_path: Path) -> None:
    labels = LabelSpace(tuple("abcdefghijklmnopqrs"))
    truth = MaskFormat(
        ids=tuple(CITYSCAPES_LABEL_IDS.index(i) if i in CITYSCAPES_LABEL_IDS else IGNORE for i in range(34))
    )
    ids = np.array(CITYSCAPES_LABEL_IDS, np.uint8)
    maps = [values + 13 for values in MAPS]
    assert read_predictions(labels, truth, predictions(tmp_path, lambda v, n: Image.fromarray(ids[v]), maps)) == [
        values.tolist() for values in maps
    ]
    assert read_predictions(labels, truth, predictions(tmp_path, lambda v, n: Image.fromarray(v))) == EXPECTED
    either = predictions(tmp_path, lambda v, n: Image.fromarray(np.full_like(v, 7 + n % 2)))
    with pytest.raises(
        InputError, match="the class maps hold the values 7, 8, which may be label ids or train ids; save"
    ):
        read_predictions(labels, truth, either)
