"""A network as one program, from raw pixels to classes, for images of any size.

Shapes: N images, K classes, H x W pixels, R x S the same with the padding of training, P x Q padded to multiples of 32.

`torch.export` follows the sizes of all tensors as expressions of H and W. A convolution of stride 2 with padding on
both sides makes nested roundings of them, which it neither simplifies nor compares in reasonable time (175 s for a
ResNet-18, and the program then refuses sizes that are multiples of 32; LOG.md). Where a level divides by the stride,
the last column of padding is never read: without it the size is a plain half. So a copy of the network is exported
whose strided layers pad no more than is read, which computes the same.
"""

import copy
import importlib
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.geometry import STRIDE, Geometry
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import custom_class
from globalconv.runtime.text import one_line

PROBE = (9 * STRIDE, 11 * STRIDE)
"""Height and width of an image whose levels divide by two down to stride 32 and no further."""

EXAMPLE = (331, 267)
"""Size of the image that programs are traced with."""

LEAST_SIDES = (1, STRIDE + 1, 8 * STRIDE + 1)
"""Sides from which on images are taken: a module that behaves differently on the smallest gets no program for them."""


@dataclass(frozen=True)
class ImageProgram:
    """A program (images_NHW3 uint8 -> class_maps_NHW uint8[, probabilities_NKHW float32]) and what images it takes."""

    program: ExportedProgram
    least_side: int
    any_batch: bool


def export_program(network: ImageNetwork, geometry: Geometry, probabilities: bool = True) -> ImageProgram:
    """Return the program of `network`, which stays as it is, in eval mode.

    It is tried with images of any size and number first; for a module that cannot do that, with sides from 33 or 257
    pixels on, then with one image at a time. `InputError` where that fails too.
    """
    name = custom_class(network) or type(network).__name__
    try:
        raw = _RawImages(_without_unread_padding(network), geometry, probabilities).eval()
    except InputError:
        raise
    except Exception as error:  # other people's modules that cannot be copied, or take one size alone
        height, width = PROBE
        raise InputError(
            f"{name}: cannot be copied and computed for an image of {width}x{height}"
            f" ({one_line(error)}); export networks that take any size of image"
        ) from error
    reason: Exception | None = None
    for any_batch in (True, False):
        for least in LEAST_SIDES:
            try:
                program = _trace(raw, least, any_batch)
                _compare(program, raw, least, any_batch)
            except Exception as error:  # of torch.export and of other people's modules, anything
                reason = reason or error
            else:
                return ImageProgram(program, least, any_batch)
    raise InputError(
        f"{name}: torch.export cannot follow its computation ({one_line(reason)}); export networks"
        " whose forward has no branches that depend on the image"
    ) from reason


def _trace(raw: nn.Module, least: int, any_batch: bool) -> ExportedProgram:
    images_NHW3 = torch.zeros(2 if any_batch else 1, *EXAMPLE, 3, dtype=torch.uint8)
    sizes: dict[int, Any] = {1: Dim("H", min=least), 2: Dim("W", min=least)}
    sizes |= {0: Dim("N", min=1)} if any_batch else {}
    # Else a size of one cell is a case of its own, and the program refuses images of up to 32 pixels.
    tracing: Any = importlib.import_module("torch.fx.experimental._config")
    with torch.no_grad(), tracing.patch(backed_size_oblivious=True):
        return torch.export.export(raw, (images_NHW3,), dynamic_shapes=(sizes,), strict=False)


