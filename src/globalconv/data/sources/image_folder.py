"""Classification as ImageNet is unpacked: `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`, a folder a class.

Classes are the folders of the training split in alphabetical order, whichever split is opened; below a class's folder
pictures may lie in folders of their own. A class without a picture in another split is none of its mistakes.

ImageNet's own validation archive holds 50,000 pictures and no folders: they have to be sorted into those of their
classes first, which is said where they are not.
"""

from dataclasses import dataclass
from pathlib import Path

from globalconv.data.images import IMAGE_SUFFIXES, Uint8Array, read_image
from globalconv.data.sources.folder import files_below
from globalconv.data.sources.splits import on_disk
from globalconv.errors import InputError

TRAIN = "train"


@dataclass(frozen=True)
class ImageFolder:
    """Pictures of one split, each with its class; not a `Source`, whose samples have a class per pixel."""

    name: str
    class_names: tuple[str, ...]
    files: tuple[Path, ...]
    classes: tuple[int, ...]
    """Index into `class_names` of each file's class."""

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Uint8Array:
        """Return the picture as uint8 RGB (H, W, 3); one that cannot be read is an `InputError`."""
        return read_image(self.files[index])

    def target(self, index: int) -> int:
        """Return the index of the picture's class."""
        return self.classes[index]


def open_image_folder(root: Path, split: str) -> ImageFolder:
    """Return the pictures of `split` ("train", "val", or another folder at `root` that holds a folder per class)."""
    splits = _splits(root)
    class_names = _class_names(root / splits[TRAIN])
    if (name := on_disk(list(splits.values()), split)) is None:
        raise InputError(f"split {split!r}: {root} has the folders {', '.join(splits.values())}; name one of them")
    found = _pictures(root / name, class_names)
    if not found:
        raise InputError(f"{root / name}: holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}); put them there")
    return ImageFolder(
        f"image folder {root} ({split})",
        class_names,
        tuple(path for path, _ in found),
        tuple(target for _, target in found),
    )


def _splits(root: Path) -> dict[str, str]:
    """Return the folders at `root` by their names, the training split as "train" whatever it is called."""
    if not root.is_dir():
        raise InputError(f"{root}: {'is a file' if root.exists() else 'there is no such folder'}; give a data folder")
    names = _folders(root)
    train = on_disk(names, TRAIN)
    if train is None:
        raise InputError(f"{root}: has no folder train/ with a folder of pictures per class (train/CLASS/*.JPEG)")
    return {TRAIN: train, **{name: name for name in names if name != train}}


def _folders(place: Path) -> list[str]:
    return sorted(child.name for child in place.iterdir() if child.is_dir() and not child.name.startswith("."))


def _class_names(train: Path) -> tuple[str, ...]:
    names = _folders(train)
    if len(names) < 2:
        raise InputError(f"{train}: holds fewer than two folders; put the pictures of each class into one of its own")
    return tuple(names)


def _pictures(place: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Return (file, index of its class) of all pictures of a split, class by class."""
    known = {name: index for index, name in enumerate(class_names)}
    folders = _folders(place)
    if strange := [name for name in folders if name not in known]:
        raise InputError(
            f"{place / strange[0]}: is a folder of no class of train/ ({len(class_names)} classes); classes are called"
            " the same in every split"
        )
    if not folders and any(path.suffix.lower() in IMAGE_SUFFIXES for path in place.iterdir()):
        raise InputError(
            f"{place}: holds pictures and no folders, as ImageNet's validation archive does; move each into the folder"
            " of its class (val/CLASS/)"
        )
    return [
        (path, known[name])
        for name in folders
        for path in files_below(place / name)
        if path.suffix.lower() in IMAGE_SUFFIXES
    ]
