"""Classification folders as ImageNet is unpacked: classes, order, and what is said of wrong trees."""

from pathlib import Path

import pytest
from helpers.datasets import image

from globalconv.data.classification import open_image_folder
from globalconv.data.images import read_image
from globalconv.errors import InputError


def tree(root: Path) -> Path:
    """Write three classes of two training images and one validation image; class c has none of these."""
    for synset in ("n01", "n02", "n03"):
        for number in (1, 2):
            image(root / f"train/{synset}/{synset}_{number}.JPEG")
    for synset in ("n01", "n02"):
        image(root / f"val/{synset}/ILSVRC2012_val_{synset}.JPEG")
    (root / "train/n01/notes.txt").write_text("not an image")
    return root


def test_classes_are_the_folders_of_the_training_split_in_every_split(tmp_path: Path) -> None:
    train, val = (open_image_folder(tree(tmp_path), split) for split in ("train", "val"))
    assert train.class_names == val.class_names == ("n01", "n02", "n03")
    assert train.classes == (0, 0, 1, 1, 2, 2) and val.classes == (0, 1)
    assert [train.files[index].name for index in (0, 1, 5)] == ["n01_1.JPEG", "n01_2.JPEG", "n03_2.JPEG"]
    assert len(val) == 2 and val.target(1) == 1
    assert (val.image(1) == read_image(tmp_path / "val/n02/ILSVRC2012_val_n02.JPEG")).all()


def test_other_names_of_splits_are_known(tmp_path: Path) -> None:
    (tree(tmp_path) / "val").rename(tmp_path / "validation")
    assert len(open_image_folder(tmp_path, "val")) == 2


@pytest.mark.parametrize(
    ("split", "change", "words"),
    [
        ("train", "missing", "there is no such folder"),
        ("train", "empty", "has no folder train/"),
        ("train", "one class", "holds fewer than two folders; put the images of each class into one of its own"),
        ("test", "", r"split 'test': .* has the folders train, val; name one of them"),
        ("val", "flat", "as ImageNet's validation archive does"),
        ("val", "strange", "n09: is a folder of no class of train/"),
        ("val", "no image", "holds no images"),
    ],
)
def test_wrong_trees_are_refused_in_a_line(split: str, change: str, words: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    if change == "empty":
        root.mkdir()
    elif change == "one class":
        image(root / "train/n01/a.JPEG")
    elif change != "missing":
        tree(root)
    if change == "flat":
        for path in list(root.glob("val/*/*")):
            path.rename(root / "val" / path.name)
            path.parent.rmdir()
    if change == "strange":
        (root / "val/n02").rename(root / "val/n09")
    if change == "no image":
        for path in root.glob("val/*/*"):
            path.unlink()
    with pytest.raises(InputError, match=words) as error:
        open_image_folder(root, split)
    assert "\n" not in str(error.value)
