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
from globalconv.model.backbone import STRIDES, Backbone
from globalconv.model.blocks import BoundaryRefinement, build_head, check_kernel_size
from globalconv.model.normalise import Normalised

UPSAMPLES = ("deconv", "bilinear")

NORMS = ("train", "frozen")

SETTINGS = (
    "num_classes", "backbone", "kernel_size", "head", "stack_width", "head_width", "boundary_refinement", "upsample",
)  # fmt: skip
"""Constructor arguments that rebuild a network around saved weights."""

LATER = {"head_width": None}
"""Those that networks of earlier versions did not have -> what they were."""


class GlobalConvNet(Normalised):
    """Backbone, four heads, nine Boundary Refinements and five x2 upsamplings (Figure 2A).

    `images_N3HW` (RGB, uint8 or float in [0, 1], any H, W >= 1) -> `logits_NKHW`.

    `kernel_size`, `head` and `stack_width` (m of head "stack"; None takes the level's own channels) are one value or
    one per level res-2 .. res-5, so that Baseline (`head="pointwise"`, no refinement), GCN and GCN + BR are settings of
    this one class, and so is "GCN after res-5 only".
    `head_width` m lets every head compute m channels, then a batch norm, a ReLU and a 1 x 1 convolution to the classes,
    instead of the scores themselves. The paper has nothing of this; trained from scratch in few steps it is what the
    network lacks beside other decoders (docs/training.md).
    `backbone_weights` is None (from scratch), "imagenet", a timm tag, or a file in timm's or torchvision's names.
    `backbone_norm="frozen"` is `freeze_backbone_norm()` after that; call it later where weights come later.

    Deviations and choices where the paper is silent: the network itself normalises with the backbone's mean and
    standard deviation and pads right and bottom with zeros to a multiple of 32; deconvolutions are 4 x 4, dense over
    the K channels, without bias, start as bilinear interpolation and are learned; strides sit where timm's backbone
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
    ) -> None:
        super().__init__()
        kernel_sizes = _per_level("kernel_size", kernel_size)
        heads = _per_level("head", head)
        widths = _per_level("stack_width", stack_width)
        _check_choice("upsample", upsample, UPSAMPLES)
        _check_choice("backbone_norm", backbone_norm, NORMS)
        if not isinstance(boundary_refinement, bool):
            raise InputError(f"boundary_refinement={boundary_refinement!r}: give True or False")
        if head_width is not None and (type(head_width) is not int or head_width < 1):
            raise InputError(f"head_width={head_width!r}: give a whole number of channels, at least 1, or None")
        _check_numbers(num_classes, kernel_sizes)
        _check_widths(widths, heads)
        self.backbone = Backbone(backbone)
        self.settings = {
            "num_classes": num_classes,
            "backbone": backbone,
            # What is built, so that equal networks have equal settings: a pointwise head is a kernel of 1.
            "kernel_size": tuple(1 if kind == "pointwise" else k for kind, k in zip(heads, kernel_sizes, strict=True)),
            "head": heads,
            "stack_width": _one_if_equal(widths),
            "head_width": head_width,
            "boundary_refinement": boundary_refinement,
            "upsample": upsample,
        }
        self.heads = nn.ModuleList(
            _scored(build_head(kind, channels, head_width or num_classes, k, width), head_width, num_classes)
            for kind, channels, k, width in zip(heads, self.backbone.channels, kernel_sizes, widths, strict=True)
        )
        # Named after where they stand in Figure 2A: four after the heads, three after the sums, two near the output.
        self.refine_heads = _refinements(4, num_classes, boundary_refinement)
        self.refine_sums = _refinements(3, num_classes, boundary_refinement)
        self.refine_output = _refinements(2, num_classes, boundary_refinement)
        self.upsamples = nn.ModuleList(_upsample(upsample, num_classes) for _ in range(5))
        if backbone_weights is not None:
            self.backbone.load(str(backbone_weights))
        self.normalise_with(self.backbone.mean, self.backbone.std)
        if backbone_norm == "frozen":
            self.freeze_backbone_norm()

    def freeze_backbone_norm(self) -> None:
        """Fix statistics and affine weights of the backbone's batch norms for good; see `Backbone.freeze_norm`."""
        self.backbone.freeze_norm()

    def forward(self, images_N3HW: Tensor) -> Tensor:
        """Return logits_NKHW of images_N3HW (RGB, uint8 or float in [0, 1])."""
        height, width = images_N3HW.shape[-2:]
        features = self.backbone(self._normalise_and_pad(images_N3HW))
        scores = [
            refine(head(features_NChw))
            for features_NChw, head, refine in zip(features, self.heads, self.refine_heads, strict=True)
        ]
        path_NKhw = self.upsamples[0](scores[3])
        for step, level in enumerate((2, 1, 0)):
            path_NKhw = self.upsamples[step + 1](self.refine_sums[step](path_NKhw + scores[level]))
        path_NKhw = self.upsamples[4](self.refine_output[0](path_NKhw))
        logits_NKPQ: Tensor = self.refine_output[1](path_NKhw)
        # Slicing off nothing would still cost the backward pass a zeroed copy of all scores.
        return logits_NKPQ if logits_NKPQ.shape[-2:] == (height, width) else logits_NKPQ[..., :height, :width]

    def _normalise_and_pad(self, images_N3HW: Tensor) -> Tensor:
        """Return images_N3PQ, normalised; zero, the padding, is then the mean colour."""
        height, width = images_N3HW.shape[-2:]
        return F.pad(self.normalised(images_N3HW), (0, -width % STRIDE, 0, -height % STRIDE))


