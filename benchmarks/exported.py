"""Exported files beside the network that they come from, and beside other people's networks.

    python benchmarks/exported.py parity
    python benchmarks/exported.py times [--encoder tf_efficientnet_lite0] [--size 512 512] [--repeats 15]

`parity` exports six networks, of random weights, as ONNX and OpenVINO and compares each at ten odd sizes: the share of
pixels with the same class, the largest difference of a probability.

`times` measures, in turns in one process, an image (uint8) to its class map: ours as `predict` runs it, and exported;
FPN, Unet and DeepLabV3+ of segmentation-models-pytorch as their users run them (float32, bfloat16 in channels-last, and
exported to OpenVINO by our exporter). Random weights and images: this is about time only; what int8 costs in mIoU is in
the parity reports of trained networks. Needs the extras `bench` and `export`.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import segmentation_models_pytorch as smp
import torch
import tyro
from common import compare, measure, print_rows, write_results
from network_over_backbone import class_map_call

from globalconv import GlobalConvNet, LabelSpace, optimised
from globalconv.arrays import Uint8Array
from globalconv.data.scenes.scene import draw_scene
from globalconv.exporting.file_formats import save_quantised, write_program
from globalconv.exporting.program import export_program
from globalconv.exporting.quantise import quantise
from globalconv.geometry import AS_THEY_ARE
from globalconv.infer.exported import ExportedBackend, ExportMetadata, open_backend, seal
from globalconv.model.network import ImageNetwork
from globalconv.model.wrapped import WrappedNetwork

SIZES = ((1, 1), (31, 47), (33, 65), (75, 131), (97, 333), (101, 99), (159, 211), (225, 187), (321, 239), (375, 499))
BACKBONES = ("resnet18", "tf_efficientnet_lite0", "hrnet_w18_small")
CLASSES = (2, 21, 150)
CALIBRATED = 16
"""Images that int8 is calibrated on here, where only its time matters."""


@dataclass(frozen=True)
class Settings:
    part: Annotated[Literal["parity", "times"], tyro.conf.Positional]
    encoder: str = "tf_efficientnet_lite0"
    size: tuple[int, int] = (512, 512)
    """Height and width of the image."""
    repeats: int = 15


@dataclass(frozen=True)
class Scenes:
    """Generated images with labels of any number of classes."""

    name: str
    first: int
    labels: LabelSpace

    def __len__(self) -> int:
        return CALIBRATED

    def sample_name(self, index: int) -> str:
        return f"{self.first + index}"

    def image(self, index: int) -> Uint8Array:
        return draw_scene(0, self.first + index)[0]

    def label_map(self, index: int) -> Uint8Array:
        return draw_scene(0, self.first + index)[1]


def moved(network: ImageNetwork) -> ImageNetwork:
    """Return a network in eval mode whose batch norms have seen images."""
    images_N3HW = torch.from_numpy(np.stack([draw_scene(0, index)[0] for index in range(4)])).permute(0, 3, 1, 2)
    with torch.no_grad():
        network.train()(images_N3HW)
    return network.eval()


def exported(network: ImageNetwork, path: Path, precision: str = "float32") -> ExportedBackend:
    """Return `network`, exported to `path` without probabilities but where it is compared, and opened."""
    labels = LabelSpace(tuple(map(str, range(network.settings["num_classes"]))))
    program = export_program(network, AS_THEY_ARE)
    metadata = ExportMetadata(labels, AS_THEY_ARE, precision, "", network.settings)
    if precision == "int8":
        exact = path.with_stem(f"{path.stem}-exact")
        write_program(program, exact, ExportMetadata(labels, AS_THEY_ARE, "float32", "", network.settings))
        quantised = quantise(exact, Scenes("train", 100, labels), Scenes("val", 0, labels), [0], 4, 100.0)
        save_quantised(quantised.model, path, metadata)
    else:
        write_program(program, path, metadata)
    seal(path)
    return open_backend(path)


def parity(folder: Path) -> None:
    rows = []
    forms = product(("scores", "features"), zip(BACKBONES, (3, 15, 25), CLASSES, strict=True))
    for decoder, (backbone, k, classes) in forms:
        torch.manual_seed(0)
        network = moved(GlobalConvNet(classes, backbone, kernel_size=k, decoder=decoder))
        for suffix in (".onnx", ".xml"):
            file = exported(network, folder / f"{decoder}-{backbone}{suffix}")
            pixels = equal = 0
            largest = 0.0
            for height, width in SIZES:
                image_1HW3 = np.random.default_rng(height).integers(0, 256, (1, height, width, 3), np.uint8)
                with torch.inference_mode():
                    expected_1KHW = network(torch.from_numpy(image_1HW3).permute(0, 3, 1, 2)).softmax(1).numpy()
                largest = max(largest, float(np.abs(expected_1KHW - file.probabilities(image_1HW3)).max()))
                agree_1HW = expected_1KHW.argmax(1) == file.class_maps(image_1HW3)
                pixels, equal = pixels + agree_1HW.size, equal + int(agree_1HW.sum())
            rows.append(
                {
                    "decoder": decoder, "backbone": backbone, "k": k, "classes": classes, "file": suffix,
                    "sizes": len(SIZES), "equal_pixels": f"{equal / pixels:.5%}",
                    "largest_difference": f"{largest:.1e}",
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    print_rows("exported: parity", rows)
    write_results("exported.parity", "cpu", {"sizes": SIZES, "weights": "random"}, {"exported: parity": rows})


def times(settings: Settings, folder: Path) -> None:
    image_1HW3 = np.random.default_rng(0).integers(0, 256, (1, *settings.size, 3), np.uint8)
    image_13HW = torch.from_numpy(image_1HW3).permute(0, 3, 1, 2)
    cases: dict[str, Callable[[], object]] = {}

    def add_file(name: str, network: ImageNetwork, suffix: str, precision: str = "float32") -> None:
        file = exported(network, folder / f"{len(cases)}{suffix}", precision)
        cases[name] = lambda: file.class_maps(image_1HW3)

    head = ("pointwise", "pointwise", "gcn", "gcn")
    forms: dict[str, dict[str, Any]] = {"GCN + BR": {}, "features": {"decoder": "features", "head": head}}
    for form, arguments in forms.items():
        network = moved(GlobalConvNet(21, settings.encoder, **arguments))
        fast = optimised(copy.deepcopy(network).to(memory_format=torch.channels_last), "bfloat16")
        cases[f"{form}: predict, bfloat16"] = class_map_call(fast, image_13HW, True)
        add_file(f"{form}: ONNX Runtime, float32", network, ".onnx")
        add_file(f"{form}: ONNX Runtime, int8", network, ".onnx", "int8")
        add_file(f"{form}: OpenVINO, float32", network, ".xml")
        add_file(f"{form}: OpenVINO, bfloat16", network, ".xml", "bfloat16")
        add_file(f"{form}: OpenVINO, int8", network, ".xml", "int8")
    for make in (smp.FPN, smp.Unet, smp.DeepLabV3Plus):
        peer = moved(WrappedNetwork(make(f"tu-{settings.encoder}", encoder_weights=None, classes=21), 21))
        cases[f"{make.__name__}: float32"] = class_map_call(copy.deepcopy(peer), image_13HW.contiguous(), False)
        lean = copy.deepcopy(peer).to(memory_format=torch.channels_last)
        cases[f"{make.__name__}: bfloat16, channels-last"] = class_map_call(lean, image_13HW, True)
        add_file(f"{make.__name__}: OpenVINO, float32", peer, ".xml")
    rows = compare(measure(cases, settings.repeats, warmup=2), "GCN + BR: predict, bfloat16")
    title = f"exported: {settings.encoder}, {settings.size[0]} x {settings.size[1]}"
    print_rows(title, rows)
    name = f"exported.{settings.encoder.replace('_', '-')}-{settings.size[0]}x{settings.size[1]}"
    write_results(name, "cpu", {"weights": "random", "classes": 21}, {title: rows})


if __name__ == "__main__":
    given = tyro.cli(Settings, description=__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        if given.part == "parity":
            parity(Path(temporary))
        else:
            times(given, Path(temporary))
