"""Images of annotations that were made elsewhere: found by name where that is clear, told once, reported once."""

import unicodedata
import warnings
from pathlib import Path

import pytest
from helpers.datasets import image

from globalconv.data.annotations import Drawing, DrawnSample
from globalconv.data.formats.image_search import Entry, ImageIndex, find_images, possible_names
from globalconv.errors import InputError, InputWarning


def entry(root: Path, name: str, written: str, hint: str = "") -> Entry:
    there = root / written
    found = there if there.is_file() else None
    return Entry(name, written, found, there, f"file, image {name}", lambda: Drawing((None, None), ()), hint)


def find(root: Path, *written: str, others: tuple[str, ...] = ()) -> tuple[DrawnSample, ...]:
    entries = [entry(root, f"s{number}", path) for number, path in enumerate(written)]
    return find_images(entries, ImageIndex(root), "file", raise_it, others)


def raise_it(error: InputError) -> None:
    raise error


@pytest.mark.parametrize(
    "written",
    [
        r"C:\data\a b.jpg",
        "/Users/other/a b.jpg",
        r"..\gone\a b.jpg",
        "gone/a%20b.jpg",
        "file:///gone/a%20b.jpg",
        "https://host.org/x/a%20b.jpg?size=large&token=1/2",
        "s3://bucket/key/a b.jpg",
        "/data/local-files/?d=a b.jpg",
        "A B.JPG",
    ],
)
def test_a_foreign_path_is_found_by_its_name_and_told(written: str, tmp_path: Path) -> None:
    image(tmp_path / "deep/er/a b.jpg")
    image(tmp_path / "b.jpg")
    with pytest.warns(InputWarning, match="1 of 2 images are not where the annotations say") as told:
        samples = find(tmp_path, written, "b.jpg")
    assert [sample.image.name for sample in samples] == ["a b.jpg", "b.jpg"]
    (warning,) = (entry.message for entry in told)
    assert isinstance(warning, InputWarning) and warning.kind == "path" and warning.samples == ("s0",)


def test_many_foreign_paths_are_one_warning(tmp_path: Path) -> None:
    for number in range(30):
        image(tmp_path / f"images/{number}.jpg")
    with pytest.warns(InputWarning) as told:
        assert len(find(tmp_path, *(rf"D:\x\{number}.jpg" for number in range(30)))) == 30
    assert len(told) == 1 and "30 of 30" in str(told[0].message)


def test_names_in_either_unicode_form_are_one(tmp_path: Path) -> None:
    image(tmp_path / "images" / unicodedata.normalize("NFD", "café.jpg"))
    with pytest.warns(InputWarning, match="1 of 1"):
        assert len(find(tmp_path, unicodedata.normalize("NFC", "gone/café.jpg"))) == 1


def test_a_name_of_two_images_is_refused_with_both(tmp_path: Path) -> None:
    image(tmp_path / "one/a.jpg")
    image(tmp_path / "two/a.jpg")
    with pytest.raises(InputError, match=r"'C:/a\.jpg' is not there, and may be any of one/a\.jpg, two/a\.jpg"):
        find(tmp_path, "C:/a.jpg")
    image(tmp_path / "three/A.jpg")
    with pytest.warns(InputWarning):
        assert find(tmp_path, "C:/A.jpg")[0].image == tmp_path / "three/A.jpg"  # the case of letters decides


def test_an_image_of_another_entry_or_split_is_no_candidate(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    image(tmp_path / "val/b.jpg")
    errors: list[InputError] = []
    entries = [entry(tmp_path, "s0", "a.jpg"), entry(tmp_path, "s1", "gone/a.jpg"), entry(tmp_path, "s2", "b.jpg")]
    with warnings.catch_warnings(action="error"):
        samples = find_images(entries, ImageIndex(tmp_path), "file", errors.append, ["val"])
    assert [sample.name for sample in samples] == ["s0"]
    assert [error.samples for error in errors] == [("s1", "s2")]


def test_missing_images_are_one_error(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    errors: list[InputError] = []
    entries = [entry(tmp_path, f"s{n}", f"gone{n}.jpg", ", or decode it") for n in range(2000)]
    find_images([*entries, entry(tmp_path, "t", "a.jpg")], ImageIndex(tmp_path), "file", errors.append)
    (error,) = errors
    assert len(error.samples) == 2000 and error.kind == "partner"
    assert "its image 'gone0.jpg' is not there" in str(error) and "nor are 1999 more of its 2001" in str(error)
    assert str(error).endswith("put it there, or decode it")


def test_two_annotations_of_one_image(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"file, image s1: its image .*a\.jpg is that of file, image s0 too"):
        find(tmp_path, "a.jpg", f"../{tmp_path.name}/a.jpg")


def test_names_that_are_not_guessed() -> None:
    assert possible_names("uploads/1a2b3c-a.jpg") == ["1a2b3c-a.jpg"]
    assert possible_names("a#1.jpg") == ["a#1.jpg"]
    assert possible_names("..") == [".."]
