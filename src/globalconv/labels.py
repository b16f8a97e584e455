"""Label spaces: class names, palette, and which values in a label file are classes and which are void.

A label map in memory is always uint8 with the class indices 0 .. K-1 and `IGNORE` for pixels that do not count;
what a data set writes on disk instead is described by its `LabelSpace` and translated once, when a file is decoded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from globalconv.errors import InputError

IGNORE = 255
"""Value of a pixel that takes part in no loss, no score and no statistic."""

MAX_CLASSES = 255

Colour = tuple[int, int, int]

VOID_COLOUR: Colour = (224, 224, 192)
"""PASCAL VOC's colour of void, which is index 255 of its palette."""


def voc_palette(size: int = 256) -> tuple[Colour, ...]:
    """Return the first `size` colours of PASCAL VOC's palette (the bits of the index spread over R, G, B)."""
    palette = []
    for index in range(size):
        channels = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                channels[channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
        palette.append((channels[0], channels[1], channels[2]))
    return tuple(palette)


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a data set.

    `void_values` are values in label files that mean "does not count" besides `IGNORE`, which always does
    (CamVid: 11). An empty `palette` stands for VOC's.
    """

    class_names: tuple[str, ...]
    palette: tuple[Colour, ...] = ()
    void_values: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.class_names) <= MAX_CLASSES:
            raise InputError(f"{len(self.class_names)} classes: a label space has 1 to {MAX_CLASSES}; list that many")
        if len(set(self.class_names)) < len(self.class_names):
            repeated = sorted({n for n in self.class_names if self.class_names.count(n) > 1})
            raise InputError(f"class names {repeated} occur more than once; give every class its own name")
        if not self.palette:
            object.__setattr__(self, "palette", voc_palette(self.num_classes))
        if len(self.palette) != self.num_classes:
            raise InputError(f"{len(self.palette)} colours for {self.num_classes} classes: give one colour per class")
        if clash := [v for v in self.void_values if v < self.num_classes]:
            raise InputError(f"void values {clash} are also class indices of the {self.num_classes} classes")

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def colour_table(self) -> tuple[Colour, ...]:
        """Return the colour of every index: the classes' own, VOC's for the unused, VOC's void for 255."""
        return (*self.palette, *voc_palette(256)[self.num_classes : IGNORE], VOID_COLOUR)

    def to_json(self) -> dict[str, Any]:
        return {
            "class_names": list(self.class_names),
            "palette": [list(colour) for colour in self.palette],
            "void_values": list(self.void_values),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "LabelSpace":
        """Return the label space that `to_json` wrote; `InputError` or `KeyError` for anything else."""
        names, palette, void = fields["class_names"], fields.get("palette", []), fields.get("void_values", [])
        if not (isinstance(names, list) and all(isinstance(name, str | int | float) for name in names)):
            raise InputError("class_names are no list of names")
        if not (isinstance(palette, list) and all(_are_bytes(colour) and len(colour) == 3 for colour in palette)):
            raise InputError("palette is no list of colours (red, green, blue, 0 to 255)")
        if not _are_bytes(void):
            raise InputError("void_values are no list of values from 0 to 255")
        return cls(tuple(map(str, names)), tuple((red, green, blue) for red, green, blue in palette), tuple(void))


def _are_bytes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= IGNORE for value in values)


CAMVID = LabelSpace(
    class_names=(
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree",
        "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    ),
    palette=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
    void_values=(11,),
)  # fmt: skip
"""The 11 classes of CamVid in the SegNet tutorial's layout, with its colours; 11 is Unlabelled."""

VOC = LabelSpace(
    class_names=(
        "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
    ),
)  # fmt: skip
"""The 21 classes of PASCAL VOC, in its order and colours; 255 is void."""

COCO_TO_VOC: Mapping[int, int] = {
    5: 1, 2: 2, 16: 3, 9: 4, 44: 5, 6: 6, 3: 7, 17: 8, 62: 9, 21: 10, 67: 11, 18: 12, 19: 13, 4: 14, 1: 15, 64: 16,
    20: 17, 63: 18, 7: 19, 72: 20,
}  # fmt: skip
"""COCO's category ids -> VOC's indices; the other 60 categories are no class of VOC."""

CITYSCAPES = LabelSpace(
    class_names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    palette=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
        (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
        (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
)  # fmt: skip
"""The 19 classes that Cityscapes evaluates, in the order of its train ids."""

CITYSCAPES_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each class, which is what Cityscapes' masks hold and its server expects; the others up to 33 are void
(so is -1, license plate, which is never drawn)."""
