"""One contract for every backbone: feature maps at strides 4, 8, 16, 32, and how many channels each has.

Any timm model that yields those four strides will do; importing this module registers ResNet-GCN with timm.
"""

import difflib
from typing import Any, Self

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers.drop import DropPath
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import globalconv.model.resnet_gcn  # noqa: F401 (timm then knows resnet50_gcn by its name)
from globalconv.errors import InputError
from globalconv.geometry import STRIDE
from globalconv.model.depthwise import learn_depthwise_in_float32
from globalconv.model.pretrained import load_pretrained
from globalconv.model.weights_lookup import pretrained_config
from globalconv.runtime.text import one_line

STRIDES = (4, 8, 16, STRIDE)
"""Pixels per cell of the levels res-2, res-3, res-4, res-5."""

RES_5 = len(STRIDES)
"""Number of the last level: res-2 .. res-5 are 1 .. 4, and 0 is what lies before res-2."""

PROBE = (STRIDE, 3 * STRIDE)
"""Height and width of the image that tries out a backbone: one cell high at res-5, and not square."""


class Backbone(nn.Module):
    """A timm model cut into the levels res-2 .. res-5 (Figure 2A), without its classifier.

    `channels` holds four numbers, fine to coarse; `mean` and `std` (R, G, B of images in [0, 1]) are timm's for it.
    A tag in the name ("resnet50.a1_in1k") chooses mean and standard deviation, not weights; weights that are loaded by
    their tag bring their own. `weights_origin` says in words where `load` found them, None before.
    `last_convolution` adds to res-5 the 1 x 1 convolution by which timm's EfficientNets widen it before they pool (320
    to 1,280 channels in Lite0), which is pre-trained as the rest is; other models end with res-5 and stay as they are.
    `drop_path` is the rate of stochastic depth at the last block, those before it have less; `InputError` for a model
    that has none.
    """

    def __init__(self, name: str, last_convolution: bool = False, drop_path: float = 0.0) -> None:
        super().__init__()
        requested: Any = name  # settings come from files as well
        if not isinstance(requested, str) or not timm.is_model(requested):
            close = difflib.get_close_matches(str(name).partition(".")[0].lower(), timm.list_models(), n=3)
            hint = f"did you mean {', '.join(map(repr, close))}?" if close else "timm.list_models() names them all"
            raise InputError(f"backbone={one_line(repr(name))}: timm knows no such model; {hint}")
        self.name = name
        self._set_normalisation(pretrained_config(name))
        self.frozen_norms: list[_BatchNorm] = []
        self.weights_origin: str | None = None
        levels = _level_indices(name)
        self.drop_path = drop_path
        self.body = _create_dropping(name, levels, drop_path) if drop_path else _create_cut(name, out_indices=levels)
        learn_depthwise_in_float32(self.body)
        self.channels: tuple[int, ...] = tuple(self.body.feature_info.channels())
        self.has_last_convolution = False
        if last_convolution and not hasattr(self.body, "conv_head"):
            whole = timm.create_model(name, pretrained=False, num_classes=0)
            if isinstance(whole, EfficientNet):
                self.body.conv_head, self.body.bn2 = whole.conv_head, whole.bn2
                self.channels = (*self.channels[:3], whole.num_features)
                self.has_last_convolution = True

    def forward(self, images_N3PQ: Tensor) -> list[Tensor]:
        """Return features_NChw of the four levels, fine to coarse; P and Q are multiples of 32."""
        features = _features(self.body, images_N3PQ)
        if self.has_last_convolution:
            features[3] = self.body.bn2(self.body.conv_head(features[3]))
        return features

    def load(self, weights: str) -> None:
        """Fill the backbone from "imagenet" (timm's default weights), a timm tag, or a file in timm's or torchvision's
        names; `InputError` where they cannot be had or do not fit."""
        found = load_pretrained(self.body, self.name, weights)
        self.weights_origin = found.origin
        if found.config is not None:
            self._set_normalisation(found.config)

    def _set_normalisation(self, config: Any) -> None:
        """Take mean and standard deviation from timm's configuration; None stands for ImageNet's."""
        self.mean: tuple[float, ...] = tuple(map(float, config.mean if config else IMAGENET_DEFAULT_MEAN))
        self.std: tuple[float, ...] = tuple(map(float, config.std if config else IMAGENET_DEFAULT_STD))

    def freeze_norm(self) -> None:
        """Fix the statistics and the affine weights of every batch norm; `train()` leaves them fixed.

        Raises `InputError` where there is no batch norm, or none with statistics that were learned or loaded.
        """
        norms = batch_norms(self)
        if not norms:
            raise InputError(f"backbone_norm='frozen': {self.name!r} has no batch norm; use backbone_norm='train'")
        if all(
            layer.running_mean is None
            or layer.running_var is None
            or bool((layer.running_mean == 0).all() and (layer.running_var == 1).all())
            for layer in norms
        ):
            raise InputError(
                "backbone_norm='frozen': no statistics were loaded, and fresh ones (mean 0, variance 1) normalise"
                " nothing; give backbone_weights or the weights of a trained network, or use backbone_norm='train'"
            )
        self.frozen_norms = norms
        for layer in norms:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train(self.training)

    def freeze_stages(self, stages: int) -> None:
        """Fix all up to a level, 1 (res-2) .. 4 (res-5), as it is: its weights, and the statistics of its batch norms.

        Its gradients are not computed then, which are the most expensive ones. Raises `InputError` as
        `parameter_levels`.
        """
        levels = self.parameter_levels(f"frozen_stages={stages}", 0)
        frozen = {id(parameter) for parameter, level in levels.items() if level <= stages}
        for parameter in levels:
            parameter.requires_grad_(parameter.requires_grad and id(parameter) not in frozen)
        self.frozen_norms += [norm for norm in batch_norms(self.body) if id(norm.weight) in frozen]
        self.train(self.training)

    def parameter_levels(self, setting: str, off: int) -> dict[nn.Parameter, int]:
        """Return parameter -> its level: 0 before res-2, then 1 .. `RES_5`.

        A parameter belongs to the first level whose module, as timm declares it, it is registered in or before; what
        lies before res-2 ends with the last of timm's features of a finer stride, or where res-2 begins. `InputError`
        names the `setting` that asks, and its value that is `off`, where the backbone has no module of its own for each
        level (HRNet: its levels run side by side).
        """
        features = self.body.feature_info
        order = {name: position for position, (name, _) in enumerate(self.body.named_modules())}
        ends: list[int] = []
        for stride, module in zip(STRIDES, features.module_name(), strict=True):
            if (span := _span(module, order)) is None or (ends and span[1] <= ends[-1]):
                raise InputError(
                    f"{setting}: backbone {self.name!r} has no part of its own for the level of stride {stride}, so its"
                    f" levels have no order; set it to {off}"
                )
            if not ends:
                finer = [_span(info["module"], order) for info in features.info if info["reduction"] < STRIDES[0]]
                ends.append(max((found[1] for found in finer if found), default=span[0] - 1))
            ends.append(span[1])

        def level_of(position: int) -> int:
            return next((level for level, end in enumerate(ends) if position <= end), RES_5)

        named = self.body.named_parameters()
        return {parameter: level_of(order[name.rpartition(".")[0]]) for name, parameter in named}

    def train(self, mode: bool = True) -> Self:
        """Set the mode of every layer but frozen batch norms, which keep to their statistics."""
        super().train(mode)
        for layer in self.frozen_norms:
            layer.eval()
        return self


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Return every batch norm inside `module`."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def _create_cut(name: str, **options: Any) -> Any:
    """Return the timm model `name`, untrained, cut so that it returns feature maps and declares their strides."""
    return timm.create_model(name, features_only=True, pretrained=False, **options)


