"""A backbone as it is pre-trained: the whole timm model, with its classifier.

Shapes: N images, K classes, H x W pixels.
"""

import timm
import torch
from torch import Tensor

from globalconv.model.backbone import Backbone
from globalconv.model.normalise import Normalised


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
