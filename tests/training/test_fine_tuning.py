"""A backbone at its own pace: learning rates per parameter, steps that leave it alone, and what is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import final_state, killed_after, log_without_clock, same_bits, small_recipe, train
from torch import Tensor, nn

import globalconv
from globalconv.errors import InputError
from globalconv.labels import LabelSpace
from globalconv.model.network import GlobalConvNet
from globalconv.model.wrapped import WrappedNetwork
from globalconv.training.assemble import Execution, run_training
from globalconv.training.checkpoint import check_state, load_newest
from globalconv.training.loop import Session
from globalconv.training.optim import build_optimizer
from globalconv.training.recipe import OptimSettings, Recipe
from globalconv.training.segmentation import build_network

THREE = LabelSpace(("ground", "red", "green"))
FREEZE = 5


class Encoded(nn.Module):
    """Another's network, with its backbone under the name `part`."""

    def __init__(self, part: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.add_module(part, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()))
        self.head = nn.Conv2d(4, 3, 1)
        self.part = part

    def forward(self, images_N3PQ: Tensor) -> Tensor:
        logits_NKPQ: Tensor = self.head(getattr(self, self.part)(images_N3PQ))
        return logits_NKPQ


def fresh(recipe: Recipe) -> GlobalConvNet:
    """Return the network as the training of a recipe begins with it."""
    return build_network(recipe.model, THREE, recipe.seed, None, False, lambda line: None)


def scales(network: nn.Module, **settings: Any) -> dict[str, float]:
    """Return the learning rate of every parameter by its name, as a multiple of the schedule's."""
    optimizer = build_optimizer(network, OptimSettings(weight_decay=0.1, **settings))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)
            found[names[id(parameter)]] = group.get("scale", 1.0)
    assert len(found) == len(names)
    return found


def test_the_defaults_are_the_groups_of_before() -> None:
    """Checkpoints of before hold two groups without a scale, and have to fit."""
    groups = build_optimizer(GlobalConvNet(3, "test_resnet", 3), OptimSettings()).param_groups
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0]
    assert not any("scale" in group for group in groups)


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_the_backbone_has_its_own_rate(algorithm: str) -> None:
    for name, scale in scales(GlobalConvNet(3, "test_resnet", 3), backbone_lr_scale=0.1, algorithm=algorithm).items():
        assert scale == (0.1 if name.startswith("backbone.") else 1.0), name


@pytest.mark.parametrize(
    ("backbone", "level_of"),
    [
        ("test_resnet", {"conv1": 0, "bn1": 0, "layer1": 1, "layer2": 2, "layer3": 3, "layer4": 4}),
        ("convnext_atto", {"stem_": 0, "stages_0": 1, "stages_1": 2, "stages_2": 3, "stages_3": 4}),  # nothing at 2
        (
            "mobilenetv3_small_050",
            {"conv_stem": 0, "bn1": 0, "blocks.0": 1, "blocks.1": 2, "blocks.2": 3, "blocks.3": 3, "blocks.4": 4,
             "blocks.5": 4},
        ),
        ("densenet121", {"features_conv0": 0, "features_norm0": 0, "features_denseblock1": 1, "features_transition1": 2,
                         "features_denseblock2": 2, "features_transition2": 3, "features_denseblock3": 3,
                         "features_transition3": 4, "features_denseblock4": 4, "features_norm5": 4}),
    ],
)  # fmt: skip
def test_rates_decay_level_by_level(backbone: str, level_of: dict[str, int]) -> None:
    seen = set()
    for name, scale in scales(GlobalConvNet(3, backbone, 3), layer_decay=0.5, backbone_lr_scale=0.25).items():
        inside = name.removeprefix("backbone.body.")
        part = next((part for part in level_of if inside.startswith(part)), None)
        assert (part is None) == (inside == name), name
        assert scale == (1.0 if part is None else 0.25 * 0.5 ** (4 - level_of[part])), name
        seen.add(part)
    assert seen == {None, *level_of}


def test_res_5_keeps_the_whole_rate() -> None:
    found = scales(GlobalConvNet(3, "test_resnet", 3), layer_decay=0.8)
    assert {scale for name, scale in found.items() if ".layer4." in name} == {1.0}
    assert {scale for name, scale in found.items() if ".layer3." in name} == {0.8}


