"""What a run recorded, without what is private: the only door through which facts of a run come into a card."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from globalconv.cards.privacy import is_private, private_names, public_json, public_name, texts_in, without_private
from globalconv.errors import InputError, InputWarning
from globalconv.labels import LabelSpace


class PublicRun:
    """Facts of a run by the name of what recorded them; each may be absent, or of another type than expected."""

    def __init__(self, **recorded: Mapping[str, Any]) -> None:
        self.names = private_names(*texts_in(recorded))
        self._recorded = recorded
        self._public = public_json(recorded, self.names)

    def get(self, *path: str) -> Any:
        """Return the value at a path of keys; None where there is none."""
        value: Any = self._public
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def text(self, *path: str) -> str:
        """Return the value at a path of keys as text, a list by its parts; "" for none and for an object."""
        value = self.get(*path)
        if isinstance(value, list):
            return " ".join(map(str, value))
        return "" if value is None or isinstance(value, dict) else str(value)

    def count(self, *path: str) -> int | None:
        """Return the whole number at a path of keys; None for anything else."""
        value = self.get(*path)
        return value if type(value) is int else None

    def public(self, text: str) -> str:
        """Return any text without what is private."""
        return without_private(text, self.names)

    def dataset_name(self) -> str:
        """Return the last name of the data's folder, or the names of several data sets; "" where none is known."""
        dataset = self._recorded.get("dataset", {})
        place = dataset.get("data")
        if isinstance(place, Mapping):
            return ", ".join(self.public(str(name)) for name in place)
        if isinstance(place, str):
            return public_name(place, self.names)
        return "generated scenes" if "data" in dataset else ""

    def setting_rows(self) -> list[tuple[str, str]]:
        """Return every setting of the recipe with its value, under dotted names."""
        settings: dict[str, Any] = self._public.get("settings", {})
        return [
            (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for name, value in settings.items()
        ]


def check_class_names(labels: LabelSpace, names: Sequence[str]) -> list[InputWarning]:
    """Return a warning for each class that is called like this machine or its user; `InputError` for one with a path.

    Names of classes are published as they are, because they are what the network predicts.
    """
    told = []
    for name in labels.class_names:
        if is_private(name, ()):
            raise InputError(
                f"class {name!r}: holds a path, which would be published; give the class another name in model.json"
            )
        if is_private(name, names):
            told.append(
                InputWarning(
                    f"class {name!r} has the name of this machine or of its user in it, and is published as it is; give"
                    " it another name in model.json where that is not meant",
                    "network",
                )
            )
    return told
