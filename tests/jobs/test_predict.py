"""Prediction of image files by Python."""

from pathlib import Path

import globalconv


def test_one_image_may_be_named_without_a_list(trained: Path, tmp_path: Path) -> None:
    image = next((trained / "blobs" / "images" / "val").iterdir())
    paths: tuple[Path | str, ...] = (image, str(image))
    for number, path in enumerate(paths):
        assert globalconv.predict(trained / "run", path, tmp_path / str(number)) == []
