"""Files, folders and globs in, mirrored predictions out; what fails is skipped and listed; nothing is lost."""

import errno
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from helpers.infer import LABELS, Brightest, noise, write_image
from PIL import Image

from globalconv.data.image_format import ImageFormat
from globalconv.data.images import read_image
from globalconv.errors import InputError, InputWarning, StoppedError
from globalconv.infer.image_files import Failure, list_image_files, predict_files
from globalconv.infer.inference_settings import InferenceSettings
from globalconv.infer.prediction import Prediction
from globalconv.infer.predictor import Predictor


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


OUT = Path("out")


def results(out: Path = OUT) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def both(*names: str) -> list[str]:
    return sorted(file for name in names for file in (f"{name}.png", f"{name}.overlay.jpg"))


def test_subfolders_are_mirrored_and_other_files_are_passed_over(brightest: Predictor) -> None:
    for name in ("a.jpg", "day 1/b.PNG", "day 1/night/ç 日本.webp", "gif.gif", "t.tiff", ".hidden.png", ".x/c.png"):
        write_image(Path("photos") / name)
    Path("photos/notes.txt").write_text("no image")
    assert predict_files(brightest, ["photos"], OUT) == []
    assert results() == both("a", "day 1/b", "day 1/night/ç 日本", "gif", "t")


def test_predictions_have_the_size_and_the_pixels_of_their_image(brightest: Predictor) -> None:
    write_image(Path("photos/a.png"), 6, 9, seed=1)
    write_image(Path("photos/sub/b.png"), 11, 4, seed=2)
    predict_files(brightest, ["photos"], OUT)
    for name, image in (("a", noise(6, 9, 1)), ("sub/b", noise(11, 4, 2))):
        with Image.open(OUT / f"{name}.png") as photo:
            assert (np.asarray(photo) == image.argmax(2)).all()


def test_globs(brightest: Predictor) -> None:
    for name in ("a.jpg", "b.png", "sub/c.jpg", "sub/deep/d.jpg", "x.txt.jpg"):
        write_image(Path("photos") / name)
    Path("photos/notes.txt").write_text("no image")
    for pattern, names in {
        "photos/*.jpg": ["a", "x.txt"],
        "photos/**/*.jpg": ["a", "sub/c", "sub/deep/d", "x.txt"],
        "photos/?.??g": ["a", "b"],
        "photos/*": ["a", "b", "sub/c", "sub/deep/d", "x.txt"],
        "*/sub": ["photos/sub/c", "photos/sub/deep/d"],
    }.items():
        assert sorted(file.name for file in list_image_files([pattern], OUT)) == names, pattern
    predict_files(brightest, ["photos/**/d.*"], OUT)
    assert results() == both("sub/deep/d")


def test_a_name_with_wildcards_in_it_is_a_file_first() -> None:
    write_image(Path("a[1].png"))
    write_image(Path("a1.png"))
    assert [file.path.name for file in list_image_files(["a[1].png"], OUT)] == ["a[1].png"]


def test_each_image_once_and_no_two_share_a_name(brightest: Predictor) -> None:
    for name in ("one/a.jpg", "one/a.png", "one/A.bmp", "one/b.png", "two/b.png", "two/c.png"):
        write_image(Path(name))
    files = list_image_files(["one", "two", "one/a.jpg", "./two/c.png"], OUT)
    assert [(file.path.as_posix(), file.name) for file in files] == [
        ("one/A.bmp", "A.bmp"),
        ("one/a.jpg", "a.jpg"),
        ("one/a.png", "a.png"),
        ("one/b.png", "b.png"),
        ("two/b.png", "b.png-2"),
        ("two/c.png", "c"),
    ]
    predict_files(brightest, ["one", "two"], OUT)
    assert len(results()) == 12


