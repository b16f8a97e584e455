"""Scenes as an ordinary folder data set: `images/SPLIT/NAME.png`, `labels/SPLIT/NAME.png`, `classes.json`.

`scenes.json` beside them holds the settings of the set, so that a call that was stopped goes on where it ended.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from globalconv.arrays import Uint8Array
from globalconv.data.scenes.scene import SCENES, SIZE, SPLITS, Dial, draw_scene
from globalconv.errors import InputError
from globalconv.runtime.files import write_atomic, write_json
from globalconv.runtime.processes import map_in_processes, usable_cores

SMALLEST, LARGEST = 48, 4096
"""Sides of a scene: below, a fork has no tines any more; above, one image takes gigabytes."""


@dataclass(frozen=True)
class SceneSet:
    """A data set of scenes: how many, how large, and the setting of the dial."""

    train: int = 1000
    val: int = 100
    size: int = SIZE
    dial: Dial = field(default_factory=Dial)
    seed: int = 0
    """Sets of different seeds share no scene; seed 0 begins with those that are built in."""

    def __post_init__(self) -> None:
        for option, count, least in (("`train`", self.train, 1), ("`val`", self.val, 0), ("`seed`", self.seed, 0)):
            if count < least:
                raise InputError(f"{option} {count}: give at least {least}")
        if not SMALLEST <= self.size <= LARGEST:
            raise InputError(f"`size` {self.size}: scenes are {SMALLEST} to {LARGEST} pixels a side")
        self.dial.check(self.size)

    def __len__(self) -> int:
        return self.train + self.val

    def draw(self, split: str, index: int) -> tuple[Uint8Array, Uint8Array]:
        """Return image and label map of one scene; the built-in streams are numbered 1 and 2, those after them on."""
        stream = SPLITS[split][1] + len(SPLITS) * self.seed
        return draw_scene(stream, index, self.size, self.dial)


def write_scenes(
    out: Path, scenes: SceneSet, workers: int | None = None, on_progress: Callable[[int, int], object] | None = None
) -> None:
    """Write the data set `scenes` into the folder `out`, with `workers` processes (None: one per core).

    `InputError` where `out` holds anything but the beginnings of the same set.
    """
    settings_file, settings = out / "scenes.json", asdict(scenes)
    if out.exists() and not out.is_dir():
        raise InputError(f"`out` {out}: is a file; name a folder")
    if out.is_dir() and any(out.iterdir()):
        try:
            begun = json.loads(settings_file.read_text())
        except (OSError, ValueError):
            begun = None
        if begun != settings:
            raise InputError(f"`out` {out}: is not empty, and holds no beginning of these scenes; name a new folder")
    for split in ("train", *(["val"] if scenes.val else [])):
        for kind in ("images", "labels"):
            (out / kind / split).mkdir(parents=True, exist_ok=True)
    write_json(settings_file, settings)
    classes = zip(SCENES.class_names, SCENES.palette, strict=True)
    entries = [{"name": name, "index": i, "color": list(colour)} for i, (name, colour) in enumerate(classes)]
    write_json(out / "classes.json", entries)

    places = [("train", index) for index in range(scenes.train)] + [("val", index) for index in range(scenes.val)]
    missing = [place for place in places if not _file(out, "labels", *place).exists()]
    count = min(workers or usable_cores(), len(missing))
    write = partial(_write_scene, out, scenes)
    name = "{0[0]} scene {0[1]}".format
    written = map(write, missing) if count <= 1 else map_in_processes(write, missing, count, name)
    for done, _ in enumerate(written, start=len(places) - len(missing) + 1):
        if on_progress is not None:
            on_progress(done, len(places))


def _file(out: Path, kind: str, split: str, index: int) -> Path:
    return out / kind / split / f"scene-{index:05d}.png"


def _write_scene(out: Path, scenes: SceneSet, place: tuple[str, int]) -> None:
    """Write one scene, (split, index): the label map last, so that where it is, both are."""
    image, label_map = scenes.draw(*place)
    mask = Image.fromarray(label_map)
    mask.putpalette(np.array(SCENES.colour_table(), np.uint8).tobytes())
    write_atomic(_file(out, "images", *place), lambda file: Image.fromarray(image).save(file, "PNG"))
    write_atomic(_file(out, "labels", *place), lambda file: mask.save(file, "PNG"))
