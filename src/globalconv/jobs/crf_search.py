"""`crf_search`: find the parameters of a CRF for a network on one part of a data set, and judge them on another."""

import hashlib
from pathlib import Path

from globalconv.crf_tuning.halves import groups, halves, names, refuse_overlap, same_place, spread_over
from globalconv.crf_tuning.search import SearchFolder, best, report, search, write_result
from globalconv.crf_tuning.search_settings import SEARCH, SearchSettings
from globalconv.crf_tuning.trials import coarse
from globalconv.crf_tuning.verdict import CrfVerdict
from globalconv.data.roots import Data, as_root, root_to_json
from globalconv.errors import InputError, StoppedError, print_line
from globalconv.hub.address import shown_path
from globalconv.infer.predictor import load
from globalconv.jobs.evaluate import open_scored
from globalconv.runtime.processes import usable_cores
from globalconv.weights import WEIGHTS_FILE, pinned_weights, weights_folder


def crf_search(
    weights: str | Path,
    data: Data,
    out: str | Path,
    settings: SearchSettings = SEARCH,
    resume: bool = False,
    workers: int | None = None,
    device: str = "auto",
) -> CrfVerdict:
    """Find the parameters of a CRF for `weights` on one part of `data`; return what they are worth on another.

    `out` receives `crf.json`, which `crf` takes, and all that a stopped search needs to go on with `resume`.
    `workers` processes refine images (None: one per core); `device` is the network's. Raises `InputError` for refused
    input, `StoppedError` where a signal stops it.
    """
    if workers is not None and workers < 1:
        raise InputError(f"`workers` {workers}: give at least 1")
    folder, weights, root = SearchFolder(Path(out)), pinned_weights(Path(weights)), as_root(data)
    predictor = load(weights, device, settings.precision, settings=settings.inference)

    # Two parts that share no image. Whatever has to be refused is refused here, before the work begins.
    searched = open_scored(predictor, root, settings.split, settings.layout)
    report_root = settings.report_data or root
    if settings.report_split is None and settings.report_data is None:
        searched, reported = halves(searched, settings.group_by)
    else:
        reported = open_scored(predictor, report_root, settings.report_split or settings.split, settings.layout)
        refuse_overlap(searched, reported)
    searched, report_groups = spread_over(searched, settings.images), groups(reported, settings.group_by)
    coarse(settings.grid)  # refuses values that no CRF takes
    if same_place(root, report_root):
        shared = sorted({*groups(searched, settings.group_by)} & {*report_groups})
        if shared:
            few = ", ".join(shared[:3]) + (", ..." if len(shared) > 3 else "")
            print_line(f"note        in both parts: group {few}; its images look alike, so the report flatters")

    # Everything that the result depends on; a search is resumed with the same settings only.
    weights_file = weights_folder(weights) / WEIGHTS_FILE
    depends_on = {
        "weights": shown_path(weights),
        "weights_sha256": hashlib.sha256(weights_file.read_bytes()).hexdigest(),
        "data": root_to_json(root),
        **settings.to_json(),
        "searched_on": names(searched),
        "reported_on": names(reported),
    }
    folder.begin(depends_on, resume)
    try:
        print_line(f"search      on {len(searched)} images: {searched.name}")
        trials = search(predictor, searched, folder, settings.grid, workers or usable_cores(), print_line)
        chosen, without_crf = best(trials[1:]), trials[0]
        print_line(f"report      on {len(reported)} others: {reported.name}")
        won_search = chosen.miou > without_crf.miou
        verdict = report(predictor, chosen.crf, reported, settings.group_by, won_search, folder, print_line)
        write_result(folder, depends_on, trials, verdict)
        return verdict
    except StoppedError as stopped:
        kept = f"what was tried is kept in {out}; the same command with `resume` goes on"
        raise StoppedError(f"{stopped}: {kept}", stopped.exit_code - 128) from None
    finally:
        folder.close()
