"""Equal results have equal keys, others have not, and a key means the same next year."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.training import small_recipe

from globalconv.model.blocks import build_head
from globalconv.paper.keys import data_name, identity, portable, run_key
from globalconv.training.recipe import Recipe, StagedRecipe

FACTS = {"name": "blobs", "class_names": ["grey", "red"], "fingerprint": "abc", "val_images": 3}


def same(recipe: Recipe | StagedRecipe, inference: dict[str, Any] | None = None) -> str:
    return identity(portable(recipe), inference or {})


def with_model(**fields: Any) -> Recipe:
    recipe = small_recipe()
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, **fields))


def test_a_key_is_stable() -> None:
    """Changed on purpose only: every result that anybody has is lost to its grid."""
    assert run_key(same(small_recipe()), FACTS) == "2c43151c31c1"


@pytest.mark.parametrize(
    "changed",
    [
        small_recipe(workers=2),
        dataclasses.replace(small_recipe(), device="cpu", evaluate_every=7, checkpoint_every=9, log_every=3),
        dataclasses.replace(small_recipe(), epochs=3),
        with_model(kernel_size=(3, 3, 3, 3), head=("gcn",) * 4),
        with_model(stack_width=(4, 5, 6, 7)),  # of heads that are none
        StagedRecipe({"only": small_recipe()}),
    ],
)
def test_what_changes_nothing_changes_no_key(changed: Recipe) -> None:
    assert same(changed) == same(small_recipe())


def test_what_changes_the_result_changes_the_key() -> None:
    plain = small_recipe()
    changed: list[Recipe | StagedRecipe] = [
        dataclasses.replace(plain, seed=1),
        dataclasses.replace(plain, steps=13),
        dataclasses.replace(plain, precision="bfloat16"),
        small_recipe(lr=0.1),
        with_model(kernel_size=(3, 3, 3, 5)),
        with_model(boundary_refinement=False),
        with_model(head_width=8),
        dataclasses.replace(plain, data=dataclasses.replace(plain.data, train_split="other")),
        StagedRecipe({"one": plain, "two": plain}),
    ]
    keys = {run_key(same(recipe), FACTS) for recipe in [plain, *changed]}
    keys |= {run_key(same(plain, {"flip": True}), FACTS)}
    keys |= {run_key(same(plain), {**FACTS, name: "other"}) for name in ("name", "class_names", "fingerprint")}
    assert len(keys) == len(changed) + 5


def test_networks_that_are_the_same_have_one_key() -> None:
    pointwise = [with_model(head=("pointwise",), kernel_size=(k,)) for k in (3, 15)]
    assert len(set(map(same, pointwise))) == 1
    assert same(with_model(head=("stack",), kernel_size=(3,))) == same(with_model(head=("conv",), kernel_size=(3,)))
    heads = []
    for kind in ("stack", "conv"):
        torch.manual_seed(0)
        heads.append(list(build_head(kind, 16, 5, 3).parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*heads, strict=True))


def test_weights_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    places = [tmp_path / folder / "backbone.safetensors" for folder in ("a", "b", "c")]
    for place, content in zip(places, (b"one", b"one", b"two"), strict=True):
        place.parent.mkdir()
        place.write_bytes(content)
    here, elsewhere, other = (same(with_model(backbone_weights=str(place))) for place in places)
    assert here == elsewhere != other
    assert str(tmp_path) not in here
    assert same(with_model(backbone_weights="imagenet")) not in (here, other)


def test_data_are_called_by_their_name_not_their_place(tmp_path: Path) -> None:
    (tmp_path / "MSRC21").mkdir()
    assert data_name(tmp_path / "x" / ".." / "MSRC21") == "MSRC21"
    assert data_name({"voc": tmp_path, "sbd": tmp_path}) == "sbd+voc"
    assert data_name(None) == "scenes"
