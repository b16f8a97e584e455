"""What a network was not tested on, in sentences: of every card, and what this run's facts say."""

import math

from globalconv.cards.card_scores import CardScores
from globalconv.cards.public_run import PublicRun
from globalconv.evaluation.bootstrap import MIN_IMAGES

WEAK, LISTED = 0.5, 8
"""IoU below which a class is named, and how many of them are."""


def limits_of(run: PublicRun, scores: CardScores | None) -> list[str]:
    """Return sentences about what nobody measured, the most important first."""
    data = run.dataset_name() or "the data of the training"
    if scores is None:
        sentences = ["Nothing is known about how well it does: no score was kept with it."]
    else:
        images = "" if scores.images is None else f", {scores.images} images"
        split = f"{scores.split} of {data}{images}"
        sentences = [
            f"Scored on one split of one data set ({split}).",
            "Nothing is known about images of another kind, camera, place, season or light.",
        ]
        if not scores.by_image or scores.split in (run.text("info", "val_split"), ""):
            sentences.append(
                "The step that was kept is the one with the best score on this very split, so the score is a little too"
                " good: that of a test split was not measured."
            )
    seed = run.text("settings", "seed")
    sentences.append(
        f"One training{seed and f' (seed {seed})'}: how far another seed would score from it was not measured."
    )
    if scores is not None:
        sentences += _about_classes(scores)
    crop = run.get("settings", "data.augmentation.crop")
    if isinstance(crop, list) and len(crop) == 2:
        scale = run.get("settings", "data.augmentation.scale")
        scaled = f", scaled by {scale[0]} to {scale[1]}" if isinstance(scale, list) and len(scale) == 2 else ""
        sentences.append(
            f"Trained on crops of {crop[0]} x {crop[1]} pixels (height x width){scaled}: objects much larger or smaller"
            " in the image than there may be missed."
        )
    sentences.append(
        "Blur, noise, strong compression and attacks were not tested, nor the probabilities, which may be too sure."
    )
    return sentences


def _about_classes(scores: CardScores) -> list[str]:
    known = [score for score in scores.classes if not math.isnan(score.iou)]
    sentences = []
    if known and (absent := [score.name for score in scores.classes if math.isnan(score.iou)]):
        sentences.append(f"Not tested at all, because no image of the split has it or gets it: {_listed(absent)}.")
    weak = sorted((score for score in known if score.iou < WEAK), key=lambda score: score.iou)
    if weak:
        names = _listed([f"{score.name} ({score.iou:.3f})" for score in weak])
        sentences.append(f"Weak classes, of IoU below {WEAK:g}: {names}.")
    if scores.by_image and (few := [score.name for score in known if score.interval is None]):
        sentences.append(f"In fewer than {MIN_IMAGES} images, too few for an interval: {_listed(few)}.")
    return sentences


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
