"""A backbone as it is pre-trained: the whole timm model, with its classifier.

Shapes: N images, K classes, H x W pixels.

Any network of somebody else's, made to take images as ours do.

Shapes: N images, K classes, H x W pixels of the input, P x Q the same padded to multiples of 32.
"""

import hashlib
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.model.backbone import Backbone
from globalconv.model.network import GlobalConvNet
from globalconv.model.normalise import Normalised


class Adopted(Normalised):
    """`images_N3HW` (RGB, uint8 or float in [0, 1], any H, W >= 1) -> `logits_NKHW`, by a `module` of any kind.

    What the module gets is what `GlobalConvNet` gives its backbone: images normalised with ImageNet's mean and standard
    deviation, padded at the right and the bottom with zeros to multiples of 32. It answers logits_NKPQ of that size.
    """

    def __init__(self, module: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.module = module
        self.settings = _named(module, num_classes)
        self.normalise_with(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return logits_NKHW; `InputError` where the module answers something else."""
        height, width = images_N3HW.shape[-2:]
        images_N3PQ = F.pad(self.normalised(images_N3HW), (0, -width % STRIDE, 0, -height % STRIDE))
        output = self.module(images_N3PQ)
        expected = (len(images_N3PQ), self.settings["num_classes"], *images_N3PQ.shape[-2:])
        if not isinstance(output, Tensor) or output.shape != expected:
            answer = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"network: {self.settings['module']} answers {answer} to images of {tuple(images_N3PQ.shape)}; logits"
                f" of {expected} are expected: a channel per class, at the size of the images"
            )
        return output[..., :height, :width]


def adopted(module: nn.Module, num_classes: int, size: tuple[int, int]) -> Normalised:
    """Return `module` as a network of images, once it has answered one of that size (height, width) as it has to.

    A `GlobalConvNet` that was changed is called what it is: its settings no longer rebuild it.
    """
    network = module if isinstance(module, Normalised) else Adopted(module, num_classes)
    if not isinstance(network, Adopted) and not _is_as_described(network):
        network.settings = _named(network, num_classes)
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        answer = network.eval().to(device)(torch.zeros(1, 3, *size, dtype=torch.uint8, device=device))
    if answer.shape[1] != num_classes:
        raise InputError(f"network: has {answer.shape[1]} classes, the data {num_classes}; build it for these")
    return network


def around(module: nn.Module, settings: dict[str, Any]) -> Normalised:
    """Return `module`, which is to take up saved weights, as the network that had these settings."""
    if not isinstance(module, Normalised):
        return Adopted(module, settings["num_classes"])
    module.settings = settings
    return module


def _named(module: nn.Module, num_classes: int) -> dict[str, Any]:
    """Return settings that name the class of a network that only its owner can make."""
    return {"module": f"{type(module).__module__}.{type(module).__qualname__}", "num_classes": num_classes}


def made_by(network: nn.Module) -> str | None:
    """Return the class of a network that only its owner can make; None where settings rebuild it."""
    name: str | None = getattr(network, "settings", {}).get("module")
    return name


def _is_as_described(network: Normalised) -> bool:
    """Return whether a network's settings make one of the same layers, of the same shapes."""
    if type(network) is not GlobalConvNet:
        return False
    with torch.device("meta"):
        twin = GlobalConvNet(**network.settings)
    return repr(twin) == repr(network) and fingerprint(twin) == fingerprint(network)


def stored(network: Normalised) -> nn.Module:
    """Return the module whose tensors are saved: under their own names, not under those they have inside `Adopted`."""
    return network.module if isinstance(network, Adopted) else network


def fingerprint(network: Normalised) -> str:
    """Return what tells a network from one of another make: a digest of the names and shapes of its tensors."""
    shapes = {name: tuple(tensor.shape) for name, tensor in stored(network).state_dict().items()}
    return hashlib.sha256(repr(shapes).encode()).hexdigest()


class Classifier(Normalised):
    """`images_N3HW` (RGB, uint8 or float in [0, 1]) -> `logits_NK`, by the timm model `backbone` in `body`.

    Refused with `InputError` is what could not be a backbone of `GlobalConvNet` afterwards. The images are normalised
    as that will normalise them.
    """

    def __init__(self, backbone: str, num_classes: int) -> None:
        super().__init__()
        with torch.device("meta"):
            cut = Backbone(backbone)
        self.settings = {"backbone": backbone, "num_classes": num_classes}
        self.body = timm.create_model(backbone, pretrained=False, num_classes=num_classes)
        self.normalise_with(cut.mean, cut.std)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        logits_NK: Tensor = self.body(self.normalised(images_N3HW))
        return logits_NK
