"""The predictions of a submission, beside its archive, and what made them: so a call that was stopped can go on.

| file | what |
|---|---|
| submission.json | the weights, the split and every setting on which a prediction depends |
| *.png | class maps as the server takes them, each written beside and renamed |
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from globalconv.data.images import image_size, open_image
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.infer.saved_crf import parameters_of
from globalconv.runtime.files import LOCK_FILE, FolderLock, write_atomic, write_json
from globalconv.submission.servers import Benchmark, ListedImage
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE

NOTE = "submission.json"


def made_by(name: str, split: str, weights: Path, predictor: Predictor) -> dict[str, Any]:
    """Return all on which a prediction depends, as JSON values."""
    folder = weights.parent if weights.name in (WEIGHTS_FILE, MODEL_FILE) else weights
    state = hashlib.sha256()
    for file in (WEIGHTS_FILE, MODEL_FILE):
        state.update((folder / file).read_bytes())
    inference = predictor.settings.changes()
    if predictor.settings.crf is not None:
        from globalconv.crf.dense import DenseCRF  # compiles, which only those wait for who use it

        assert isinstance(predictor.refine, DenseCRF)
        inference["crf"] = parameters_of(predictor.refine)  # the file that it came from may change
    made: dict[str, Any] = {
        "benchmark": name, "split": split, "weights": state.hexdigest(), "precision": predictor.precision,
        "inference": inference,
    }  # fmt: skip
    return dict(json.loads(json.dumps(made)))  # tuples become lists, as they will be when it is read again


class Predictions:
    """The folder FILE.predictions of the archive FILE; only files that the same network would make are kept."""

    def __init__(self, archive: Path, benchmark: Benchmark) -> None:
        self.archive, self.benchmark = archive, benchmark
        self.path = archive.with_name(f"{archive.name}.predictions")
        self._lock = FolderLock(self.path)

    def open(self, made: Mapping[str, Any]) -> None:
        """Make the folder, or go on in it; `InputError` where it, or the archive, is of something else."""
        note = self.path / NOTE
        if note.is_file():
            if differing := _differing(_read(note), made):
                raise InputError(
                    f"{self.path}: holds predictions that were made otherwise ({', '.join(differing)}); name another"
                    " `out`, or remove that folder"
                )
        elif self.path.exists() and (not self.path.is_dir() or _holds_anything(self.path)):
            raise InputError(f"{self.path}: is there and is no folder of a submission; name another `out`")
        elif self.archive.exists():
            raise InputError(f"`out` {self.archive}: is there already and was not written here; name another file")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.take("predicts")
        for partial in self.path.glob(".*.partial"):  # what a kill left of a file that was being written
            partial.unlink()
        write_json(note, dict(made))

    def close(self) -> None:
        """Let other processes in."""
        self._lock.release()

    def file(self, listed: ListedImage) -> Path:
        """Return where the prediction of an image lies, or will."""
        return self.path / listed.file

    def has(self, listed: ListedImage) -> bool:
        """Say whether there is a prediction of the image's size, by their headers."""
        file = self.file(listed)
        if not file.is_file():
            return False
        try:
            return self.is_of(listed, file)
        except InputError:  # a file that somebody damaged is made anew
            return False

    def is_of(self, listed: ListedImage, file: Path) -> bool:
        """Say whether a PNG has the kind that the server takes, and the size of the image."""
        with open_image(file) as stored:
            return (
                stored.format == "PNG" and stored.mode == self.benchmark.mode and stored.size == image_size(listed.path)
            )

    def write(self, listed: ListedImage, png: Image.Image) -> None:
        """Write one prediction."""
        write_atomic(self.file(listed), lambda file: png.save(file, "PNG"))


def _read(note: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no object")
    except (ValueError, OSError) as error:
        raise InputError(f"{note}: damaged ({error}); remove the folder or name another `out`") from error
    return found


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return what differs, in words."""
    said = []
    for name in here:
        if there.get(name) != here[name]:
            values = "" if name == "weights" else f" {there.get(name)!r}, now {here[name]!r}"
            said.append(f"{'other weights' if name == 'weights' else name}{values}")
    return said


def _holds_anything(folder: Path) -> bool:
    partial = f".{NOTE}."
    return any(path.name != LOCK_FILE and not path.name.startswith(partial) for path in folder.iterdir())
