"""How long calls take beside each other: in turns, so that whatever else the machine does falls on all of them.

Shapes: N images of H x W pixels.
"""

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from globalconv.runtime.devices import Hardware

OnTurn = Callable[[int, int], object]
"""Called with the turns done and the turns in all."""


def in_turns(
    calls: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1, on_turn: OnTurn | None = None
) -> dict[str, list[float]]:
    """Return the seconds of `repeats` runs of every call, a b c a b c ..., after `warmup` turns that do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - began)
        if on_turn is not None:
            on_turn(turn + 1, warmup + repeats)
    return seconds


def inference_call(network: nn.Module, height: int, width: int, hardware: Hardware) -> Callable[[], object]:
    """Return a call that brings one image of random colours through `network`, and waits until that is done.

    The network is put on the hardware's device, in channels-last layout, into evaluation mode.
    """
    network.to(hardware.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    image_13HW = torch.rand(1, 3, height, width, device=hardware.device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> None:
        with torch.autocast(hardware.device.type, torch.bfloat16, enabled=hardware.precision == "bfloat16"):
            network(image_13HW)
        wait(hardware.device)

    return call


def wait(device: torch.device) -> None:
    """Return when the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
