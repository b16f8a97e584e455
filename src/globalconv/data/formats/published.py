"""How many images the official data sets have, and what is said of a copy that is almost complete.

A split that has the name of an official one and at least nine tenths of its images claims to be complete, and must then
have exactly as many; with fewer it is a part that somebody made, which is nobody's mistake.
"""

from globalconv.errors import InputError, OnError

CLAIM = 0.9

VOC = {"train": 1464, "val": 1449, "trainval": 2913, "test": 1456}
SBD = {"train": 8498, "val": 2857}
COCO = {"train2014": 82783, "val2014": 40504, "train2017": 118287, "val2017": 5000}
CITYSCAPES = {"train": 2975, "val": 500, "test": 1525, "coarse": 19998, "coarse-train": 2975, "coarse-val": 500}
VOC_AND_SBD = 10582
"""VOC's training images, and those of SBD that VOC neither trains nor validates on."""


def check_count(where: str, data_set: str, split: str, found: int, published: int | None, on_error: OnError) -> None:
    """Report a split that has nearly as many images as the official one of its name; None: there is none."""
    if published is None or found == published or found < CLAIM * published:
        return
    difference = f"{published - found} are missing" if found < published else f"{found - published} are too many"
    on_error(
        InputError(
            f"{where}: has {found:,} images where {data_set}'s {split} has {published:,}, so {difference}; unpack the"
            " official archive again (a part of your own goes under another name)",
            "count",
        )
    )
