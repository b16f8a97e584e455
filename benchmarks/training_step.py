"""A training step of the whole network, as a multiple of the plain timm backbone's own.

    python benchmarks/training_step.py [--backbone resnet50] [--batch 4 --size 256] [--peers] [--device cuda]
    python benchmarks/training_step.py --json

A step is forward, loss, backward and SGD with momentum, under bfloat16 autocast in channels_last as `train` takes it,
and of two networks as re-implementations do (float32, NCHW). The backbone (timm's, `features_only=True`) has no loss:
it gets gradients of its features that were made before, in its own precision and layout, so that nothing is counted
that is not its own forward and backward. Where it has depthwise convolutions, which `globalconv.model.depthwise` lets
learn in float32, the same backbone as timm makes it is measured as well. --peers adds the decoders of
segmentation-models-pytorch on the same encoder (extra `bench`), with the same loss.

--json prints one line: backbone_ms, network_ms, ratio and path, of GCN + BR in bfloat16. Random weights and images:
this is about time only.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
import tyro
from common import compare, measure, print_rows, ratio, write_results
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from globalconv import GlobalConvNet
from globalconv.cost.latency import wait
from globalconv.model.backbone import Backbone
from globalconv.model.depthwise import DepthwiseConv, SameDepthwiseConv
from globalconv.runtime.memory import keep_freed_memory
from globalconv.training.loss import segmentation_loss, valid_pixels

Build = Callable[[], nn.Module]
BACKBONE, NETWORK = "backbone, bfloat16", "GCN + BR, bfloat16"
OURS = (DepthwiseConv, SameDepthwiseConv)


@dataclass(frozen=True)
class Settings:
    backbone: str = "resnet50"
    kernel_size: int = 15
    classes: int = 21
    size: int = 256
    """Height and width of the crops."""
    batch: int = 4
    device: str = "cpu"
    repeats: int = 11
    peers: bool = False
    json: bool = False
    """Measure only what the ratio needs, and print it as one line of JSON."""


def main(settings: Settings) -> None:
    torch.manual_seed(0)
    every = cases(settings)
    wanted = {name: every[name] for name in (BACKBONE, NETWORK)} if settings.json else every
    # Memory is used again from the fourth step on, or from a later one where the cases have different sizes.
    rows = compare(measure({name: make() for name, make in wanted.items()}, settings.repeats, warmup=6), BACKBONE)
    if settings.json:
        print(json.dumps(ratio(rows, BACKBONE, NETWORK)))
        return
    print_rows(f"training step, {settings.backbone}, {settings.batch} x {settings.size} x {settings.size}", rows)
    asked = {name: value for name, value in asdict(settings).items() if name != "json"}
    write_results(
        f"training_step.{settings.backbone}", settings.device, asked, {f"training step over {settings.backbone}": rows}
    )


def networks(settings: Settings) -> dict[str, Build]:
    """Return a builder for every network that is compared."""
    backbone, classes, k = settings.backbone, settings.classes, settings.kernel_size
    known: dict[str, Build] = {
        "backbone": lambda: Backbone(backbone).body,
        "Baseline": lambda: GlobalConvNet(classes, backbone, head="pointwise", boundary_refinement=False),
        "GCN": lambda: GlobalConvNet(classes, backbone, k, boundary_refinement=False),
        "GCN + BR": lambda: GlobalConvNet(classes, backbone, k),
    }
    if any(isinstance(layer, OURS) for layer in Backbone(backbone).modules()):
        known["backbone as timm makes it"] = lambda: as_timm_makes_it(Backbone(backbone).body)
    if settings.peers:
        import segmentation_models_pytorch as smp

        known["smp FPN"] = lambda: smp.FPN(backbone, encoder_weights=None, classes=classes)
        known["smp DeepLabV3+"] = lambda: smp.DeepLabV3Plus(backbone, encoder_weights=None, classes=classes)
        known["smp Unet"] = lambda: smp.Unet(backbone, encoder_weights=None, classes=classes)
    return known


def as_timm_makes_it(body: nn.Module) -> nn.Module:
    """Give the depthwise convolutions of a backbone their own classes back, and return it."""
    for layer in body.modules():
        if type(layer) in OURS:
            layer.__class__ = Conv2dSame if isinstance(layer, Conv2dSame) else nn.Conv2d
    return body


def cases(settings: Settings) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return what makes the step of every network, and of two of them in plain float32 as well."""
    makers = networks(settings)
    found: dict[str, Callable[[], Callable[[], object]]] = {
        f"{name}, bfloat16": partial(training_step, settings, build, True) for name, build in makers.items()
    }
    for name in ("backbone", "GCN + BR"):
        found[f"{name}, float32, NCHW"] = partial(training_step, settings, makers[name], False)
    return found


def training_step(settings: Settings, build: Build, fast: bool) -> Callable[[], object]:
    """Return a call that takes one step of SGD: `fast` in bfloat16 and channels_last, else in float32 and NCHW."""
    device = torch.device(settings.device)
    layout = torch.channels_last if fast else torch.contiguous_format
    network = build().to(device).to(memory_format=layout).train()
    size = (settings.batch, settings.size, settings.size)
    images_N3HW = torch.rand(size[0], 3, *size[1:], device=device).contiguous(memory_format=layout)
    labels_NHW = torch.randint(settings.classes, size, device=device, dtype=torch.uint8)
    optimizer = torch.optim.SGD(network.parameters(), 1e-4, momentum=0.9, fused=True)
    gradients: list[Tensor] = []

    def call() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=fast):
            output = network(images_N3HW)
        if isinstance(output, Tensor):
            segmentation_loss(output, labels_NHW, valid_pixels(labels_NHW)).backward()
        else:
            if not gradients:
                gradients.extend(1e-2 * torch.randn_like(features_NChw) for features_NChw in output)
            torch.autograd.backward(output, gradients)
        optimizer.step()
        optimizer.zero_grad()
        wait(device)

    return call


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    main(tyro.cli(Settings, description=__doc__))
