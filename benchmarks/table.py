"""Write docs/benchmarks.md and README's results from the committed JSON, so that no figure in them is typed by hand.

python benchmarks/table.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
MARKS = ("<!-- results -->", "<!-- end of results -->")
DOCUMENT = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

What is fast here and what is not, as found. `make bench` measures everything anew into `benchmarks/results/`, a file
per benchmark and hardware, and writes this page from those files. Cases of one table were measured in turns in one
run; the ratio is between medians, against the first case.
"""


def page(results: Path = RESULTS) -> str:
    """Return the whole page as markdown."""
    reports = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    return "\n".join([INTRODUCTION, *(section(report) for report in reports)])


def section(report: dict[str, Any]) -> str:
    """Return one benchmark: its command, hardware and settings, and its tables."""
    facts = report["hardware"]
    machine = f"{facts.get('gpu') or facts['cpu']}, {facts['threads']} threads on {facts['cores']} cores"
    settings = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    head = f"`{report['command']}` on {machine}, torch {facts['torch']}, Python {facts['python']}\n\n{settings}\n"
    tables = [f"## {name}\n\n{head}\n{table(rows)}" for name, rows in report["tables"].items()]
    return "\n".join(tables)


def readme(results: Path = RESULTS) -> str:
    """Return README with its results between the two marks made anew: the scores on real data."""
    before, _, rest = README.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    reports = [json.loads(path.read_text()) for path in sorted(results.glob("accuracy-*.json"))]
    return before + MARKS[0] + "\n" + "\n".join(map(scores, reports)) + MARKS[1] + after


def scores(report: dict[str, Any]) -> str:
    """Return one experiment's scores: its command, hardware and a short table."""
    facts = report["hardware"]
    rows = [
        {name: row[name] for name in ("case", "miou", "steps")} for rows in report["tables"].values() for row in rows
    ]
    machine = f"{facts.get('gpu') or facts['cpu']}, {facts['threads']} of {facts['cores']} cores"
    return f"`{report['command']}` ({machine})\n\n{table(rows)}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return `rows` as a markdown table."""
    lines = [
        list(rows[0]),
        ["---"] * len(rows[0]),
        *(["" if cell is None else str(cell) for cell in row.values()] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for path, text in ((DOCUMENT, page()), (README, readme())):
        path.write_text(text)
        print(f"written: {path}")
