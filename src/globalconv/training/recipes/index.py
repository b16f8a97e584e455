"""The recipes there are: plain functions that return one, looked up by the name on the command line."""

import inspect
from collections.abc import Callable

from globalconv.errors import InputError, suggest
from globalconv.training.recipe import Recipe, StagedRecipe
from globalconv.training.recipes.camvid import camvid
from globalconv.training.recipes.cityscapes import cityscapes, cityscapes_modern
from globalconv.training.recipes.folder import folder
from globalconv.training.recipes.msrc21 import msrc21
from globalconv.training.recipes.paper_ablation import paper_ablation
from globalconv.training.recipes.scenes import scenes
from globalconv.training.recipes.table6 import table6, table6_modern
from globalconv.training.recipes.voc import voc, voc_modern

RECIPES: dict[str, Callable[[], Recipe]] = {
    "camvid": camvid,
    "folder": folder,
    "msrc21": msrc21,
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
"""Those of several trainings in a row."""


def recipe_named(name: str) -> Recipe | StagedRecipe:
    """Return the recipe of this name, as it is before any field is changed."""
    return _maker(name)()


def description(name: str) -> str:
    """Return what the recipe of this name says about itself."""
    return inspect.getdoc(_maker(name)) or ""


def first_line(name: str) -> str:
    """Return what the recipe of this name is, in a line."""
    return description(name).partition("\n")[0]


def _maker(name: str) -> Callable[[], Recipe | StagedRecipe]:
    known: dict[str, Callable[[], Recipe | StagedRecipe]] = {**RECIPES, **STAGED}
    if name not in known:
        raise InputError(f"recipe {name!r} is unknown; {suggest(name, known)}")
    return known[name]
