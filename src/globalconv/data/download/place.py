"""Where unpacked files belong: moved into the data set by renaming, ImageNet's validation images by their classes.

ImageNet's validation archive holds 50,000 images in one folder. The devkit numbers the classes: `meta.mat` lists them
(number, WordNet id, ..., number of children; the 1,000 classes are those without children), and
`ILSVRC2012_validation_ground_truth.txt` holds the number of each image, in the order of the images' names.
"""

import filecmp
import os
import re
from pathlib import Path

from globalconv.data.download.unpack import Target
from globalconv.errors import InputError


def move_into_place(staged: Path, root: Path) -> None:
    """Move everything below `staged` to the same place below `root`, and remove `staged`.

    Folders that are not there yet are moved whole; others are filled. Files that are there already and equal are left;
    `InputError`, before anything is moved, for one that is another. A call that was interrupted can be repeated.
    """
    for place, _, names in os.walk(staged):
        for file in (Path(place, name) for name in names):
            existing = root / file.relative_to(staged)
            if existing.exists() and not (existing.is_file() and filecmp.cmp(file, existing, shallow=False)):
                raise InputError(
                    f"{existing}: is there already and is not that of the official archive; move it away (nothing is"
                    " ever written over) and give the same command again"
                )
    _move(staged, root)


def _move(staged: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
        return
    for entry in sorted(staged.iterdir()):
        existing = target / entry.name
        if entry.is_dir():
            _move(entry, existing)
        elif existing.exists():
            entry.unlink()
        else:
            entry.rename(existing)
    staged.rmdir()


_VAL_IMAGE = re.compile(r"^ILSVRC2012_val_(\d{8})\.JPEG$")


def sort_imagenet_val(devkit: Path, prefix: str) -> Target:
    """Return the function that puts validation images into folders of their classes, below `prefix`.

    `devkit` is the unpacked folder `ILSVRC2012_devkit_t12`.
    """
    from scipy.io import loadmat  # slow to import, and only this function needs it

    meta, truth = devkit / "data" / "meta.mat", devkit / "data" / "ILSVRC2012_validation_ground_truth.txt"
    wordnet_ids: dict[int, str] = {}
    try:
        for synset in loadmat(meta, squeeze_me=True)["synsets"]:
            if int(synset["num_children"]) == 0:
                number, wordnet_id = int(synset["ILSVRC2012_ID"]), str(synset["WNID"])
                if not re.fullmatch(r"n\d{8}", wordnet_id):
                    raise ValueError(f"{wordnet_id!r} is no WordNet id")
                wordnet_ids[number] = wordnet_id
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{meta}: is not the list of classes of ILSVRC2012 ({error}); unpack the devkit anew"
        ) from error
    try:
        numbers = [int(line) for line in truth.read_text(encoding="ascii").split()]
    except (OSError, ValueError) as error:
        raise InputError(f"{truth}: holds no list of numbers ({error}); unpack the devkit anew") from error

    def target(name: str) -> str | None:
        match = _VAL_IMAGE.match(name)
        if match is None:
            return None
        index = int(match[1]) - 1
        if not (0 <= index < len(numbers) and numbers[index] in wordnet_ids):
            raise InputError(f"{devkit}: says nothing about {name}; it is the devkit of another year, get ILSVRC2012's")
        return f"{prefix}{wordnet_ids[numbers[index]]}/{name}"

    return target
