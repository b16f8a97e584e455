"""GlobalConvNet: the paper's whole network (Figure 2A) over any backbone.

Shapes: N images, K classes, H x W pixels of the input, P x Q the same padded to multiples of 32,
C channels and h x w cells of one backbone level.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, suggest
from globalconv.geometry import STRIDE
from globalconv.model.backbone import RES_5, STRIDES, Backbone
from globalconv.model.blocks import BoundaryRefinement, build_head, check_kernel_size, head_weights
from globalconv.model.feature_decoder import FeatureDecoder
from globalconv.runtime.text import one_line

UPSAMPLES = ("deconv", "bilinear")

DECODERS = ("scores", "features")

FEATURE_WIDTH = 128
"""Channels of decoder "features" where no `head_width` is given."""

NORMS = ("train", "frozen")

SETTINGS = (
    "num_classes", "backbone", "kernel_size", "head", "stack_width", "head_width", "boundary_refinement", "upsample",
    "decoder",
)  # fmt: skip
"""Constructor arguments that rebuild a network around saved weights."""

LATER_SETTINGS = {"head_width": None, "decoder": "scores"}
"""Settings that files of earlier versions lack -> the value that their networks have."""

MAX_CLASSES, MAX_WIDTH, MAX_HEAD_WEIGHTS = 4096, 16_384, 2**31
"""Bounds that no network reaches (the paper's largest head, Table 3's stack, has 264 million weights): numbers from
hostile files and slipped fingers are refused by them before anything is allocated."""

STD_RANGE, MAX_MEAN = (1e-4, 1e4), 1e4
"""What a standard deviation and a mean of the values of images in [0, 1] may be; those of images are 1/255 to 1."""


class ImageNetwork(nn.Module):
    """Base of networks that take images_N3HW (RGB, uint8 or float in [0, 1]) and normalise them themselves.

    Mean and standard deviation are buffers outside the state dict: they follow the network to its device, and are saved
    by name beside its weights.
    """

    mean_C11: Tensor
    std_C11: Tensor
    settings: dict[str, Any]
    """What rebuilds the network around saved weights."""

    def set_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Register the mean and the standard deviation of red, green and blue in images in [0, 1]."""
        self.register_buffer("mean_C11", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std_C11", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalise(self, images_N3HW: Tensor) -> Tensor:
        """Return images as floats of mean 0 and deviation 1; zero is then the mean colour."""
        if images_N3HW.ndim != 4 or images_N3HW.shape[1] != 3 or 0 in images_N3HW.shape:
            raise ValueError(f"images of shape {tuple(images_N3HW.shape)}: expected (N, 3, H, W), none of them 0")
        if images_N3HW.dtype == torch.uint8:
            images_N3HW = images_N3HW.to(self.mean_C11.dtype) / 255
        elif not images_N3HW.is_floating_point():
            raise ValueError(f"images of {images_N3HW.dtype}: expected uint8 (0 .. 255) or float (0 .. 1)")
        return (images_N3HW - self.mean_C11) / self.std_C11

    def normalise_and_pad(self, images_N3HW: Tensor) -> Tensor:
        """Return images_N3PQ, normalised, with the mean colour at the right and the bottom up to multiples of 32."""
        height, width = images_N3HW.shape[-2:]
        return F.pad(self.normalise(images_N3HW), (0, -width % STRIDE, 0, -height % STRIDE))


class GlobalConvNet(ImageNetwork):
    """Backbone, four heads, nine Boundary Refinements and five x2 upsamplings (Figure 2A).

    `images_N3HW` (RGB, uint8 or float in [0, 1], any H, W >= 1) -> `logits_NKHW`.

    `kernel_size`, `head` and `stack_width` (m of head "stack"; None takes the level's own channels) are one value or
    one per level res-2 .. res-5, so that Baseline (`head="pointwise"`, no refinement), GCN and GCN + BR are settings of
    this one class, and so is "GCN after res-5 only".
    `head_width` m lets every head compute m channels, then a batch norm, a ReLU and a 1 x 1 convolution to the classes,
    instead of the scores themselves. It is not in the paper; without it, networks that are trained from scratch in few
    steps fall behind those with other decoders (docs/training.md).
    `decoder` "scores" is Figure 2A. "features" sums features in place of scores (`FeatureDecoder`, not in the paper):
    `head_width` channels (by default 128), depthwise large kernels where the head is "gcn", none where it is
    "pointwise"; it interpolates bilinearly, whatever `upsample` says.
    `backbone_weights` is None or "none" (from scratch), "imagenet", a timm tag, or a file in timm's or torchvision's
    names; `network.backbone.weights_origin` tells where they were found (docs/pretraining.md).
    `backbone_norm="frozen"` is `freeze_backbone_norm()` after that; call it later where weights come later.
    `frozen_stages` keeps the backbone as it was loaded up to a level: 1 is res-2, 4 all of it; 0 nothing.
    `drop_path` is the rate of the backbone's stochastic depth in training; it shapes no weights, so it is no setting.

    Deviations and choices where the paper is silent: the network itself normalises with the backbone's mean and
    standard deviation and pads right and bottom with zeros to a multiple of 32; deconvolutions are 4 x 4, dense over
    the K channels, without bias, start as bilinear interpolation and are learned; strides lie where timm's backbone
    has them. An odd kernel of stride 2 centres a cell on its first pixel, so each level carries an offset of half a
    cell against the half-pixel centres of the upsampling, as in every such network.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "resnet152",
        kernel_size: int | Sequence[int] = 15,
        head: str | Sequence[str] = "gcn",
        stack_width: int | Sequence[int] | None = None,
        boundary_refinement: bool = True,
        upsample: str = "deconv",
        backbone_weights: str | None = None,
        backbone_norm: str = "train",
        head_width: int | None = None,
        decoder: str = "scores",
        drop_path: float = 0.0,
        frozen_stages: int = 0,
    ) -> None:
        super().__init__()
        kernel_sizes = _per_level("kernel_size", kernel_size)
        heads = _per_level("head", head)
        stack_widths = _per_level("stack_width", stack_width)
        _check_settings(num_classes, kernel_sizes, heads, stack_widths, head_width)
        if not isinstance(boundary_refinement, bool):
            raise InputError(f"boundary_refinement={one_line(repr(boundary_refinement))}: give True or False")
        for name, value, choices in (
            ("upsample", upsample, UPSAMPLES), ("backbone_norm", backbone_norm, NORMS), ("decoder", decoder, DECODERS),
        ):  # fmt: skip
            if value not in choices:
                raise InputError(f"{name}={one_line(repr(value))}: {suggest(one_line(value), choices)}")
        self.backbone = Backbone(backbone, decoder == "features", drop_path)
        for kind, channels, k, width in zip(heads, self.backbone.channels, kernel_sizes, stack_widths, strict=True):
            if (count := head_weights(kind, channels, head_width or num_classes, k, width)) > MAX_HEAD_WEIGHTS:
                raise InputError(
                    f"kernel_size={k}, head {kind!r}: {count / 1e9:.3g} billion weights in one head, at most"
                    f" {MAX_HEAD_WEIGHTS / 1e9:.3g} can be built; choose a smaller kernel, stack width or head width"
                )
        self.settings = {
            "num_classes": num_classes,
            "backbone": backbone,
            # As built, so that equal networks have equal settings: a pointwise head is a kernel of 1.
            "kernel_size": tuple(1 if kind == "pointwise" else k for kind, k in zip(heads, kernel_sizes, strict=True)),
            "head": heads,
            "stack_width": _one_if_equal(stack_widths),
            "head_width": FEATURE_WIDTH if decoder == "features" and head_width is None else head_width,
            "boundary_refinement": boundary_refinement,
            "upsample": "bilinear" if decoder == "features" else upsample,
            "decoder": decoder,
        }
        self.decoder: FeatureDecoder | None = None
        if decoder == "features":
            self.decoder = FeatureDecoder(
                self.backbone.channels, num_classes, self.settings["head_width"], heads, kernel_sizes,
                boundary_refinement,
            )  # fmt: skip
        else:
            self._add_score_decoder(kernel_sizes, heads, stack_widths)
        if backbone_weights not in (None, "none"):
            self.backbone.load(str(backbone_weights))
        self.set_normalisation(self.backbone.mean, self.backbone.std)
        if backbone_norm == "frozen":
            self.freeze_backbone_norm()
        if type(frozen_stages) is not int or not 0 <= frozen_stages <= RES_5:
            raise InputError(f"frozen_stages={one_line(repr(frozen_stages))}: give 0 (none), or 1 (res-2) .. {RES_5}")
        if frozen_stages:
            self.backbone.freeze_stages(frozen_stages)

    def _add_score_decoder(
        self, kernel_sizes: tuple[int, ...], heads: tuple[str, ...], stack_widths: tuple[int | None, ...]
    ) -> None:
        """Build what follows the backbone in Figure 2A."""
        num_classes, width = self.settings["num_classes"], self.settings["head_width"]
        refined = self.settings["boundary_refinement"]
        self.heads = nn.ModuleList()
        for kind, channels, k, stack_width in zip(
            heads, self.backbone.channels, kernel_sizes, stack_widths, strict=True
        ):
            level_head = build_head(kind, channels, width or num_classes, k, stack_width)
            if width is not None:
                to_scores = nn.Conv2d(width, num_classes, 1)
                level_head = nn.Sequential(level_head, nn.BatchNorm2d(width), nn.ReLU(), to_scores)
            self.heads.append(level_head)
        # Named by their place in Figure 2A: four after the heads, three after the sums, two near the output.
        self.refine_heads = _refinements(4, num_classes, refined)
        self.refine_sums = _refinements(3, num_classes, refined)
        self.refine_output = _refinements(2, num_classes, refined)
        self.upsamples = nn.ModuleList(build_upsampling(self.settings["upsample"], num_classes) for _ in range(5))

    @property
    def level_heads(self) -> nn.ModuleList:
        """The heads after res-2 .. res-5, of either decoder."""
        return self.heads if self.decoder is None else self.decoder.heads

    def freeze_backbone_norm(self) -> None:
        """Fix statistics and affine weights of the backbone's batch norms for good; see `Backbone.freeze_norm`."""
        self.backbone.freeze_norm()

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return logits_NKHW of images_N3HW (RGB, uint8 or float in [0, 1])."""
        height, width = images_N3HW.shape[-2:]
        features = self.backbone(self.normalise_and_pad(images_N3HW))
        logits_NKPQ = self._sum_scores(features) if self.decoder is None else self.decoder(features)
        # Slicing off nothing would still cost the backward pass a zeroed copy of all scores.
        return logits_NKPQ if logits_NKPQ.shape[-2:] == (height, width) else logits_NKPQ[..., :height, :width]

    def _sum_scores(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits_NKPQ of the features of the four levels, as in Figure 2A."""
        scores = [
            refine(head(features_NChw))
            for features_NChw, head, refine in zip(features, self.heads, self.refine_heads, strict=True)
        ]
        path_NKhw = self.upsamples[0](scores[3])
        for step, level in enumerate((2, 1, 0)):
            path_NKhw = self.upsamples[step + 1](self.refine_sums[step](path_NKhw + scores[level]))
        path_NKhw = self.upsamples[4](self.refine_output[0](path_NKhw))
        logits_NKPQ: Tensor = self.refine_output[1](path_NKhw)
        return logits_NKPQ


def check_normalisation(mean: object, std: object) -> None:
    """Raise `InputError` for anything but three numbers each that images can have; they may come from a file."""
    for name, rgb, least, most in (("mean", mean, -MAX_MEAN, MAX_MEAN), ("std", std, *STD_RANGE)):
        values = rgb if isinstance(rgb, list) else []
        if not (len(values) == 3 and all(type(value) in (int, float) and least <= value <= most for value in values)):
            raise InputError(f"{name}={one_line(repr(rgb))}: expected three finite numbers, {least:g} to {most:g}")


def _per_level(name: str, value: object) -> tuple[Any, ...]:
    """Return `value` for each of the four levels; a list or tuple must have four entries."""
    if not isinstance(value, list | tuple):
        return (value,) * len(STRIDES)
    if len(value) != len(STRIDES):
        raise InputError(f"{name}={one_line(list(value))}: give one value, or four (res-2, res-3, res-4, res-5)")
    return tuple(value)


def _one_if_equal(values: tuple[Any, ...]) -> Any:
    return values[0] if values.count(values[0]) == len(values) else values


def _check_settings(
    num_classes: object,
    kernel_sizes: tuple[Any, ...],
    heads: tuple[Any, ...],
    stack_widths: tuple[Any, ...],
    head_width: object,
) -> None:
    """Raise `InputError` for numbers that build no network, and for stack widths that no head would use."""
    for name, number, most in (("head_width", head_width, MAX_WIDTH), ("num_classes", num_classes, MAX_CLASSES)):
        if not (name == "head_width" and number is None) and not (type(number) is int and 1 <= number <= most):
            what = "channels" if name == "head_width" else "classes"
            raise InputError(f"{name}={one_line(repr(number))}: give a whole number of {what}, 1 to {most}")
    for width in stack_widths:
        if width is not None and not (type(width) is int and 1 <= width <= MAX_WIDTH):
            raise InputError(
                f"stack_width={one_line(repr(width))}: the stack needs a whole number of channels, 1 to {MAX_WIDTH}"
            )
    for kernel_size in kernel_sizes:
        check_kernel_size(kernel_size)
    if any(width is not None for width in stack_widths) and "stack" not in heads:
        raise InputError(
            f"stack_width={_one_if_equal(stack_widths)!r}: no head is a 'stack', so it changes nothing; leave it out"
        )


def _refinements(count: int, channels: int, wanted: bool) -> nn.ModuleList:
    return nn.ModuleList(BoundaryRefinement(channels) if wanted else nn.Identity() for _ in range(count))


def build_upsampling(kind: str, channels: int) -> nn.Module:
    """Return a x2 upsampling over `channels`: learned from a bilinear start ("deconv"), or fixed ("bilinear")."""
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    deconvolution = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    triangle = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        deconvolution.weight.zero_()
        deconvolution.weight[range(channels), range(channels)] = torch.outer(triangle, triangle)
    return deconvolution
