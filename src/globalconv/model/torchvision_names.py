"""torchvision's names for the tensors of ConvNeXt and MobileNetV2, translated into timm's.

Its ResNets share timm's names. Its MobileNetV3 is not translated: it was trained with another batch-norm epsilon
(1e-3 against 1e-5), so that equal weights would give another network.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_MOBILENETV2_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
_FIRST_BLOCK = {"conv.0.0": "conv_dw", "conv.0.1": "bn1", "conv.1": "conv_pw", "conv.2": "bn2"}
_OTHER_BLOCKS = {
    "conv.0.0": "conv_pw", "conv.0.1": "bn1", "conv.1.0": "conv_dw", "conv.1.1": "bn2", "conv.2": "conv_pwl",
    "conv.3": "bn3",
}  # fmt: skip
_CONVNEXT_LAYERS = {
    "block.0": "conv_dw", "block.2": "norm", "block.3": "mlp.fc1", "block.5": "mlp.fc2", "layer_scale": "gamma",
}  # fmt: skip


def from_torchvision(architecture: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` under timm's names where `architecture` has others in torchvision; unknown names stay."""
    if architecture.startswith("convnext"):
        return {_convnext(name): _without_space(name, tensor) for name, tensor in state.items()}
    if architecture.startswith("mobilenetv2"):
        renamed = _mobilenetv2_names()
        return {_replace_start(name, renamed): tensor for name, tensor in state.items()}
    return dict(state)


def _without_space(name: str, tensor: Tensor) -> Tensor:
    """Return torchvision's (C, 1, 1) scale of a block as timm's (C,)."""
    return tensor.flatten() if name.endswith("layer_scale") else tensor


def _convnext(name: str) -> str:
    """features: 0 is the stem, odd numbers are stages, even ones the downsampling before a stage."""
    name = re.sub(r"^features\.0\.", "stem.", name)
    name = name.replace("classifier.0.", "head.norm.").replace("classifier.2.", "head.fc.")
    if found := re.match(r"features\.(\d+)\.(\d+)\.(.*)", name):
        feature, index, rest = int(found[1]), found[2], found[3]
        if feature % 2 == 0:
            return f"stages.{feature // 2}.downsample.{index}.{rest}"
        return f"stages.{feature // 2}.blocks.{index}.{_replace_start(rest, _CONVNEXT_LAYERS)}"
    return name


def _mobilenetv2_names() -> dict[str, str]:
    """features: 0 is the stem, then the blocks of all stages in one row, 18 the last convolution."""
    names = {
        "features.0.0": "conv_stem", "features.0.1": "bn1", "features.18.0": "conv_head", "features.18.1": "bn2",
        "classifier.1": "classifier",
    }  # fmt: skip
    places = [(stage, block) for stage, count in enumerate(_MOBILENETV2_BLOCKS) for block in range(count)]
    for feature, (stage, block) in enumerate(places, start=1):
        layers = _FIRST_BLOCK if stage == 0 else _OTHER_BLOCKS
        names |= {f"features.{feature}.{old}": f"blocks.{stage}.{block}.{new}" for old, new in layers.items()}
    return names


def _replace_start(name: str, renamed: Mapping[str, str]) -> str:
    """Return `name` with its longest beginning of whole parts that occurs in `renamed` replaced."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        if (new := renamed.get(".".join(parts[:count]))) is not None:
            return ".".join([new, *parts[count:]])
    return name