def _create_dropping(name: str, levels: list[int], rate: object) -> Any:
    """Return the cut model with stochastic depth; some models refuse timm's option for it, others do not heed it."""
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise InputError(f"drop_path={one_line(repr(rate))}: give a rate, at least 0 and below 1")
    try:
        body = _create_cut(name, out_indices=levels, drop_path_rate=float(rate))
    except TypeError:
        body = None
    if body is None or not any(isinstance(layer, DropPath) and layer.drop_prob for layer in body.modules()):
        raise InputError(f"drop_path={rate}: {name!r} has no stochastic depth; use 0")
    return body


def _level_indices(name: str) -> list[int]:
    """Return the timm feature indices of strides 4, 8, 16, 32; `InputError` for a model that lacks one.

    The model is built twice on the meta device, without memory or arithmetic: once to read which strides it declares,
    once to see that shapes really come out so. Declarations can be wrong (dla34), and many transformers take one size
    only.
    """
    try:
        with torch.device("meta"):
            reductions = _create_cut(name).feature_info.reduction()
            levels = [reductions.index(stride) for stride in STRIDES if stride in reductions]
            body = _create_cut(name, out_indices=levels).eval()
            shapes = [tuple(level.shape[1:]) for level in _features(body, torch.empty(1, 3, *PROBE))]
    except (RuntimeError, AttributeError, AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"backbone={name!r} cannot give feature maps of an image of any size ({one_line(error)});"
            f" choose a convolutional model"
        ) from error
    expected = [(PROBE[0] // stride, PROBE[1] // stride) for stride in STRIDES]
    if [shape[1:] for shape in shapes] != expected or [shape[0] for shape in shapes] != body.feature_info.channels():
        raise InputError(
            f"backbone={name!r} does not give the strides 4, 8, 16 and 32 (timm declares {reductions}; an image of"
            f" {PROBE} comes out as {shapes}); choose another"
        )
    return levels


def _features(body: Any, images_N3PQ: Tensor) -> list[Tensor]:
    """Return features_NChw, also of models that keep their channels last (MambaOut)."""
    features: list[Tensor] = body(images_N3PQ)
    if getattr(body, "output_fmt", None) == "NHWC":
        return [level_NhwC.permute(0, 3, 1, 2) for level_NhwC in features]
    return features


def _span(feature: str, order: dict[str, int]) -> tuple[int, int] | None:
    """Return the positions of the first and the last module inside a feature's; timm may join its name with "_"."""
    wanted = feature.replace(".", "_")
    owner = next((name for name in order if name.replace(".", "_") == wanted), None)
    if owner is None:
        return None
    inside = [position for name, position in order.items() if name == owner or name.startswith(f"{owner}.")]
    return min(inside), max(inside)
