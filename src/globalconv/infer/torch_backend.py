"""A torch network as the `Backend` of a `Predictor`: device, precision, memory layout and the fastest equal form.

Shapes: N images of one size, H x W pixels, K classes.
"""

from functools import cached_property

import torch
from torch import Tensor, nn

from globalconv.arrays import Uint8Array
from globalconv.infer.array_scores import warn_of_not_finite
from globalconv.model.fast.optimise import optimised
from globalconv.runtime.devices import choose_hardware, is_out_of_memory
from globalconv.runtime.threads import Override

_TF32 = Override(torch.backends.cudnn, "allow_tf32")
"""Off while a network computes: scores that are called float32 are computed in it."""


class TorchBackend:
    """Computes scores with `network` (images_N3HW uint8 -> logits_NKHW).

    The network is moved to `device` and put into eval mode; nothing else in it is changed. With `optimise`, scores are
    computed by a faster equal copy of it, made at first use: later changes to `network` have no effect on them.
    """

    def __init__(
        self,
        network: nn.Module,
        device: torch.device | str = "auto",
        precision: str = "auto",
        layout: torch.memory_format | None = None,
        optimise: bool = False,
    ) -> None:
        hardware = choose_hardware(str(device), precision)
        self.device = hardware.device
        self.precision = hardware.precision
        self.description = hardware.description
        self.layout = torch.channels_last if layout is None else layout
        self.optimise = optimise
        self.network = network.to(self.device).eval()

    def class_maps(self, images_NHW3: Uint8Array) -> Uint8Array:
        """Return the class index of every pixel (N, H, W)."""
        # max gives the same indices as argmax, in a third of the time where the classes of a pixel are adjacent.
        best_NHW, index_NHW = self.logits(images_NHW3).max(1)
        if not bool(best_NHW.isfinite().all()):
            warn_of_not_finite()
        classes: Uint8Array = index_NHW.to(torch.uint8).cpu().numpy()
        return classes

    def logits(self, images_NHW3: Uint8Array) -> Tensor:
        """Return logits_NKHW on the device, in the precision that the network's last layer computes in."""
        # The view of an (N, H, W, 3) array as (N, 3, H, W) is channels-last already: no copy on that way.
        images_N3HW = torch.from_numpy(images_NHW3).permute(0, 3, 1, 2).to(self.device)
        images_N3HW = images_N3HW.contiguous(memory_format=self.layout)
        low = self.precision == "bfloat16"
        try:
            with torch.inference_mode(), _TF32.to(False), torch.autocast(self.device.type, torch.bfloat16, enabled=low):
                logits_NKHW: Tensor = self._fast_network(images_N3HW)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from error
        return logits_NKHW

    @cached_property
    def _fast_network(self) -> nn.Module:
        """The network, or with `optimise` on a CPU the form of it that computes the same faster."""
        on_cpu = self.device.type == "cpu"
        return optimised(self.network, self.precision) if self.optimise and on_cpu else self.network
