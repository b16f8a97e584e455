"""CamVid in the SegNet tutorial's layout: list files (`train.txt`) beside `train/`, `trainannot/` and so on.

The lists are read as `list_file` reads any; the classes are CamVid's 11, and 11 is void.
"""

from pathlib import Path

from globalconv.data.formats import list_file
from globalconv.data.formats.layout import Layout
from globalconv.data.masks import MaskFormat
from globalconv.labels import CAMVID


def recognise(root: Path) -> bool:
    """Return whether there are list files beside one of CamVid's folders of label maps."""
    annotated = any((root / folder).is_dir() for folder in ("trainannot", "valannot", "testannot"))
    return annotated and list_file.recognise(root)


LAYOUT = Layout(
    recognise,
    list_file.list_splits,
    list_file.read_split,
    fixed_classes=lambda pairs, expected: (CAMVID, MaskFormat()),
)
