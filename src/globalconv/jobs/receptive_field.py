"""`globalconv vrf` and `globalconv advise`: receptive fields as Figure 3 shows them, and the kernel size to choose."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from globalconv.data.images import open_image, read_image
from globalconv.data.roots import Data
from globalconv.errors import InputError
from globalconv.infer.predictor import load_network
from globalconv.jobs.evaluate import open_split
from globalconv.model.network import GlobalConvNet, ImageNetwork
from globalconv.receptive_field.advice import KernelAdvice, measure_network, measure_objects, sample_images
from globalconv.receptive_field.field_settings import OCCLUSION, FieldSettings
from globalconv.receptive_field.figure3 import (
    ReceptiveField,
    draw_figure,
    measure_fields,
)
from globalconv.reports.history import run_names
from globalconv.runtime.devices import choose_device
from globalconv.runtime.progress import Progress
from globalconv.runtime.text import align_columns
from globalconv.visual.image_file import check_image_file, write_image_file
from globalconv.weights import load_weights


@dataclass(frozen=True)
class PixelFields:
    """The receptive fields of one pixel: of each network at each scale."""

    at: tuple[int, int]
    """Column X and row Y."""
    settings: FieldSettings
    fields: tuple[ReceptiveField, ...]

    def to_json(self) -> dict[str, Any]:
        x, y = self.at
        return {"at": {"x": x, "y": y}, **self.settings.to_json(), "fields": [field.to_json() for field in self.fields]}

    def table(self) -> str:
        """Return the areas as a table for a terminal."""
        rows = [("network", "scale", "image", "score of", "field", "of image", "side", "of object")]
        for field in self.fields:
            height, width = field.region.shape
            held = "-" if field.held is None else f"{field.held:.1%}"
            rows.append((
                field.name, f"{field.scale:g}", f"{width}x{height}", field.class_name, f"{field.pixels:,}",
                f"{field.pixels / field.region.size:.1%}", f"{field.pixels**0.5:.0f}", held,
            ))  # fmt: skip
        legend = "field in pixels, side = its square root; of object = how much of the object it holds"
        return "\n".join([*align_columns(rows), legend])


def draw_fields(
    weights: Sequence[str | Path],
    image: str | Path,
    at: tuple[int, int],
    out: str | Path,
    settings: FieldSettings = OCCLUSION,
    class_name: str | None = None,
    label_map: str | Path | None = None,
    device: str = "auto",
) -> PixelFields:
    """Measure the receptive field of the pixel `at` (X, Y) in each network, and write it to `out` as Figure 3.

    `weights` are run folders, `image` and `label_map` files; see `measure_fields`. Raises `InputError` for whatever is
    missing or refused, before anything is computed.
    """
    check_image_file("out", Path(out), ".png", ".jpg", ".jpeg")
    mask = None
    if label_map is not None:
        with open_image(Path(label_map)) as stored:  # indices (H, W) or colours (H, W, 3)
            mask = np.asarray(stored if stored.mode in ("L", "P", "1") else stored.convert("RGB"))
    folders = [Path(folder) for folder in weights]
    predictors = {
        name: load_network(folder, device, "float32") for name, folder in zip(run_names(folders), folders, strict=True)
    }
    first = next(iter(predictors.values()))
    pixels = read_image(Path(image), first.image_format_for([(Path(image).name, Path(image))]))
    fields = measure_fields(predictors, pixels, at[::-1], settings, class_name, mask)
    write_image_file(Path(out), draw_figure(fields))
    return PixelFields(at, settings, tuple(fields))


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
) -> KernelAdvice:
    """Return which share of the pixels of `data` lies in objects that the fields of networks can hold, and the cost.

    The networks are those of `weights` (run folders); without any, untrained ones over `backbone`, one for each of
    `kernel_sizes`. Objects are looked for in at most `maps` label maps, fields are measured at the middle of `images`
    images (gradients of all classes). `InputError` for whatever is missing or refused.
    """
    if not weights and not kernel_sizes:
        raise InputError("`kernel_sizes`: give at least one")
    kernel_sizes = list(dict.fromkeys(kernel_sizes))
    source = open_split(data, split, layout)
    objects, samples = measure_objects(source, maps), sample_images(source, images)
    torch_device = choose_device(device)

    def networks() -> Iterator[tuple[str, ImageNetwork]]:
        """Yield networks and their names one at a time, so that one at a time is in memory."""
        if weights:
            folders = [Path(folder) for folder in weights]
            for name, folder in zip(run_names(folders), folders, strict=True):
                yield name, load_weights(folder).network
            return
        for k in kernel_sizes:
            head = "pointwise" if k == 1 else "gcn"  # a kernel of 1 is the Baseline's head
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # the same for all
                network = GlobalConvNet(source.labels.num_classes, backbone, k, head)
            yield head if k == 1 else f"{head} {k}", network

    measured = []
    with Progress("measured", len(weights or kernel_sizes), "networks") as progress:
        for done, (name, network) in enumerate(networks(), 1):
            on_device = [images_13HW.to(torch_device) for images_13HW in samples]
            kernels = network.settings["kernel_size"]
            measured.append(measure_network(name, network.to(torch_device), kernels, on_device, objects))
            progress.update(done)
    by_side = tuple(sorted(measured, key=lambda network: network.side))
    return KernelAdvice(source.name, min(maps, len(source)), len(samples), objects, by_side, bool(weights))