def _compare(program: ExportedProgram, raw: nn.Module, least: int, any_batch: bool) -> None:
    """Raise what the program raises on small and on even sizes, or `InputError` where it computes something else."""
    module = program.module()
    aligned = -(-least // STRIDE) * STRIDE
    for count, height, width in ((1, least, least), (2, aligned + STRIDE, aligned), (1, aligned + 1, aligned + 40)):
        size = (count if any_batch else 1, height, width, 3)
        images_NHW3 = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            expected, found = raw(images_NHW3), module(images_NHW3)
        if not isinstance(expected, tuple):  # where two classes have almost equal scores, either may win
            if (expected != found).float().mean() > 0.01:
                raise InputError(f"computes other classes than the network for images of {width}x{height}")
        elif not torch.allclose(expected[1], found[1], atol=1e-3):
            raise InputError(f"computes other probabilities than the network for images of {width}x{height}")


class _RawImages(nn.Module):
    """A network with everything between raw pixels and classes: images_NHW3 -> class_maps_NHW[, probabilities_NKHW]."""

    def __init__(self, network: ImageNetwork, geometry: Geometry, probabilities: bool) -> None:
        super().__init__()
        self.network, self.geometry, self.probabilities = network, geometry, probabilities
        self.register_buffer("fill_C11", torch.tensor(geometry.fill).view(-1, 1, 1) / 255, persistent=False)

    def forward(self, images_NHW3: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        height, width = images_NHW3.shape[1:3]
        rows, columns = self.geometry.pad_to or (0, 0)
        images_N3HW = images_NHW3.permute(0, 3, 1, 2).float() / 255
        images_N3RS = _extend(images_N3HW, torch.sym_max(height, rows), torch.sym_max(width, columns), self.fill_C11)
        # The network pads with zeros after it has normalised: with its mean before that.
        rows, columns = ((size + STRIDE - 1) // STRIDE * STRIDE for size in images_N3RS.shape[-2:])
        logits_NKPQ: Tensor = self.network(_extend(images_N3RS, rows, columns, self.network.mean_C11))
        classes_NHW = logits_NKPQ.argmax(1).to(torch.uint8)[:, :height, :width]
        if not self.probabilities:
            return classes_NHW
        return classes_NHW, logits_NKPQ.float().softmax(1)[:, :, :height, :width]


def _extend(images_N3HW: Tensor, rows: Any, columns: Any, fill_C11: Any) -> Tensor:
    """Return images of rows x columns pixels, with the colour `fill_C11` at the right and the bottom.

    By indices, because padding by a number of pixels that may be none is two programs to `torch.export`.
    """
    height, width = images_N3HW.shape[-2:]
    row_P, column_Q = torch.arange(rows), torch.arange(columns)
    extended_N3PQ = images_N3HW[:, :, row_P.clamp(max=height - 1)][:, :, :, column_Q.clamp(max=width - 1)]
    inside_PQ = (row_P < height)[:, None] & (column_Q < width)
    return torch.where(inside_PQ, extended_N3PQ, fill_C11)


def _without_unread_padding(network: ImageNetwork) -> ImageNetwork:
    """Return a copy of `network` in eval mode in which layers with a stride pad no more than they read."""
    network = copy.deepcopy(network).eval()
    layer: Any  # a convolution or a pooling, of any library's class
    for layer, sizes in _input_sizes(network).items():
        if isinstance(layer.padding, str):
            continue
        values = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
        kernel, stride, padding, dilation = ((each, each) if isinstance(each, int) else each for each in values)
        same = isinstance(layer, Conv2dSame)
        if not (same or max(stride) > 1) or getattr(layer, "ceil_mode", False):
            continue
        pads: list[int] = []
        for axis in (1, 0):  # the last one first, as F.pad takes them
            step, reach = stride[axis], dilation[axis] * (kernel[axis] - 1) + 1
            read = reach - step  # cells beyond the input that the windows of all size / step outputs reach
            before = max(0, read) // 2 if same else padding[axis]
            # More or less padding than that of one output per step makes another number of outputs.
            is_plain = same or -step <= 2 * before - reach < 0
            if is_plain and all(size[axis] % step == 0 for size in sizes):
                pads += [before, read - before]
        if len(pads) == 4:
            value = float("-inf") if isinstance(layer, nn.MaxPool2d) else 0.0

            def pad(_: nn.Module, inputs: tuple[Tensor, ...], pads: list[int] = pads, value: float = value) -> Tensor:
                padded: Tensor = F.pad(inputs[0], pads, value=value)
                return padded

            layer.register_forward_pre_hook(pad)  # a hook, so that whoever looks for the layer's weights finds them
            if same:
                layer.__class__ = nn.Conv2d
            layer.padding = (0, 0) if isinstance(layer, nn.Conv2d) else 0
    return network


def _input_sizes(network: ImageNetwork) -> dict[nn.Module, list[tuple[int, int]]]:
    """Return layer -> the height and width of each of its inputs, for one image of size `PROBE`."""
    sizes: dict[nn.Module, list[tuple[int, int]]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes.setdefault(layer, []).append((inputs[0].shape[-2], inputs[0].shape[-1]))

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in network.modules()
        if (isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros") or type(layer) is nn.MaxPool2d
    ]
    with torch.inference_mode():
        network(torch.zeros(1, 3, *PROBE, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return sizes
