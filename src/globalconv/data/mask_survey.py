"""What the masks of a data set hold together, and how they are to be read: decided once, for all of them.

One mask cannot say whether its palette is in order, whether 255 is foreground or void, or whether 0 is an index or
black. Where classes are declared, `settle_format` looks at some masks, spread over all splits; a mask that contradicts
what they show is refused when it is read.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from globalconv.data.mask_files import MAT_SUFFIX, StoredMask, is_plain_grey
from globalconv.data.masks import INDEX_MASKS, ONE_WAY, UNORDERED, MaskFormat, read_mask
from globalconv.data.shown_colours import ShownColours
from globalconv.errors import InputError, InputWarning, OnError
from globalconv.labels import IGNORE, VOID_COLOUR, Colour, LabelSpace, voc_palette
from globalconv.runtime.text import abbreviate

SAMPLED, SAMPLED_PIXELS, LEAST_SAMPLED = 128, 1 << 26, 8
"""How many masks are looked at where classes are declared: fewer, but some, where these have more pixels together."""
PLAIN = 32
"""Of how many plain grey masks all pixels are looked at; of others, only whether they are plain, too."""

VOC_COLOURS = voc_palette(IGNORE + 1)


@dataclass
class MaskSurvey:
    """What was seen in some masks or all of them."""

    shown: ShownColours = field(default_factory=ShownColours)
    conflict: str = ""
    """The first contradiction between what masks show in which colour, naming both files."""
    pixels: int = 0
    first_files: dict[int, Path] = field(default_factory=dict)
    """The values that occur, each with the first mask that has it."""
    palettes: set[tuple[int, Colour | None]] = field(default_factory=set)
    """The indices of palettes that occur, each with its colour, if it has one of its own."""
    greys: dict[int, int] = field(default_factory=dict)
    """The grey values that occur, as they are shown, each with the value that is stored."""
    numbers: set[int] = field(default_factory=set)
    """The values of other masks than grey ones."""
    colour_mask: Path | None = None
    """A mask of colours."""
    one: Path | None = None
    """A mask that holds 1, and not 255."""
    zero_and_255: Path | None = None
    """A mask that holds 0 and 255, and not 1."""
    one_and_255: bool = False
    """Some mask holds 1 and 255."""
    white_is_zero: list[Path] = field(default_factory=list)
    """Masks that store white as 0."""

    def add(self, mask: StoredMask) -> None:
        """Note what a mask holds."""
        self.pixels += mask.values.shape[0] * mask.values.shape[1]
        if mask.kind == "colours":
            self.colour_mask = self.colour_mask or mask.path
            return
        self.conflict = self.conflict or self.shown.find_conflict(mask)
        self.shown.learn(mask)
        for value in mask.present:
            self.first_files.setdefault(value, mask.path)
        if mask.kind == "greys":
            self.greys.update({colour[0]: value for value, colour in mask.shown.items()})
        else:
            self.numbers.update(mask.present)
        if mask.kind == "palette":
            self.palettes.update((value, mask.own_colour(value)) for value in mask.present)
        if mask.white_is_zero:
            self.white_is_zero.append(mask.path)
        present = {*mask.present}
        self.one_and_255 |= {1, IGNORE} <= present
        if 1 in present and IGNORE not in present:
            self.one = self.one or mask.path
        if 1 not in present and {0, IGNORE} <= present:
            self.zero_and_255 = self.zero_and_255 or mask.path

    @property
    def binary(self) -> bool:
        """Whether the masks hold black and white alone, or 0 and 255, and white is not 1."""
        return 1 not in self.first_files and {*self.greys, *self.numbers} == {0, IGNORE}

    def require_one_kind_of_on(self) -> None:
        """Refuse masks of two classes of which some hold 1 and others 255: what 255 is cannot be told then."""
        if self.one is not None and self.zero_and_255 is not None and not self.one_and_255:
            raise InputError(
                f"{self.one} holds 1, {self.zero_and_255} holds 0 and 255, and no mask holds 1 and 255, so whether 255"
                f" is foreground or void cannot be told; {ONE_WAY}",
                "values",
            )


def survey_masks(paths: Iterable[Path], masks: MaskFormat, on_error: OnError) -> MaskSurvey:
    """Return what the masks in `paths` hold; those that cannot be read go to `on_error`."""
    survey = MaskSurvey()
    for path in paths:
        _add(survey, path, masks, on_error)
    return survey


def settle_format(labels: LabelSpace, masks: MaskFormat, paths: Iterable[Path], void_255: bool = False) -> MaskFormat:
    """Return `masks` with what the masks in `paths`, all of a data set, show of how they are stored.

    `void_255`: the class list says that 255 is void. Masks that cannot be read are left to whoever reads them.
    """
    if masks.ids or masks.palette:  # official data, which are stored in one way
        return masks
    return decide_format(labels, masks, _survey_some(labels, masks, paths, void_255), void_255)


def settle_predictions(labels: LabelSpace, truth: MaskFormat, files: Sequence[Path]) -> MaskFormat:
    """Return how the class maps in `files` are stored, which need not be the way of the true masks, `truth`.

    They hold class indices, 0 and 255 for two classes, ids as `truth` does, or colours: those of a class list, or of
    the palette of `labels`.
    """
    declared = replace(INDEX_MASKS, colours=truth.colours, void_colours=truth.void_colours, tolerance=truth.tolerance)
    colours = declared if declared.colours else MaskFormat(labels.palette, (VOID_COLOUR,))
    survey = _survey_some(labels, colours, files, void_255=False)
    if truth.ids and survey.first_files:
        values = {*survey.first_files} - {IGNORE}
        if max(values, default=0) >= labels.num_classes:
            return replace(INDEX_MASKS, ids=truth.ids)
        if values and all(truth.ids[value] != IGNORE for value in values):
            raise InputError(
                f"{files[0].parent}: the class maps hold the values {abbreviate(sorted(values))}, which may be label"
                " ids or train ids; save the indices of the classes, 0 for the first",
                "ids",
            )
    if survey.colour_mask is None and not declared.colours:
        palettes = {colour for _, colour in survey.palettes}
        if not palettes or not palettes <= {*labels.palette}:  # void, which nobody predicts, is 255 in any case
            return decide_format(labels, declared, survey)
    return decide_format(labels, colours, survey)


def decide_format(labels: LabelSpace, masks: MaskFormat, survey: MaskSurvey, void_255: bool = False) -> MaskFormat:
    """Return `masks` with what a `survey` shows of how they are stored; `InputError` if it shows two ways."""
    if survey.white_is_zero:
        first, *others = survey.white_is_zero
        more = f" and {len(others)} more" if others else ""
        message = (
            f"{first}{more}: TIFFs in which 0 is white; they are read as they are shown, 0 for black: save masks as"
        )
        warnings.warn(InputWarning(f"{message} PNG if 0 is meant", "mask-mode", severity="note"), stacklevel=2)
    masks = replace(masks, shown=survey.shown)
    if masks.colours:
        masks = replace(masks, by_colour=_find_kinds_by_colour(masks, survey))
    if survey.conflict and not masks.by_colour:
        return replace(masks, palette=read_by_vocs_palette(survey))
    if not masks.colours:
        _tell_of_moved_colours(survey)
        _tell_of_white_before_black(survey)
    if labels.num_classes != 2 or void_255 or survey.colour_mask is not None or "greys" in masks.by_colour:
        return masks
    if survey.binary:
        return replace(masks, binary=True)
    survey.require_one_kind_of_on()
    return replace(masks, one_is_on=1 in survey.first_files and not survey.one_and_255)


def read_by_vocs_palette(survey: MaskSurvey) -> tuple[Colour, ...]:
    """Return VOC's palette, by which palettes are read that are ordered file by file, with a warning.

    `InputError` if they hold other colours: then nothing says which class is which.
    """
    if not survey.palettes or any(colour not in (None, *VOC_COLOURS) for _, colour in survey.palettes):
        raise InputError(f"{survey.conflict}; {UNORDERED}", "palette")
    message = (
        f"{survey.conflict}, so palettes are ordered file by file; masks are read by their colours, as the indices that"
        " these have in VOC's palette; if they mean other classes, declare the colour of every class in classes.csv"
    )
    warnings.warn(InputWarning(message, "palette"), stacklevel=2)
    return VOC_COLOURS


def _tell_of_moved_colours(survey: MaskSurvey) -> None:
    """Warn of palettes that hold VOC's colours alone, and several of them, or void's, at other indices in all files."""
    entries = sorted((index, colour) for index, colour in survey.palettes if colour is not None)
    moved = [(index, colour) for index, colour in entries if colour != VOC_COLOURS[index]]
    chance = len(moved) < 2 and VOID_COLOUR not in dict(moved).values()
    if chance or any(colour not in VOC_COLOURS for _, colour in entries):
        return
    index, colour = moved[0]
    more = f", and {len(moved) - 1} more in others' colours" if moved[1:] else ""
    message = (
        f"{survey.first_files[index]}: its palette shows index {index} in {colour}, which is index"
        f" {VOC_COLOURS.index(colour)} of VOC's palette{more}, as all masks do; masks are read by"
        " their indices: if the colours count, declare the colour of every class in classes.csv"
    )
    warnings.warn(InputWarning(message, "palette"), stacklevel=2)


def _tell_of_white_before_black(survey: MaskSurvey) -> None:
    """Warn of palettes of black and white alone in which white is the smaller index: white is foreground elsewhere."""
    indices = {colour: index for index, colour in survey.palettes if colour is not None}
    if {*indices} == {(0, 0, 0), (255, 255, 255)} and indices[255, 255, 255] < indices[0, 0, 0]:
        white, black = indices[255, 255, 255], indices[0, 0, 0]
        message = (
            f"{survey.first_files[white]}: its palette shows index {white} in white and index {black} in black, as all"
            f" masks do, so black is class {black}; masks are read by their indices: if white is the foreground, save"
            " masks without a palette, or declare the colour of every class in classes.csv"
        )
        warnings.warn(InputWarning(message, "palette"), stacklevel=2)


def _find_kinds_by_colour(masks: MaskFormat, survey: MaskSurvey) -> frozenset[str]:
    """Return which kinds of masks hold the colours of classes, besides those of pixels in colour.

    Programs that make files small turn colours into a palette of any order, or into greys where a mask has no others.
    So palettes hold colours if all that occur are declared, or one of them is at another index than its class's, or
    palettes contradict each other. Greys do beside such masks, or if all are declared and too large for indices.
    """
    declared_K3 = np.array([*masks.colours, *masks.void_colours], np.int64)
    own = {*enumerate(masks.colours), *((IGNORE, colour) for colour in masks.void_colours)}
    odd = {entry for entry in survey.palettes if entry[1] is not None} - own
    moved = [c for _, c in odd if int(np.abs(declared_K3 - np.array(c)).max(axis=1).min()) <= masks.tolerance]
    coloured = survey.colour_mask is not None or bool(survey.conflict) or bool(moved)
    by_colour = {"palette"} if coloured or (survey.palettes and not odd) else set()
    declared = all((grey, grey, grey) in {*masks.colours, *masks.void_colours} for grey in survey.greys)
    too_large = any(value >= len(masks.colours) or value != grey for grey, value in survey.greys.items())
    return frozenset(by_colour | ({"greys"} if coloured or (declared and too_large) else set()))


def _survey_some(labels: LabelSpace, masks: MaskFormat, paths: Iterable[Path], void_255: bool) -> MaskSurvey:
    """Return what some of the masks hold: always the same ones, whichever split is opened.

    Of two classes, masks are read until one tells whether 255 is the second one or void.
    """
    files = [path for path in paths if path.suffix.lower() != MAT_SUFFIX]
    order = np.random.default_rng(0).permutation(len(files)).tolist()
    first, rest = sorted(order[:SAMPLED]), order[SAMPLED:]
    if len(files) > SAMPLED:
        first = order[:SAMPLED]
    survey, unread = MaskSurvey(), list[InputError]()  # reported where they are read as samples
    two = labels.num_classes == 2 and not void_255
    for number, index in enumerate(first + rest):
        enough = number >= SAMPLED or (number >= LEAST_SAMPLED and survey.pixels > SAMPLED_PIXELS)
        told = survey.one_and_255 or (survey.one is not None and survey.zero_and_255 is None)
        if enough and (told or not two or survey.colour_mask is not None):
            break
        if number >= PLAIN and not (two or masks.colours or survey.palettes) and is_plain_grey(files[index]):
            continue
        _add(survey, files[index], masks, unread.append)
    return survey


def _add(survey: MaskSurvey, path: Path, masks: MaskFormat, on_error: OnError) -> None:
    try:
        survey.add(read_mask(path, masks))
    except InputError as error:
        on_error(error)
