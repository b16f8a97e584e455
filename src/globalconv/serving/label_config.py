"""What a project of Label Studio asks for: the tags of its labelling configuration that brush labels go to."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from xml.etree import ElementTree as ET

from globalconv.runtime.text import abbreviate, cut_middle, one_line
from globalconv.serving.refusals import RefusedRequest

LONGEST_CONFIG = 200_000
"""Characters of a configuration at most."""


@dataclass(frozen=True)
class LabelConfig:
    """Where brush labels go, and where the images of tasks are."""

    from_name: str
    to_name: str
    image_key: str
    """The field of a task's data that holds its image."""
    labels: dict[int, str]
    """Index of a class -> the label of the project that stands for it; classes without one are left out."""


def read_config(text: object, class_names: Sequence[str]) -> LabelConfig:
    """Return what the XML of a configuration asks for; refuse one without brush labels for any of `class_names`.

    A label stands for the class of its name, in any case and with spaces, `_` or `-`, or for those that its attribute
    `predicted_values` names, separated by commas.
    """
    if not isinstance(text, str) or not text.strip():
        raise _refusal("is not there; send the project's labelling configuration")
    if len(text) > LONGEST_CONFIG or "<!" in text.replace("<!--", ""):  # entities can grow without end
        raise _refusal("is too long, or declares entities; send plain tags")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise _refusal(f"is no XML ({one_line(error)}); correct it") from None
    images = {image.get("name", ""): image.get("value", "") for image in root.iter("Image")}
    for tag in root.iter("BrushLabels"):
        to_name = tag.get("toName", "")
        if to_name in images:
            labels = _match(tag, class_names)
            return LabelConfig(tag.get("name", ""), to_name, images[to_name].lstrip("$"), labels)
    raise _refusal("has no BrushLabels whose toName is an Image; class maps become brush labels")


def _match(tag: ET.Element, class_names: Sequence[str]) -> dict[int, str]:
    """Return the label for the index of each class that has one."""
    label_of: dict[str, str] = {}
    for label in tag.iter("Label"):
        value = label.get("value", "")
        predicted = [name for name in label.get("predicted_values", "").split(",") if name.strip()]
        for name in [value, *predicted]:
            label_of.setdefault(_plain(name), value)
    found = {index: label_of[_plain(name)] for index, name in enumerate(class_names) if _plain(name) in label_of}
    if not found:
        theirs = cut_middle(abbreviate(sorted(set(label_of.values()))), 100) or "(none)"
        ours = cut_middle(abbreviate(class_names), 100)
        remedy = 'call a label as a class, or give it predicted_values="CLASS"'
        raise _refusal(f"has the labels {theirs}, and the classes are {ours}; {remedy}")
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def _refusal(problem: str) -> RefusedRequest:
    return RefusedRequest(HTTPStatus.UNPROCESSABLE_ENTITY, f"`label_config`: {problem}")
