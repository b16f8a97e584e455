"""How many images the official data sets have, and the check that a copy of one is complete.

A split that has the name of an official one and at least nine tenths of its images claims to be complete, and must then
have exactly as many. With fewer it is somebody's own part of the data, which is no mistake.
"""

from globalconv.errors import InputError, OnError

CLAIM = 0.9

VOC = {"train": 1464, "val": 1449, "trainval": 2913, "test": 1456}
SBD = {"train": 8498, "val": 2857}
COCO = {"train2014": 82783, "val2014": 40504, "train2017": 118287, "val2017": 5000}
CITYSCAPES = {"train": 2975, "val": 500, "test": 1525, "coarse": 19998, "coarse-train": 2975, "coarse-val": 500}
VOC_AND_SBD = 10582
"""VOC's training images, and those of SBD that VOC neither trains nor validates on."""


def check_count(where: str, dataset: str, split: str, count: int, official: int | None, on_error: OnError) -> None:
    """Report a split with nearly as many images as the `official` one of its name; None: there is no such split."""
    if official is None or count == official or count < CLAIM * official:
        return
    difference = f"{official - count} are missing" if count < official else f"{count - official} are too many"
    message = (
        f"{where}: has {count:,} images where {dataset}'s {split} has {official:,}, so {difference}; unpack the"
        " official archive again (a part of your own goes under another name)"
    )
    on_error(InputError(message, "count"))
