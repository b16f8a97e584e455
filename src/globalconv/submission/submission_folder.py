"""The predictions of a submission, in a folder beside its archive, so that a call that was stopped can be resumed.

| file | what |
|---|---|
| submission.json | the weights, the split and every setting on which a prediction depends |
| *.png | class maps as the server takes them |
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from globalconv.crf.dense import DenseCRF
from globalconv.data.images import image_size, open_image
from globalconv.errors import InputError
from globalconv.infer.predictor import Predictor
from globalconv.infer.saved_crf import parameters_of
from globalconv.runtime.files import write_atomic
from globalconv.runtime.resumable_folder import ResumableFolder
from globalconv.submission.servers import Benchmark, ListedImage
from globalconv.weights import MODEL_FILE, WEIGHTS_FILE, weights_folder


def prediction_settings(benchmark: str, split: str, weights: Path, predictor: Predictor) -> dict[str, Any]:
    """Return everything that a prediction depends on, as JSON values."""
    folder = weights_folder(weights)
    digest = hashlib.sha256()
    for name in (WEIGHTS_FILE, MODEL_FILE):
        digest.update((folder / name).read_bytes())
    inference = predictor.settings.changes()
    if predictor.settings.crf is not None:
        assert isinstance(predictor.refine, DenseCRF)
        inference["crf"] = parameters_of(predictor.refine)  # not its path: what the file holds may change
    settings = {
        "benchmark": benchmark, "split": split, "weights": digest.hexdigest(), "precision": predictor.precision,
        "inference": inference,
    }  # fmt: skip
    return dict(json.loads(json.dumps(settings)))  # tuples become lists, as they are when the file is read again


class SubmissionFolder(ResumableFolder):
    """The folder `FILE.predictions` of the archive FILE: predictions of one network with one set of settings."""

    kind = "submission"
    activity = "predicts"
    settings_name = "submission.json"
    written_files = ("*.png",)
    remedy = "remove the folder or name another `out`"

    def __init__(self, archive: Path, benchmark: Benchmark) -> None:
        super().__init__(archive.with_name(f"{archive.name}.predictions"))
        self.archive, self.benchmark = archive, benchmark

    def open(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, or resume in it; `InputError` where it, or the archive, is of something else."""
        if self.is_started():
            changes = ["other weights" if name == "weights" else name for name in self.changes(settings)]
            if changes:
                raise InputError(
                    f"{self.path}: holds predictions that were made otherwise ({', '.join(changes)}); name another"
                    " `out`, or remove that folder"
                )
        elif not self.is_free():
            raise InputError(f"{self.path}: is there and is no folder of a submission; name another `out`")
        elif self.archive.exists():
            raise InputError(f"`out` {self.archive}: is there already and was not written here; name another file")
        super().open(settings)

    def file(self, image: ListedImage) -> Path:
        """Return where the prediction of an image lies, or will."""
        return self.path / image.file

    def holds(self, image: ListedImage) -> bool:
        """Return whether there is a prediction of the right kind and size, by the headers of the files."""
        try:
            return self.file(image).is_file() and self.fits(image)
        except InputError:  # a damaged file is predicted again
            return False

    def fits(self, image: ListedImage) -> bool:
        """Return whether an image's prediction is a PNG of the kind that the server takes, of the image's size."""
        with open_image(self.file(image)) as png:
            return png.format == "PNG" and png.mode == self.benchmark.mode and png.size == image_size(image.path)

    def write(self, image: ListedImage, png: Image.Image) -> None:
        """Write one prediction."""
        write_atomic(self.file(image), lambda file: png.save(file, "PNG"))
