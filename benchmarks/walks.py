"""Which files an image and a setting go through: what `structure.py` measures by running the package.

The walks are measured, not read: the command runs in a process of its own, with small inputs on the CPU, and a profile
function sees every Python call in every thread of it. A file is on a walk when one of its functions is handed the thing
or returns it. `self` is not handed over: the object was, when it was made. The generated constructor of a dataclass is
a function of the file that defines the dataclass. Inside lists, tuples, dicts and objects of globalconv's classes the
thing is looked for to the depth stated below; iterators, closures and modules of a network are not opened.

- Image walk: `globalconv predict RUN PHOTO --out OUT`, whole. The thing is a path or string with the photo's name, an
  image of Pillow of its size, an array or tensor of its height and width, as they are or as the network pads and halves
  them, or its height or width as a number; to a depth of 3.
- Option walk: `globalconv train folder ... --optim.lr 0.00123` until the first step of the optimiser. The thing is that
  number, or a string that contains it; to a depth of 6, as in a session that holds a recipe that holds settings.

Of both, files count as well that the thing merely passes, as those that write a file atomically or record settings. The
state before the second edition of the house gives 20 and 15 files; by hand, 20 and 14 had been counted.
"""

import atexit
import functools
import importlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = "globalconv"
PHOTO = "walking-photo"
HEIGHT, WIDTH = 263, 389
"""Size of the image that is predicted: primes that no colour and no setting has."""

RATE = 0.00123
"""The learning rate that is followed."""

DEPTHS = {"image": 3, "option": 6}
ITEMS = 64
"""How many items of a list, tuple or dict are looked at."""

KINDS: dict[type, str] = {}
"""What values of each type are to a walk, as far as it has met them."""


def walks(checkout: Path) -> tuple[list[str], list[str]]:
    """Run both walks in a temporary folder; return the files of the image's and of the option's, in order.

    Each line is a file and the first of its functions that had the thing. A walk that fails is empty, and why is said.
    """
    shape = "--steps 2 --model.backbone test_resnet --data.batch-size 2 --data.augmentation.crop 64 64"
    shape += " --model.backbone-weights None"  # as earlier checkouts spell it, too
    words = f"train folder --data data --out run {shape} --data.workers 0 --device cpu --optim.lr {RATE}"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_inputs(place)
        option = run_walk(checkout, place, "option", words.split())
        image = run_walk(
            checkout, place, "image", ["predict", "run", f"{PHOTO}.jpg", "--out", "out", "--device", "cpu"]
        )
    return image, option


