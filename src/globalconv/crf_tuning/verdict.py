"""Whether a CRF is worth using: what it changes on images that it was not chosen on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from globalconv.arrays import Int64Array
from globalconv.errors import InputError
from globalconv.evaluation.bootstrap import MIN_IMAGES, Interval, difference_interval
from globalconv.evaluation.confusion import mean_iou
from globalconv.infer.saved_crf import USE

Word = Literal["use it", "helps on these groups", "do not use it", "no difference shown"]


@dataclass(frozen=True)
class CrfVerdict:
    """The mIoU without and with a CRF on the report part, and what follows from the interval of the difference."""

    off: float
    """mIoU without the CRF."""
    on: float
    """mIoU with it."""
    interval: Interval | None
    """Where 95 % of the bootstrap's gains lie; None where there are too few images."""
    unit: Literal["image", "group"]
    """What the bootstrap draws: frames of one clip are no independent images."""
    images: int
    groups: int
    won_search: bool
    """Whether it was better than no CRF on the search part."""

    @property
    def gain(self) -> float:
        return self.on - self.off

    @property
    def word(self) -> Word:
        """ "use it" only for a gain that is sure, "do not use it" for a sure loss.

        A gain on a few groups (clips) whose frames were drawn one by one is sure for these groups alone.
        """
        low, high = self.interval or (-1.0, 1.0)
        if high < 0:
            return "do not use it"
        if low <= 0 or not self.won_search:
            return "no difference shown"
        return "helps on these groups" if self.few_groups else USE

    @property
    def few_groups(self) -> bool:
        """Whether images of groups were drawn, because there are too few groups to be drawn themselves."""
        return self.unit == "image" and self.groups < self.images

    def lines(self) -> list[str]:
        """Return the lines that end a search; the last is the word."""
        images = f"{self.images} images" + (f" ({self.groups} groups)" if self.groups < self.images else "")
        lines = [f"report      {images}: no CRF {self.off:.4f}, with it {self.on:.4f}"]
        if self.interval is None:
            lines += [f"gain        {self.gain:+.4f}; fewer than {MIN_IMAGES} images have no interval"]
        else:
            low, high = self.interval
            lines += [f"gain        {self.gain:+.4f} (95 % of the bootstrap by {self.unit}: {low:+.4f} to {high:+.4f})"]
        if self.few_groups:
            lines += [f"note        fewer than {MIN_IMAGES} groups: by image the interval is narrower than the truth"]
            lines += ["note        about other groups it says nothing: `report_split` or `report_data` can name more"]
        if not self.won_search:
            lines += ["note        on the search part nothing was better than no CRF"]
        return [*lines, self.word]


def judge(off: Sequence[Int64Array], on: Sequence[Int64Array], groups: Sequence[str], won_search: bool) -> CrfVerdict:
    """Return the verdict on a CRF from every image of the report part, without and with it.

    An image is int64 (2, K): intersection and union of every class. The bootstrap draws groups where there are enough
    of them, else images.
    """
    labelled = [index for index, overlap in enumerate(off) if overlap[1].any()]  # without labels nothing is counted
    if not labelled:
        raise InputError("the images to report on have not one labelled pixel: name another `report_split`")
    off_N2K, on_N2K = (np.stack([images[index] for index in labelled]) for images in (off, on))
    groups = [groups[index] for index in labelled]
    distinct = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    by_group = len(distinct) >= MIN_IMAGES
    if by_group:
        unit_of_N = [distinct[group] for group in groups]
        summed = [np.zeros((len(distinct), *off_N2K.shape[1:]), np.int64) for _ in (off, on)]
        np.add.at(summed[0], unit_of_N, off_N2K)
        np.add.at(summed[1], unit_of_N, on_N2K)
    else:
        summed = [off_N2K, on_N2K]
    interval = difference_interval((summed[0][:, 0], summed[0][:, 1]), (summed[1][:, 0], summed[1][:, 1]))
    return CrfVerdict(
        off=mean_iou(*off_N2K.sum(0)),
        on=mean_iou(*on_N2K.sum(0)),
        interval=interval,
        unit="group" if by_group and len(distinct) < len(groups) else "image",
        images=len(groups),
        groups=len(distinct),
        won_search=won_search,
    )
