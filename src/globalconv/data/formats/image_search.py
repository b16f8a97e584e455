"""Where the images of annotations are: as the annotations say, or, where that is no file, by their names.

Annotations are made on other machines: paths are of Windows, of another user, of a server or of a task. An image that
is not where its annotation says is taken from below the root if exactly one there has its name, which is told once for
all of them. Those that are not there are reported, once for all of them too.
"""

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from globalconv.data.annotations import Drawing, DrawnSample
from globalconv.data.file_names import composed
from globalconv.data.formats.pairing import list_files
from globalconv.data.suffixes import is_image
from globalconv.errors import InputError, InputWarning, OnError
from globalconv.runtime.text import abbreviate


@dataclass(frozen=True)
class Entry:
    """An annotated image, as an annotation file lists it."""

    name: str
    """The name of the sample."""
    written: str
    """The path of the image in the annotation."""
    image: Path | None
    """Where the image is, if it is where the annotation says."""
    looked_for: Path
    """Where it should be."""
    where: str
    read: Callable[[], Drawing]
    hint: str = ""
    """What else to do where the image is not there."""


def written_name(path: str) -> str:
    """Return the path of an image as an annotation has it, with "/" between folders."""
    return path.replace("\\", "/")


def possible_names(written: str) -> list[str]:
    """Return what the file may be called whose path or address is `written`, with a query or %20 in it or not."""
    path = written_name(written)
    names = [PurePosixPath(path).name]
    if "://" in path or "?" in path:
        names += [PurePosixPath(urlsplit(path, allow_fragments=False).path).name, path.rpartition("=")[2]]
    names += [unquote(name) for name in names]
    return [PurePosixPath(name).name for name in dict.fromkeys(names) if name]


class ImageIndex:
    """The images below a folder by their names, listed once, when one is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[Path]]:
        by_name: dict[str, list[Path]] = defaultdict(list)
        for path in filter(is_image, list_files(self.root)):
            by_name[composed(path.name).casefold()].append(path)
        return by_name

    def find(self, written: str, taken: Collection[Path], avoid: Collection[str]) -> Sequence[Path]:
        """Return the images of the name in the path `written`, in any case of letters only if none has it exactly.

        Left out are those that are `taken`, and those in folders below the root whose name is one of `avoid`.
        """
        for name in possible_names(written):
            matches = [
                path
                for path in self._by_name.get(composed(name).casefold(), ())
                if path not in taken and not set(path.relative_to(self.root).parts[:-1]) & set(avoid)
            ]
            if matches:
                return [path for path in matches if composed(path.name) == composed(name)] or matches
        return ()


def find_images(
    entries: Sequence[Entry], index: ImageIndex, where: str, on_error: OnError, other_splits: Collection[str] = ()
) -> tuple[DrawnSample, ...]:
    """Return the samples of the `entries` of one split whose images are there.

    Images that are not where their annotation says are looked for by name, but for the folders of `other_splits`; one
    warning tells of those that are found, one error goes to `on_error` for those that are not, and one for those of
    which there are several. `where` names the annotations as a whole.
    """
    taken = {entry.image for entry in entries if entry.image is not None}
    samples: list[DrawnSample] = []
    elsewhere, ambiguous = dict[str, tuple[str, Path]](), dict[str, tuple[str, Sequence[Path]]]()
    missing: list[Entry] = []
    for entry in entries:
        image, name = entry.image, entry.name
        if image is None:
            matches = index.find(entry.written, taken, other_splits)
            if len(matches) == 1:
                image = matches[0]
                elsewhere[name] = (entry.written, image)
            elif matches:
                ambiguous[name] = (entry.written, matches)
            else:
                missing.append(entry)
        if image is not None:
            samples.append(DrawnSample(name, image, entry.where, entry.read))
    if elsewhere:
        written, image = next(iter(elsewhere.values()))
        message = (
            f"{where}: {len(elsewhere)} of {len(entries)} images are not where the annotations say, and were found by"
            f" their names ({written!r} is {image.relative_to(index.root)}); correct the paths if these are others"
        )
        warnings.warn(InputWarning(message, "path", tuple(elsewhere)), stacklevel=2)
    if ambiguous:
        written, matches = next(iter(ambiguous.values()))
        paths = abbreviate([path.relative_to(index.root).as_posix() for path in matches])
        more = f", and {len(ambiguous) - 1} more images are as unclear" if len(ambiguous) > 1 else ""
        message = (
            f"{where}: its image {written!r} is not there, and may be any of {paths}{more}; correct the path in the"
            " annotation"
        )
        on_error(InputError(message, "partner", tuple(ambiguous)))
    if missing:
        first = missing[0]
        more = f", nor are {len(missing) - 1} more of its {len(entries)}" if len(missing) > 1 else ""
        hint = first.hint if all(entry.hint for entry in missing) else ""
        message = (
            f"{first.where}: its image {first.written!r} is not there (looked for {first.looked_for}){more}; put it"
            f" there{hint}"
        )
        on_error(InputError(message, "partner", tuple(entry.name for entry in missing)))
    return _once_each(samples, on_error)


def _once_each(samples: Sequence[DrawnSample], on_error: OnError) -> tuple[DrawnSample, ...]:
    """Return `samples` without those whose name or image another one has, which go to `on_error`."""
    counts = Counter(sample.name for sample in samples)
    if repeated := tuple(name for name, count in counts.items() if count > 1):
        more = f", and {len(repeated) - 1} more images are repeated" if len(repeated) > 1 else ""
        message = (
            f"{samples[0].where}: the image {repeated[0]!r} is listed {counts[repeated[0]]} times{more}; list each"
            " once, with all of its objects"
        )
        on_error(InputError(message, "names", repeated))
    by_image: dict[str, DrawnSample] = {}
    shared: dict[str, str] = {}
    for sample in {sample.name: sample for sample in samples}.values():
        if (owner := by_image.setdefault(os.path.normpath(sample.image), sample)) is not sample:
            shared[sample.name] = f"{sample.where}: its image {sample.image} is that of {owner.where} too"
    if shared:
        more = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        message = f"{next(iter(shared.values()))}{more}; annotate each image once"
        on_error(InputError(message, "names", tuple(shared)))
    return tuple(by_image.values())
