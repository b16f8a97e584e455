"""Write docs/benchmarks.md, docs/reproduction.md and README's results from the committed JSON: no figure is typed.

python benchmarks/table.py
"""

import json
from pathlib import Path
from typing import Any

import goals
from common import machine

from globalconv.paper.paper_report import read_results_of_datasets, report_markdown

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
MARKS = ("<!-- results -->", "<!-- end of results -->")
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PAPER = RESULTS / "paper"
"""A folder for each data set on which the paper's tables were made."""
REPRODUCTION = ROOT / "docs" / "reproduction.md"
INTRODUCTION = """# Benchmarks

What is fast here and what is not, as found. Every section names its command; results go to `benchmarks/results/`, and
`python benchmarks/table.py` writes this page from them. `make bench` runs those that take minutes and need neither
trained weights nor a compiler. Cases of one table were measured in turns in one run; the ratio is between medians,
against the first case.
"""


def page(results: Path = RESULTS) -> str:
    """Return the whole page as markdown."""
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))}
    aims = [f"## Wanted and measured: {name}\n\n{table(rows)}" for name, rows in goals.tables(reports).items()]
    return "\n".join([INTRODUCTION, *aims, *map(section, reports.values())])


def section(report: dict[str, Any]) -> str:
    """Return one benchmark: its command, hardware (where it is one for all rows), settings, and its tables."""
    head = f"`{report['command']}`"
    if facts := report.get("hardware"):
        head += f" on {machine(facts)}, torch {facts['torch']}, Python {facts['python']}"
    if report["settings"]:
        head += "\n\n" + ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    tables = [f"## {name}\n\n{head}\n\n{table(rows)}" for name, rows in report["tables"].items()]
    return "\n".join(tables)


def readme(results: Path = RESULTS) -> str:
    """Return README with its results between the two marks made anew: the scores on real data."""
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    reports = [json.loads(path.read_text()) for path in sorted(results.glob("accuracy-*.json"))]
    return before + MARKS[0] + "\n" + "\n".join(map(scores, reports)) + MARKS[1] + after


def scores(report: dict[str, Any]) -> str:
    """Return one experiment's scores: its command and a short table."""
    shown = ("case", "miou", "steps", "wall_minutes", "machine")
    rows = [{name: row[name] for name in shown} for rows in report["tables"].values() for row in rows]
    return f"`{report['command']}`\n\n{table(rows)}"


def reproduction(results: Path = PAPER) -> str:
    """Return the report on the paper's tables, as `globalconv paper report --results benchmarks/results/paper/*`."""
    return report_markdown(read_results_of_datasets(sorted(path for path in results.iterdir() if path.is_dir())))


def table(rows: list[dict[str, Any]]) -> str:
    """Return `rows` as a markdown table."""
    lines = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *(["" if cell is None else str(cell) for cell in row.values()] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    pages = {DOCUMENT: page(), README: readme()} | ({REPRODUCTION: reproduction()} if PAPER.is_dir() else {})
    for path, text in pages.items():
        path.write_text(text)
        print(f"written: {path}")
