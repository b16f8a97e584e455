"""The report as files: a page for the browser, Markdown, or both.

The report on all results: what agrees with the paper, what does not, and what cannot be told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.paper import paper_sections
from globalconv.paper.claims import CLAIMS, Verdict, verdict
from globalconv.paper.comparison import Comparison, clusters_of, comparisons, stages
from globalconv.paper.parts import Heading, Part, Text, as_html, as_markdown
from globalconv.paper.results import RunResult, read_results
from globalconv.paper.tables import TABLES
from globalconv.reports.page import check_page, write_page
from globalconv.runtime.files import write_text
from globalconv.training.recipe import flatten

Imaged = Mapping[str, Sequence[Part]]
"""Name of a data set -> more parts about it."""

TITLE = "The paper's tables, measured"

LEAD = (
    "The tables of Large Kernel Matters (Peng et al., CVPR 2017), trained again at the sizes below, beside the printed"
    " numbers. Its network is the Global Convolutional Network, GCN; BR is its Boundary Refinement. Written by"
    " globalconv paper report from the result files of the trainings."
)

HOW = (
    "Each claim of the paper is a sum of scores that should be above zero, computed from its numbers and from ours in"
    " the same way, with the same seeds in all of its parts. Intervals (95%) are over other seeds and other images;"
    " of videos, over clips or folds. A claim agrees where its interval is above zero, disagrees where it is below, and"
    " cannot be told otherwise. Of many such claims one in twenty may be decided by chance."
)


@dataclass(frozen=True)
class Dataset:
    """The results in one folder."""

    name: str
    results: Sequence[RunResult]

    @cached_property
    def comparisons(self) -> dict[str, list[Comparison]]:
        """Tables of which there is something of their own, the setting with the most results first."""
        found: dict[str, list[Comparison]] = {}
        shown: set[tuple[str, tuple[str, ...]]] = set()
        for name, table in TABLES.items():
            them = comparisons(table, self.results)
            rows = {(row.variant.name, table.scores) for one in them for row in one.rows if row.results}
            if not rows <= shown:  # Tables 2 and 3 repeat rows of Table 1
                found[name] = sorted(them, key=lambda one: -len(one.every_result))
                shown |= rows
        return found

    @property
    def chosen(self) -> dict[str, Comparison]:
        """Of each table the setting that claims are tested on."""
        return {name: them[0] for name, them in self.comparisons.items()}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        return [verdict(claim, self.chosen.get(claim.table)) for claim in CLAIMS]


def read_datasets(folders: Sequence[Path]) -> list[Dataset]:
    """Return the results of each folder; `InputError` where there are none."""
    found = []
    for folder in folders:
        results = list(read_results(folder).values())
        if not results:
            raise InputError(f"{folder}: holds no results; name the --results folder of globalconv paper table1 ...")
        found.append(Dataset(folder.resolve().name, results))
    names = [dataset.name for dataset in found]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"`results`: two folders are called {repeated[0]}; a data set has one folder")
    return found


def html(datasets: Sequence[Dataset], footer: str, images: Imaged) -> str:
    """Return the report as a page."""
    return as_html(TITLE, LEAD, _parts(datasets, images), footer)


def markdown(datasets: Sequence[Dataset]) -> str:
    """Return the report as Markdown."""
    return as_markdown(TITLE, LEAD, _parts(datasets, {}))


def _parts(datasets: Sequence[Dataset], images: Imaged) -> list[Part]:
    found: list[Part] = [Heading("In short"), Text(HOW)]
    found += paper_sections.summary({dataset.name: dataset.verdicts for dataset in datasets})
    for dataset in datasets:
        found += [*_dataset(dataset), *images.get(dataset.name, ())]
    return found


def _dataset(dataset: Dataset) -> list[Part]:
    every = [comparison for them in dataset.comparisons.values() for comparison in them]
    if not every:
        nothing = "No table of the paper has two of its rows here yet."
        return [Heading(dataset.name), Text(nothing), *paper_sections.cost(dataset.results)]
    measured = [verdict for verdict in dataset.verdicts if verdict.contrast]
    found: list[Part] = [Heading(dataset.name), Text(" ".join(_facts(dataset)), aside=False)]
    found += paper_sections.verdicts(measured) if measured else []
    found += paper_sections.plots(dataset.chosen)
    for comparison in every:
        found += [Heading(comparison.table.title, 3), *_setting(comparison, every), *paper_sections.table(comparison)]
    kernels = sorted({row.variant.k for c in every for row in c.rows if row.results and row.variant.k})
    return [*found, *paper_sections.padding(every[0].every_result[0], kernels), *paper_sections.cost(dataset.results)]


def _facts(dataset: Dataset) -> list[str]:
    """Return in sentences what was trained and scored."""
    comparison = next(iter(dataset.chosen.values()))
    result = next((result for result in comparison.every_result if not result.diverged), comparison.every_result[0])
    recipe, data = stages(result)[-1], result.data
    folds, seeds = comparison.rows[0].folds, len(comparison.seeds)
    split = (
        f"Each of {len(folds)} folds in turn is scored after training on the others"
        if len(folds) > 1
        else f"Trained on {data['train_images']} images ({data['train_split']}), scored on {data['val_images']}"
        f" ({data['val_split']})"
    )
    trained = (
        f"{split}; {len(data['class_names'])} classes, backbone {recipe['model']['backbone']}, crop"
        f" {result.crop[0]} x {result.crop[1]}, {result.steps} steps of {recipe['data']['batch_size']}"
        f" images, {seeds} {'seed' if seeds == 1 else 'seeds'}."
    )
    if result.diverged:
        return [trained, "Every training diverged."]
    region = f"{result.region['width']:g} pixels ({result.region['metric']})"
    last = "Scores are those of the last weights, never of the best ones on the validation split."
    return [trained, last, f"Boundary: within {region} of one.", _independent(result, folds)]


def _independent(result: RunResult, folds: Sequence[str]) -> str:
    """Return in a sentence what intervals draw anew."""
    if len(folds) > 1:
        names = ", ".join(fold.removesuffix(".val").rpartition("/")[2] for fold in folds)
        return f"Intervals are over {len(folds)} folds, each of trainings of its own, never over frames: {names}."
    clusters = len(set(clusters_of(result, one_of_several=False)))
    what = "images" if clusters == len(result.images) else "clips, never frames"
    return f"Intervals are over seeds and {clusters} {what}."


def _setting(comparison: Comparison, every: Sequence[Comparison]) -> list[Part]:
    """Return in what a comparison differs from others of its table."""
    alike = [other for other in every if other.table is comparison.table]
    if len(alike) < 2:
        return []
    known = [flatten(stages(other.every_result[0])[-1]) for other in alike]
    names = [name for name in known[0] if len({str(settings.get(name)) for settings in known}) > 1]
    mine = flatten(stages(comparison.every_result[0])[-1])
    compared = {f"model.{name}" for row in comparison.rows for name in row.variant.model} | {"seed"}
    told = [f"{name} {mine.get(name)}" for name in names if name not in compared]
    return [Text(f"Setting {alike.index(comparison) + 1} of {len(alike)}: {', '.join(told) or 'other stages'}.")]


def write_reports(
    folders: Sequence[Path],
    out: Path | None,
    text: Path | None,
    runs: Path | None = None,
    root: Root | None = None,
    occluders: int | None = None,
) -> list[Path]:
    """Write the report on the results in `folders` as the page `out`, as the Markdown `text`; return what was written.

    With `runs`, the folder of the trainings, the page has images of the data at `root` (None: the scenes), and
    with a number of `occluders` receptive fields as well.
    """
    if out is None and text is None:
        raise InputError("paper report: name a file to write, `out` FILE.html or `markdown` FILE.md")
    if occluders is not None and runs is None:
        raise InputError("`occluders`: measures trained networks; name the folder of the trainings, `runs` FOLDER")
    if occluders is not None and occluders < 1:
        raise InputError(f"`occluders` {occluders}: give at least 1; the paper's Figure 3 has about 5000")
    if out:
        check_page(out)
    datasets = read_datasets(folders)
    if out:
        images = {}
        if runs:
            from globalconv.paper.plots import figures  # loads networks

            images = figures(datasets, runs, root, occluders)
        made = f"globalconv {version('globalconv')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        write_page(out, html(datasets, made, images))
    if text:
        text.parent.mkdir(parents=True, exist_ok=True)
        write_text(text, markdown(datasets))
    return [path for path in (out, text) if path]
