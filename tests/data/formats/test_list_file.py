"""List files and CamVid: pairs of paths, splits by the names of the lists, and a message for every broken line."""

from pathlib import Path

import pytest
from helpers.datasets import put_pair, refused
from helpers.official import names

from globalconv.data.datasets import open_source
from globalconv.data.formats import list_file
from globalconv.labels import CAMVID, IGNORE


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        put_pair(tmp_path, f"{split}/{name}.png", f"{split}annot/{name}.png", (0, 10, 11))
        with (tmp_path / f"{split}.txt").open("a") as file:
            file.write(f"{split}/{name}.png {split}annot/{name}.png\n")
    return tmp_path


def test_camvid_is_recognised_and_11_is_void(camvid: Path) -> None:
    source = open_source(camvid, "train")
    assert (source.labels, names(source)) == (CAMVID, ["train/a", "train/b"])
    assert source.image(0).shape == (4, 6, 3)
    assert source.label_map(0)[0].tolist() == [0, 10, IGNORE, 0, 10, IGNORE]
    assert names(open_source(camvid, "val", "camvid", CAMVID)) == ["val/c"]


def test_list_files_in_folders_with_comments_tabs_quotes_and_classes(tmp_path: Path) -> None:
    put_pair(tmp_path, "in put/a b.png", "out/a.png")
    put_pair(tmp_path, "c.png", "out/c.png")
    put_pair(tmp_path, "d e.png", "out/d.png")
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds/day.1.train.txt").write_text(
        '\n# comment\n"in put/a b.png" out/a.png\n  c.png   out/c.png\r\nd e.png\tout/d.png\n', encoding="utf-8-sig"
    )
    (tmp_path / "classes.json").write_text(
        '[{"name": "sky", "index": 0, "color": [1, 2, 3]}, {"name": "tree", "index": 1, "color": [4, 5, 6]}]'
    )
    (tmp_path / "readme.txt").write_text("this is\na readme\n")
    assert list_file.list_splits(tmp_path) == ["folds/day.1.train"]
    source = open_source(tmp_path, "folds/day.1.train")
    assert names(source) == ["in put/a b", "c", "d e"]
    assert (source.labels.class_names, source.labels.palette) == (("sky", "tree"), ((1, 2, 3), (4, 5, 6)))
    refused(tmp_path, "split 'train': there is no list file .* the splits in .* are: folds/day.1.train$")


def test_names_of_listed_files_never_lead_out_of_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put_pair(root, "../elsewhere/a.png", "a.png")
    (root / "train.txt").write_text(f"{tmp_path}/elsewhere/a.png a.png\n")
    assert names(open_source(root, "all")) == ["elsewhere/a"]


def test_lists_without_one_for_validation_have_a_hold_out(tmp_path: Path) -> None:
    for number in range(20):
        put_pair(tmp_path, f"a/{number}.png", f"b/{number}.png")
    (tmp_path / "train.txt").write_text("".join(f"a/{number}.png b/{number}.png\n" for number in range(20)))
    train, val = names(open_source(tmp_path, "train")), names(open_source(tmp_path, "val"))
    assert sorted(train + val) == sorted(names(open_source(tmp_path, "all"))) and 1 <= len(val) <= 6
    (tmp_path / "valid.txt").write_text("a/3.png b/3.png\n")
    assert len(open_source(tmp_path, "train")) == 20 and names(open_source(tmp_path, "val")) == ["a/3"]