def test_levels_side_by_side_are_refused() -> None:
    with torch.device("meta"):
        network = GlobalConvNet(3, "hrnet_w18_small", 3)
    with pytest.raises(InputError, match=r"`optim\.layer_decay` 0.8: backbone 'hrnet_w18_small' has no part"):
        build_optimizer(network, OptimSettings(layer_decay=0.8))


@pytest.mark.parametrize("part", ["backbone", "encoder"])
def test_another_network_names_its_backbone(part: str) -> None:
    for name, scale in scales(WrappedNetwork(Encoded(part), 3), backbone_lr_scale=0.1).items():
        assert scale == (0.1 if f".{part}." in name else 1.0), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone_lr_scale": 0.1}, "`optim.backbone_lr_scale` 0.1: Encoded has no part .* named backbone or encoder"),
        ({"freeze_steps": 3}, "`optim.freeze_steps` 3: Encoded has no part with weights named backbone or encoder"),
        ({"layer_decay": 0.8}, "`optim.layer_decay` 0.8: levels are known of GlobalConvNet's own backbone only"),
    ],
)
def test_a_network_without_a_backbone_is_refused(
    settings: dict[str, Any], message: str, blobs: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        globalconv.train(small_recipe(**settings), blobs, tmp_path / "run", network=Encoded("features"))
    assert not (tmp_path / "run").exists()


def test_one_step_moves_every_weight_by_its_own_rate(blobs: Path, tmp_path: Path) -> None:
    """SGD without memory and decay: a move is the rate times the gradient, which is the same in both trainings."""
    plain = dataclasses.replace(small_recipe(clip_norm=None, momentum=0.0, weight_decay=0.0, warmup_steps=0), steps=1)
    optim = dataclasses.replace(plain.optim, backbone_lr_scale=0.5, layer_decay=0.5)
    before = fresh(plain).state_dict()
    whole = train(plain, blobs, tmp_path / "whole").network
    paced = train(dataclasses.replace(plain, optim=optim), blobs, tmp_path / "paced").network
    expected = scales(paced, backbone_lr_scale=0.5, layer_decay=0.5)
    assert len(set(expected.values())) == 6
    moved_levels: set[float] = set()
    for (name, moved), other in zip(paced.named_parameters(), whole.parameters(), strict=True):
        move, whole_move = moved - before[name], other - before[name]
        torch.testing.assert_close(move, expected[name] * whole_move, rtol=1e-3, atol=1e-7)
        moved_levels |= {expected[name]} if move.abs().max() > 1e-5 else set()
    assert moved_levels == set(expected.values())


def recipe(algorithm: str = "sgd", **optim: Any) -> Recipe:
    settings: dict[str, Any] = {"algorithm": algorithm, "lr": 0.05 if algorithm == "sgd" else 1e-3, **optim}
    return small_recipe(freeze_steps=FREEZE, backbone_lr_scale=0.5, layer_decay=0.8, **settings)


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_the_backbone_is_left_alone_and_then_learns(algorithm: str, blobs: Path, tmp_path: Path) -> None:
    first = dataclasses.replace(recipe(algorithm), steps=FREEZE)
    session = train(first, blobs, tmp_path / "frozen")
    before = fresh(first).backbone.state_dict()
    backbone = session.network.get_submodule("backbone")
    assert same_bits(dict(backbone.state_dict()), dict(before))
    resting = set(backbone.parameters())
    assert resting and not resting & session.optimizer.state.keys()
    assert session.optimizer.state.keys() == set(session.network.parameters()) - resting
    assert not any(parameter.requires_grad for parameter in resting)

    session = train(dataclasses.replace(first, steps=FREEZE + 2), blobs, tmp_path / "learned")
    after = session.network.get_submodule("backbone").state_dict()
    moved = [not torch.equal(after[name], value) for name, value in before.items() if value.is_floating_point()]
    assert sum(moved) > 0.8 * len(moved)  # the first step finds no gradient before a norm that starts at zero
    assert after["body.bn1.num_batches_tracked"] == 2
    assert session.optimizer.state.keys() == set(session.network.parameters())


def test_frozen_norms_stay_frozen_once_the_backbone_learns(blobs: Path, tmp_path: Path) -> None:
    train(small_recipe(), blobs, tmp_path / "start")
    model = dataclasses.replace(small_recipe().model, backbone_norm="frozen")
    frozen = dataclasses.replace(recipe(ema_decay=None), model=model)
    for out in (tmp_path / "whole", tmp_path / "run"):
        if out.name == "run":
            with killed_after(FREEZE + 1):
                train(frozen, blobs, out, init_from=tmp_path / "start")
        session = train(frozen, blobs, out, out.name == "run", init_from=tmp_path / "start")
        assert not [name for name, p in session.network.named_parameters() if ".bn" in name and p.requires_grad]
        assert session.network.get_parameter("backbone.body.layer4.0.conv1.weight").requires_grad
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_a_resumed_run_ends_in_the_same_bits(algorithm: str, blobs: Path, tmp_path: Path) -> None:
    """Killed before the boundary, at it and after it."""
    train(recipe(algorithm), blobs, tmp_path / "whole")
    for steps in (FREEZE - 2, FREEZE, FREEZE + 1, FREEZE + 2):
        out = tmp_path / f"killed-{steps}"
        with killed_after(steps):
            train(recipe(algorithm), blobs, out)
        train(recipe(algorithm), blobs, out, resume=True)
        assert same_bits(final_state(out), final_state(tmp_path / "whole")), steps
        assert log_without_clock(out) == log_without_clock(tmp_path / "whole")


def test_another_network_rests_too(blobs: Path, tmp_path: Path) -> None:
    network = Encoded("encoder")
    settings = dataclasses.replace(small_recipe(freeze_steps=FREEZE), steps=FREEZE)
    globalconv.train(settings, blobs, tmp_path / "run", network=network)
    before = Encoded("encoder")
    assert same_bits(*(dict(each.get_submodule("encoder").state_dict()) for each in (network, before)))
    assert not torch.equal(network.head.weight, before.head.weight)


@pytest.fixture(scope="module")
def resting(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resting")
    with killed_after(FREEZE - 1):
        train(recipe(), blobs, out / "run")
    return out / "run"


def put_memory_of_the_backbone(state: dict[str, Any]) -> None:
    missing = next(n for n in state["optimizer"]["param_groups"][0]["params"] if n not in state["optimizer"]["state"])
    state["optimizer"]["state"][missing] = {"momentum_buffer": torch.zeros(1)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: None, ""),
        (put_memory_of_the_backbone, "memory of parameters that have not learned"),
        (lambda state: state["optimizer"]["state"].clear(), "momentum_buffer of parameters is missing"),
        (lambda state: state["optimizer"]["param_groups"][0].update(scale=1.0), "scale is 1.0 instead of 0.2"),
        (lambda state: state["optimizer"]["param_groups"][0].pop("scale"), "scale is None instead of 0.2"),
        (lambda state: state["optimizer"]["param_groups"][-1].update(scale=0.1), "scale is 0.1 where there is none"),
    ],
)
def test_a_checkpoint_is_checked(change: Callable[[dict[str, Any]], object], problem: str, resting: Path) -> None:
    state = load_newest(resting / "checkpoints")
    assert state is not None
    change(state)
    file = next((resting / "checkpoints").glob(f"*{FREEZE - 1}.ckpt"))
    found = check_state(file, state, fresh(recipe()), recipe().optim, [])
    assert problem in found and bool(problem) == bool(found)


