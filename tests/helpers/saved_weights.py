"""A saved network, and ways to change its two files: as a person, a program or an earlier version does."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, save_weights

LABELS = LabelSpace(("road", "sky", "tree"), ((1, 2, 3), (4, 5, 6), (7, 8, 9)), (11,))
INFO = {"data": "CamVid", "split": "train", "size": [360, 480], "miou": 0.625}
SETTINGS: dict[str, Any] = {"num_classes": 3, "backbone": "test_resnet", "kernel_size": 5}


def network_of(seed: int, **settings: Any) -> GlobalConvNet:
    """A network with random weights and statistics that batches have moved."""
    torch.manual_seed(seed)
    network = GlobalConvNet(**(SETTINGS | settings)).train()
    network(torch.rand(2, 3, 64, 64))
    return network


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def save_run(folder: Path) -> Path:
    save_weights(folder / "run", network_of(0), LABELS, INFO)
    return folder / "run"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    description = json.loads((folder / MODEL_FILE).read_text())
    change(description)
    (folder / MODEL_FILE).write_text(json.dumps(description))


def retensor(folder: Path, change: Callable[[dict[str, torch.Tensor]], object], metadata: bool = False) -> None:
    """Change the tensors as another program does, which keeps our metadata or not."""
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        before = file.metadata()
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE, before if metadata else None)


def save_as_before(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Write the two files of `folder` as earlier versions did, whose description is `change`d."""
    network = network_of(0)
    description = json.loads((folder / MODEL_FILE).read_text())
    del description["digest"]
    change(description)
    digest = hashlib.sha256(json.dumps(description).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    text = json.dumps({**description, "digest": digest.hexdigest()}, indent=2)
    (folder / MODEL_FILE).write_text(text)
    save_file(network.state_dict(), folder / WEIGHTS_FILE, {MODEL_FILE: text})


def setting(name: str, value: object, **others: object) -> Callable[[Path], object]:
    """Return what writes other settings of the network into a model.json whose tensors come from another program."""

    def harm(folder: Path) -> None:
        retensor(folder, lambda tensors: None)
        edit(folder, lambda description: description["network"].update({name: value, **others}))

    return harm
