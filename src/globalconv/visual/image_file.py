"""Images that a job writes as its result, marked as ours, so that nobody else's image is ever replaced."""

from pathlib import Path

from PIL import Image, PngImagePlugin

from globalconv.errors import InputError
from globalconv.runtime.files import check_output, write_atomic

SOFTWARE = "globalconv"


def check_image_file(option: str, path: Path, *suffixes: str) -> None:
    """Raise `InputError` if no image can be written to `path`, the value of `option`, or another one is there."""
    check_output(option, path, *suffixes)
    if not path.exists():
        return
    try:
        with Image.open(path) as image:
            mark = image.info.get("Software") or image.info.get("comment")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        mark = None
    if mark not in (SOFTWARE, SOFTWARE.encode()):
        raise InputError(f"`{option}` {path}: is there and was not written by globalconv; move it or name another file")


def write_image_file(path: Path, image: Image.Image) -> None:
    """Write `image` as PNG or JPEG, as the suffix says, with our mark."""
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", SOFTWARE)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        write_atomic(path, lambda file: image.save(file, "PNG", pnginfo=mark))
    else:
        write_atomic(path, lambda file: image.save(file, "JPEG", quality=92, comment=SOFTWARE))
