"""A folder of work that can be stopped at any time and resumed: the base of run, search and submission folders."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from globalconv.errors import InputError
from globalconv.runtime.files import LOCK_FILE, FolderLock, naming_file, write_json, write_text
from globalconv.runtime.text import is_utf8, one_line

LONGEST_VALUE = 60
"""Characters above which a message names a changed setting without its values."""


class ResumableFolder:
    """A folder with a settings file, which holds the settings that the work in it was started with.

    Work is resumed with the same settings only. While it runs, a lock keeps other processes and other threads out.
    Subclasses set the class variables and add their own files.
    """

    kind: ClassVar[str]
    """What messages call the work: "run"."""
    activity: ClassVar[str]
    """What a process does there: "trains"."""
    settings_name: ClassVar[str]
    """Name of the settings file."""
    written_files: ClassVar[tuple[str, ...]] = ()
    """Patterns of the other files that are written atomically: only their partial files are swept."""
    remedy: ClassVar[str]
    """What to do about a damaged file: "train into another `out`"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / self.settings_name
        self._lock = FolderLock(path)
        self._starts = False

    def is_started(self) -> bool:
        """Return whether there is work to resume."""
        return self.settings_file.is_file()

    def is_free(self) -> bool:
        """Return whether there is nothing but what a failed start leaves: the lock, a part of the settings file."""
        if not self.path.exists():
            return True
        partial = f".{self.settings_name}."
        return self.path.is_dir() and all(
            file.name == LOCK_FILE or (file.name.startswith(partial) and file.name.endswith(".partial"))
            for file in self.path.iterdir()
        )

    def check_new(self) -> None:
        """Refuse to start work where there is already something, or where files of weights could not be opened."""
        if not is_utf8(str(self.path)):
            raise InputError(f"`out` {self.path}: the name is no UTF-8; name another folder")
        if self.settings_file.exists():
            raise InputError(
                f"`out` {self.path}: holds a {self.kind} already; add `resume` to continue it, or name another folder"
            )
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"`out` {self.path}: is a file; name a folder")
        if not self.is_free():
            raise InputError(f"`out` {self.path}: is not empty; name a new folder")
        self._starts = True

    def check_started(self) -> None:
        """Refuse to resume work where there is none."""
        if not self.is_started():
            raise InputError(f"`out` {self.path}: holds no {self.kind} to `resume`; leave out `resume` to start one")

    def changes(self, settings: Mapping[str, Any]) -> list[str]:
        """Return the settings that differ from those of the start, as "name (before, now name)".

        Nested settings are compared by all of their names and shown by the last.
        """
        before, now = _flat(self.read_json(self.settings_file)), _flat(json.loads(json.dumps(settings)))
        changes = []
        for names in dict.fromkeys([*now, *before]):  # a setting that is left out now is a change, too
            values, name = [json.dumps(values.get(names)) for values in (before, now)], names[-1]
            if before.get(names) != now.get(names):
                long = max(map(len, values)) > LONGEST_VALUE
                changes.append(name if long else f"{name} ({values[0]}, now {values[1]})")
        return changes

    def open(self, settings: Mapping[str, Any]) -> None:
        """Lock the folder, making it where needed, remove half-written files, and write the settings of a new start.

        What `check_new` allowed is checked again under the lock: another process may have started and ended since.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.take(self.activity)
        if self._starts:
            try:
                self.check_new()
            except InputError:
                self._lock.release()
                raise
            self._starts = False
        for file in (self.settings_file, *(self.path / pattern for pattern in self.written_files)):
            for partial in file.parent.glob(f".{file.name}.*.partial"):
                partial.unlink()
        if not self.settings_file.exists():
            write_json(self.settings_file, settings)

    def close(self) -> None:
        """Let other processes resume the work."""
        self._lock.release()

    def read_json(self, file: Path) -> dict[str, Any]:
        """Return the JSON object in `file`."""
        try:
            fields = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(fields, dict):
                raise ValueError("no JSON object")
        except (ValueError, OSError, RecursionError) as error:
            raise self.damaged(file, error) from error
        return fields

    def damaged(self, file: Path, error: Exception) -> InputError:
        """Return the error to raise for a file that cannot be read."""
        return InputError(f"{file}: damaged ({one_line(error)}); {self.remedy}")

    def append(self, file: Path, record: Mapping[str, Any]) -> None:
        """Append one line of JSON to `file`."""
        with naming_file(file), file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")

    def read_records(self, file: Path, key: str) -> dict[str, Any]:
        """Return the lines of `file` by their `key`. A partial last line, which a kill leaves, is removed."""
        if not file.exists():
            return {}
        try:
            text = file.read_text(encoding="utf-8")
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                write_text(file, whole)
            return {record[key]: record for record in map(json.loads, whole.splitlines())}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.damaged(file, error) from error


def _flat(settings: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return nested settings, each under all of its names from the outermost on."""
    flat: dict[tuple[str, ...], Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, (*above, name)) if isinstance(value, Mapping) else {(*above, name): value}
    return flat
