"""The card itself: Markdown with YAML front matter, as the hub shows it and searches by."""

import math
import re

from globalconv.cards.card_facts import CardFacts
from globalconv.cards.card_scores import CardScores
from globalconv.cards.markdown import Written, card_environment
from globalconv.evaluation.bootstrap import MIN_IMAGES, Interval
from globalconv.hub.address import HubAddress

TAGS = ("semantic-segmentation", "image-segmentation", "globalconv", "global-convolutional-network", "pytorch")

PLACEHOLDER = "USER/NAME"
"""Stands for the repository in the lines of use, where it is not known yet."""


def render_card(facts: CardFacts) -> str:
    """Return the card: a function of the facts alone, so that equal runs have equal cards."""
    scores = facts.scores
    return (
        card_environment()
        .get_template("card.md.j2")
        .render(
            facts=facts,
            published=facts.publication,
            address=Written(HubAddress(facts.publication.repository or PLACEHOLDER, facts.publication.revision)),
            tags=[*TAGS, *([facts.backbone] if facts.backbone else [])],
            scores=scores,
            # The hub wants an identifier here.
            dataset_type=re.sub(r"[^\w.-]+", "-", facts.dataset_name).strip("-") or "unknown",
            rows=[] if scores is None else _class_rows(scores),
            decimals=lambda value: f"{value:.3f}",
            interval_text=_interval_text,
            least_images=MIN_IMAGES,
        )
    )


def _class_rows(scores: CardScores) -> list[tuple[str, str, str]]:
    """Return name, IoU and interval of every class that the log or the score has one of."""
    if all(math.isnan(score.iou) for score in scores.classes):
        return []
    return [
        (
            score.name,
            "–" if math.isnan(score.iou) else f"{score.iou:.3f}",
            _interval_text(score.interval),
        )
        for score in scores.classes
    ]


def _interval_text(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f} – {interval[1]:.3f}"
