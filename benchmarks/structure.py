"""How the package is cut: files, names, circles, sizes of functions, and how many files a reader of two walks opens.

python benchmarks/structure.py [DIR ...] [--json] [--no-walks] [--list NAME ...]

NAME: basenames classes circles root short used-once helpers word long-functions long-files walks, or all. Functions and
files that are too long are always listed.

Every DIR is a checkout; several are shown side by side. Default is the checkout that this file lies in. What is static
is read from the source without importing it. No module of globalconv is named here, apart from the rooms `cli`, `jobs`,
`recipes` and `formats`, so that the same measure holds before and after a change of the house.

How it is counted:

- A shared basename is a name of several modules, `__init__` apart. `cli/X` and `jobs/X` are one name, that of a verb;
  files in `recipes/`, which are named by data set, are left out. A class counts wherever it is defined.
- An import circle is a strongly connected component of two or more modules. Every import statement counts, also below
  `TYPE_CHECKING` and in functions. `from a.b import c` leads to the module `a.b.c` where there is one, else to `a.b`;
  that Python runs `a/__init__.py` on the way does not count.
- A short module has fewer than 60 lines and is no `__init__`, format, recipe or verb.
- A function's lines go from `def` to its end, with its docstring and without its decorators. A body's lines go from its
  first statement behind the docstring to its end. Methods and inner functions are functions too.
- A private helper is an undecorated function of a module or method of a class whose name begins with one `_`, and no
  override that calls the method of its base class. Its uses are the places in the code of its module, f-strings
  included, that name it, and the imports of that name anywhere; strings and comments do not count, and of a method only
  `x._name` counts. So helpers of one name in several modules are kept apart.

The two walks are those of `walks.py`.
"""

import argparse
import ast
import json
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from walks import walks

