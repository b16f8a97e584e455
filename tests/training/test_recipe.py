"""Recipes survive JSON, refuse nonsense with the option's name, and name what differs."""

import dataclasses
import json

import pytest

from globalconv.errors import InputError
from globalconv.training.recipe import DataSettings, ModelSettings, OptimSettings, Recipe, StagedRecipe, differences
from globalconv.training.recipes.index import RECIPES, STAGED, description


@pytest.mark.parametrize("name", RECIPES)
def test_survives_json(name: str) -> None:
    recipe = RECIPES[name]()
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", STAGED)
def test_stages_survive_json(name: str) -> None:
    recipe = STAGED[name]()
    assert StagedRecipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", [*RECIPES, *STAGED])
def test_docstring_says_what_a_reader_needs(name: str) -> None:
    text = description(name)
    assert "paper" in text.lower()
    assert "Ours:" in text or "your data" in text


def test_unknown_field_is_refused_with_the_nearest_name() -> None:
    fields = Recipe().to_json()
    fields["optim"]["learning_rat"] = 1
    with pytest.raises(InputError, match=r"optim\.'learning_rat'"):
        Recipe.from_json(fields)


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Recipe(data=DataSettings(batch_size=0)), "`data.batch_size`"),
        (lambda: Recipe(optim=OptimSettings(lr=0)), "`optim.lr`"),
        (lambda: Recipe(optim=OptimSettings(lr=float("nan"))), "`optim.lr`"),
        (lambda: Recipe(optim=OptimSettings(momentum=1.0)), "`optim.momentum`"),
        (lambda: Recipe(optim=OptimSettings(ema_decay=1.5)), "`optim.ema_decay`"),
        (lambda: Recipe(optim=OptimSettings(accumulate=0)), "`optim.accumulate`"),
        (lambda: Recipe(optim=OptimSettings(clip_norm=-1)), "`optim.clip_norm`"),
        (lambda: Recipe(optim=OptimSettings(dice_weight=-1)), "`optim.dice_weight`"),
        (lambda: Recipe(optim=OptimSettings(hardest=0)), "`optim.hardest`"),
        (lambda: Recipe(optim=OptimSettings(backbone_lr_scale=0)), "`optim.backbone_lr_scale`"),
        (lambda: Recipe(optim=OptimSettings(backbone_lr_scale=float("inf"))), "`optim.backbone_lr_scale`"),
        (lambda: Recipe(optim=OptimSettings(layer_decay=1.1)), "`optim.layer_decay`"),
        (lambda: Recipe(optim=OptimSettings(layer_decay=0)), "`optim.layer_decay`"),
        (lambda: Recipe(optim=OptimSettings(freeze_steps=-1)), "`optim.freeze_steps`"),
        (lambda: Recipe(model=ModelSettings(drop_path=1)), "`model.drop_path`"),
        (lambda: Recipe(model=ModelSettings(drop_path=float("nan"))), "`model.drop_path`"),
        (lambda: Recipe(optim=OptimSettings(hardest=0.5, accumulate=2)), "`optim.hardest`"),
        (lambda: Recipe(optim=OptimSettings(algorithm="adamw", nesterov=True)), "`optim.nesterov`"),
        (lambda: Recipe(epochs=-1), "`epochs`"),
        (lambda: Recipe(steps=0), "`steps`"),
        (lambda: Recipe(seed=-1), "`seed`"),
    ],
)
def test_impossible_values_are_refused_by_option(make: object, option: str) -> None:
    with pytest.raises(InputError, match=option):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["camvid", "folder", "msrc21"])
def test_from_scratch_spares_nothing(name: str) -> None:
    recipe = RECIPES[name]()
    assert (recipe.model.backbone_weights, recipe.model.frozen_stages) == ("imagenet", 1)
    assert set(differences(recipe, recipe.from_scratch())) == {
        "model.backbone_weights (imagenet, now None)", "model.frozen_stages (1, now 0)",
        "optim.backbone_lr_scale (0.1, now 1.0)",
    }  # fmt: skip
    tuned = dataclasses.replace(recipe, optim=dataclasses.replace(recipe.optim, layer_decay=0.5, freeze_steps=9))
    assert tuned.from_scratch() == recipe.from_scratch()


@pytest.mark.parametrize("name", ["camvid-scratch", "msrc21-scratch"])
def test_recipes_from_scratch_are_from_scratch_already(name: str) -> None:
    assert RECIPES[name]().from_scratch() == RECIPES[name]()


def test_differences_name_the_dotted_field() -> None:
    changed = dataclasses.replace(Recipe(), optim=OptimSettings(lr=0.1))
    assert differences(Recipe(), changed) == ["optim.lr (0.05, now 0.1)"]
    assert differences(Recipe(), Recipe()) == []


def test_recipes_of_before_leave_the_backbone_as_the_rest() -> None:
    fields = Recipe().to_json()
    for group, names in (("optim", ("backbone_lr_scale", "layer_decay", "freeze_steps")), ("model", ("drop_path",))):
        for name in names:
            del fields[group][name]
    assert Recipe.from_json(fields) == Recipe()
