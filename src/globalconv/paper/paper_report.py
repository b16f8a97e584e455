"""The report on all results: which of the paper's claims agree, which do not, and which are inconclusive.

Written once as sections of plain data, which are rendered as a page and, without plots and images, as Markdown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from globalconv.errors import InputError, suggest
from globalconv.paper.claims import CLAIMS, TestedClaim, evaluate_claim
from globalconv.paper.measured_tables import MeasuredTable, clusters_of, measured_tables, stages_of_result
from globalconv.paper.paper_sections import (
    UNBROKEN,
    claims_table,
    cost_blocks,
    padding_blocks,
    plot_blocks,
    summary_blocks,
    table_blocks,
)
from globalconv.paper.results import RunResult, read_results
from globalconv.paper.tables import TABLES
from globalconv.reports.page import Block, Note, Section, Subheading, Table, Text, render_page
from globalconv.runtime.text import one_line
from globalconv.training.recipe import flatten

TITLE = "The paper's tables, measured"

LEAD = (
    "The tables of Large Kernel Matters (Peng et al., CVPR 2017), trained again at the sizes below, beside the printed"
    " numbers. Its network is the Global Convolutional Network, GCN; BR is its Boundary Refinement. Written by"
    " globalconv paper report from the result files of the trainings."
)

METHOD = (
    "Each claim of the paper is a sum of scores that should be above zero, computed from its numbers and from ours in"
    " the same way, with the same seeds in all of its parts. Intervals (95%) are over other seeds and other images;"
    " of videos, over clips or folds. A claim agrees where its interval is above zero, disagrees where it is below, and"
    " is inconclusive otherwise. Of many such claims one in twenty may be decided by chance."
)


@dataclass(frozen=True)
class DatasetResults:
    """The results in one folder, which are of one data set."""

    name: str
    results: Sequence[RunResult]
    classes: tuple[int, ...] = ()
    """Those that the mean IoU is over; all where there are none."""

    @cached_property
    def tables(self) -> dict[str, list[MeasuredTable]]:
        """Tables with a row that no table before has, each in its settings, the one with the most results first."""
        tables: dict[str, list[MeasuredTable]] = {}
        rows_before: set[tuple[str, tuple[str, ...]]] = set()
        for name, table in TABLES.items():
            settings = measured_tables(table, self.results, self.classes)
            rows = {(row.variant.name, table.scores) for one in settings for row in one.rows if row.results}
            if not rows <= rows_before:  # Tables 2 and 3 repeat rows of Table 1
                tables[name] = sorted(settings, key=lambda one: -len(one.all_results))
                rows_before |= rows
        return tables

    @property
    def main_tables(self) -> dict[str, MeasuredTable]:
        """Each table in the setting on which claims are tested."""
        return {name: settings[0] for name, settings in self.tables.items()}

    @cached_property
    def tested_claims(self) -> list[TestedClaim]:
        return [evaluate_claim(claim, self.main_tables.get(claim.table)) for claim in CLAIMS]


def read_results_of_datasets(folders: Sequence[Path], class_names: Sequence[str] = ()) -> list[DatasetResults]:
    """Return the results of each folder; `InputError` where there are none.

    Mean IoUs are over the classes of these names on the data sets that have them all, and over all classes on others.
    `InputError` where no data set has them, or one is named twice and would count twice.
    """
    if repeated := [name for name in class_names if class_names.count(name) > 1]:
        raise InputError(f"`classes` {one_line(repeated[0])}: is named twice; name each class once")
    datasets = []
    for folder in folders:
        results = list(read_results(folder).values())
        if not results:
            raise InputError(f"{folder}: holds no results; name the `results` folder of globalconv paper table1 ...")
        names: list[str] = results[0].data["class_names"]
        classes = tuple(map(names.index, class_names)) if set(class_names) <= set(names) else ()
        datasets.append(DatasetResults(folder.resolve().name, results, classes))
    if class_names and not any(dataset.classes for dataset in datasets):
        unknown = next((name for name in class_names if name not in names), class_names[0])
        raise InputError(f"`classes` {one_line(unknown)}: {suggest(unknown, names)}")
    folder_names = [dataset.name for dataset in datasets]
    if repeated := [name for name in folder_names if folder_names.count(name) > 1]:
        raise InputError(f"`results`: two folders are called {repeated[0]}; a data set has one folder")
    return datasets


def report_html(datasets: Sequence[DatasetResults], figures: Mapping[str, Sequence[Block]], footer: str) -> str:
    """Return the report as a page; `figures` are further blocks on a data set, by its name."""
    return render_page(TITLE, LEAD, _sections(datasets, figures), footer)


def report_markdown(datasets: Sequence[DatasetResults]) -> str:
    """Return the report as Markdown, with the same sentences and tables."""
    paragraphs = [f"# {TITLE}", LEAD]
    for section in _sections(datasets, {}):
        paragraphs.append(f"## {section.title}")
        for block in section.blocks:
            match block:
                case Subheading(words):
                    paragraphs.append(f"### {words}")
                case Text(words) | Note(words):
                    paragraphs.append(words)
                case Table(columns, rows):
                    lines = [[row.name, *map(str, row.cells)] for row in rows]
                    header = ["", *columns] if columns else [""] * len(lines[0])
                    lines = [header, ["---"] * len(header), *lines]
                    cells = (" | ".join(cell.replace("|", "/") for cell in line) for line in lines)
                    paragraphs.append("\n".join(f"| {line} |" for line in cells))
    return "\n\n".join(paragraphs).replace(UNBROKEN, " ") + "\n"


def _sections(datasets: Sequence[DatasetResults], figures: Mapping[str, Sequence[Block]]) -> list[Section]:
    summary = summary_blocks({dataset.name: dataset.tested_claims for dataset in datasets})
    for dataset in datasets:
        if dataset.classes:  # told before the verdicts, which depend on it
            names = dataset.results[0].data["class_names"]
            counted = ", ".join(names[place] for place in dataset.classes)
            words = (
                f"mIoU on {dataset.name} is the mean over {len(dataset.classes)} of {len(names)} classes: {counted}."
            )
            summary.insert(0, Note(words))
    sections = [Section("In short", [Note(METHOD), *summary])]
    for dataset in datasets:
        tables = [table for settings in dataset.tables.values() for table in settings]
        blocks: list[Block] = []
        if tables:
            blocks.append(Text(_describe(next(iter(dataset.main_tables.values())))))
            if measured := [claim for claim in dataset.tested_claims if claim.contrast]:
                blocks.append(claims_table(measured))
            blocks += plot_blocks(dataset.main_tables)
            for settings in dataset.tables.values():
                for number, table in enumerate(settings, 1):
                    blocks.append(Subheading(table.table.title))
                    if len(settings) > 1:
                        fields = _differing_fields(table, settings)
                        blocks.append(Note(f"Setting {number} of {len(settings)}: {fields}."))
                    blocks += table_blocks(table)
            kernels = {row.variant.k for table in tables for row in table.rows if row.results and row.variant.k}
            blocks += padding_blocks(tables[0].all_results[0], sorted(kernels))
        else:
            blocks.append(Note("No table of the paper has two of its rows here yet."))
        blocks += [*cost_blocks(dataset.results), *figures.get(dataset.name, ())]
        sections.append(Section(dataset.name, blocks))
    return sections


def _describe(table: MeasuredTable) -> str:
    """Return in sentences what was trained and scored, and what the intervals are over."""
    result = next((result for result in table.all_results if not result.diverged), table.all_results[0])
    stage, data = stages_of_result(result)[-1], result.data
    folds, seeds = table.rows[0].folds, len(table.seeds)
    if len(folds) > 1:
        split = f"Each of {len(folds)} folds in turn is scored after training on the others"
    else:
        split = (
            f"Trained on {data['train_images']} images ({data['train_split']}), scored on {data['val_images']}"
            f" ({data['val_split']})"
        )
    trained = (
        f"{split}; {len(data['class_names'])} classes, backbone {stage['model']['backbone']}, crop"
        f" {result.crop[0]} x {result.crop[1]}, {result.steps} steps of {stage['data']['batch_size']}"
        f" images, {seeds} {'seed' if seeds == 1 else 'seeds'}."
    )
    if result.diverged:
        return f"{trained} Every training diverged."
    if len(folds) > 1:
        names = ", ".join(fold.removesuffix(".val").rpartition("/")[2] for fold in folds)
        units = f"{len(folds)} folds, each of trainings of its own, never over frames: {names}"
    else:
        clusters = len(set(clusters_of(result, is_fold=False)))
        units = f"seeds and {clusters} {'images' if clusters == len(result.images) else 'clips, never frames'}"
    return (
        f"{trained} Scores are those of the last weights, never of the best ones on the validation split."
        f" Boundary: within {result.region['width']:g} pixels ({result.region['metric']}) of one."
        f" Intervals are over {units}."
    )


def _differing_fields(table: MeasuredTable, settings: Sequence[MeasuredTable]) -> str:
    """Return the fields, with their values, in which a table differs from its other settings."""
    recipes = [flatten(stages_of_result(other.all_results[0])[-1]) for other in settings]
    recipe = flatten(stages_of_result(table.all_results[0])[-1])
    compared = {f"model.{name}" for row in table.rows for name in row.variant.model} | {"seed"}
    differing = [
        f"{name} {recipe.get(name)}"
        for name in recipes[0]
        if name not in compared and len({str(other.get(name)) for other in recipes}) > 1
    ]
    return ", ".join(differing) or "other stages"
