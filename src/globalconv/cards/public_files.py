"""The files of a network that are published: as they are on disk, but for what is private in their descriptions.

`model.json` and the metadata of `weights.safetensors` hold the recipe and the splits, in which places on a machine may
stand; so both are written anew. Tensors stay as they are, bit for bit, and equal runs give equal files.
"""

import json
from pathlib import Path
from typing import Any

from globalconv.cards.privacy import private_names, public_json, texts_in
from globalconv.cards.public_run import check_class_names
from globalconv.errors import InputError
from globalconv.runtime.files import write_json
from globalconv.runtime.text import one_line
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, Model, save_weights

RECIPE_FILE = "recipe.json"

UNNAMED = "held_out_images"
"""Field of what is noted with a published network: how many images the training held out, whose names stay at home."""


def write_public_files(model: Model, folder: Path) -> dict[str, Path]:
    """Write the files of `model` to the folder, without what is private; return them by their names.

    The recipe is that of the run folder that the model was loaded from, where that has one. `InputError` for a class
    that is named like a path, or a recipe that is damaged.
    """
    recipe = _read_recipe(model.folder / RECIPE_FILE)
    names = private_names(*texts_in({"info": model.info, "recipe": recipe}))
    check_class_names(model.labels, names)  # what it tells, the card's facts tell again
    info: dict[str, Any] = public_json(model.info, names)
    if held_out := model.info.get("held_out"):
        info |= {"held_out": None, UNNAMED: len(held_out)}
    save_weights(folder, model.network, model.labels, info, model.geometry)
    files = {name: folder / name for name in (WEIGHTS_FILE, MODEL_FILE)}
    if recipe is not None:
        write_json(folder / RECIPE_FILE, public_json(recipe, names))
        files[RECIPE_FILE] = folder / RECIPE_FILE
    return files


def _read_recipe(file: Path) -> Any:
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({one_line(error)}); restore it, or publish a copy without it") from error
