"""The same marginals as the reference implementation: everywhere from files, and on real photographs where it is."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from globalconv.crf import pydensecrf
from globalconv.crf.dense import PRESETS, DenseCRF


def beside(name: str) -> ModuleType:
    """The script of this folder, by its path: `crf` is also the name of a benchmark."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


references = beside("make_references")
CASES, FOLDER, probabilities = references.CASES, references.FOLDER, references.probabilities
FIELDS = ("iterations", "appearance_weight", "appearance_xy", "appearance_rgb", "smoothness_weight", "smoothness_xy")
MOST = 1e-3
"""max |dQ|, the bound of the contract; what is seen is some 1e-5."""


@pytest.mark.parametrize("name", CASES)
def test_marginals_are_those_of_the_reference(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz") as stored:
        files = dict(stored)
    settings: dict[str, Any] = dict(zip(FIELDS, CASES[name].settings, strict=True))
    crf = DenseCRF(**settings, compatibility=files.get("matrix"))
    refined = crf(files["image"], probabilities(files["logits"]))
    expected = files["marginals"] / 65535
    assert refined.dtype == np.float32 and refined.shape == expected.shape
    assert np.abs(refined - expected).max() < 5e-5


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.size[2] == 3])
def test_compat_gives_them_too(name: str) -> None:
    with np.load(FOLDER / f"{name}.npz") as stored:
        files = dict(stored)
    iterations, appearance, xy, rgb, smoothness, near = CASES[name].settings
    height, width, _ = files["image"].shape
    model = pydensecrf.DenseCRF2D(width, height, CASES[name].classes)
    model.setUnaryEnergy(pydensecrf.unary_from_softmax(probabilities(files["logits"])))
    costs = files.get("matrix", np.float32(1))
    model.addPairwiseBilateral(xy, rgb, files["image"], np.float32(appearance) * costs)
    model.addPairwiseGaussian(near, np.float32(smoothness) * costs)
    beliefs = model.inference(int(iterations)).reshape(files["marginals"].shape)
    assert np.abs(beliefs - files["marginals"] / 65535).max() < 5e-5


def photographs(real_data: Path) -> dict[str, Path]:
    voc = sorted((real_data / "voc-sample/JPEGImages").glob("*.jpg"))
    camvid = sorted((real_data / "CamVid/val").iterdir())
    return {"voc": voc[0], "camvid": camvid[0]}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("source", "classes", "size"), [("voc", 21, (171, 241)), ("voc", 150, (61, 83)), ("camvid", 2, (193, 255))]
)
def test_real_photographs(real_data: Path, preset: str, source: str, classes: int, size: tuple[int, int]) -> None:
    peer = pytest.importorskip(
        "pydensecrf.densecrf", reason="pydensecrf2 (extra crf-check, needs a compiler) is not here"
    )
    photo = np.array(Image.open(photographs(real_data)[source]).convert("RGB"))
    image = np.ascontiguousarray(photo[: size[0], : size[1]])
    random = np.random.default_rng(0)
    coarse = random.normal(0, 3, (classes, *(-(-s // 16) for s in size)))
    logits = coarse.repeat(16, 1).repeat(16, 2)[:, : size[0], : size[1]] + random.normal(0, 1, (classes, *size))
    beliefs = np.exp(logits) / np.exp(logits).sum(0)
    crf = DenseCRF.preset(preset)
    refined = crf(image, beliefs)
    model = peer.DenseCRF2D(size[1], size[0], classes)
    model.setUnaryEnergy(-np.log(np.clip(beliefs, 1e-5, 1)).reshape(classes, -1).astype(np.float32))
    model.addPairwiseBilateral(crf.appearance_xy, crf.appearance_rgb, image, crf.appearance_weight)
    model.addPairwiseGaussian(crf.smoothness_xy, crf.smoothness_weight)
    expected = np.array(model.inference(crf.iterations)).reshape(beliefs.shape)
    assert np.abs(refined - expected).max() <= MOST
    assert (refined.argmax(0) == expected.argmax(0)).mean() >= 0.999
    assert (refined.argmax(0) != beliefs.argmax(0)).mean() > 0.01  # it did something
