"""The processes that train together, as one of them sees the others; a process alone is the usual case.

All of them run the same code on the same global batch, each on its share of it. The first one writes.
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
    """Processes on this machine, one per GPU or so many on the CPU; torchrun says it by itself."""
    nodes: int | None = None
    """Machines; each runs the same command (with MASTER_ADDR, MASTER_PORT and NODE_RANK set, or under torchrun)."""
    strategy: Literal["ddp", "ddp_find_unused_parameters_true"] = "ddp"
    """How they share a step; the second is for networks parts of which take no part in the loss."""

    def size(self) -> tuple[int, int]:
        """Return the processes per machine and the machines: as given, else as torchrun says, else one."""
        started = "LOCAL_WORLD_SIZE" in os.environ  # by torchrun
        here = int(os.environ["LOCAL_WORLD_SIZE"]) if started else 1
        machines = max(1, int(os.environ.get("WORLD_SIZE", "1")) // here) if started else 1
        devices = here if self.devices is None else self.devices
        nodes = machines if self.nodes is None else self.nodes
        for option, number in {"`devices`": devices, "`nodes`": nodes}.items():
            if number < 1:
                raise InputError(f"{option} {number}: must be at least 1")
        if started and (devices, nodes) != (here, machines):
            raise InputError(
                f"`devices` {devices} `nodes` {nodes}: torchrun has started {here} process(es) on each of {machines}"
                " machine(s); leave both options out"
            )
        return devices, nodes


ALONE = Cluster()


class Ranks:
    """One process among those of a `Fabric`; without one, alone."""

    def __init__(self, fabric: Fabric | None = None) -> None:
        self._fabric = fabric
        self.count = 1 if fabric is None else fabric.world_size
        self.index = 0 if fabric is None else fabric.global_rank

    @property
    def first(self) -> bool:
        return self.index == 0

    @property
    def shard(self) -> Shard:
        """Return which part of every batch, and of the images to score, is this process's."""
        return Shard(self.index, self.count)

    def sum_counts(self, counts: Int64Array) -> Int64Array:
        """Return the sum of every process's `counts`, exactly."""
        device = "cpu" if self._fabric is None else self._fabric.device
        return np.asarray(self.sum(torch.from_numpy(counts).to(device)).cpu().numpy())

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of every process's `values`; all processes call this, as everything below."""
        if self.count == 1 or self._fabric is None:
            return values
        total = self._fabric.all_reduce(values.detach().clone(), reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def largest(self, number: int) -> int:
        """Return the largest `number` of all processes."""
        if self.count == 1 or self._fabric is None:
            return number
        found = self._fabric.all_reduce(torch.tensor(number, device=self._fabric.device), reduce_op="max")
        assert isinstance(found, Tensor)
        return int(found.item())

    def wait(self) -> None:
        """Return once all processes have come here."""
        if self._fabric is not None:
            self._fabric.barrier()

    def first_does(self, work: Callable[[], Any]) -> Any:
        """Return what `work` returns in the first process, None in the others; it fails in all or none."""
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
        """Refuse in all processes where one has a `problem`; the first one says it, and it alone has an exit code."""
        if self.count == 1 or self._fabric is None:
            if problem:
                raise InputError(problem)
            return
        if self.largest(bool(problem)):
            found: list[str] = [""] * self.count
            torch.distributed.all_gather_object(found, problem)
            if self.first:
                raise InputError(next(filter(None, found)))
            raise SystemExit(0)


def launch(hardware: Hardware, cluster: Cluster) -> Fabric:
    """Return a Fabric of so many processes, all of them started."""
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