def test_broken_files_are_skipped_and_listed(brightest: Predictor) -> None:
    write_image(Path("photos/a.png"))
    write_image(Path("photos/z.png"), 40, 40)
    Path("photos/cut.png").write_bytes(Path("photos/z.png").read_bytes()[:500])
    Path("photos/empty.jpg").touch()
    Path("notes.txt").write_text("no image")
    seen: list[tuple[int, int, str, bool]] = []
    failures = predict_files(
        brightest,
        ["photos", "notes.txt"],
        OUT,
        lambda done, total, path, failure: seen.append((done, total, path.name, failure is not None)),
    )
    assert [Path(failure.path).name for failure in failures] == ["cut.png", "empty.jpg", "notes.txt"]
    assert all("\n" not in failure.error and Path(failure.path).name in failure.error for failure in failures)
    listed = [Failure(**entry) for entry in json.loads((OUT / "failures.json").read_text())]
    assert listed == failures
    assert results() == sorted([*both("a", "z"), "failures.json"])
    names = ["a.png", "cut.png", "empty.jpg", "z.png", "notes.txt"]
    assert [entry[:3] for entry in seen] == [(i, 5, name) for i, name in enumerate(names, 1)]
    assert [entry[3] for entry in seen] == [False, True, True, False, True]


def test_the_list_of_failures_is_replaced_by_every_call(brightest: Predictor) -> None:
    write_image(Path("good.png"))
    Path("bad.png").touch()
    assert len(predict_files(brightest, ["good.png", "bad.png"], OUT)) == 1
    assert predict_files(brightest, ["good.png"], OUT) == []
    assert json.loads((OUT / "failures.json").read_text()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("typo.jpg", "typo.jpg: there is no such file or folder"),
        ("empty", "empty: no image in this folder"),
        ("photos/*.gif", r"photos/\*\.gif: matches no image"),
    ],
)
def test_an_input_that_names_nothing_stops_before_any_work(brightest: Predictor, text: str, message: str) -> None:
    write_image(Path("photos/a.png"))
    Path("empty").mkdir()
    with pytest.raises(InputError, match=message):
        predict_files(brightest, ["photos", text], OUT)
    assert not OUT.exists()


def test_results_inside_the_folder_of_the_images_are_not_predicted(brightest: Predictor) -> None:
    write_image(Path("photos/a.png"))
    for _ in range(2):
        for inputs in (["photos"], ["photos/*"], ["photos/**"]):
            assert predict_files(brightest, inputs, Path("photos/results")) == []
    assert results(Path("photos")) == ["a.png", *(f"results/{file}" for file in both("a"))]


@pytest.mark.parametrize("inputs", ["photos", "photos/**"])
@pytest.mark.parametrize("out", ["data", "."])
def test_results_above_the_folder_of_the_images(brightest: Predictor, inputs: str, out: str) -> None:
    for name in ("a", "sub/b"):
        write_image(Path(f"data/photos/{name}.png"))
    for _ in range(2):
        assert predict_files(brightest, [f"data/{inputs}"], Path(out)) == []
    assert set(both("a", "sub/b")) < set(results(Path(out)))


@pytest.mark.parametrize("text", ["photos", "photos/*.jpg"])
@pytest.mark.parametrize("out", ["photos", "photos/../photos", "link"])
def test_results_among_the_images_are_refused(brightest: Predictor, text: str, out: str) -> None:
    write_image(Path("photos/a.jpg"))
    Path("link").symlink_to("photos")
    with pytest.raises(InputError, match="is the folder of the images"):
        predict_files(brightest, [text], Path(out))
    assert results(Path("photos")) == ["a.jpg"]


def test_no_image_is_ever_overwritten(brightest: Predictor) -> None:
    path = write_image(Path("a.png"))
    before = path.read_bytes()
    (failure,) = predict_files(brightest, ["a.png"], Path())
    assert "is one of the images to predict" in failure.error and path.read_bytes() == before
    # Neither is one that globalconv wrote itself, if it is an image of this call.
    predict_files(brightest, ["a.png"], OUT)
    before = (OUT / "a.png").read_bytes()
    (failure,) = predict_files(brightest, ["out/a.png"], OUT)
    assert (OUT / "a.png").read_bytes() == before


def test_a_label_map_that_lies_beside_the_photo_survives(brightest: Predictor) -> None:
    write_image(Path("a.jpg"))
    label = write_image(Path("a.png"))
    before = label.read_bytes()
    (failure,) = predict_files(brightest, ["a.jpg"], Path())
    assert "a.png exists and was not written by globalconv" in failure.error and label.read_bytes() == before