def _per_level(name: str, value: object) -> tuple[Any, ...]:
    """Return `value` for each of the four levels; a list or tuple must have four entries."""
    if not isinstance(value, list | tuple):
        return (value,) * len(STRIDES)
    if len(value) != len(STRIDES):
        raise InputError(f"{name}={list(value)}: give one value, or four (res-2, res-3, res-4, res-5)")
    return tuple(value)


def _one_if_equal(values: tuple[Any, ...]) -> Any:
    return values[0] if values.count(values[0]) == len(values) else values


def _check_choice(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{name}={value!r}: {suggest(str(value), known)}")


def _check_numbers(num_classes: object, kernel_sizes: tuple[Any, ...]) -> None:
    """Refuse what is not a number of classes or a kernel size."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"num_classes={num_classes!r}: a network needs a whole number of classes, at least 1")
    for kernel_size in kernel_sizes:
        check_kernel_size(kernel_size)


def _check_widths(widths: tuple[Any, ...], heads: tuple[Any, ...]) -> None:
    """Refuse widths that no head would use; those that are used, `ConvStack` checks."""
    if any(width is not None for width in widths) and "stack" not in heads:
        given = _one_if_equal(widths)
        raise InputError(f"stack_width={given!r}: no head is a 'stack', so it changes nothing; leave it out")


def _scored(head: nn.Module, width: int | None, num_classes: int) -> nn.Module:
    """Return a head whose `width` channels become scores; without a width its outputs are scores already."""
    if width is None:
        return head
    return nn.Sequential(head, nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, num_classes, 1))


def _refinements(count: int, channels: int, wanted: bool) -> nn.ModuleList:
    return nn.ModuleList(BoundaryRefinement(channels) if wanted else nn.Identity() for _ in range(count))


def _upsample(kind: str, channels: int) -> nn.Module:
    """Return a x2 upsampling over `channels`: learned from a bilinear start, or fixed bilinear."""
    if kind == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    deconvolution = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    triangle = torch.tensor([0.25, 0.75, 0.75, 0.25])
    with torch.no_grad():
        deconvolution.weight.zero_()
        deconvolution.weight[range(channels), range(channels)] = torch.outer(triangle, triangle)
    return deconvolution
