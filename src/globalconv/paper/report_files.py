"""The report as files: a page for the browser, Markdown, or both."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from globalconv.data.roots import Root
from globalconv.errors import InputError
from globalconv.files import write_text
from globalconv.paper.report import html, markdown, read_datasets
from globalconv.show.page import check_page, write_page


def write_reports(
    folders: Sequence[Path],
    out: Path | None,
    text: Path | None,
    runs: Path | None = None,
    root: Root | None = None,
    occluders: int | None = None,
) -> list[Path]:
    """Write the report on the results in `folders` as the page `out`, as the Markdown `text`; return what was written.

    With `runs`, the folder of the trainings, the page has pictures of the data at `root` (None: the scenes), and
    with a number of `occluders` receptive fields as well.
    """
    if out is None and text is None:
        raise InputError("paper report: name a file to write, --out FILE.html or --markdown FILE.md")
    if occluders is not None and runs is None:
        raise InputError("--occluders: measures trained networks; name the folder of the trainings, --runs FOLDER")
    if occluders is not None and occluders < 1:
        raise InputError(f"--occluders {occluders}: give at least 1; the paper's Figure 3 has about 5000")
    if out:
        check_page(out)
    datasets = read_datasets(folders)
    if out:
        pictures = {}
        if runs:
            from globalconv.paper.pictures import figures  # loads networks

            pictures = figures(datasets, runs, root, occluders)
        made = f"globalconv {version('globalconv')}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        write_page(out, html(datasets, made, pictures))
    if text:
        text.parent.mkdir(parents=True, exist_ok=True)
        write_text(text, markdown(datasets))
    return [path for path in (out, text) if path]
