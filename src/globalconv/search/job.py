"""A search from what a user asks to the verdict."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from globalconv.data.roots import Root, to_json
from globalconv.data.sources.source import Source
from globalconv.errors import InputError, StoppedError
from globalconv.infer.predictor import Predictor
from globalconv.processes import usable_cores
from globalconv.search.folder import SearchFolder
from globalconv.search.parts import groups, halves, names, refuse_overlap, same_place, spread_over
from globalconv.search.run import Say, best, report, search, write_result
from globalconv.search.settings import SearchSettings
from globalconv.search.trials import coarse
from globalconv.search.verdict import Verdict
from globalconv.weights import WEIGHTS_FILE

Opened = Callable[[Root | None, str | None], Source]
"""(root of the data, split) -> samples, as the network is to be scored on them."""


def run_job(
    predictor: Predictor, weights: Path, data: Root | None, opened: Opened, out: Path, settings: SearchSettings,
    resume: bool, workers: int | None, say: Say,
) -> Verdict:  # fmt: skip
    """Search, report, write `crf.json` into `out`, and return the verdict; everything is refused before work begins."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: give at least 1")
    searched, reported = _parts(data, opened, settings)
    coarse(settings.grid)
    begin = SearchFolder.reopen if resume else SearchFolder.new
    for line in _notes(data, searched, reported, settings):
        say(line)
    folder = begin(out, _question(weights, data, searched, reported, settings))
    try:
        say(f"search      on {len(searched)} images: {searched.name}")
        trials = search(predictor, searched, folder, settings.grid, workers or usable_cores(), say)
        chosen = best(trials[1:])
        say(f"report      on {len(reported)} others: {reported.name}")
        verdict = report(predictor, chosen.crf, reported, settings.group_by, chosen.miou > trials[0].miou, folder, say)
        write_result(folder, trials, verdict)
        return verdict
    except StoppedError as stopped:
        kept = f"what was tried is kept in {out}; the same command with --resume goes on"
        raise StoppedError(f"{stopped}: {kept}", stopped.exit_code - 128) from None
    finally:
        folder.close()


def _parts(data: Root | None, opened: Opened, settings: SearchSettings) -> tuple[Source, Source]:
    """Return what to search on and what to report on."""
    searched = opened(data, settings.split)
    if settings.report_split is None and settings.report_data is None:
        searched, reported = halves(searched, settings.group_by)
    else:
        place = settings.report_data or data
        reported = opened(place, settings.report_split or settings.split)
        refuse_overlap(searched, reported)
    groups(reported, settings.group_by)
    return spread_over(searched, settings.images), reported


def _notes(data: Root | None, searched: Source, reported: Source, settings: SearchSettings) -> list[str]:
    """Return what makes the report less than it looks: frames of one film on both sides."""
    if not same_place(data, settings.report_data or data):
        return []
    both = sorted(set(groups(searched, settings.group_by)) & set(groups(reported, settings.group_by)))
    few = ", ".join(both[:3]) + (", ..." if len(both) > 3 else "")
    return (
        [f"note        in both parts: group {few}; its images resemble each other, so the report flatters"]
        if both
        else []
    )


def _question(
    weights: Path, data: Root | None, searched: Source, reported: Source, settings: SearchSettings
) -> dict[str, Any]:
    """Return everything that the result depends on."""
    folder = weights if weights.is_dir() else weights.parent
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    return {
        "weights": str(weights),
        "weights_sha256": digest,
        "data": to_json(data),
        **settings.to_json(),
        "searched_on": names(searched),
        "reported_on": names(reported),
    }
