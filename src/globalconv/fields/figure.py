"""Figure 3 as a picture."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from globalconv.errors import InputError
from globalconv.fields.measure import Field
from globalconv.files import write_atomic
from globalconv.show.fields import captioned, lit, photograph
from globalconv.show.panel import panel

CELL_WIDTH = 420


def figure(fields: Sequence[Field]) -> Image.Image:
    """Return a row for each scale: the photograph, then a picture for each network, lit where its field is."""
    names = list(dict.fromkeys(field.name for field in fields))
    scales = list(dict.fromkeys(field.scale for field in fields))
    rows = [[field for field in fields if field.scale == scale] for scale in scales]
    return panel(["photograph", *names], [_row(row) for row in rows], cell_width=CELL_WIDTH)


def _row(fields: Sequence[Field]) -> list[Image.Image]:
    height, width = fields[0].region.shape
    captions = [(f"{width} x {height} pixels", f"scale {fields[0].scale:g}"), *map(_caption, fields)]
    return [captioned(picture, *lines) for picture, lines in zip(drawn(fields), captions, strict=True)]


def drawn(fields: Sequence[Field]) -> list[Image.Image]:
    """Return the fields of one scale without words: the photograph, then a picture for each network."""
    first = fields[0]
    lights = [lit(one.image, one.region, one.at, CELL_WIDTH) for one in fields]
    return [photograph(first.image, first.at, CELL_WIDTH), *lights]


def _caption(field: Field) -> tuple[str, str]:
    share = f"{field.pixels / field.region.size:.1%} of the picture"
    held = "" if field.held is None else f", {field.held:.0%} of the object"
    return f"{field.class_name}: {field.pixels:,} pixels", share + held


def check_picture(path: Path) -> None:
    """Refuse a name whose suffix is no format that Pillow writes, and a folder that is not there."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"--out {path}: end the name of the picture in .png or .jpg")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}; make it, or name another")


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG or JPEG, as its suffix says."""
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    write_atomic(path, lambda file: picture.save(file, form, quality=92))
