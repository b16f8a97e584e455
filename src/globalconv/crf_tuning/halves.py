"""The images that a CRF is searched on and the others that it is reported on: two parts that share no image."""

import hashlib
import re
from collections import Counter
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
    matches = []
    for name in names(source):
        match = pattern.search(name)
        if match is None:
            raise InputError(f"`group_by` {group_by}: matches nothing in the name {name!r}; every image is in a group")
        matches.append(str(match[1] if pattern.groups else match[0]))
    return matches


def halves(source: Source, group_by: str | None) -> tuple[Source, Source]:
    """Return two halves of `source` that share no group, always the same ones.

    The largest group comes first, groups of equal size in the order of their names' hashes; each goes to the half that
    has fewer images. A single group is cut in two in the order of the names: of a clip, the earlier and the later
    frames.
    """
    if len(source) < 2:
        raise InputError(f"{source.name}: one image cannot be searched and reported on; name a `report_split`")
    group_of = groups(source, group_by)
    group_sizes = Counter(group_of)
    if len(group_sizes) == 1:
        order = sorted(range(len(source)), key=source.sample_name)
        middle = (len(source) + 1) // 2
        parts = {"first half": order[:middle], "second half": order[middle:]}
    else:
        half_of, half_sizes = {}, [0, 0]
        for group in sorted(
            group_sizes,
            key=lambda group: (-group_sizes[group], hashlib.sha256(group.encode(errors="surrogatepass")).digest()),
        ):
            half_of[group] = int(half_sizes[1] < half_sizes[0])
            half_sizes[half_of[group]] += group_sizes[group]
        search, report = ([i for i, group in enumerate(group_of) if half_of[group] == half] for half in (0, 1))
        parts = {"search half": search, "report half": report}
    first, second = (Subset(f"{source.name}, {name}", source, tuple(indices)) for name, indices in parts.items())
    return first, second


def spread_over(source: Source, most: int) -> Source:
    """Return `source`, or `most` samples evenly spread over it."""
    if len(source) <= most:
        return source
    return Subset(f"{source.name}, {most} of {len(source)} images", source, tuple(spread_evenly(len(source), most)))


def same_place(first: Root | None, second: Root | None) -> bool:
    """Return whether both are the same folders, however they are spelled; None stands for the built-in scenes."""
    if isinstance(first, Path) and isinstance(second, Path):
        return first.resolve() == second.resolve()
    return first == second


def refuse_overlap(search: Source, report: Source) -> None:
    """Refuse to report on images that were searched on."""
    searched, reported = (
        {image_identity(source, index) for index in range(len(source))} for source in (search, report)
    )
    if shared := searched & reported:
        raise InputError(
            f"{report.name}: {len(shared)} of its images are searched on, so a report on it would flatter; name another"
            " `report_split`, or none to halve the split"
        )
