"""`globalconv crf-search WEIGHTS --data PATH --out FOLDER`: the parameters of a CRF, and whether to use one at all."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from globalconv.cli.options import DataOption, read_options
from globalconv.crf_tuning.search_settings import SEARCH, SearchSettings
from globalconv.data.roots import parse_data
from globalconv.errors import as_options
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class CrfSearchOptions:
    """Options of `globalconv crf-search`."""

    weights: tyro.conf.Positional[Path]
    """Run folder, folder with weights.safetensors and model.json, hf://USER/NAME, or a file of `globalconv export`."""
    out: Path
    """Folder to make for crf.json and the trials (with --resume: to go on with)."""
    data: DataOption = ()
    """Root of the data set, or voc=PATH sbd=PATH ...; the built-in scenes need none."""
    resume: bool = False
    """Go on where the search in --out stopped."""
    workers: int | None = None
    """Processes that refine images; one per core where not given."""
    device: str = "auto"
    """The network's: auto, cpu, cuda, mps or cuda:N."""
    settings: tyro.conf.OmitArgPrefixes[SearchSettings] = SEARCH


def run(arguments: list[str], stop: StopRequest) -> int:
    """Search, and print the verdict; the last line says whether to use a CRF."""
    options = read_options(CrfSearchOptions, "crf-search", arguments, "Find the parameters of a CRF for a network.")
    with fast_imports():
        from globalconv.jobs.crf_search import crf_search

    verdict = crf_search(
        options.weights,
        parse_data(options.data),
        options.out,
        options.settings,
        options.resume,
        options.workers,
        options.device,
    )
    print_text(f"written     {options.out / 'crf.json'}")
    if verdict.word == "use it":
        weights, crf = shlex.quote(str(options.weights)), shlex.quote(str(options.out / "crf.json"))
        print_text(f"next        globalconv predict {weights} IMAGE --out FOLDER --crf {crf}")
    print_text(as_options("\n".join(verdict.lines())))
    return 0
