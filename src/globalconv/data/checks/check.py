"""What is wrong with a data set, before it costs anyone a night: every file read once, on all cores.

A report ends with "ready" or with what to mend. Nothing is changed on disk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from globalconv.data.annotations import DrawnSource
from globalconv.data.checks.rules import findings, unused_images
from globalconv.data.checks.sample import SEVERITIES, Facts, Finding, examine
from globalconv.data.checks.summary import Summary, summarise
from globalconv.data.datasets import LAYOUTS, holds_several_datasets, list_splits, open_source, recognise_layout
from globalconv.data.formats.mixtures import list_training_and_validation
from globalconv.data.roots import Root, format_root
from globalconv.data.source import Source
from globalconv.data.splits import ALL, disjoint_splits
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.runtime.processes import map_in_processes, usable_cores

__all__ = ["Facts", "Finding", "Report", "check_data"]

Job = tuple[str, int]
"""A split and the index of a sample in it."""


@dataclass(frozen=True)
class Report:
    """What `data check` found."""

    root: Root
    layout: str
    """What the data are: a layout, or the data sets whose names tell the splits."""
    labels: LabelSpace
    sources: dict[str, Source]
    """Readable part of each split."""
    samples: tuple[Facts, ...]
    findings: tuple[Finding, ...]
    summary: Summary

    @property
    def ready(self) -> bool:
        """Whether training can start: there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)


def check_data(
    root: Root,
    layout: str | None = None,
    chosen: Sequence[str] = (),
    workers: int | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Read every sample of the data at `root` and return what there is to say.

    `chosen` names the splits (by default those that divide the data: no lists in subfolders, no "trainval"; of several
    data sets what is learnt, joined, and what it is scored on). `workers`
    processes read (None: one per core). `on_progress` is called with the number read and the number in all. Raises
    `InputError` where there is no data set at all.
    """
    layout = _layout(root, layout, chosen)
    sources, listing = _opened(root, layout, chosen)
    if not sources:
        raise listing[0] if listing else InputError(f"{format_root(root)}: has no split; name one with `splits`")
    one = next(iter(sources.values()))
    for split, source in sources.items():
        if source.labels.class_names != one.labels.class_names:
            one_kind = " ".join(name for name in sources if name.partition(":")[0] == split.partition(":")[0])
            raise InputError(
                f"`splits` {split}: has other classes than {next(iter(sources))}; check each by itself, as with"
                f" `splits` {one_kind}"
            )
    samples = _examined(sources, workers, on_progress)
    found = findings(samples, listing, one)
    if layout is not None:
        assert isinstance(root, Path)
        found += unused_images(root, layout, isinstance(one, DrawnSource))
    ordered = sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
    said = layout or "by name"
    return Report(root, said, one.labels, sources, samples, tuple(ordered), summarise(samples, one.labels))


def _layout(root: Root, layout: str | None, chosen: Sequence[str]) -> str | None:
    """Return the layout of a data set on disk; None where splits are told by the names of data sets."""
    if holds_several_datasets(root) or any(":" in split for split in chosen):
        if layout is not None:
            raise InputError(f"`layout` {layout}: the names of the data sets say it; leave it out")
        return None
    assert isinstance(root, Path)
    recognised = recognise_layout(root)
    if layout not in (None, recognised) and not _could_be(root, str(layout)):
        raise InputError(f"`layout` {layout}: {root} is not in that layout; it looks like {recognised}")
    return layout or recognised


def _opened(root: Root, layout: str | None, chosen: Sequence[str]) -> tuple[dict[str, Source], list[InputError]]:
    """Return the readable part of each split, and what is wrong with the rest, each once."""
    listing: dict[str, InputError] = {}
    sources: dict[str, Source] = {}

    def note(error: InputError) -> None:
        listing.setdefault(str(error), error)

    for split in chosen or _usual(root, layout):
        if split == ALL and sources:  # everything, where nothing else can be opened: too little to divide, say
            break
        try:
            sources[split] = open_source(root, split, layout, on_error=note)
        except InputError as error:
            note(error)
    return sources, list(listing.values())


def _usual(root: Root, layout: str | None) -> list[str]:
    """Return the splits that are read where none is chosen."""
    if layout is None:
        return list_training_and_validation(root)
    return [*dict.fromkeys(("train", *disjoint_splits(list_splits(root, layout)))), ALL]


def _could_be(root: Path, layout: str) -> bool:
    """Say whether a layout that was named fits, where another one was recognised first."""
    return layout in LAYOUTS and layout != "scenes" and list_splits(root, layout) not in ([], [""])


def _examined(
    sources: dict[str, Source], workers: int | None, on_progress: Callable[[int, int], object] | None
) -> tuple[Facts, ...]:
    """Return the facts of all samples, in order."""
    jobs = [(split, index) for split, source in sources.items() for index in range(len(source))]
    count = min(workers or usable_cores(), len(jobs))
    done: list[Facts] = []
    alone = (examine(sources[split], index, split) for split, index in jobs)
    for facts in alone if count <= 1 else _in_parallel(sources, jobs, count):
        done.append(facts)
        if on_progress is not None:
            on_progress(len(done), len(jobs))
    return tuple(done)


def _in_parallel(sources: dict[str, Source], jobs: Sequence[Job], count: int) -> Iterator[Facts]:
    return map_in_processes(_examine, jobs, count, lambda job: sources[job[0]].sample_name(job[1]), _begin, (sources,))


_sources: dict[str, Source] = {}
"""What a worker process reads from."""


def _begin(sources: dict[str, Source]) -> None:
    _sources.update(sources)


def _examine(job: Job) -> Facts:
    split, index = job
    return examine(_sources[split], index, split)
