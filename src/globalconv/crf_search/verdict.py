"""Whether a CRF is worth using: what it changes on images that it was not chosen on."""

from collections import Counter
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
class Verdict:
    """mIoU without and with the CRF on the report part, and between which gains 95 % of the bootstrap lie."""

    off: float
    on: float
    interval: Interval | None
    unit: Literal["image", "group"]
    """What is drawn anew: frames of one clip are no independent images."""
    images: int
    groups: int
    won_search: bool
    """Whether it was better than no CRF on the search part."""

    @property
    def gain(self) -> float:
        return self.on - self.off

    @property
    def word(self) -> Word:
        """ "use it" only for a gain that is sure; a sure loss is "do not use it"; anything else shows nothing.

        A gain on a few groups (clips) whose frames were drawn one by one is sure for these alone, and the word says so.
        """
        low, high = self.interval or (-1.0, 1.0)
        if high < 0:
            return "do not use it"
        if low <= 0 or not self.won_search:
            return "no difference shown"
        return "helps on these groups" if self.few_groups else USE

    @property
    def few_groups(self) -> bool:
        """Whether images were drawn that belong to groups, because these are too few to be drawn themselves."""
        return self.unit == "image" and self.groups < self.images

    def lines(self) -> list[str]:
        """Return the lines that end a search; the last is the word."""
        many = f"{self.images} images" + (f" ({self.groups} groups)" if self.groups < self.images else "")
        said = [f"report      {many}: no CRF {self.off:.4f}, with it {self.on:.4f}"]
        if self.interval is None:
            said += [f"gain        {self.gain:+.4f}; fewer than {MIN_IMAGES} images have no interval"]
        else:
            low, high = self.interval
            said += [f"gain        {self.gain:+.4f} (95 % of the bootstrap by {self.unit}: {low:+.4f} to {high:+.4f})"]
        if self.few_groups:
            said += [f"note        fewer than {MIN_IMAGES} groups: by image the interval is narrower than the truth"]
            said += ["note        about other groups it says nothing: `report_split` or `report_data` can name more"]
        if not self.won_search:
            said += ["note        on the search part nothing was better than no CRF"]
        return [*said, self.word]


def judge(off: Sequence[Int64Array], on: Sequence[Int64Array], groups: Sequence[str], won_search: bool) -> Verdict:
    """Return the verdict from the tallies of every image of the report part.

    The bootstrap is over groups where there are enough of them, else over images.
    """
    labelled = [index for index, tally in enumerate(off) if tally[1].any()]  # the others say nothing
    if not labelled:
        raise InputError("the images to report on have not one labelled pixel: name another `report_split`")
    off, on = [off[index] for index in labelled], [on[index] for index in labelled]
    groups = [groups[index] for index in labelled]
    distinct = len(set(groups))
    by_group = distinct >= MIN_IMAGES
    units = list(groups) if by_group else [str(index) for index in range(len(groups))]
    pairs = [_summed(tallies, units) for tallies in (off, on)]
    interval = difference_interval((pairs[0][:, 0], pairs[0][:, 1]), (pairs[1][:, 0], pairs[1][:, 1]))
    whole = [mean_iou(*np.sum(tallies, 0)) for tallies in (off, on)]
    unit: Literal["image", "group"] = "group" if by_group and distinct < len(groups) else "image"
    return Verdict(whole[0], whole[1], interval, unit, len(groups), distinct, won_search)


def _summed(tallies: Sequence[Int64Array], units: Sequence[str]) -> Int64Array:
    """Return the tallies (U, 2, K) of the units."""
    place = {unit: number for number, unit in enumerate(Counter(units))}
    summed = np.zeros((len(place), *tallies[0].shape), np.int64)
    for unit, counted in zip(units, tallies, strict=True):
        summed[place[unit]] += counted
    return summed
