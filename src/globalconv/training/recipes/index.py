"""All recipes: plain functions that return one, under their names on the command line."""

import inspect
import textwrap
from collections.abc import Callable

from globalconv.errors import InputError, suggest
from globalconv.model.weights_packages import describe_packages
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.camvid import camvid
from globalconv.training.recipes.camvid_scratch import camvid_scratch
from globalconv.training.recipes.cityscapes import cityscapes, cityscapes_modern
from globalconv.training.recipes.folder import folder
from globalconv.training.recipes.msrc21 import msrc21
from globalconv.training.recipes.msrc21_scratch import msrc21_scratch
from globalconv.training.recipes.paper_ablation import paper_ablation
from globalconv.training.recipes.scenes import scenes
from globalconv.training.recipes.table6 import table6, table6_modern
from globalconv.training.recipes.voc import voc, voc_modern

RECIPES: dict[str, Callable[[], Recipe]] = {
    "camvid": camvid,
    "camvid-scratch": camvid_scratch,
    "folder": folder,
    "msrc21": msrc21,
    "msrc21-scratch": msrc21_scratch,
    "paper-ablation": paper_ablation,
    "scenes": scenes,
    "table6": table6,
    "table6-modern": table6_modern,
}

STAGED: dict[str, Callable[[], StagedRecipe]] = {
    "cityscapes": cityscapes,
    "cityscapes-modern": cityscapes_modern,
    "voc": voc,
    "voc-modern": voc_modern,
}
"""Recipes of several stages."""


_ALL: dict[str, Callable[[], Recipe | StagedRecipe]] = {**RECIPES, **STAGED}


def recipe_named(name: str) -> Recipe | StagedRecipe:
    """Return the recipe of this name, with its own values for all fields."""
    if name not in _ALL:
        raise InputError(f"recipe {name!r} is unknown; {suggest(name, _ALL)}")
    return _ALL[name]()


def description(name: str) -> str:
    """Return the docstring of the recipe of this name."""
    return inspect.getdoc(_ALL[name]) or ""


def pretrained_backbones() -> str:
    """Return which backbones have weights in packages, which need no hub, and which of these are installed."""
    return "backbone weights from packages, without the hub (--model.backbone-weights imagenet)\n" + textwrap.indent(
        describe_packages(), "    "
    )


def first_line(name: str) -> str:
    """Return the first line of the recipe's docstring: what it is."""
    return description(name).partition("\n")[0]
