"""`globalconv paper TABLE ...`: the paper's tables, measured, beside the printed numbers."""

from globalconv.cli import paper_report
from globalconv.errors import InputError, suggest
from globalconv.paper.tables import RANKINGS, TABLES, ranking_text
from globalconv.runtime.signals import StopRequest

USAGE = """usage: globalconv paper TABLE ... [--recipe NAME] [--data PATH] [--seeds N] [--budget STEPS] [--FIELD V ...]

{tables}
  report   all results as a page: what agrees with the paper, what does not, and what cannot be told

Several tables share their runs. globalconv paper table1 --help lists all options; docs/paper-tables.md is the guide.
"""


def run(arguments: list[str], stop: StopRequest) -> int:
    """Make what the tables lack, and print them."""
    if not arguments or arguments[0] in ("-h", "--help"):
        titles = {name: table.title for name, table in (TABLES | RANKINGS).items()}
        lines = (f"  {name:<8} {titles[name]}" for name in sorted(titles, key=lambda name: int(name[5:])))
        print(USAGE.format(tables="\n".join(lines)), end="")
        return 0
    if arguments[0] == "report":
        return paper_report.run(arguments[1:])
    names, options = _split(arguments)
    measured = [name for name in names if name in TABLES]
    if options and not measured:
        raise InputError(f"paper {' '.join(names)}: is printed and takes no options; leave out {options[0]}")
    for name in names:
        if name in RANKINGS:
            print(ranking_text(RANKINGS[name]))
    if measured:
        from globalconv.cli.paper_tables import measure  # loads torch

        measure(measured, options, stop)
    return 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of tables, each once, and the options behind them."""
    count = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names = list(dict.fromkeys(arguments[:count]))
    if unknown := [name for name in names or arguments[:1] if name not in TABLES | RANKINGS]:
        raise InputError(f"paper {unknown[0]}: name a table first; {suggest(unknown[0], TABLES | RANKINGS)}")
    return names, arguments[count:]