PACKAGE = "globalconv"
SHORT_MODULE = 60
LONG_FUNCTION = 70
LONG_FILE = 400
SHORT_BODY = 2
TEXTS = (".py", ".md", ".j2", ".css", ".html")
"""Suffixes of the files that a word is looked for in."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    path: Path
    """Below the package's folder."""
    lines: int
    tree: ast.Module

    @property
    def dotted(self) -> str:
        """The name that imports use."""
        parts = self.path.with_suffix("").parts
        return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))

    @property
    def is_init(self) -> bool:
        return self.path.name == "__init__.py"

    def lies_in(self, *rooms: str) -> bool:
        return not set(rooms).isdisjoint(self.path.parts[:-1])

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@dataclass(frozen=True)
class Measure:
    """One row of the table: a figure, what it should be, and what it consists of."""

    value: float | str
    wanted: str = ""
    items: Sequence[str] = ()
    list_name: str = ""
    """Under which `--list` shows the items."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how checkouts of globalconv are cut.")
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="DIR", help="checkouts (default: this one)")
    parser.add_argument("--json", action="store_true", help="print measures and all lists as JSON")
    parser.add_argument("--no-walks", action="store_true", help="leave out what has to run the package")
    parser.add_argument("--list", action="append", default=[], metavar="NAME", help="print what a measure consists of")
    options = parser.parse_args()
    checkouts = options.checkouts or [Path(__file__).resolve().parent.parent]
    tables = {str(checkout): measures(checkout.resolve(), not options.no_walks) for checkout in checkouts}
    names = sorted({measure.list_name for table in tables.values() for measure in table.values()} - {""})
    if unknown := set(options.list) - {*names, "all"}:
        parser.error(f"--list {' '.join(sorted(unknown))}: choose from {', '.join(names)}, all")
    if options.json:
        print(json.dumps({name: to_json(table) for name, table in tables.items()}, indent=2))
        return
    print_table(tables)
    print_lists(tables, set(names) if "all" in options.list else {"long-functions", "long-files", *options.list})


def measures(checkout: Path, with_walks: bool) -> dict[str, Measure]:
    """Return every measure of a checkout, by what it is called in the table."""
    modules = read_package(checkout / "src" / PACKAGE)
    basenames, classes = shared_basenames(modules), shared_classes(modules)
    circles = import_circles(modules)
    root = [str(module.path) for module in modules if len(module.path.parts) == 1 and not module.is_init]
    functions = [(module, function) for module in modules for function in module.functions()]
    lengths = [length(function) for _, function in functions]
    bodies = [body_length(function) for _, function in functions]
    used_once, short_used_once = helpers_used_once(modules)
    long_functions = by_size((length(one), f"{module.path}:{one.lineno} {one.name}") for module, one in functions)
    long_files = by_size((module.lines, str(module.path)) for module in modules)
    word = {
        "src": count_word(files_below(checkout / "src" / PACKAGE), checkout),
        "docs and README": count_word([*files_below(checkout / "docs"), checkout / "README.md"], checkout),
        "tests": count_word(files_below(checkout / "tests"), checkout),
    }
    table = {
        "files": Measure(len(modules)),
        "lines of source": Measure(sum(module.lines for module in modules)),
        "lines of tests": Measure(sum(map(count_lines, (checkout / "tests").rglob("*.py")))),
        "shared module basenames": Measure(len(basenames), "0", basenames, "basenames"),
        "shared class names": Measure(len(classes), "0", classes, "classes"),
        "import circles": Measure(len(circles), "0", circles, "circles"),
        "modules in the root": Measure(len(root), "<= 5", root, "root"),
        f"modules below {SHORT_MODULE} lines": Measure(len(short := short_modules(modules)), "", short, "short"),
        "functions": Measure(len(lengths)),
        "lines of a function, median": Measure(statistics.median(lengths)),
        "lines of a function, 90th percentile": Measure(round(statistics.quantiles(lengths, n=10)[8], 1)),
        f"bodies of <= {SHORT_BODY} lines": Measure(f"{sum(one <= SHORT_BODY for one in bodies) / len(bodies):.1%}"),
        "private helpers used once": Measure(len(used_once), "", used_once, "used-once"),
        f"  of <= {SHORT_BODY} lines": Measure(len(short_used_once), "0", short_used_once, "helpers"),
        **{f"'picture' in {place}": Measure(sum(n for n, _ in found), "0", spelled(found), "word")
           for place, found in word.items()},
        f"functions over {LONG_FUNCTION} lines": listed_above(long_functions, LONG_FUNCTION, "long-functions"),
        f"files over {LONG_FILE} lines": listed_above(long_files, LONG_FILE, "long-files"),
    }  # fmt: skip
    if with_walks:
        image, option = walks(checkout)
        table["files on the walk of an image"] = Measure(len(image) or "failed", "<= 12", image, "walks")
        table["files on the walk of --optim.lr"] = Measure(len(option) or "failed", "<= 9", option, "walks")
    return table


def read_package(folder: Path) -> list[Module]:
    """Return all modules below `folder`, sorted by path."""
    paths = sorted(folder.rglob("*.py"))
    if not paths:
        raise SystemExit(f"{folder}: holds no module; name the root of a checkout")
    return [Module(path.relative_to(folder), count_lines(path), ast.parse(path.read_bytes())) for path in paths]


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def shared_basenames(modules: Sequence[Module]) -> list[str]:
    """Return a line for every basename of several modules; a verb's two files are one, recipes are none."""
    places: defaultdict[str, list[Module]] = defaultdict(list)
    for module in modules:
        if not module.is_init and not module.lies_in("recipes"):
            places[module.path.stem].append(module)
    return [
        f"{name}: {' '.join(str(module.path) for module in group)}"
        for name, group in sorted(places.items())
        if len({"verb" if module.path.parts[0] in ("cli", "jobs") else str(module.path) for module in group}) > 1
    ]