def test_a_checkpoint_past_the_boundary_has_a_memory_of_the_backbone(blobs: Path, tmp_path: Path) -> None:
    with killed_after(FREEZE + 1):
        train(recipe(), blobs, tmp_path / "run")
    state = load_newest(tmp_path / "run" / "checkpoints")
    assert state is not None
    for parameter in state["optimizer"]["param_groups"][0]["params"]:
        del state["optimizer"]["state"][parameter]
    file = next((tmp_path / "run" / "checkpoints").glob(f"*{FREEZE + 1}.ckpt"))
    problem = check_state(file, state, fresh(recipe()), recipe().optim, [])
    assert "momentum_buffer of parameters is missing" in problem


def lines_of(recipe: Recipe, data: Path, out: Path, init_from: Path | None = None) -> list[str]:
    lines: list[str] = []
    run_training(dataclasses.replace(recipe, steps=1), data, out, Execution(log=lines.append), init_from=init_from)
    return [line for line in lines if line.startswith("backbone ") or "freeze_steps" in line]


def test_the_log_says_what_is_special(blobs: Path, tmp_path: Path) -> None:
    assert lines_of(small_recipe(), blobs, tmp_path / "plain") == []
    special, warning = lines_of(recipe(), blobs, tmp_path / "run")
    assert special == "backbone    learning rate x 0.5, layer decay 0.8, frozen for 5 steps"
    assert warning.startswith("warning     `optim.freeze_steps` 5 keeps a backbone at its random weights")
    assert lines_of(recipe(), blobs, tmp_path / "second", init_from=tmp_path / "plain") == [special]
    dropping = dataclasses.replace(small_recipe(), model=dataclasses.replace(small_recipe().model, drop_path=0.25))
    assert lines_of(dropping, blobs, tmp_path / "dropping") == ["backbone    drop path 0.25"]


