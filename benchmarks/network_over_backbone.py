"""From an image to its class map, as a multiple of the time of the plain timm backbone alone.

    python benchmarks/network_over_backbone.py [--backbone resnet50] [--size 512 512] [--peers] [--compiled]
    python benchmarks/network_over_backbone.py --device cuda --size 1024 2048 --compiled
    python benchmarks/network_over_backbone.py --json

The network is GCN + BR as `predict` runs it: uint8 image in, class map out, in its optimised form, bfloat16. Beside it,
in turns: the same network as written, and as re-implementations run it (float32, NCHW); the backbone
(`timm.create_model(..., features_only=True)`, images normalised before) on the same paths. --peers adds the decoders of
segmentation-models-pytorch on the same encoder (extra `bench`), --compiled what torch.compile makes of backbone and
network with frozen weights (it needs a C++ compiler; the seconds of its first call, with an empty cache, are reported;
on a GPU it records CUDA graphs).

--json prints one line: backbone_ms, network_ms, ratio and path, of the eager path in bfloat16, or with --compiled of
the network's optimised form over the compiled backbone. Random weights and images: this is about time only.
"""

import copy
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import tyro
from common import compare, measure, print_rows, ratio, write_results
from torch import Tensor, nn

from globalconv import GlobalConvNet, optimised
from globalconv.cost.latency import wait
from globalconv.model.backbone import Backbone
from globalconv.runtime.memory import keep_freed_memory

Call = Callable[[], object]
Module = Callable[[Tensor], Any]
BACKBONE, NETWORK, COMPILED = "backbone, bfloat16", "network, optimised, bfloat16", "backbone, compiled, bfloat16"


@dataclass(frozen=True)
class Settings:
    backbone: str = "resnet50"
    size: tuple[int, int] = (512, 512)
    """Height and width of the image."""
    device: str = "cpu"
    classes: int = 21
    kernel_size: int = 15
    repeats: int = 11
    peers: bool = False
    compiled: bool = False
    json: bool = False
    """Measure only what the ratio needs, and print it as one line of JSON."""


def main(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        compare_all(settings)


def compare_all(settings: Settings) -> None:
    """Measure, print and write what is asked for."""
    torch.manual_seed(0)
    every = cases(settings)
    reference = COMPILED if settings.compiled else BACKBONE
    wanted = {name: every[name] for name in (reference, NETWORK)} if settings.json else every
    first = {name: _first_call(call) for name, call in wanted.items() if "compiled" in name}
    rows = compare(measure(wanted, settings.repeats, warmup=4), reference)
    if settings.json:
        print(json.dumps(ratio(rows, reference, NETWORK)))
        return
    size = "x".join(map(str, settings.size))
    print_rows(f"image to class map, {settings.backbone}, {size}", rows)
    asked = {name: value for name, value in asdict(settings).items() if name != "json"}
    asked |= {f"first call of {name}, s": seconds for name, seconds in first.items()}
    which = settings.backbone if settings.size == Settings.size else f"{settings.backbone}-{size}"
    write_results(f"network_over_backbone.{which}", settings.device, asked, {f"over {which}": rows})


def cases(settings: Settings) -> dict[str, Call]:
    """Return every network on every path, as calls to be timed."""
    device = torch.device(settings.device)
    body = Backbone(settings.backbone).body.eval().to(device)
    network = GlobalConvNet(settings.classes, settings.backbone, settings.kernel_size).eval().to(device)
    image = torch.randint(0, 256, (1, 3, *settings.size), dtype=torch.uint8, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    colours = (image.float() / 255).contiguous(memory_format=torch.channels_last)
    found = {
        "backbone, float32, NCHW": class_map_call(body, colours.contiguous(), low=False),
        "network, float32, NCHW": class_map_call(network, image.contiguous(), low=False),
    }
    for name, module, pixels in (("backbone", body, colours), ("network", network, image)):
        for low, words in ((False, "float32"), (True, "bfloat16")):
            found[f"{name}, {words}"] = class_map_call(_channels_last(module), pixels, low)
            found[f"{name}, optimised, {words}"] = class_map_call(optimised(module, words), pixels, low)
        if settings.compiled:
            found[f"{name}, compiled, bfloat16"] = class_map_call(_compiled(_channels_last(module)), pixels, low=True)
    if settings.peers:
        import segmentation_models_pytorch as smp

        for name, make in {"smp FPN": smp.FPN, "smp DeepLabV3+": smp.DeepLabV3Plus, "smp Unet": smp.Unet}.items():
            peer = make(settings.backbone, encoder_weights=None, classes=settings.classes).eval().to(device)
            found[f"{name}, bfloat16"] = class_map_call(_channels_last(peer), colours, low=True)
            found[f"{name}, optimised, bfloat16"] = class_map_call(optimised(peer, "bfloat16"), colours, low=True)
            if settings.compiled:
                found[f"{name}, compiled, bfloat16"] = class_map_call(
                    _compiled(_channels_last(peer)), colours, low=True
                )
    return found


def _channels_last(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).to(memory_format=torch.channels_last)


def _compiled(module: nn.Module) -> Module:
    import torch._inductor.config

    torch._inductor.config.freezing = True
    on_gpu = any(parameter.is_cuda for parameter in module.parameters())
    return torch.compile(module.eval(), mode="reduce-overhead" if on_gpu else None)


def class_map_call(module: Module, images_13HW: Tensor, low: bool) -> Call:
    """Return a call that brings an image to its class map, or of a backbone to its features; `low` in bfloat16."""
    return partial(_run, module, images_13HW, low)


@torch.inference_mode()
def _run(module: Module, images_13HW: Tensor, low: bool) -> object:
    with torch.autocast(images_13HW.device.type, torch.bfloat16, enabled=low):
        output = module(images_13HW)
    result = output.max(1)[1].to(torch.uint8) if isinstance(output, Tensor) else output
    wait(images_13HW.device)
    return result


def _first_call(call: Call) -> float:
    began = time.perf_counter()
    call()
    return round(time.perf_counter() - began, 1)


if __name__ == "__main__":
    keep_freed_memory()  # as the command line does
    main(tyro.cli(Settings, description=__doc__))
