"""Pictures that lie in a data set and belong to no sample: nobody has drawn on them, or no list names them."""

import os
from collections import Counter
from pathlib import Path

from globalconv.data.check.finding import Finding
from globalconv.data.images import IMAGE_SUFFIXES
from globalconv.data.sources import used_files
from globalconv.data.sources.folder import files_below
from globalconv.errors import InputError


def unused_pictures(root: Path, layout: str, drawn: bool) -> list[Finding]:
    """Return one finding about the pictures below `root` that no sample of any split uses; else nothing.

    It is a warning where pictures are `drawn` on: these may be waiting for it.
    """
    try:
        used = used_files(root, layout)
    except InputError:  # reading the splits says so
        return []
    there = [path for path in files_below(root) if path.suffix.lower() in IMAGE_SUFFIXES and path not in used]
    real = {os.path.realpath(path) for path in used} if there else set()
    left = [path.relative_to(root) for path in there if os.path.realpath(path) not in real]
    if not left:
        return []
    folders = Counter(path.parent.as_posix() for path in left).most_common()
    shown = ", ".join(f"{count} in {folder}" for folder, count in folders[:5]) + (", ..." if folders[5:] else "")
    said = f"pictures that belong to no sample, and are left out: {shown}; annotate or list them, or move them away"
    return [Finding("warning" if drawn else "note", "unused", said, len(left), tuple(path.as_posix() for path in left))]
