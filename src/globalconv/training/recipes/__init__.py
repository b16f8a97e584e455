"""The recipes there are: plain functions that return a `Recipe`, looked up by the name on the command line."""

from collections.abc import Callable

from globalconv.training.recipe import Recipe
from globalconv.training.recipes.camvid import camvid
from globalconv.training.recipes.folder import folder
from globalconv.training.recipes.msrc21 import msrc21
from globalconv.training.recipes.paper_ablation import paper_ablation
from globalconv.training.recipes.scenes import scenes

RECIPES: dict[str, Callable[[], Recipe]] = {
    "camvid": camvid,
    "folder": folder,
    "msrc21": msrc21,
    "paper-ablation": paper_ablation,
    "scenes": scenes,
}
