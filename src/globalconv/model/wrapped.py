"""Other people's networks under our interface: any segmentation module, and whole timm classifiers for pre-training.

Shapes: N images, K classes, H x W pixels of the input, P x Q the same padded to multiples of 32.
"""

import hashlib
from typing import Any

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.model.backbone import Backbone
from globalconv.model.depthwise import learn_depthwise_in_float32
from globalconv.model.network import GlobalConvNet, ImageNetwork


class WrappedNetwork(ImageNetwork):
    """`images_N3HW` (RGB, uint8 or float in [0, 1], any H, W >= 1) -> `logits_NKHW`, by a `module` of any kind.

    The module gets what a `GlobalConvNet` gives its backbone: images that are normalised with ImageNet's mean and
    standard deviation and padded at the right and the bottom with zeros to multiples of 32. It returns logits_NKPQ.
    """

    def __init__(self, module: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.module = module
        self.settings = _custom_settings(module, num_classes)
        self.set_normalisation(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return logits_NKHW; `InputError` where the module returns something else."""
        height, width = images_N3HW.shape[-2:]
        images_N3PQ = self.normalise_and_pad(images_N3HW)
        output = self.module(images_N3PQ)
        expected = (images_N3PQ.shape[0], self.settings["num_classes"], *images_N3PQ.shape[-2:])
        if not isinstance(output, Tensor) or output.shape != expected:
            answer = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"network: {self.settings['module']} answers {answer} to images of {tuple(images_N3PQ.shape)}; logits"
                f" of {expected} are expected: a channel per class, at the size of the images"
            )
        return output[..., :height, :width]


def wrap_network(module: nn.Module, num_classes: int, size: tuple[int, int]) -> ImageNetwork:
    """Return `module` as a network of images, in eval mode, after a trial on one image of that size (height, width).

    A `GlobalConvNet` with layers that its settings do not describe is saved by the name of its class, like any other
    module, because the settings would not rebuild it.
    """
    network = module if isinstance(module, ImageNetwork) else WrappedNetwork(module, num_classes)
    if not isinstance(network, WrappedNetwork):
        rebuildable = False
        if type(network) is GlobalConvNet:
            with torch.device("meta"):
                part: nn.Module = network.backbone  # the user may have put another module there
                drop_path = part.drop_path if isinstance(part, Backbone) else 0.0
                twin = GlobalConvNet(**network.settings, drop_path=drop_path)
            rebuildable = repr(twin) == repr(network) and structure_digest(twin) == structure_digest(network)
        if not rebuildable:
            network.settings = _custom_settings(network, num_classes)
    device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))
    with torch.no_grad():
        logits_NKHW = network.eval().to(device)(torch.zeros(1, 3, *size, dtype=torch.uint8, device=device))
    if logits_NKHW.shape[1] != num_classes:
        raise InputError(f"network: has {logits_NKHW.shape[1]} classes, the data {num_classes}; build it for these")
    return network


def _custom_settings(module: nn.Module, num_classes: int) -> dict[str, Any]:
    """Return the settings of a network that only the user's own code can build: the name of its class."""
    return {"module": f"{type(module).__module__}.{type(module).__qualname__}", "num_classes": num_classes}


def custom_class(network: nn.Module) -> str | None:
    """Return the class of a network that only the user's own code can build; None where its settings rebuild it."""
    name: str | None = getattr(network, "settings", {}).get("module")
    return name


def unwrap(network: ImageNetwork) -> nn.Module:
    """Return the module whose tensors are saved, so that a wrapped one's keep the names that its owner knows."""
    return network.module if isinstance(network, WrappedNetwork) else network


def structure_digest(network: ImageNetwork) -> str:
    """Return a digest of the names and shapes of a network's tensors: equal for networks of equal structure."""
    shapes = {name: tuple(tensor.shape) for name, tensor in unwrap(network).state_dict().items()}
    return hashlib.sha256(repr(shapes).encode()).hexdigest()


class Classifier(ImageNetwork):
    """`images_N3HW` (RGB, uint8 or float in [0, 1]) -> `logits_NK`: a whole timm model, for pre-training a backbone.

    Images are normalised as `GlobalConvNet` will normalise them for this backbone. `InputError` for a model that
    could not be its backbone.
    """

    def __init__(self, backbone: str, num_classes: int) -> None:
        super().__init__()
        with torch.device("meta"):
            cut = Backbone(backbone)
        self.settings = {"backbone": backbone, "num_classes": num_classes}
        self.body = timm.create_model(backbone, pretrained=False, num_classes=num_classes)
        learn_depthwise_in_float32(self.body)
        self.set_normalisation(cut.mean, cut.std)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        logits_NK: Tensor = self.body(self.normalise(images_N3HW))
        return logits_NK
