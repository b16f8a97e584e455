"""The time that calls take beside each other: they take turns, so that other work of the machine slows all of them.

Shapes: N images of H x W pixels.
"""

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from globalconv.runtime.devices import Hardware


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int = 1,
    on_turn: Callable[[int, int], object] | None = None,
) -> dict[str, list[float]]:
    """Return the seconds of `repeats` runs of every call, a b c a b c ..., after `warmup` turns that do not count.

    `on_turn(done, total)` is called after every turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warmup + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
        if on_turn is not None:
            on_turn(turn + 1, warmup + repeats)
    return seconds


def inference_call(network: nn.Module, height: int, width: int, hardware: Hardware) -> Callable[[], object]:
    """Return a call that runs `network` on one image of random colours and waits until that is done.

    The network is put on the hardware's device, in channels-last layout, into eval mode.
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
