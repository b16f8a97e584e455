"""Training step and inference of the whole network and of the plain timm backbone it stands on.

    python benchmarks/network.py
    python benchmarks/network.py --device cuda --backbone resnet101 --repeats 20

Every network (the backbone alone, Baseline, GCN, GCN + BR, and FPN and Unet of segmentation-models-pytorch where that
is installed) in float32 and under bfloat16 autocast, in channels_last or not. Random weights and images: this is about
time only. A training step is forward, cross-entropy, backward, SGD with momentum; the backbone's "loss" is the mean of
its features. Inference ends with the class map (for the backbone: with its features).
"""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

import timm
import torch
import tyro
from common import compare, measure, print_rows, write_results
from torch import Tensor, nn

from globalconv import GlobalConvNet
from globalconv.analyze.timing import wait
from globalconv.training.loss import segmentation_loss, valid_pixels

Build = Callable[[], nn.Module]
REFERENCE = "backbone float32"


@dataclass(frozen=True)
class Settings:
    backbone: str = "resnet18"
    kernel_size: int = 15
    classes: int = 21
    infer_size: tuple[int, int] = (512, 512)
    """Height and width of the one image of an inference."""
    train_size: tuple[int, int] = (256, 256)
    train_batch: int = 4
    device: str = "cpu"
    repeats: int = 5
    jobs: tuple[Literal["inference", "training"], ...] = ("inference", "training")


def main(settings: Settings) -> None:
    torch.manual_seed(0)
    tables: dict[str, Any] = {}
    for job in settings.jobs:
        make = inference if job == "inference" else training_step
        tables[job] = compare(measure(cases(settings, make), settings.repeats), REFERENCE)
        print_rows(f"{job}, {settings.backbone}, k = {settings.kernel_size}", tables[job])
    write_results("network", settings.device, asdict(settings), tables)


def networks(settings: Settings) -> dict[str, Build]:
    """Return a builder for every network that is compared."""
    backbone, classes, k = settings.backbone, settings.classes, settings.kernel_size
    known: dict[str, Build] = {
        "backbone": lambda: timm.create_model(backbone, features_only=True),
        "Baseline": lambda: GlobalConvNet(classes, backbone, head="pointwise", boundary_refinement=False),
        "GCN": lambda: GlobalConvNet(classes, backbone, k, boundary_refinement=False),
        "GCN + BR": lambda: GlobalConvNet(classes, backbone, k),
    }
    if importlib.util.find_spec("segmentation_models_pytorch"):
        import segmentation_models_pytorch as smp

        known["smp FPN"] = lambda: smp.FPN(backbone, encoder_weights=None, classes=classes)
        known["smp Unet"] = lambda: smp.Unet(backbone, encoder_weights=None, classes=classes)
    return known


def cases(settings: Settings, make: Callable[..., Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """Return every network in every precision and memory layout, as calls to be timed."""
    calls = {}
    for (name, build), bfloat16, channels_last in product(networks(settings).items(), (False, True), (False, True)):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network = build().to(settings.device).to(memory_format=layout)
        words = f"{name} {'bfloat16' if bfloat16 else 'float32'}{' channels_last' if channels_last else ''}"
        calls[words] = make(settings, network, bfloat16, layout)
    return calls


def inference(
    settings: Settings, network: nn.Module, bfloat16: bool, layout: torch.memory_format
) -> Callable[[], object]:
    """Return a call that brings one image to its class map."""
    image_13HW = torch.rand(1, 3, *settings.infer_size, device=settings.device).to(memory_format=layout)
    network.eval()

    @torch.inference_mode()
    def call() -> None:
        with torch.autocast(torch.device(settings.device).type, torch.bfloat16, enabled=bfloat16):
            output = network(image_13HW)
        if isinstance(output, Tensor):
            output.max(1)[1]
        wait(torch.device(settings.device))

    return call


def training_step(
    settings: Settings, network: nn.Module, bfloat16: bool, layout: torch.memory_format
) -> Callable[[], object]:
    """Return a call that takes one step of SGD."""
    size, device = (settings.train_batch, *settings.train_size), settings.device
    images_N3HW = torch.rand(size[0], 3, *size[1:], device=device).to(memory_format=layout)
    labels_NHW = torch.randint(settings.classes, size, device=device, dtype=torch.uint8)
    optimizer = torch.optim.SGD(network.parameters(), 1e-4, momentum=0.9)
    network.train()

    def call() -> None:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16):
            output = network(images_N3HW)
        if isinstance(output, Tensor):
            loss = segmentation_loss(output, labels_NHW, valid_pixels(labels_NHW))
        else:
            loss = torch.stack([features_NChw.float().mean() for features_NChw in output]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        wait(torch.device(device))

    return call


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
