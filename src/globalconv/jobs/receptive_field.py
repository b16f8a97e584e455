"""`globalconv vrf` and `globalconv advise` as functions: files in, Figure 3 in a file, numbers in return."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from globalconv.arrays import Uint8Array
from globalconv.data.datasets import open_source
from globalconv.data.images import open_image, read_image
from globalconv.data.roots import Data, as_root
from globalconv.errors import InputError
from globalconv.infer.predictor import load
from globalconv.model.network import GlobalConvNet, ImageNetwork
from globalconv.receptive_field.advice import Advice, candidate, objects_of, some_images
from globalconv.receptive_field.field_settings import OCCLUSION, FieldSettings
from globalconv.receptive_field.figure3 import Field, batch_progress, check_image, figure, measure_fields, write_image
from globalconv.reports.findings import run_names
from globalconv.runtime.devices import choose_device
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import align_columns
from globalconv.weights import load_weights


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
        rows = [("network", "scale", "image", "score of", "field", "of image", "side", "of object"), *self._rows()]
        legend = "field in pixels, side = its square root; of object = how much of the object it holds"
        return "\n".join([*align_columns(rows), legend])

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
    check_image(Path(out))
    pixels = read_image(Path(image))
    values = None if label_map is None else _values(Path(label_map))
    folders = [Path(folder) for folder in weights]
    predictors = {
        name: load(folder, device, "float32") for name, folder in zip(run_names(folders), folders, strict=True)
    }
    with batch_progress() as on_batch:
        fields = measure_fields(predictors, pixels, at[::-1], settings, class_name, values, on_batch)
    write_image(Path(out), figure(fields))
    return Found(at, settings, tuple(fields))


def advise(
    data: Data,
    weights: Sequence[str | Path] = (),
    kernel_sizes: Sequence[int] = (1, 3, 7, 15, 25),
    backbone: str = "resnet18",
    split: str = "train",
    layout: str | None = None,
    maps: int = 500,
    images: int = 4,
    seed: int = 0,
    device: str = "auto",
) -> Advice:
    """Return which share of the pixels of `data` lies in objects that the fields of networks can hold, and the cost.

    The networks are those of `weights` (run folders); without any, untrained ones over `backbone`, one for each of
    `kernel_sizes`. Objects are looked for in at most `maps` label maps, fields are measured at the middle of `images`
    images (gradients of all classes). `InputError` for whatever is missing or refused.
    """
    if data is None and layout != "scenes":
        raise InputError("`data` is missing: name the root of the data set (or `layout` scenes for the built-in ones)")
    source = open_source(as_root(data), split, layout)
    objects, samples = objects_of(source, maps), some_images(source, images)
    chosen = choose_device(device)
    networks = _saved(weights) if weights else _fresh(source.labels.num_classes, backbone, kernel_sizes, seed)
    found = []
    with Progress("measured", len(weights or kernel_sizes), "networks") as progress:
        for done, (name, network) in enumerate(networks, 1):
            moved = [images_13HW.to(chosen) for images_13HW in samples]
            found.append(candidate(name, network.to(chosen), network.settings["kernel_size"], moved, objects))
            progress.update(done)
    ordered = tuple(sorted(found, key=lambda one: one.side))
    return Advice(source.name, min(maps, len(source)), len(samples), objects, ordered, bool(weights))


def _saved(weights: Sequence[str | Path]) -> Iterator[tuple[str, ImageNetwork]]:
    folders = [Path(folder) for folder in weights]
    for name, folder in zip(run_names(folders), folders, strict=True):
        yield name, load_weights(folder).network


def _fresh(classes: int, backbone: str, sizes: Sequence[int], seed: int) -> Iterator[tuple[str, GlobalConvNet]]:
    """Yield untrained networks, all of one seed; a kernel of 1 is the Baseline's pointwise head."""
    if not sizes:
        raise InputError("`kernel_sizes`: give at least one")
    for k in dict.fromkeys(sizes):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = "pointwise" if k == 1 else "gcn"
            yield f"{head} {k}" if k > 1 else head, GlobalConvNet(classes, backbone, k, head)


def _values(path: Path) -> Uint8Array:
    """Return a label map or mask as it is stored: indices (H, W) or colours (H, W, 3)."""
    with open_image(path) as image:
        return np.asarray(image if image.mode in ("L", "P", "1") else image.convert("RGB"))
