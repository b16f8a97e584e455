"""Trainings with the same result have the same key, others have another, and keys never change."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import small_recipe

from globalconv.model.blocks import build_head
from globalconv.paper.keys import data_name, identity, portable_json, run_key
from globalconv.paper.results import read_results
from globalconv.training.recipe import Recipe, StagedRecipe

FACTS = {"name": "blobs", "class_names": ["grey", "red"], "fingerprint": "abc", "val_images": 3}


def identity_of(recipe: Recipe | StagedRecipe, inference: dict[str, Any] | None = None) -> str:
    return identity(portable_json(recipe), inference or {})


def with_model(**fields: Any) -> Recipe:
    recipe = small_recipe()
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **fields))


def test_a_key_is_stable() -> None:
    """A changed key loses every result that anybody has."""
    assert run_key(identity_of(small_recipe()), FACTS) == "2c43151c31c1"


def test_committed_results_have_the_keys_that_they_are_named_after() -> None:
    folders = (Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "paper").iterdir()
    results = [item for folder in folders for item in read_results(folder).items()]
    assert len(results) > 100
    for key, result in results:
        assert run_key(identity(result.recipe, result.inference), result.data) == key == result.key


@pytest.mark.parametrize(
    "changed",
    [
        small_recipe(workers=2),
        dataclasses.replace(small_recipe(), device="cpu", evaluate_every=7, checkpoint_every=9, log_every=3),
        dataclasses.replace(small_recipe(), epochs=3),
        with_model(kernel_size=(3, 3, 3, 3), head=("gcn",) * 4),
        with_model(stack_width=(4, 5, 6, 7)),  # without a stack
        StagedRecipe({"only": small_recipe()}),
    ],
)
def test_fields_that_change_no_result_change_no_key(changed: Recipe) -> None:
    assert identity_of(changed) == identity_of(small_recipe())


def test_fields_that_change_the_result_change_the_key() -> None:
    plain = small_recipe()
    changed: list[Recipe | StagedRecipe] = [
        dataclasses.replace(plain, seed=1),
        dataclasses.replace(plain, steps=13),
        dataclasses.replace(plain, precision="bfloat16"),
        small_recipe(lr=0.1),
        small_recipe(backbone_lr_scale=0.1),
        small_recipe(layer_decay=0.8),
        small_recipe(freeze_steps=2),
        with_model(drop_path=0.1),
        with_model(kernel_size=(3, 3, 3, 5)),
        with_model(boundary_refinement=False),
        with_model(head_width=8),
        dataclasses.replace(plain, data=dataclasses.replace(plain.data, train_split="other")),
        StagedRecipe({"one": plain, "two": plain}),
    ]
    keys = {run_key(identity_of(recipe), FACTS) for recipe in [plain, *changed]}
    keys |= {run_key(identity_of(plain, {"flip": True}), FACTS)}
    keys |= {run_key(identity_of(plain), {**FACTS, name: "other"}) for name in ("name", "class_names", "fingerprint")}
    assert len(keys) == len(changed) + 5


def test_different_spellings_of_a_network_have_one_key() -> None:
    pointwise = [with_model(head=("pointwise",), kernel_size=(k,)) for k in (3, 15)]
    assert len(set(map(identity_of, pointwise))) == 1
    assert identity_of(with_model(head=("stack",), kernel_size=(3,))) == identity_of(
        with_model(head=("conv",), kernel_size=(3,))
    )
    heads = []
    for kind in ("stack", "conv"):
        torch.manual_seed(0)
        heads.append(list(build_head(kind, 16, 5, 3).parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*heads, strict=True))


def test_backbone_weights_are_identified_by_their_contents(tmp_path: Path) -> None:
    files = [tmp_path / folder / "backbone.safetensors" for folder in ("a", "b", "c")]
    for file, content in zip(files, (b"one", b"one", b"two"), strict=True):
        file.parent.mkdir()
        file.write_bytes(content)
    here, elsewhere, other = (identity_of(with_model(backbone_weights=str(file))) for file in files)
    assert here == elsewhere != other
    assert str(tmp_path) not in here
    assert identity_of(with_model(backbone_weights="imagenet")) not in (here, other)


def test_data_are_named_after_their_folder_not_its_place(tmp_path: Path) -> None:
    (tmp_path / "MSRC21").mkdir()
    assert data_name(tmp_path / "x" / ".." / "MSRC21") == "MSRC21"
    assert data_name({"voc": tmp_path, "sbd": tmp_path}) == "sbd+voc"
    assert data_name(None) == "scenes"
