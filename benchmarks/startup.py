"""How long what asks for words takes beside an empty Python and one that imports torch, and `predict` of one image.

python benchmarks/startup.py

The image has 512x512 pixels; the network is a fresh GCN + BR over ResNet-50 with 21 classes, read from its file and
brought into its faster form by every process. The finished table is that of the committed results.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tyro
from common import RESULTS, compare, measure, print_rows, write_results
from PIL import Image

from globalconv import GlobalConvNet
from globalconv.labels import VOC
from globalconv.weights import save_weights

FINISHED = (
    *"paper table1 --first --recipe msrc21-scratch --data MSRC21 --seeds 5 --budget 600".split(),
    *("--model.backbone", "test_resnet", "--data.augmentation.crop", "192", "192"),
    *("--results", str(RESULTS / "paper" / "msrc21")),
)


@dataclass(frozen=True)
class Settings:
    repeats: int = 15
    """Runs of every command."""


def call(*arguments: str) -> Callable[[], object]:
    """Return a call that runs Python with `arguments`, in silence."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(measure(cases(Path(folder)), settings.repeats), "python -c pass")
    print_rows("start-up", rows)
    write_results("startup", "cpu", asdict(settings), {"startup": rows})


def cases(folder: Path) -> dict[str, Callable[[], object]]:
    """Return the commands that are compared; what they read is written to `folder`."""
    save_weights(folder, GlobalConvNet(VOC.num_classes, "resnet50", 15), VOC, {})
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    predict = ("predict", str(folder), str(folder / "image.png"), "--out", str(folder / "out"))
    return {
        "python -c pass": call("-c", "pass"),
        "globalconv --help": call("-m", "globalconv.cli.main", "--help"),
        "globalconv train folder --help": call("-m", "globalconv.cli.main", "train", "folder", "--help"),
        "globalconv paper, finished": call("-m", "globalconv.cli.main", *FINISHED),
        "import globalconv": call("-c", "import globalconv"),
        "import torch": call("-c", "import torch"),
        "globalconv predict": call("-m", "globalconv.cli.main", *predict),
    }


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
