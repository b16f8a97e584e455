"""The folder of a search: what it was asked, and the result of every trial and image as it was made.

| file | what |
|---|---|
| search.json | network, data, the images of both parts, all settings |
| trials.jsonl | one line per candidate: its parameters and mIoU on the search part |
| report.jsonl | one line per image of the report part: pixels right and involved per class, without and with the CRF |
| probabilities/ | what the network says about the search part; removed when the search is done |
| crf.json | the result, which `crf` takes |
| .lock | keeps a second process from searching there; empty |
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.runtime.files import FolderLock, is_free, write_json, write_text

QUESTION = "search.json"
LONG = 60
"""Characters above which a value is not shown in a message."""


class SearchFolder:
    """Get one from `new` or `reopen`, which keep other processes out until `close`."""

    def __init__(self, path: Path, question: Mapping[str, Any]) -> None:
        self.path = path
        self.question = question
        self.trials = path / "trials.jsonl"
        self.report = path / "report.jsonl"
        self.probabilities = path / "probabilities"
        self.result = path / "crf.json"
        self._lock = FolderLock(path)

    @classmethod
    def new(cls, path: Path, question: Mapping[str, Any]) -> "SearchFolder":
        """Return the folder of a search to be; refused where there is something already."""
        if (path / QUESTION).exists():
            raise InputError(f"`out` {path}: holds a search already; add `resume` to go on, or name another folder")
        if path.exists() and not (path.is_dir() and is_free(path, QUESTION)):
            raise InputError(f"`out` {path}: is {'not empty' if path.is_dir() else 'a file'}; name a new folder")
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path, question)
        folder._lock.take("searches")
        write_json(path / QUESTION, question)
        return folder

    @classmethod
    def reopen(cls, path: Path, question: Mapping[str, Any]) -> "SearchFolder":
        """Return the folder of a search to go on with; refused, naming the fields, if it was asked something else."""
        if not (path / QUESTION).is_file():
            raise InputError(f"`out` {path}: holds no search to `resume`; leave out `resume` to start one")
        try:
            before = _flat(json.loads((path / QUESTION).read_text()))
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path / QUESTION}: damaged ({error}); search in another `out`") from error
        now = _flat(json.loads(json.dumps(question)))
        names = [*now, *(name for name in before if name not in now)]  # an option left out is a change, too
        changed = [_change(name, before, now) for name in names if before.get(name) != now.get(name)]
        if changed:
            raise InputError(
                f"`out` {path}: its search was started with other settings: {', '.join(changed)}; resume it as it was,"
                " or name another folder"
            )
        folder = cls(path, question)
        folder._lock.take("searches")
        return folder

    def close(self) -> None:
        """Let other processes go on with the search."""
        self._lock.release()

    def append(self, file: Path, record: Mapping[str, Any]) -> None:
        """Add one line to `file`."""
        with file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def records(self, file: Path, key: str) -> dict[str, Any]:
        """Return the whole lines of `file` by their `key`; half of a line, which a kill leaves, is removed."""
        if not file.exists():
            return {}
        try:
            text = file.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                write_text(file, whole)
            return {record[key]: record for record in map(json.loads, whole.splitlines())}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: damaged ({error}); search in another `out`") from error

    def drop_probabilities(self) -> None:
        """Remove the probabilities that the search has kept."""
        if self.probabilities.is_dir():
            for file in self.probabilities.glob("*.npy"):
                file.unlink()
            for partial in self.probabilities.glob(".*.npy.*.partial"):
                partial.unlink()
            if not any(self.probabilities.iterdir()):
                self.probabilities.rmdir()


def _flat(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested fields under their last names, which are the names of the options."""
    found: dict[str, Any] = {}
    for name, value in question.items():
        found |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return found


def _change(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    texts = [json.dumps(values.get(name)) for values in (before, now)]
    return name if max(map(len, texts)) > LONG else f"{name} ({texts[0]}, now {texts[1]})"
