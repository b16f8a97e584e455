"""The runs that a report is about: their names, and what they must have in common to be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from globalconv.data.roots import Root, as_root
from globalconv.data.sources.source import Source
from globalconv.errors import InputError
from globalconv.evaluation.score import predicted
from globalconv.infer.predictor import Predictor
from globalconv.model.adopted import made_by
from globalconv.reporting.gather import Subject
from globalconv.reporting.history import History, read_history, read_recipe
from globalconv.training.recipe import flat, stage_folders
from globalconv.weights import MODEL_FILE


def subject(name: str, predictor: Predictor, source: Source, folder: Path | None) -> Subject:
    """Return a network as what a report is about; `folder` is its run, where it has one."""
    recipe = predictor.info.get("recipe", {})
    history = History(flat(recipe)) if folder is None else read_history(folder, recipe)
    if made := made_by(predictor.network):  # what the recipe says about a network is of none here
        used = {option: value for option, value in history.settings.items() if not option.startswith("model.")}
        history = replace(history, settings={"network": made, **used})
    return Subject(name, predicted(predictor.class_map, source, predictor.precision), history, predictor)


def stage_runs(folder: Path) -> dict[str, Path]:
    """Return the run folders of a staged run by the names of their stages, as far as there are networks in them."""
    stages = read_recipe(folder).get("stages", {})
    return {name: run for name, run in stage_folders(folder, stages).items() if (run / MODEL_FILE).exists()}


def run_names(folders: Sequence[Path]) -> list[str]:
    """Return what to call runs: the names of their folders, or as much of their paths as tells them apart."""
    whole = [folder.resolve() for folder in folders]
    if repeated := [str(folder) for folder, path in zip(folders, whole, strict=True) if whole.count(path) > 1]:
        raise InputError(f"{repeated[0]}: named twice; a comparison needs different runs")
    for length in range(1, max(len(path.parts) for path in whole) + 1):
        names = [Path(*path.parts[-length:]).as_posix() for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def noted_data(folders: Sequence[Path]) -> Root | None:
    """Return where the data of all runs lie, as their trainings noted it; None for generated scenes."""
    noted = [read_history(folder).dataset.get("data") for folder in folders]
    for folder, place in zip(folders, noted, strict=True):
        if place != noted[0]:
            raise InputError(
                f"{folder}: was trained on {place or 'other data'}, {folders[0]} on {noted[0] or 'other data'};"
                " say with --data what to score both on"
            )
    root = as_root(noted[0])
    places = root.values() if isinstance(root, Mapping) else [] if root is None else [root]
    if gone := [place for place in places if not place.exists()]:
        raise InputError(f"{folders[0]}: its data are not at {gone[0]} any more; say with --data where they are")
    return root


def check_alike(folders: Sequence[Path], predictors: Sequence[Predictor], split: str | None) -> None:
    """Refuse to compare networks of other classes, or that held out other images than each other."""
    first = predictors[0]
    for folder, other in zip(folders[1:], predictors[1:], strict=True):
        if other.class_names != first.class_names:
            raise InputError(
                f"{folder}: its classes ({_few(other.class_names)}) are not those of {folders[0]}"
                f" ({_few(first.class_names)}); only runs of the same classes can be compared"
            )
        if split is None and _held_out(other) != _held_out(first):
            raise InputError(
                f"{folder}: was validated on other images than {folders[0]}, which it may have learnt; say with"
                " --split what to score both on"
            )


def _held_out(predictor: Predictor) -> Any:
    return predictor.info.get("val_split"), sorted(predictor.info.get("held_out") or ())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
