"""Several processes that train together; one alone is the usual case.

All of them run the same code on the same global batch, each on its shard of it. The first one writes and prints.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from globalconv.arrays import Int64Array
from globalconv.errors import InputError
from globalconv.runtime.devices import Hardware
from globalconv.runtime.processes import Shard

FABRIC_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed"}


@dataclass(frozen=True)
class Cluster:
    """How many processes train together."""

    devices: int | None = None
    """Processes on this machine, one per GPU, or so many on the CPU; None: as torchrun says, else one."""
    nodes: int | None = None
    """Machines; each runs the same command (with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under torchrun)."""
    strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp"
    """How they share a step; the second is for networks with parameters that do not influence the loss."""

    def size(self) -> tuple[int, int]:
        """Return the number of processes per machine and of machines: as set here, else as torchrun says, else one."""
        under_torchrun = "LOCAL_WORLD_SIZE" in os.environ
        local = int(os.environ["LOCAL_WORLD_SIZE"]) if under_torchrun else 1
        machines = max(1, int(os.environ.get("WORLD_SIZE", "1")) // local) if under_torchrun else 1
        devices = local if self.devices is None else self.devices
        nodes = machines if self.nodes is None else self.nodes
        for setting, number in {"`devices`": devices, "`nodes`": nodes}.items():
            if number < 1:
                raise InputError(f"{setting} {number}: must be at least 1")
        if under_torchrun and (devices, nodes) != (local, machines):
            raise InputError(
                f"`devices` {devices} `nodes` {nodes}: torchrun has started {local} process(es) on each of {machines}"
                " machine(s); leave both options out"
            )
        return devices, nodes


ALONE = Cluster()


class Ranks:
    """This process among those of a `Fabric`; without one, it is alone.

    Every method exchanges something, so all processes have to call it.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self._fabric = fabric
        self.count = 1 if fabric is None else fabric.world_size
        index = 0 if fabric is None else fabric.global_rank
        self.first = index == 0
        self.shard = Shard(index, self.count)
        """The part of every batch, and of the images to score, that belongs to this process."""

    def sum_counts(self, counts: Int64Array) -> Int64Array:
        """Return the sum of every process's `counts`, exactly."""
        device = "cpu" if self._fabric is None else self._fabric.device
        return np.asarray(self.sum(torch.from_numpy(counts).to(device)).cpu().numpy())

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of every process's `values`."""
        if self.count == 1 or self._fabric is None:
            return values
        total = self._fabric.all_reduce(values.detach().clone(), reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def largest(self, number: int) -> int:
        """Return the largest `number` of all processes."""
        if self.count == 1 or self._fabric is None:
            return number
        largest = self._fabric.all_reduce(torch.tensor(number, device=self._fabric.device), reduce_op="max")
        assert isinstance(largest, Tensor)
        return int(largest.item())

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self._fabric is not None:
            self._fabric.barrier()

    def first_does(self, work: Callable[[], Any]) -> Any:
        """Call `work` in the first process and return its result there, None in the others. All fail or none."""
        result, problem = None, ""
        if self.first:
            try:
                result = work()
            except InputError as error:
                if self.count == 1:
                    raise
                problem = str(error)
        self.refuse_together(problem)
        return result

    def refuse_together(self, problem: str) -> None:
        """End all processes if any has a `problem`: the first one with an `InputError`, the others without an error."""
        if self.count == 1 or self._fabric is None:
            if problem:
                raise InputError(problem)
            return
        if self.largest(bool(problem)):
            problems: list[str] = [""] * self.count
            torch.distributed.all_gather_object(problems, problem)
            if self.first:
                raise InputError(next(filter(None, problems)))
            raise SystemExit(0)


def launch(hardware: Hardware, cluster: Cluster) -> Fabric:
    """Return the Fabric of a cluster, with all its processes started."""
    devices, nodes = cluster.size()
    device, several = hardware.device, devices * nodes > 1
    if several and device.type == "cuda" and device.index:
        raise InputError(f"`device` {device}: names one GPU for {devices * nodes} processes; use `device` cuda")
    if several and device.type == "mps":
        raise InputError("`devices`: an Apple GPU trains by itself; use `device` cpu for several processes")
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise InputError(f"`devices` {devices}: this machine has {torch.cuda.device_count()} GPU(s)")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # the log names device and processes itself
    fabric = Fabric(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" and not several else devices,
        num_nodes=nodes,
        strategy=cluster.strategy if several else "auto",
        precision=FABRIC_PRECISION[hardware.precision],  # type: ignore[arg-type]
    )
    if several:
        fabric.launch()
    return fabric
