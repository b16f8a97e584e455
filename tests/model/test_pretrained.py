"""Weights of a backbone from files in several namings, from the hub's cache, and everything that is refused."""

import argparse
import copy
import pickle
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.model import weights_lookup
from globalconv.model.backbone import Backbone
from globalconv.model.network import GlobalConvNet

State = dict[str, Tensor]
IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def whole(randomise: Callable[[nn.Module], None]) -> nn.Module:
    """timm's uncut model, with random weights and statistics."""
    model: nn.Module = timm.create_model("test_resnet").eval()
    randomise(model)
    return model


def write(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


def features(name: str, weights: str) -> list[Tensor]:
    backbone = Backbone(name).eval()
    backbone.load(weights)
    with torch.no_grad():
        levels: list[Tensor] = backbone(IMAGES)
    return levels


@pytest.mark.parametrize(
    "name", ["test_resnet", "convnext_atto", "mobilenetv3_small_050", "densenet121", "xception41", "cspnext_tiny"]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_in_timms_names(name: str, suffix: str, tmp_path: Path, randomise: Callable[[nn.Module], None]) -> None:
    model = timm.create_model(name).eval()
    randomise(model)
    path = tmp_path / f"weights{suffix}"
    save_file(model.state_dict(), path) if suffix == ".safetensors" else write(path, model.state_dict())
    cut = timm.create_model(name, features_only=True).eval()
    backbone = Backbone(name)
    backbone.load(str(path))
    whole_model = {key.replace(".", "_"): value for key, value in model.state_dict().items()}
    loaded = backbone.body.state_dict()
    assert len(loaded) > 20 and len(loaded) <= len(cut.state_dict())
    flat = {key.removeprefix("model.").replace(".", "_"): value for key, value in loaded.items()}
    assert all(torch.equal(value, whole_model[key]) for key, value in flat.items())


@pytest.mark.parametrize("theirs", ["resnet18", "resnet50"])
def test_torchvisions_resnet(theirs: str, tmp_path: Path, randomise: Callable[[nn.Module], None]) -> None:
    model = torchvision.models.get_model(theirs).eval()
    randomise(model)
    actual = features(theirs, write(tmp_path / "weights.pth", model.state_dict()))
    parts = list(model.children())
    x = nn.Sequential(*parts[:4])(IMAGES)
    for level, part in zip(actual, parts[4:8], strict=True):
        x = part(x)
        torch.testing.assert_close(level, x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("theirs", "ours", "ends"),
    [("convnext_tiny", "convnext_tiny", (1, 3, 5, 7)), ("mobilenet_v2", "mobilenetv2_100", (3, 6, 13, 17))],
)
def test_torchvisions_names_of_other_models(
    theirs: str, ours: str, ends: tuple[int, ...], tmp_path: Path, randomise: Callable[[nn.Module], None]
) -> None:
    model = torchvision.models.get_model(theirs).eval()
    randomise(model)
    actual = features(ours, write(tmp_path / "weights.pth", model.state_dict()))
    x, expected = IMAGES, []
    with torch.no_grad():
        for index, part in enumerate(model.features):
            x = part(x)
            expected += [x] if index in ends else []
    for level, want in zip(actual, expected, strict=True):
        torch.testing.assert_close(level, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()))


def test_torchvisions_mobilenetv3_has_another_epsilon_and_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "weights.pth", torchvision.models.mobilenet_v3_small().state_dict())
    with pytest.raises(InputError, match=r"missing.*unexpected \(features\.0\.0\.weight"):
        Backbone("mobilenetv3_small_100").load(path)


