"""`data check`: read every sample of a data set once, on all cores, and report what is wrong before a training starts.

Nothing is changed on disk.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from globalconv.data.annotations import DrawnSource
from globalconv.data.checks.causes import Case, find_causes
from globalconv.data.checks.check_report import Report
from globalconv.data.checks.rules import (
    find_problems,
    find_unread_class_list,
    find_unread_images,
    find_unused_images,
)
from globalconv.data.checks.sample import SEVERITIES, Facts, examine
from globalconv.data.checks.summary import summarise
from globalconv.data.datasets import (
    LAYOUTS_ON_DISK,
    holds_several_datasets,
    list_splits,
    open_source,
    recognise_layout,
)
from globalconv.data.formats.mixtures import list_training_and_validation
from globalconv.data.image_format import check_white_level, declare_format
from globalconv.data.roots import Root, format_root
from globalconv.data.source import Source
from globalconv.data.splits import ALL, disjoint_splits
from globalconv.errors import InputError, InputWarning
from globalconv.runtime.processes import map_in_processes, usable_cores
from globalconv.runtime.progress import Progress


def check_data(
    root: Root,
    layout: str | None = None,
    splits: Sequence[str] = (),
    workers: int | None = None,
    white_level: float | None = None,
) -> Report:
    """Read every sample of the data at `root` and return what is found, with progress shown on standard error.

    `splits` are by default those that divide the data: no lists in subfolders, no "trainval"; of several data sets
    those to train on, joined, and those to validate on. `workers` processes read (None: one per core). `white_level` is
    the value of white in images of more than 8 bits (None: decided from them). Raises `InputError` where there is no
    data set at all.
    """
    check_white_level("white_level", white_level)
    image_format = declare_format(white_level)
    by_name = holds_several_datasets(root) or any(":" in split for split in splits)
    if by_name and layout is not None:
        raise InputError(f"`layout` {layout}: the names of the data sets say it; leave it out")
    if not by_name:
        assert isinstance(root, Path)
        recognised = recognise_layout(root)
        # Another layout may fit as well: that of list files in a folder of images and labels, for example.
        fits = layout in (None, recognised) or (
            layout in LAYOUTS_ON_DISK and list_splits(root, layout) not in ([], [""])
        )
        if not fits:
            raise InputError(f"`layout` {layout}: {root} is not in that layout; it looks like {recognised}")
        layout = layout or recognised

    # Open what can be read of each split. What is wrong with the rest is noted once, though several splits may meet it.
    errors: dict[str, InputError] = {}
    told: list[InputWarning] = []
    sources: dict[str, Source] = {}

    def note(error: InputError) -> None:
        errors.setdefault(str(error), error)

    if not splits and layout is None:
        splits = list_training_and_validation(root)
    elif not splits:
        splits = [*dict.fromkeys(("train", *disjoint_splits(list_splits(root, layout)))), ALL]
    for split in splits:
        if split == ALL and sources:  # everything, where nothing else can be opened: too little to divide, say
            break
        try:
            with _collect_warnings(told):
                sources[split] = open_source(root, split, layout, on_error=note, image_format=image_format)
        except InputError as error:
            if error.kind != "empty" or not errors:  # else what is wrong with its samples is why it is empty
                note(error)
    if not sources:
        raise next(iter(errors.values()), InputError(f"{format_root(root)}: has no split; name one with `splits`"))
    _require_equal_classes(sources)
    first = next(iter(sources.values()))

    samples = _examine_all(sources, workers)
    findings = find_problems(samples, errors.values(), first)
    if layout is not None:
        assert isinstance(root, Path)
        with _collect_warnings(told):
            findings += find_unused_images(root, layout, isinstance(first, DrawnSource)) + find_unread_images(root)
            findings += find_unread_class_list(root, first.labels)
    findings += find_causes(Case(warning.severity, warning.kind, str(warning), warning.samples) for warning in told)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    summary = summarise(samples, first.labels)
    return Report(root, layout or "by name", first.labels, sources, samples, tuple(findings), summary)


def _require_equal_classes(sources: Mapping[str, Source]) -> None:
    """Refuse splits that have other classes than the first: one report is about one label space."""
    first_split, first = next(iter(sources.items()))
    for split, source in sources.items():
        if source.labels.class_names != first.labels.class_names:
            same_kind = " ".join(name for name in sources if name.partition(":")[0] == split.partition(":")[0])
            raise InputError(
                f"`splits` {split}: has other classes than {first_split}; check each by itself, as with"
                f" `splits` {same_kind}"
            )


@contextmanager
def _collect_warnings(told: list[InputWarning]) -> Iterator[None]:
    """Add the `InputWarning`s of the block to `told`, and show its other warnings as if it were not there."""
    with warnings.catch_warnings(record=True, action="always", category=InputWarning) as caught:
        try:
            yield
        finally:
            told += [entry.message for entry in caught if isinstance(entry.message, InputWarning)]
    for entry in caught:
        if not isinstance(entry.message, InputWarning):
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)


def _examine_all(sources: Mapping[str, Source], workers: int | None) -> tuple[Facts, ...]:
    """Return the facts of all samples, in order."""
    places = [(split, index) for split, source in sources.items() for index in range(len(source))]
    count = min(workers or usable_cores(), len(places))
    facts: Iterable[Facts]
    if count <= 1:
        facts = (examine(sources[split], index, split) for split, index in places)
    else:
        facts = map_in_processes(
            examine_in_worker,
            places,
            count,
            name=lambda place: sources[place[0]].sample_name(place[1]),
            initializer=set_worker_sources,
            arguments=(sources,),
        )
    samples = []
    with Progress("checked", len(places), "images") as progress:
        for sample in facts:
            samples.append(sample)
            progress.update(len(samples))
    return tuple(samples)


_worker_sources: dict[str, Source] = {}
"""The splits that a worker process reads from."""


def set_worker_sources(sources: Mapping[str, Source]) -> None:
    """Set the splits that this process, a worker, reads from."""
    _worker_sources.update(sources)


def examine_in_worker(place: tuple[str, int]) -> Facts:
    """Return the facts of a sample, (split, index), in a worker process."""
    split, index = place
    return examine(_worker_sources[split], index, split)