def shared_classes(modules: Sequence[Module]) -> list[str]:
    """Return a line for every class name that is defined more than once."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{module.path}:{node.lineno}")
    return [f"{name}: {' '.join(found)}" for name, found in sorted(places.items()) if len(found) > 1]


def short_modules(modules: Sequence[Module]) -> list[str]:
    """Return the modules that could join a neighbour, the shortest first."""
    rooms = ("cli", "jobs", "recipes", "formats")
    short = [one for one in modules if one.lines < SHORT_MODULE and not one.is_init and not one.lies_in(*rooms)]
    return [f"{module.lines:3} {module.path}" for module in sorted(short, key=lambda module: module.lines)]


def import_circles(modules: Sequence[Module]) -> list[str]:
    """Return a line for every strongly connected component of two or more modules, the largest first (Tarjan, 1972)."""
    known = {module.dotted for module in modules}
    imports = {module.dotted: sorted(imported(module, known) - {module.dotted}) for module in modules}
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_path: list[str] = []
    circles: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        open_path.append(name)
        for other in imports[name]:
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in open_path:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            start = open_path.index(name)
            if len(open_path) - start > 1:
                circles.append(sorted(open_path[start:]))
            del open_path[start:]

    for name in imports:
        if name not in order:
            visit(name)
    return [f"{len(circle)} modules: {' '.join(circle)}" for circle in sorted(circles, key=len, reverse=True)]


def imported(module: Module, known: set[str]) -> set[str]:
    """Return the modules that any import statement of `module` names."""
    package = module.dotted if module.is_init else module.dotted.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if full in known else base)
    return names & known


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def body_length(function: Function) -> int:
    """Return the lines from the first statement behind the docstring to the end; 0 if there is only a docstring."""
    body = function.body[ast.get_docstring(function, clean=False) is not None :]
    return (function.end_lineno or body[0].lineno) - body[0].lineno + 1 if body else 0


def helpers_used_once(modules: Sequence[Module]) -> tuple[list[str], list[str]]:
    """Return the private helpers that one place in the package uses, and those of them with a short body."""
    imports = Counter(
        alias.name
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    used_once: list[str] = []
    short: list[str] = []
    for module in modules:
        nodes = list(ast.walk(module.tree))
        names = Counter(node.id for node in nodes if isinstance(node, ast.Name))
        attributes = Counter(node.attr for node in nodes if isinstance(node, ast.Attribute))
        for function, is_method in private_helpers(module):
            name = function.name
            if attributes[name] + (0 if is_method else names[name] + imports[name]) == 1:
                line = f"{module.path}:{function.lineno} {name}"
                used_once.append(line)
                short += [line] if body_length(function) <= SHORT_BODY else []
    return used_once, short


def private_helpers(module: Module) -> Iterator[tuple[Function, bool]]:
    """Yield undecorated private functions of the module and methods of its classes, and whether each is a method."""
    classes = [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    owners: list[ast.Module | ast.ClassDef] = [module.tree, *classes]
    for owner in owners:
        for node in owner.body:
            if not isinstance(node, Function) or not re.match("_(?!_)", node.name) or node.decorator_list:
                continue
            if f"super().{node.name}(" not in ast.unparse(node):  # an override is called by the base class
                yield node, isinstance(owner, ast.ClassDef)


def by_size(sized: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return sizes with what has them, the largest first."""
    return sorted(sized, key=lambda one: (-one[0], one[1]))


def listed_above(sized: Sequence[tuple[int, str]], limit: int, list_name: str) -> Measure:
    above = [(size, name) for size, name in sized if size > limit]
    return Measure(len(above), "", spelled(above), list_name)


def spelled(sized: Iterable[tuple[int, str]]) -> list[str]:
    return [f"{size:4} {name}" for size, name in sized]


def files_below(folder: Path) -> list[Path]:
    """Return the text files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix in TEXTS)


def count_word(paths: Iterable[Path], checkout: Path) -> list[tuple[int, str]]:
    """Return how often each file says picture, in prose or in a name; files that do not are left out."""
    counts = ((len(re.findall("picture", path.read_text(encoding="utf-8"), re.IGNORECASE)), path) for path in paths)
    return by_size((count, str(path.relative_to(checkout))) for count, path in counts if count)


def to_json(table: Mapping[str, Measure]) -> dict[str, Any]:
    """Return figures, what they should be, and what they consist of."""
    return {
        name.strip(): {"value": measure.value, "wanted": measure.wanted or None, "items": list(measure.items)}
        for name, measure in table.items()
    }


def print_table(tables: Mapping[str, Mapping[str, Measure]]) -> None:
    """Print a row for every measure and a column for every checkout."""
    first = next(iter(tables.values()))
    rows = [["", *(Path(name).resolve().name for name in tables), "wanted"]]
    for name, measure in first.items():
        rows.append([name, *(str(table[name].value) for table in tables.values()), measure.wanted])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        figures = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([f"{name:<{widths[0]}}", *figures]).rstrip())


def print_lists(tables: Mapping[str, Mapping[str, Measure]], names: set[str]) -> None:
    """Print what the measures of these lists consist of, checkout by checkout."""
    for checkout, table in tables.items():
        for name, measure in table.items():
            if measure.list_name in names and measure.items:
                print(f"\n{Path(checkout).resolve().name}: {name.strip()}")
                print("\n".join(f"  {item}" for item in measure.items))


if __name__ == "__main__":
    main()
