"""Trainings that start from a network or a backbone on the hub note its repository and commit, and resume from it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.fake_hub import FakeHub
from helpers.hub_client import turn_client_to
from helpers.training import small_recipe, write_blobs
from safetensors.torch import save

import globalconv
from globalconv.errors import InputError
from globalconv.model.backbone import Backbone
from globalconv.model.weights_lookup import find_weights
from globalconv.training.recipe import Recipe
from globalconv.weights import load_weights


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `blobs` and a network that was trained on them for a few steps, `run`."""
    root = tmp_path_factory.mktemp("begun")
    globalconv.train(few_steps(), write_blobs(root / "blobs"), root / "run")
    return root


@pytest.fixture
def commit(hub: FakeHub, begun: Path) -> str:
    files = {name: (begun / "run" / name).read_bytes() for name in ("model.json", "weights.safetensors")}
    return hub.add("zaphod/net", files)


def few_steps(**settings: Any) -> Recipe:
    return dataclasses.replace(small_recipe(), steps=2, evaluate_every=2, **settings)


def recorded(run: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((run / "dataset.json").read_text())
    return facts


def test_a_run_notes_repository_and_commit(
    hub: FakeHub, commit: str, begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    globalconv.train(few_steps(), begun / "blobs", tmp_path / "run", init_from="hf://zaphod/net@main")
    assert recorded(tmp_path / "run")["init_from"] == f"hf://zaphod/net@{commit}"
    assert (
        f"init from   all {len(load_weights(begun / 'run').network.state_dict())} tensors of hf://zaphod/net@{commit}"
        in (capsys.readouterr().err)
    )
    local = tmp_path / "local"
    globalconv.train(few_steps(), begun / "blobs", local, init_from=begun / "run")
    assert (local / "weights.safetensors").read_bytes() == (tmp_path / "run" / "weights.safetensors").read_bytes()


def test_it_resumes_from_that_commit_whatever_happened_to_the_branch(
    hub: FakeHub, commit: str, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = tmp_path / "run", few_steps()
    globalconv.train(recipe, begun / "blobs", run, init_from="hf://zaphod/net")
    before = (run / "weights.safetensors").read_bytes()
    hub.add("zaphod/net", {"model.json": b"{}"})  # another network since
    for checkpoint in (run / "checkpoints").iterdir():  # as if it had been killed before the first one
        checkpoint.unlink()
    for name in ("weights.safetensors", "model.json", "metrics.jsonl"):
        (run / name).unlink()
    turn_client_to(hub, tmp_path / "empty", monkeypatch)  # on a machine that has nothing of it
    globalconv.train(recipe, begun / "blobs", run, resume=True)
    assert (run / "weights.safetensors").read_bytes() == before
    with pytest.raises(InputError, match="format=None"):
        globalconv.train(recipe, begun / "blobs", tmp_path / "other", init_from="hf://zaphod/net")


def test_resuming_from_another_commit_is_refused(hub: FakeHub, commit: str, begun: Path, tmp_path: Path) -> None:
    globalconv.train(few_steps(), begun / "blobs", tmp_path / "run", init_from="hf://zaphod/net")
    globalconv.train(few_steps(), begun / "blobs", tmp_path / "run", resume=True, init_from=f"hf://zaphod/net@{commit}")
    hub.add("zaphod/net", {"README.md": b"new"})
    with pytest.raises(InputError, match=f"was started from hf://zaphod/net@{commit}"):
        globalconv.train(few_steps(), begun / "blobs", tmp_path / "run", resume=True, init_from="hf://zaphod/net")


@pytest.mark.parametrize("name", ["backbone.safetensors", "model.safetensors"])
def test_a_backbone_from_the_hub_is_loaded_and_noted(
    hub: FakeHub, begun: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(1)
    body = Backbone("test_resnet").body
    commit = hub.add("zaphod/backbone", {name: save(dict(body.state_dict())), "pytorch_model.bin": b"evil"})
    model = dataclasses.replace(small_recipe().model, backbone_weights="hf://zaphod/backbone")
    globalconv.train(few_steps(model=model), begun / "blobs", tmp_path / "run")
    noted = f"hf://zaphod/backbone@{commit}, {name}"
    assert recorded(tmp_path / "run")["backbone_weights"] == noted
    assert f"weights     {noted}" in capsys.readouterr().err
    assert not [request for request in hub.requests if "pytorch_model" in request]


def test_a_repository_without_a_backbone_is_refused(hub: FakeHub) -> None:
    hub.add("zaphod/pickle", {"pytorch_model.bin": b"evil"})
    with pytest.raises(InputError, match=r"holds no backbone: it has no backbone\.safetensors, and no model\.safe"):
        find_weights("test_resnet", "hf://zaphod/pickle")