def test_a_list_with_a_broken_first_line_is_named_when_no_layout_fits(tmp_path: Path) -> None:
    put_pair(tmp_path, "a.png", "b.png")
    (tmp_path / "train.txt").write_text("a.png,b.png\n")
    refused(tmp_path, r"train\.txt:1: 1 words where 'image label' is expected")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png\n", r"train\.txt:1: 1 words where 'image label' is expected"),
        ("a.png a.png\nmy a.png a.png\n", r"train\.txt:2: 3 words .*tab, or quote"),
        ("a.png a.png\na.png b.png\n", r"train\.txt:2: there is no file .*b\.png; paths are relative to"),
        ("a.png a.png\n\na.png a.png\n", r"train\.txt:3: .*a\.png has the same name .* as line 1"),
        ("'a.png a.png\n", r"train\.txt:1: No closing quotation; close the quotes"),
        ("# nothing\n", r"train\.txt: lists no pairs"),
    ],
)
def test_broken_list_files(text: str, message: str, tmp_path: Path) -> None:
    put_pair(tmp_path, "x.png", "a.png")
    (tmp_path / "train.txt").write_text(text)
    refused(tmp_path, message, layout="list")


def test_a_binary_list_file(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\x89PNG\r\n\x00\x9f")
    refused(tmp_path, r"train\.txt: cannot be read as text", layout="list")


@pytest.mark.parametrize(
    "line",
    [
        "Ko\u0308ln/a\u0301.png\tlab/a\u0301.png",
        "K\u00f6ln/\u00e1.png lab/\u00e1.png",
        "K\u00f6ln\\\u00e1.png lab\\\u00e1.png",
        "/K\u00f6ln/\u00e1.png /lab/\u00e1.png",
        "K%C3%B6ln/%C3%A1.png lab/%c3%a1.png",
        "./K\u00f6ln/../K\u00f6ln/\u00e1.png lab/\u00e1.png",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_path_is_found_however_it_is_written(line: str, encoding: str, tmp_path: Path) -> None:
    """The folder is composed on disk, the files are decomposed."""
    put_pair(tmp_path, "K\u00f6ln/a\u0301.png", "lab/a\u0301.png")
    (tmp_path / "train.txt").write_bytes(f"# a comment\r\n{line}\r\n".encode(encoding))
    (pair,) = list_file.read_split(tmp_path, "all")
    assert (pair.name, pair.image.name) == ("K\u00f6ln/\u00e1", "a\u0301.png")


def test_a_line_may_begin_with_the_sign_of_comments_and_names_have_dots(tmp_path: Path) -> None:
    put_pair(tmp_path, "#1.png", "lab/#1.png")
    for name in ("2021.05.01", "2021.05.02"):
        put_pair(tmp_path, f"{name}.png", f"lab/{name}.png")
        (tmp_path / f"{name}.png").rename(tmp_path / name)
    lines = ["#1.png lab/#1.png", "#2.png lab/#2.png", "2021.05.01 lab/2021.05.01.png", "2021.05.02 lab/2021.05.02.png"]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    assert names(open_source(tmp_path, "all", "list")) == ["#1", "2021.05.01", "2021.05.02"]


def test_what_separates_no_words_is_named_and_a_list_of_images_is_refused(tmp_path: Path) -> None:
    put_pair(tmp_path, "a.png", "b.png")
    for line, message in (
        ("a.png,b.png", r"train\.txt:1: 1 words where 'image label' is expected \(the ',' separates none\); separate"),
        ("a.png;b.png", r"\(the ';' separates none\); separate"),
        ("a.png", r"train\.txt:1: 1 words where 'image label' is expected; separate"),
        ("C:\\x\\a.png b.png", r"train\.txt:1: there is no file .*; paths are relative to"),
    ):
        (tmp_path / "train.txt").write_text(line)
        refused(tmp_path, message, layout="list")
    (tmp_path / "train.txt").write_bytes("\u00e1.png b.png".encode("latin-1"))
    refused(tmp_path, r"train\.txt:1: .* the line is no UTF-8 text; save the list as UTF-8", layout="list")


def test_hidden_lists_are_none(tmp_path: Path) -> None:
    put_pair(tmp_path, "a.png", "b.png")
    for name in ("._train.txt", "train.txt", "__MACOSX/train.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a.png b.png\n")
    assert list_file.list_splits(tmp_path) == ["train"]
