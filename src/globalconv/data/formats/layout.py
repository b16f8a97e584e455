"""What a data format consists of: the functions that its file defines and collects in its `LAYOUT`.

To add a format, follow "Adding a format" in docs/data.md. A file of the right name and the wrong content is explained
by `recognise_layout` in `globalconv.data.datasets`, as `list_file.explain_unreadable_list` does for lists.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from globalconv.data.masks import MaskFormat
from globalconv.data.source import Pair
from globalconv.errors import OnError
from globalconv.labels import LabelSpace


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk."""

    recognise: Callable[[Path], bool]
    """Returns whether the data below a root are in this format."""
    list_splits: Callable[[Path], Sequence[str]]
    """Returns the splits on disk; [""] where there are none."""
    read_split: Callable[[Path, str, OnError], tuple[Any, ...]]
    """Returns the samples of a split: `Pair`s of image and mask, or `DrawnSample`s where there is `list_class_names`.

    A sample that is not complete goes to `on_error` and is left out. `select_split` finds the split, and holds some
    samples out where there is none for validation.
    """
    list_class_names: Callable[[Path], Mapping[str, int]] | None = None
    """Returns the class names in drawn annotations, in order, each with its number of shapes, for data without a class
    list. None: the labels are masks."""
    class_lists: tuple[str, ...] = ()
    """Names of further files, a class a line, that are class lists in this format."""
    fixed_classes: Callable[[tuple[Pair, ...], LabelSpace | None], tuple[LabelSpace, MaskFormat] | None] | None = None
    """Returns the classes and the format of masks that the layout itself declares, for data without a class list.

    Its arguments are the pairs of a split and the classes that are expected, if any. It may return None.
    """
    beside: str = "^$"
    """A regular expression that is found in the relative paths of images that belong to the layout and that nothing
    reads, such as masks of instances."""
