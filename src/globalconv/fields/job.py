"""`globalconv vrf` as a function: pictures and networks in files, Figure 3 in a file, the areas in return."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from globalconv.data.images import opened, read_image
from globalconv.fields.figure import check_picture, figure, write_picture
from globalconv.fields.measure import Field, OnBatch, Uint8Array, measure_fields
from globalconv.fields.settings import OCCLUSION, FieldSettings
from globalconv.infer.predictor import load
from globalconv.progress import Progress
from globalconv.reporting.runs import run_names


@dataclass(frozen=True)
class Found:
    """The fields of one pixel: of each network at each scale."""

    at: tuple[int, int]
    """Column X and row Y."""
    settings: FieldSettings
    fields: tuple[Field, ...]

    def to_json(self) -> dict[str, Any]:
        x, y = self.at
        return {"at": {"x": x, "y": y}, **self.settings.to_json(), "fields": [field.to_json() for field in self.fields]}

    def table(self) -> str:
        """Return the areas as a table for a terminal."""
        rows = [("network", "scale", "picture", "score of", "field", "of picture", "side", "of object"), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join(
            [*lines, "field in pixels, side = its square root; of object = how much of the object it holds"]
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for one in self.fields:
            height, width = one.region.shape
            held = "-" if one.held is None else f"{one.held:.1%}"
            share = one.pixels / one.region.size
            yield (
                one.name, f"{one.scale:g}", f"{width}x{height}", one.class_name, f"{one.pixels:,}", f"{share:.1%}",
                f"{one.pixels**0.5:.0f}", held,
            )  # fmt: skip


def draw_fields(
    weights: Sequence[str | Path],
    image: str | Path,
    at: tuple[int, int],
    out: str | Path,
    settings: FieldSettings = OCCLUSION,
    class_name: str | None = None,
    label_map: str | Path | None = None,
    device: str = "auto",
) -> Found:
    """Measure what the score of the pixel `at` (X, Y) rests on in each network, and write it to `out` as Figure 3.

    `weights` are run folders, `image` and `label_map` files; see `measure_fields`. Raises `InputError` for whatever is
    missing or refused, before anything is computed.
    """
    check_picture(Path(out))
    pixels = read_image(Path(image))
    values = None if label_map is None else _values(Path(label_map))
    folders = [Path(folder) for folder in weights]
    predictors = {
        name: load(folder, device, "float32") for name, folder in zip(run_names(folders), folders, strict=True)
    }
    with _told() as tell:
        fields = measure_fields(predictors, pixels, at[::-1], settings, class_name, values, tell)
    write_picture(Path(out), figure(fields))
    return Found(at, settings, tuple(fields))


def _values(path: Path) -> Uint8Array:
    """Return a label map or mask as it is stored: indices (H, W) or colours (H, W, 3)."""
    with opened(path) as picture:
        return np.asarray(picture if picture.mode in ("L", "P", "1") else picture.convert("RGB"))


@contextmanager
def _told() -> Iterator[OnBatch]:
    """Give a function that shows the progress of one measurement after the other."""
    shown: dict[str, Progress] = {}
    with ExitStack() as current:

        def on_batch(title: str, done: int, total: int) -> None:
            if title not in shown:
                current.close()
                shown[title] = current.enter_context(Progress(title, total, "copies"))
            shown[title].update(done)

        yield on_batch