def write_inputs(folder: Path) -> None:
    """Write a data set of twelve images of three classes, and the photo."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / "data" / kind).mkdir(parents=True)
    for number in range(12):
        label_map = rng.integers(0, 3, (6, 6), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
        pixels = np.stack([label_map * 80] * 3, axis=2) + rng.integers(0, 60, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "data" / "images" / f"{number}.png")
        Image.fromarray(label_map).save(folder / "data" / "labels" / f"{number}.png")
    Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(folder / f"{PHOTO}.jpg")


def run_walk(checkout: Path, folder: Path, thing: str, words: Sequence[str]) -> list[str]:
    """Run a command of the checkout in a process of its own that follows `thing`; return the lines of `walks`."""
    result = folder / f"{thing}.json"
    command = [sys.executable, "-P", str(Path(__file__).resolve()), str(checkout), thing, str(result)]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    ended = subprocess.run([*command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode or not result.exists():
        error = ended.stderr.strip().rpartition("\n")[2]
        print(f"{checkout}: globalconv {' '.join(words)} ended with {ended.returncode}: {error}", file=sys.stderr)
        return []
    return [f"{file}  {function}" for file, function in json.loads(result.read_text()).items()]


def follow(checkout: Path, thing: str, result: Path, words: Sequence[str]) -> None:
    """Be the command `words` of the checkout, and write the files that handle `thing` to `result` at its end."""
    import torch

    source = f"{checkout / 'src' / PACKAGE}{os.sep}"
    has = functools.partial({"image": has_image, "option": has_rate}[thing], depth=DEPTHS[thing])
    files: dict[str, str] = {}
    ended = threading.Event()

    def profile(frame: FrameType, event: str, returned: object) -> None:
        if event not in ("call", "return") or ended.is_set():
            return
        code = frame.f_code
        if (
            thing == "option"
            and code.co_name == "step"
            and isinstance(frame.f_locals.get("self"), torch.optim.Optimizer)
        ):
            ended.set()
        generated = code.co_filename == "<string>" and code.co_name == "__init__"
        if not generated and (not code.co_filename.startswith(source) or code.co_filename in files):
            return
        file = defining_file(frame) if generated else code.co_filename
        if file.startswith(source) and file not in files and has_it(frame, event, returned, has):
            files[file] = code.co_qualname if not generated else f"{type(frame.f_locals['self']).__name__}.__init__"

    def write() -> None:
        sys.setprofile(None)
        result.write_text(json.dumps({file.removeprefix(source): function for file, function in files.items()}))

    atexit.register(write)  # the command may end the process itself
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts[PACKAGE].partition(":")
    command: Callable[[], object] = getattr(importlib.import_module(module), function)
    sys.argv = [PACKAGE, *words]
    threading.setprofile(profile)
    sys.setprofile(profile)
    sys.exit(command())  # type: ignore[arg-type]


def defining_file(frame: FrameType) -> str:
    """Return the file of the class whose generated constructor runs."""
    module = sys.modules.get(type(frame.f_locals.get("self")).__module__)
    return getattr(module, "__file__", None) or ""


def has_it(frame: FrameType, event: str, returned: object, has: Callable[[object], bool]) -> bool:
    """Return whether a call hands the thing over, or a return (or yield) gives it back."""
    if event == "return":
        return has(returned)
    code, values = frame.f_code, frame.f_locals
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    names = [name for name in code.co_varnames[:count] if name not in ("self", "cls")]
    return any(has(values[name]) for name in names if name in values)


def has_image(value: Any, depth: int) -> bool:
    """Return whether `value` is, or holds, the photo: its path, its pixels or its size."""
    if isinstance(value, str | os.PathLike):
        return PHOTO in str(os.fspath(value))
    if isinstance(value, int):
        return value in (HEIGHT, WIDTH)
    match kind(value):
        case "array":
            return any(sides in shapes() for sides in itertools.pairwise(value.shape))
        case "image":
            return bool(value.size == (WIDTH, HEIGHT))
    return depth > 0 and any(has_image(item, depth - 1) for item in held(value))


def has_rate(value: Any, depth: int) -> bool:
    """Return whether `value` is, or holds, the learning rate, as a number or as text."""
    if isinstance(value, str):
        return str(RATE) in value
    if isinstance(value, float):
        return value == RATE
    return depth > 0 and any(has_rate(item, depth - 1) for item in held(value))


@functools.cache
def shapes() -> set[tuple[int, int]]:
    """Return the photo's height and width, as they are and padded to multiples of 32, and halved up to five times."""
    padded = -(-HEIGHT // 32) * 32, -(-WIDTH // 32) * 32
    return {(-(-high // 2**k), -(-wide // 2**k)) for high, wide in ((HEIGHT, WIDTH), padded) for k in range(6)}


def kind(value: Any) -> str:
    """Return what a value is to a walk: an array, an image, an object of ours, or nothing to look into."""
    type_ = type(value)
    if type_ not in KINDS:
        bases = {f"{base.__module__}.{base.__name__}" for base in type_.__mro__}
        if bases & {"torch.nn.modules.module.Module", "torch.nn.parameter.Parameter"}:
            KINDS[type_] = "network"
        elif bases & {"numpy.ndarray", "torch.Tensor"}:
            KINDS[type_] = "array"
        elif "PIL.Image.Image" in bases:
            KINDS[type_] = "image"
        else:
            KINDS[type_] = "ours" if type_.__module__.partition(".")[0] == PACKAGE else "other"
    return KINDS[type_]


def held(value: Any) -> list[object]:
    """Return what a list, tuple, dict or object of globalconv's classes holds; nothing for all else."""
    if isinstance(value, list | tuple):
        return list(value[:ITEMS])
    if isinstance(value, dict):
        return list(value.values())[:ITEMS]
    if kind(value) != "ours" or isinstance(value, type):
        return []
    slots = [slot for base in type(value).__mro__ for slot in getattr(base, "__slots__", ()) if hasattr(value, slot)]
    return [*list(getattr(value, "__dict__", {}).values()), *(getattr(value, slot) for slot in slots)]


if __name__ == "__main__":
    follow(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
