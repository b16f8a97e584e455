"""Figure 3 remade: the receptive field at the middle of an object, 1 x 1 heads beside GCN k = 15, at two scales.

    GLOBALCONV_DATA=... python benchmarks/figure3.py [--steps 500] [--occluders 5000] [--out runs/figure3]

Both networks are trained here with the recipe msrc21-scratch, without Boundary Refinement, on the same samples in the
same order (a run that is there already is kept). Images and their objects are those of MSRC21's val split named
below. The table of areas goes to results/figure3.json; the images stay in --out, because MSRC21's photographs are for
research only.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro
from common import RESULTS, hardware, print_rows, write_report

from globalconv.jobs.receptive_field import draw_fields
from globalconv.jobs.train import train
from globalconv.receptive_field.field_settings import FieldSettings
from globalconv.training.recipes.index import RECIPES
from globalconv.weights import MODEL_FILE

HEADS = {"1 x 1": "pointwise", "GCN k = 15": "gcn"}
IMAGES = {"12_21_s": ("bird", (147, 115))}
"""Name in val -> class and middle of an object."""


@dataclass(frozen=True)
class Settings:
    steps: int = 500
    """Of each training."""
    occluders: int = 5000
    scales: tuple[float, ...] = (0.5, 1.0)
    device: str = "auto"
    out: Path = Path("runs/figure3")


def trained(data: Path, settings: Settings) -> dict[str, Path]:
    """Return a run folder for each head, trained where there is none yet."""
    recipe = RECIPES["msrc21-scratch"]()
    folders = {name: settings.out / head for name, head in HEADS.items()}
    for folder, head in zip(folders.values(), HEADS.values(), strict=True):
        model = replace(recipe.model, head=(head,), boundary_refinement=False)
        if not (folder / MODEL_FILE).exists():
            once = replace(recipe, model=model, steps=settings.steps, evaluate_every=settings.steps)
            train(replace(once, device=settings.device), data, folder)
    return folders


def measured_areas(data: Path, folders: dict[str, Path], settings: Settings) -> list[dict[str, Any]]:
    """Return the areas of all images, and write each as Figure 3."""
    field_settings = FieldSettings(scales=settings.scales, occluders=settings.occluders)
    rows = []
    for photo, (kind, at) in IMAGES.items():
        image, labels = data / f"images/val/{photo}.jpg", data / f"labels/val/{photo}.png"
        out = settings.out / f"{photo}.png"
        fields = draw_fields(list(folders.values()), image, at, out, field_settings, kind, labels, settings.device)
        rows += [{"image": photo, **row} for row in fields.to_json()["fields"]]
    return rows


def miou(folder: Path) -> float:
    """Return the last score of a run."""
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores: list[float] = [event["miou"] for event in events if "miou" in event]
    return round(scores[-1], 4)


def main(settings: Settings) -> None:
    data = Path(os.environ["GLOBALCONV_DATA"]) / "MSRC21"
    settings.out.mkdir(parents=True, exist_ok=True)
    folders = trained(data, settings)
    area_rows = measured_areas(data, folders, settings)
    print_rows("valid receptive fields", area_rows)
    facts = {"steps": settings.steps, "occluders": settings.occluders}
    scores = {f"mIoU of {folder.name}": miou(folder) for folder in folders.values()}
    command = f"python benchmarks/figure3.py --steps {settings.steps} --occluders {settings.occluders}"
    report = {
        "command": command,
        "hardware": hardware(),
        "settings": {**facts, **scores},
        "tables": {"valid receptive fields, as Figure 3": area_rows},
    }
    write_report(RESULTS / "figure3.json", report)


if __name__ == "__main__":
    main(tyro.cli(Settings))