def test_drop_path_is_of_the_training_alone(blobs: Path, tmp_path: Path) -> None:
    """Its draws are a function of the step, and the saved network has none."""
    dropping = dataclasses.replace(
        small_recipe(), model=dataclasses.replace(small_recipe().model, backbone="resnet18", drop_path=0.5), steps=4
    )
    session: Session = train(dropping, blobs, tmp_path / "whole")
    with killed_after(2):
        train(dropping, blobs, tmp_path / "run")
    train(dropping, blobs, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))
    plain = dataclasses.replace(dropping, model=dataclasses.replace(dropping.model, drop_path=0.0))
    other = train(plain, blobs, tmp_path / "plain")
    assert not torch.equal(*(next(s.network.parameters()) for s in (session, other)))
    assert "drop_path" not in session.network.settings
    assert globalconv.load(tmp_path / "whole", device="cpu") is not None


@pytest.fixture
def loaded(tmp_path: Path) -> str:
    """A file of weights for the small backbone."""
    backbone = GlobalConvNet(3, "test_resnet", 3).backbone
    torch.save(backbone.body.state_dict(), tmp_path / "backbone.pth")
    return str(tmp_path / "backbone.pth")


@pytest.mark.parametrize("stages", [1, 3])
def test_frozen_stages_keep_what_was_loaded(stages: int, loaded: str) -> None:
    network = GlobalConvNet(3, "test_resnet", 3, backbone_weights=loaded, frozen_stages=stages).train()
    before = {name: tensor.clone() for name, tensor in network.backbone.body.state_dict().items()}
    optimizer = build_optimizer(network, OptimSettings(algorithm="adamw", lr=0.1, weight_decay=0.1))
    network(torch.rand(4, 3, 64, 64)).square().mean().backward()
    optimizer.step()
    kept = ("conv1", "bn1", *(f"layer{level}." for level in range(1, stages + 1)))
    equal = {name: torch.equal(tensor, before[name]) for name, tensor in network.backbone.body.state_dict().items()}
    assert all(same for name, same in equal.items() if name.startswith(kept))
    others = [same for name, same in equal.items() if not name.startswith(kept)]
    assert sum(others) < 0.3 * len(others)  # the first step finds no gradient before a norm that starts at zero
    assert all(p.grad is None for n, p in network.backbone.body.named_parameters() if n.startswith(kept))


def test_frozen_stages_and_a_resume_end_in_the_same_bits(loaded: str, blobs: Path, tmp_path: Path) -> None:
    base = small_recipe(algorithm="adamw")
    frozen = dataclasses.replace(
        base, steps=6, model=dataclasses.replace(base.model, backbone_weights=loaded, frozen_stages=2)
    )
    train(frozen, blobs, tmp_path / "whole")
    with killed_after(3):
        train(frozen, blobs, tmp_path / "run")
    train(frozen, blobs, tmp_path / "run", resume=True)
    assert same_bits(final_state(tmp_path / "run"), final_state(tmp_path / "whole"))


def test_frozen_stages_of_random_weights_or_without_order_are_refused(loaded: str) -> None:
    model = dataclasses.replace(small_recipe().model, frozen_stages=1)
    with pytest.raises(InputError, match=r"`model.frozen_stages` 1: would keep a backbone at its random weights"):
        fresh(dataclasses.replace(small_recipe(), model=model))
    with pytest.raises(InputError, match="frozen_stages=1: backbone 'hrnet_w18_small' has no part"):
        GlobalConvNet(2, "hrnet_w18_small", 3, frozen_stages=1)
    with pytest.raises(InputError, match="frozen_stages=5: give 0"):
        GlobalConvNet(2, "test_resnet", 3, frozen_stages=5)
