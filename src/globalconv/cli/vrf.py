"""`globalconv vrf WEIGHTS [WEIGHTS ...] IMAGE --at X,Y`: Figure 3 of an image, and the areas as a table."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from globalconv.cli.options import read_options
from globalconv.errors import InputError
from globalconv.receptive_field.field_settings import OCCLUSION, FieldSettings
from globalconv.runtime.memory import fast_imports
from globalconv.runtime.signals import StopRequest
from globalconv.runtime.text import print_text


@dataclass(frozen=True)
class VrfOptions:
    """Options of `globalconv vrf`."""

    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders (or folders with weights.safetensors and model.json, or hf://USER/NAME), then the image."""
    at: str
    """The pixel X,Y of the image whose receptive field is measured, counted from 0 at the top left."""
    out: Path = Path("vrf.png")
    """Image to write, .png or .jpg."""
    class_name: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """Class whose score is measured; by default the one that each network itself predicts there."""
    label_map: Path | None = None
    """Label map or mask of the image: its region around X,Y is the object; the table says how much of it is held."""
    device: str = "auto"
    """auto, cpu, cuda, mps or cuda:N."""
    json: bool = False
    """Print the areas as JSON instead of a table."""
    settings: tyro.conf.OmitArgPrefixes[FieldSettings] = OCCLUSION


def run(arguments: list[str], stop: StopRequest) -> int:
    """Measure, write the image, print the table."""
    options = read_options(
        VrfOptions, "vrf", arguments, "Show the receptive fields of a pixel in one or more networks (Figure 3)."
    )
    if len(options.paths) < 2:
        raise InputError("vrf: name one or more run folders, then an image: globalconv vrf WEIGHTS IMAGE --at X,Y")
    x, comma, y = options.at.partition(",")
    if not (comma and x.strip().isdecimal() and y.strip().isdecimal()):
        raise InputError(f"--at {options.at}: give the column and the row of a pixel, as 120,80")
    with fast_imports():
        from globalconv.jobs.receptive_field import draw_fields

    *weights, image = options.paths
    fields = draw_fields(
        weights, image, (int(x), int(y)), options.out, options.settings, options.class_name, options.label_map,
        options.device,
    )  # fmt: skip
    print_text(json.dumps(fields.to_json(), indent=2) if options.json else f"{fields.table()}\nwritten: {options.out}")
    return 0