def _original_convnext_name(name: str) -> str:
    name = re.sub(r"^stages\.(\d)\.blocks\.", r"stages.\1.", name)
    name = re.sub(r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1.", name)
    name = name.replace("stem.", "downsample_layers.0.").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
    return name.replace("head.norm", "norm").replace("head.fc", "head")


def test_the_original_convnext_names(tmp_path: Path, randomise: Callable[[nn.Module], None]) -> None:
    """The authors' files keep the downsampling apart from the stages; timm's own translator knows them."""
    model = timm.create_model("convnext_atto").eval()
    randomise(model)
    original = {_original_convnext_name(key): tensor for key, tensor in model.state_dict().items()}
    actual = features("convnext_atto", write(tmp_path / "original.pth", {"model": original}))
    expected = features("convnext_atto", write(tmp_path / "timm.pth", model.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "without a classifier": lambda s: {k: v for k, v in s.items() if not k.startswith("fc.")},
    "with another classifier": lambda s: s | {"fc.weight": torch.zeros(7, 5), "head.extra": torch.zeros(1)},
    "without counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "a training checkpoint": lambda s: {"epoch": 3, "state_dict": s, "args": argparse.Namespace(lr=0.1)},
    "averaged weights first": lambda s: {"state_dict": {k: v * 0 for k, v in s.items()}, "state_dict_ema": s},
    "of a distributed model": lambda s: {f"module.{k}": v for k, v in s.items()},
    "of a compiled model": lambda s: {f"_orig_mod.module.{k}": v for k, v in s.items()},
    "in two wrappings": lambda s: {"model": {"state_dict": {f"module.{k}": v for k, v in s.items()}}},
    "of parameters": lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()},
    "views of one storage": lambda s: {
        k: torch.cat([v.flatten(), v.flatten()])[: v.numel()].view(v.shape) for k, v in s.items()
    },
    "in half precision": lambda s: {k: v.bfloat16() if v.is_floating_point() else v for k, v in s.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_forms_that_files_come_in(wrapping: str, whole: nn.Module, tmp_path: Path) -> None:
    if wrapping == "in half precision":
        whole.bfloat16().float()
    expected = features("test_resnet", write(tmp_path / "plain.pth", whole.state_dict()))
    actual = features("test_resnet", write(tmp_path / "weights.tar", WRAPPINGS[wrapping](whole.state_dict())))
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_the_network_takes_a_file_and_may_then_freeze(whole: nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path / "weights.pth", whole.state_dict())
    network = GlobalConvNet(2, "test_resnet", 3, backbone_weights=path, backbone_norm="frozen").train()
    assert torch.equal(network.backbone.body.state_dict()["bn1.running_mean"], whole.state_dict()["bn1.running_mean"])
    assert network.backbone.frozen_norms


def test_heads_do_not_depend_on_the_weights_of_the_backbone(whole: nn.Module, tmp_path: Path) -> None:
    def head(weights: str | None) -> Tensor:
        torch.manual_seed(0)
        return next(GlobalConvNet(2, "test_resnet", 3, backbone_weights=weights).heads.parameters())

    assert torch.equal(head(None), head(write(tmp_path / "weights.pth", whole.state_dict())))


MISFITS: dict[str, tuple[Callable[[State], State], str]] = {
    "missing": (lambda s: {k: v for k, v in s.items() if "layer4" not in k}, r"\d+ missing \(layer4.*, \.\.\.\)"),
    "one missing": (lambda s: {k: v for k, v in s.items() if k != "bn1.bias"}, r": 1 missing \(bn1\.bias\)$"),
    "unexpected": (lambda s: s | {"layer9.weight": torch.zeros(1)}, r": 1 unexpected \(layer9\.weight\)$"),
    "shape": (
        lambda s: s | {"bn1.bias": torch.zeros(5)},
        r": 1 of another shape \(bn1\.bias: \(5,\) instead of \(32,\)\)$",
    ),
    "nothing fits": (lambda s: {"a": torch.zeros(1)}, r"missing .*; 1 unexpected \(a\)"),
    "whole network": (lambda s: {f"backbone.body.{k}": v for k, v in s.items()}, "`init_from`"),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_misfit_names_what_differs(misfit: str, whole: nn.Module, tmp_path: Path) -> None:
    change, message = MISFITS[misfit]
    path = write(tmp_path / "weights.pth", change(whole.state_dict()))
    backbone = Backbone("test_resnet")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(InputError, match=message) as caught:
        backbone.load(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("theirs", "ours"), [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("resnet50", "resnet18")]
)
def test_weights_of_another_resnet_are_refused(theirs: str, ours: str, tmp_path: Path) -> None:
    path = write(tmp_path / "weights.pth", timm.create_model(theirs).state_dict())
    with pytest.raises(InputError, match=f"not the weights of backbone '{ours}': .*layer"):
        Backbone(ours).load(path)


class Attack:
    """Unpickled, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("how", ["pickle", "torch.save"])
def test_a_malicious_file_runs_nothing(how: str, suffix: str, tmp_path: Path) -> None:
    attacked, path = tmp_path / "attacked", tmp_path / f"weights{suffix}"
    content = {"conv1.weight": Attack(attacked)}
    path.write_bytes(pickle.dumps(content)) if how == "pickle" else write(path, content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        GlobalConvNet(2, "test_resnet", 3, backbone_weights=str(path))
    assert "\n" not in str(caught.value)
    assert not attacked.exists()
    if suffix != ".safetensors":  # the attack is a real one
        torch.load(path, weights_only=False) if how == "torch.save" else pickle.loads(path.read_bytes())
        assert attacked.exists()


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello\n" * 100,
    "zeros": bytes(1000),
    "zip": b"PK\x03\x04" + bytes(99),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", [*BROKEN, "truncated", "flipped"])
def test_a_broken_file_is_refused(kind: str, suffix: str, whole: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(whole.state_dict(), path) if suffix == ".safetensors" else write(path, whole.state_dict())
    good = path.read_bytes()
    changed = {"truncated": good[: len(good) // 2], "flipped": bytes(b ^ 255 for b in good[:3000]) + good[3000:]}
    path.write_bytes((BROKEN | changed)[kind])
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}: .*(damaged|cannot be read)") as caught:
        Backbone("test_resnet").load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "holds Tensor, not named tensors"),
        ([torch.zeros(3)], "holds list"),
        ({}, "holds dict"),
        ({"epoch": 3, "lr": 0.1}, "'epoch', 'lr': not a tensor"),
        ({0: torch.zeros(3)}, "0: not a tensor with a name"),
        ({"state_dict": {}}, "holds dict"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        Backbone("test_resnet").load(write(tmp_path / "weights.pth", content))


WEIGHT = "layer1.0.conv1.weight"
STRANGE: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sparse": (lambda t: t.to_sparse(), "sparse, quantised or without data"),
    "compressed rows": (lambda t: t.flatten(1).to_sparse_csr(), "sparse, quantised or without data"),
    "meta": (lambda t: t.to("meta"), "sparse, quantised or without data"),
    "quantised": (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "sparse, quantised or without data"),
    "one value for all": (lambda t: torch.zeros(1).expand(t.shape), "sparse, quantised or without data"),
    "a claim of 40 TB": (lambda t: torch.zeros(1).expand(10**7, 10**6), "sparse, quantised or without data"),
    "NaN": (lambda t: t * float("nan"), "not finite"),
    "infinite": (lambda t: t / 0, "not finite"),
    "whole numbers": (lambda t: t.to(torch.int64), "of a type that weights do not have .*int64"),
    "truth values": (lambda t: t > 0, "of a type that weights do not have .*bool"),
    "complex": (lambda t: t.to(torch.complex64), "of a type that weights do not have .*complex64"),
    "no values": (lambda t: t[:0], "of another shape"),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # torch's own, of making them
@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_that_hold_no_weights_are_refused(kind: str, whole: nn.Module, tmp_path: Path) -> None:
    change, message = STRANGE[kind]
    state = whole.state_dict()
    path = write(tmp_path / "weights.pth", state | {WEIGHT: change(state[WEIGHT])})
    backbone = Backbone("test_resnet")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(InputError, match=message) as caught:
        backbone.load(path)
    assert path in str(caught.value) and WEIGHT in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def test_a_flipped_bit_in_the_weights_is_seen(whole: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    write(path, whole.state_dict())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pth: .*damaged.*the checksum of weights/data/\d+ differs"):
        Backbone("test_resnet").load(str(path))


def test_a_negative_variance_is_refused(whole: nn.Module, tmp_path: Path) -> None:
    whole.state_dict()["bn1.running_var"][3] = -1e-6
    with pytest.raises(InputError, match=r"1 tensors with a negative variance \(bn1.running_var\)"):
        Backbone("test_resnet").load(write(tmp_path / "weights.pth", whole.state_dict()))


def test_an_archive_that_grows_is_refused_unread(
    whole: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of some kilobytes may hold gigabytes of zeros, compressed or many times the same."""
    plain, bomb = tmp_path / "plain.pth", tmp_path / "bomb.pth"
    write(plain, whole.state_dict())
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was read"))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    with pytest.raises(InputError, match=r"bomb\.pth: .*its entries are compressed"):
        Backbone("test_resnet").load(str(bomb))
    with zipfile.ZipFile(bomb, "w") as target:
        target.writestr("archive/data/0", bytes(1000))
        for number in range(1, 10):
            copied = copy.copy(target.infolist()[0])
            copied.filename = f"archive/data/{number}"
            target.filelist.append(copied)
    with pytest.raises(InputError, match=r"bomb\.pth: .*its entries are larger than the file"):
        Backbone("test_resnet").load(str(bomb))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("missing/weights.pth", "no such file"),
        ("weights.safetensors", "no such file"),
        ("resnet18.a1_in2k", "did you mean 'resnet18.a1_in1k'"),
        ("imagnet", "nor 'imagenet', nor a timm tag"),
        ("resnet50.a1_in1k", "not weights of the backbone 'resnet18'"),
        (".", "a folder"),
    ],
)
def test_a_name_that_is_neither_file_nor_tag(weights: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Backbone("resnet18").load(weights)


@pytest.mark.parametrize("weights", ["imagenet", "resnet18.tv_in1k", "tv_in1k"])
def test_offline_is_a_stop_without_retries_and_with_the_remedy(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits for another try"))
    with pytest.raises(
        InputError, match=r"could not fetch timm/resnet18\..*backbone_weights=PATH, or train from scratch"
    ) as caught:
        GlobalConvNet(2, "resnet18", 3, backbone_weights=weights)
    assert "\n" not in str(caught.value)


def test_an_unreachable_hub_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def unreachable(url: str, timeout: float) -> None:
        asked.append(timeout)
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(weights_lookup, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(weights_lookup, "hf_hub_download", lambda *_, **__: pytest.fail("downloaded"))
    with pytest.raises(InputError, match="Name or service not known"):
        Backbone("resnet18").load("imagenet")
    assert asked == [weights_lookup.HUB_TIMEOUT_S]


@pytest.mark.parametrize(("tag", "mean"), [("ra_in1k", 0.485), ("miil_in21k_ft_in1k", 0.0)])
def test_what_the_hub_has_cached_needs_no_network(
    tag: str, mean: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, randomise: Callable[[nn.Module], None]
) -> None:
    """It brings the mean and standard deviation it was trained with."""
    model = timm.create_model("mobilenetv3_large_100").eval()
    randomise(model)
    repository = tmp_path / f"models--timm--mobilenetv3_large_100.{tag}"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    save_file(model.state_dict(), repository / "snapshots" / "abc" / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    network = GlobalConvNet(2, "mobilenetv3_large_100", 3, backbone_weights=tag, backbone_norm="frozen")
    loaded = network.backbone.body.state_dict()["conv_stem.weight"]
    assert torch.equal(loaded, model.state_dict()["conv_stem.weight"])
    assert network.mean_C11.flatten()[0] == pytest.approx(mean)


def test_a_model_without_weights_on_the_hub() -> None:
    with pytest.raises(InputError, match="no weights for 'legacy_seresnet18' on the hub"):
        Backbone("legacy_seresnet18").load("imagenet")