def test_a_stop_between_two_files_leaves_whole_results_and_the_list(brightest: Predictor) -> None:
    Path("photos").mkdir()
    Path("photos/a.png").touch()
    for name in "bcd":
        write_image(Path(f"photos/{name}.png"))

    def stop(done: int, total: int, path: Path, failure: Failure | None) -> None:
        if done == 2:
            raise StoppedError("stopped", 15)

    with pytest.raises(StoppedError):
        predict_files(brightest, ["photos"], OUT, stop)
    assert results() == sorted([*both("b"), "failures.json"])
    assert len(json.loads((OUT / "failures.json").read_text())) == 1


def test_a_name_too_long_is_one_failure_and_a_full_disk_is_the_end(
    brightest: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(Path(f"{'n' * 250}.png"))
    write_image(Path("a.png"))
    (failure,) = predict_files(brightest, ["*.png"], OUT)
    assert "cannot be saved" in failure.error and "a.png" in results()

    def full(self: Prediction, folder: Path, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Prediction, "save", full)
    with pytest.raises(OSError, match="No space left"):
        predict_files(brightest, ["a.png"], Path("other"))


def test_a_folder_that_may_not_be_written_to_is_refused_before_any_work(
    brightest: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(Path("a.png"))
    monkeypatch.setattr("globalconv.infer.image_files.os.access", lambda path, mode: False)
    monkeypatch.setattr(Predictor, "class_maps", None)
    with pytest.raises(InputError, match="out=out: this user may not write there"):
        predict_files(brightest, ["a.png"], OUT)


def test_results_go_into_a_folder(brightest: Predictor) -> None:
    write_image(Path("a.png"))
    for path in ("a.png", "notes.txt"):
        Path("notes.txt").touch()
        with pytest.raises(InputError, match=f"out={path}: is a file; name a folder"):
            predict_files(brightest, ["a.png"], Path(path))


def test_an_empty_name_is_not_the_current_folder(brightest: Predictor) -> None:
    """What the shell makes of a variable that is not set."""
    write_image(Path("a.png"))
    with pytest.raises(InputError, match="an image's name is empty"):
        predict_files(brightest, ["a.png", ""], OUT)
    assert not OUT.exists()


def test_a_folder_that_cannot_be_listed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(folder: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", folder)

    Path("photos").mkdir()
    monkeypatch.setattr("os.scandir", closed)
    with pytest.raises(InputError, match=r"photos: the folder cannot be listed \(Permission denied\)"):
        list_image_files(["photos"], OUT)


def test_results_larger_than_the_limit_for_images_are_replaced(tmp_path: Path) -> None:
    """The overlay has a legend below it, so it is larger than the image that was allowed."""
    write_image(Path("a.png"), 6, 9)
    settings = InferenceSettings(max_pixels=54)
    exact = Predictor(Brightest(), LABELS, "cpu", "float32", settings=settings)
    for _ in range(2):
        assert predict_files(exact, ["a.png"], OUT) == []


def test_tiles_of_a_batch_hold_no_more_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        write_image(Path(f"photos/{number:02}.png"))
    read: list[Path] = []

    def counted(path: Path, image_format: ImageFormat) -> np.ndarray:
        read.append(path)
        return read_image(path, image_format)

    monkeypatch.setattr("globalconv.infer.image_files.read_image", counted)
    settings = InferenceSettings(tile=32, batch_size=16)
    tiling = Predictor(Brightest(), LABELS, "cpu", "float32", settings=settings)
    most: list[int] = []
    predict_files(tiling, ["photos"], OUT, lambda done, *_: most.append(len(read) - done))
    assert max(most) <= 4


def test_every_suffix_of_an_image_is_taken_in_any_case(brightest: Predictor) -> None:
    names = ["a.JPG", "b.jfif", "c.jpe", "d.bmp", "e.dib", "f.TIFF", "g.webp", "h.pgm", "i.pnm", "j.tga", "k.apng"]
    for name in names:
        write_image(Path("photos/plain.png"))
        with Image.open("photos/plain.png") as image:
            suffix = Path(name).suffix.lower()
            image.convert("L" if suffix == ".pgm" else "RGB").save(f"photos/{name}")
    Path("photos/plain.png").unlink()
    assert predict_files(brightest, ["photos"], OUT) == []
    assert results() == both(*"abcdefghijk")


def test_images_that_are_not_read_are_named_in_one_line_and_are_failures(brightest: Predictor) -> None:
    write_image(Path("photos/a.png"))
    content = Path("photos/a.png").read_bytes()
    for name in ("1.heic", "2.HEIC", "3.nef", "sub/4.svg"):
        Path("photos", name).parent.mkdir(exist_ok=True)
        Path("photos", name).write_bytes(b"")
    for name in ("scan", "download.jpg_large", "2021.05.01"):  # images by their first bytes
        Path("photos", name).write_bytes(content)
    for name in ("notes.txt", "a.json", "._b.heic", "b.heic/.DS_Store", "__MACOSX/c.png", "readme", "hidden.txt"):
        Path("photos", name).parent.mkdir(exist_ok=True)
        Path("photos", name).write_bytes(content if name.endswith(".txt") else b"no image")
    said = (
        r"^7 files that look like images are left out, of a format or with a suffix that is not read \(2 \.heic,"
        r" 1 \.01, .*1 without suffix.*\): photos/1\.heic, photos/2\.HEIC, .*, \.\.\.; convert them"
    )
    with pytest.warns(InputWarning, match=said):
        failures = predict_files(brightest, ["photos"], OUT)
    left_out = sorted(Path(failure.path).name for failure in failures if failure.left_out)
    assert left_out == ["1.heic", "2.HEIC", "2021.05.01", "3.nef", "4.svg", "download.jpg_large", "scan"]
    assert len(failures) == 7 and results() == [*both("a"), "failures.json"]
    with pytest.warns(InputWarning, match="1 file that looks like an image is left out"):
        assert predict_files(brightest, ["photos/[a1]*"], OUT)[0].left_out
    assert predict_files(brightest, ["photos/scan"], OUT) == [], "named in full"
    with pytest.raises(InputError, match=r"sub: no image in this folder .*; 1 file that looks like an image is left"):
        predict_files(brightest, ["photos/sub"], OUT)


def test_a_raw_file_beside_its_jpeg_is_a_note(brightest: Predictor) -> None:
    write_image(Path("photos/a.jpg"))
    Path("photos/a.nef").write_bytes(b"")
    with pytest.warns(InputWarning, match="beside images of their names, 1 file") as told:
        assert predict_files(brightest, ["photos"], OUT) == []
    assert [warning.message.severity for warning in told] == ["note"]  # type: ignore[union-attr]


def test_pipes_are_not_opened_and_folders_are_followed_through_links(brightest: Predictor) -> None:
    write_image(Path("elsewhere/a.png"))
    Path("photos").mkdir()
    Path("photos/linked").symlink_to(Path("elsewhere").resolve())
    Path("photos/round").symlink_to(Path("photos").resolve())
    Path("photos/self").symlink_to("self")
    os.mkfifo("photos/pipe.png")
    Path("photos/nothing.png").symlink_to("nowhere")
    failures = predict_files(brightest, ["photos"], OUT)
    assert [failure.error for failure in failures] == [
        "photos/nothing.png: there is no such file; give the path of an image",
        "photos/pipe.png: is not a file; give the path of an image",
    ]
    assert results() == [*both("linked/a"), "failures.json"] or results() == ["failures.json", *both("linked/a")]


@pytest.mark.parametrize("name", ["a.b", "2021.05.01", "a ", "new\nline", "\U0001f600", "\udcf6", "e\u0301", "x" * 200])
def test_results_are_named_like_their_images(name: str, brightest: Predictor) -> None:
    try:
        write_image(Path("photos") / f"{name}.png")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert predict_files(brightest, ["photos"], OUT) == []
    assert results() == both(unicodedata.normalize("NFC", name))
