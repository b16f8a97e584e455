"""What a number of scenes costs: drawn as a training streams them, or written as a folder.

python benchmarks/scenes.py
"""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import tyro
from common import compare, measure, print_rows, write_results

from globalconv.data.scenes.scene import SceneSource
from globalconv.data.scenes.writing import SceneSet, write_scenes
from globalconv.runtime.processes import usable_cores


@dataclass(frozen=True)
class Settings:
    scenes: int = 1000
    repeats: int = 3


def draw(count: int) -> None:
    source = SceneSource(count)
    for index in range(count):
        source.image(index), source.label_map(index)


def write(count: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_scenes(Path(folder), SceneSet(count, 0), workers)


def main(settings: Settings) -> None:
    cases: dict[str, Callable[[], object]] = {"drawn, one process": partial(draw, settings.scenes)}
    for workers in sorted({1, usable_cores()}):
        cases[f"written, workers = {workers}"] = partial(write, settings.scenes, workers)
    rows = compare(measure(cases, settings.repeats, warmup=0), "drawn, one process")
    print_rows("scenes of 192x192", rows)
    write_results("scenes", "cpu", asdict(settings), {"scenes of 192x192": rows})


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
