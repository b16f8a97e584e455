"""Which images a CRF is searched on, and which others it is reported on."""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from globalconv.data.datasets import image_identity
from globalconv.data.roots import Root
from globalconv.data.source import Source, Subset, spread_evenly
from globalconv.errors import InputError
from globalconv.labels import CAMVID

CAMVID_CLIP = r"([^/]+)_[^_/]*$"
"""CamVid's names begin with their clip: 0016E5_07959 and 0001TP_006690."""


def names(source: Source) -> list[str]:
    """Return the names of all samples."""
    return [source.sample_name(index) for index in range(len(source))]


def groups(source: Source, group_by: str | None) -> list[str]:
    """Return the group of every sample: what `group_by` matches in its name; by default CamVid's clip, or the name."""
    if group_by is None:
        group_by = CAMVID_CLIP if source.labels == CAMVID else r"^.*$"
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(f"`group_by` {group_by}: no regular expression ({error})") from None
    return [_group(pattern, name) for name in names(source)]


def _shown(source: Source) -> set[str]:
    return {image_identity(source, index) for index in range(len(source))}


def _group(pattern: re.Pattern[str], name: str) -> str:
    found = pattern.search(name)
    if found is None:
        raise InputError(
            f"`group_by` {pattern.pattern}: matches nothing in the name {name!r}; every image is in a group"
        )
    return str(found[1] if pattern.groups else found[0])


def halves(source: Source, group_by: str | None) -> tuple[Source, Source]:
    """Return two halves of `source` that share no group, always the same ones.

    The largest group comes first, equal ones in the order of their names' hashes; each goes to the half that has fewer
    images. A single group is cut in two in the order of the names: of a clip, the earlier and the later frames.
    """
    if len(source) < 2:
        raise InputError(f"{source.name}: one image cannot be searched and reported on; name a `report_split`")
    grouped = groups(source, group_by)
    if len(set(grouped)) == 1:
        order = sorted(range(len(source)), key=source.sample_name)
        cut = (len(source) + 1) // 2
        return _subset(source, order[:cut], "first half"), _subset(source, order[cut:], "second half")
    chosen, sizes = _dealt(Counter(grouped))
    sides = [[index for index, group in enumerate(grouped) if chosen[group] == side] for side in (0, 1)]
    assert [len(side) for side in sides] == sizes
    return _subset(source, sides[0], "search half"), _subset(source, sides[1], "report half")


def _dealt(sizes: Counter[str]) -> tuple[dict[str, int], list[int]]:
    """Return the half (0 or 1) of every group, and the sizes of both."""
    filled, half = [0, 0], {}
    for group in sorted(sizes, key=lambda group: (-sizes[group], hashlib.sha256(group.encode()).digest())):
        half[group] = int(filled[1] < filled[0])
        filled[half[group]] += sizes[group]
    return half, filled


def _subset(source: Source, indices: Sequence[int], words: str) -> Subset:
    return Subset(f"{source.name}, {words}", source, tuple(indices))


def spread_over(source: Source, most: int) -> Source:
    """Return `source`, or `most` samples evenly spread over it."""
    if len(source) <= most:
        return source
    return _subset(source, spread_evenly(len(source), most), f"{most} of {len(source)} images")


def same_place(one: Root | None, other: Root | None) -> bool:
    """Tell whether both are the same folders, however they are spelled; None are the built-in scenes."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other


def refuse_overlap(search: Source, report: Source) -> None:
    """Refuse to report on images that were searched on."""
    if shared := _shown(search) & _shown(report):
        raise InputError(
            f"{report.name}: {len(shared)} of its images are searched on, so a report on it would flatter; name another"
            " `report_split`, or none to halve the split"
        )
