"""Which class a validation image of ImageNet has: its archive holds 50,000 images in one heap.

The devkit numbers the classes: `meta.mat` lists them (number, WordNet id, ..., number of children; the 1,000 classes
are those without children), `ILSVRC2012_validation_ground_truth.txt` holds the number of each image, in the order of
the images' names.

What was unpacked beside, brought to where it belongs: by renaming, so that no file is ever there in part.
"""

import filecmp
import os
import re
from collections.abc import Iterator
from pathlib import Path

from globalconv.data.download.unpack import Place
from globalconv.errors import InputError


def place(staged: Path, root: Path) -> None:
    """Move everything below `staged` to the same place below `root`, and remove `staged`.

    Folders that are not there yet are moved whole; others are filled. Files that are there already and equal are left;
    `InputError`, before anything is moved, for one that is another. A call that was interrupted can be repeated.
    """
    for ours in _files(staged):
        there = root / ours.relative_to(staged)
        if there.exists() and not (there.is_file() and filecmp.cmp(ours, there, shallow=False)):
            raise InputError(
                f"{there}: is there already and is not that of the official archive; move it away (nothing is ever"
                " written over) and give the same command again"
            )
    _move(staged, root)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, files in os.walk(folder):
        for name in files:
            yield Path(place, name)


def _move(staged: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.rename(target)
        return
    for entry in sorted(staged.iterdir()):
        there = target / entry.name
        if entry.is_dir():
            _move(entry, there)
        elif there.exists():
            entry.unlink()
        else:
            entry.rename(there)
    staged.rmdir()


_IMAGE = re.compile(r"^ILSVRC2012_val_(\d{8})\.JPEG$")
_ID, _WORDNET, _CHILDREN = "ILSVRC2012_ID", "WNID", "num_children"


def place_val(devkit: Path, prefix: str) -> Place:
    """Return the function that puts validation images into folders of their classes, below `prefix`.

    `devkit` is the unpacked folder `ILSVRC2012_devkit_t12`.
    """
    wordnet, numbers = _wordnet_ids(devkit / "data" / "meta.mat"), _numbers(devkit)

    def place(name: str) -> str | None:
        found = _IMAGE.match(name)
        if found is None:
            return None
        index = int(found[1]) - 1
        if not (0 <= index < len(numbers) and numbers[index] in wordnet):
            raise InputError(f"{devkit}: says nothing about {name}; it is the devkit of another year, get ILSVRC2012's")
        return f"{prefix}{wordnet[numbers[index]]}/{name}"

    return place


def _wordnet_ids(meta: Path) -> dict[int, str]:
    from scipy.io import loadmat  # takes its time to import, and nothing else here needs it

    try:
        synsets = loadmat(meta, squeeze_me=True)["synsets"]
        classes = [synset for synset in synsets if int(synset[_CHILDREN]) == 0]
        return {int(synset[_ID]): _checked(str(synset[_WORDNET])) for synset in classes}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{meta}: is not the list of classes of ILSVRC2012 ({error}); unpack the devkit anew"
        ) from error


def _checked(name: str) -> str:
    if not re.fullmatch(r"n\d{8}", name):
        raise ValueError(f"{name!r} is no WordNet id")
    return name


def _numbers(devkit: Path) -> list[int]:
    file = devkit / "data" / "ILSVRC2012_validation_ground_truth.txt"
    try:
        return [int(line) for line in file.read_text(encoding="ascii").split()]
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: holds no list of numbers ({error}); unpack the devkit anew") from error
