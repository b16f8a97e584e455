"""Whether a trained network scores the same in its faster form.

    python benchmarks/optimised.py RUN [--data FOLDER]

mIoU of a run's best weights on what it was validated on, as written and in the form that `predict` computes with, in
float32 and in bfloat16; `points` is the difference of the two forms. Without --data the run's own notes say where its
data are.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from common import print_rows, write_results

import globalconv
from globalconv.reports.history import recorded_data
from globalconv.runtime.memory import keep_freed_memory


@dataclass(frozen=True)
class Settings:
    run: Annotated[Path, tyro.conf.Positional]
    data: Path | None = None


def main(settings: Settings) -> None:
    data = settings.data or recorded_data([settings.run])
    rows = [row(settings.run, data, precision) for precision in ("float32", "bfloat16")]
    print_rows(f"mIoU of {settings.run.name}", rows)
    write_results("optimised", "cpu", {"run": settings.run.name}, {"mIoU in the faster form": rows})


def row(run: Path, data: Any, precision: str) -> dict[str, Any]:
    """Return the scores of both forms in one precision."""
    plain, fast = (
        globalconv.evaluate(globalconv.load(run, "cpu", precision, optimise=optimise), data).miou
        for optimise in (False, True)
    )
    return {
        "precision": precision,
        "as written": round(plain, 5),
        "optimised": round(fast, 5),
        "points": round(100 * (fast - plain), 3),
    }


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    main(tyro.cli(Settings, description=__doc__))
