"""Classification: folders as ImageNet is unpacked, random and centre crops, batches as a function of (seed, start)."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.datasets import image
from helpers.pretraining import write_colours
from hypothesis import given
from hypothesis import strategies as st

from globalconv.data.classification import (
    ImageFolder,
    augmented_batches,
    centre_crop,
    centre_crop_batches,
    draw_resized_crop,
    open_image_folder,
)
from globalconv.data.images import read_image
from globalconv.data.loader import Batch
from globalconv.data.transform_settings import ClassificationAugmentation
from globalconv.errors import InputError

SMALL = ClassificationAugmentation(crop=32)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    return open_image_folder(write_colours(tmp_path_factory.mktemp("colours")), "train")


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 1000))
def test_windows_lie_inside(height: int, width: int, seed: int) -> None:
    window = draw_resized_crop(height, width, ClassificationAugmentation(area=(0.2, 0.9)), np.random.default_rng(seed))
    assert window.size == (224, 224)
    assert window.height >= 1 and window.top >= 0 and window.top + window.height <= height
    assert window.width >= 1 and window.left >= 0 and window.left + window.width <= width


def test_areas_and_shapes_spread_over_their_ranges() -> None:
    rng, settings = np.random.default_rng(0), ClassificationAugmentation()
    windows = [draw_resized_crop(400, 400, settings, rng) for _ in range(2000)]
    areas = np.array([w.height * w.width / 400**2 for w in windows])
    aspects = np.log([w.width / w.height for w in windows])
    assert 0.079 < areas.min() < 0.1 and areas.max() > 0.9
    assert areas.mean() == pytest.approx(0.5, abs=0.05)  # a little below the middle: large windows fit less often
    assert aspects.mean() == pytest.approx(0, abs=0.02)
    assert abs(aspects).max() < np.log(4 / 3) + 0.03


def test_an_image_too_long_for_any_window_gives_its_middle() -> None:
    window = draw_resized_crop(10, 1000, ClassificationAugmentation(area=(1, 1)), np.random.default_rng(0))
    assert (window.top, window.height, window.width) == (0, 10, 13)
    assert window.left == (1000 - 13) // 2


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_is_224_of_256(turned: bool) -> None:
    """A ramp along the longer side, three times as long as the other; scaled by 2, the crop is its middle 112."""
    ramp = np.broadcast_to(np.arange(384)[None, :, None] // 2, (128, 384, 3)).astype(np.uint8)
    turned_ramp = ramp.transpose(1, 0, 2) if turned else ramp
    centre = centre_crop(np.ascontiguousarray(turned_ramp), 224)
    assert (centre.shape, centre.dtype) == ((3, 224, 224), torch.uint8)
    line = (centre[0, :, 100] if turned else centre[0, 100]).tolist()
    assert line[0] == pytest.approx((192 - 56) / 2, abs=1)
    assert line[-1] == pytest.approx((192 + 56) / 2, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (3, 2)])
def test_the_centre_of_the_smallest_images(size: tuple[int, int]) -> None:
    assert centre_crop(np.full((*size, 3), 9, np.uint8), 224).unique().tolist() == [9]


def take(source: ImageFolder, count: int, start: int = 0, workers: int = 0, seed: int = 1) -> list[Batch]:
    return list(islice(augmented_batches(source, SMALL, 4, seed, start, workers), count))


def same(one: list[Batch], two: list[Batch]) -> bool:
    return all(
        a.names == b.names and torch.equal(a.images_N3HW, b.images_N3HW) and torch.equal(a.targets, b.targets)
        for a, b in zip(one, two, strict=True)
    )


def test_a_stream_that_starts_later_is_the_same_stream(colours: ImageFolder) -> None:
    stream = take(colours, 9)
    assert same(stream[5:], take(colours, 4, start=5))
    assert same(stream, take(colours, 9, workers=2))
    assert not same(stream[:2], take(colours, 2, seed=2))


def test_an_epoch_is_every_image_once_each_time_cut_anew(colours: ImageFolder) -> None:
    batches = list(islice(augmented_batches(colours, SMALL, 5, 0, 0, 0), 6))
    names = [name for batch in batches for name in batch.names]
    assert sorted(names[:15]) == sorted(names[15:]) == sorted(map(str, colours.files))
    crops = dict(zip(names[:15], torch.cat([b.images_N3HW for b in batches[:3]]), strict=True))
    again = dict(zip(names[15:], torch.cat([b.images_N3HW for b in batches[3:]]), strict=True))
    assert not any(torch.equal(crops[name], again[name]) for name in crops)


def test_targets_are_the_classes_and_survive_the_order(colours: ImageFolder) -> None:
    for batch in take(colours, 4):
        assert batch.targets.dtype == torch.int64
        assert [f"colour {n}" for n in batch.targets.tolist()] == [Path(name).parent.name for name in batch.names]


@pytest.mark.parametrize("workers", [0, 2])
def test_centres_come_once_in_order_and_the_last_batch_is_smaller(colours: ImageFolder, workers: int) -> None:
    batches = list(centre_crop_batches(colours, 32, 4, workers))
    assert [len(batch.targets) for batch in batches] == [4, 4, 4, 3]
    assert [name for batch in batches for name in batch.names] == list(map(str, colours.files))


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"crop": 31}, "`data.augmentation.crop` 31: must be at least 32"),
        ({"area": (0.0, 1.0)}, "`data.augmentation.area`"),
        ({"area": (0.5, 0.2)}, "`data.augmentation.area`"),
        ({"aspect": (0.0, 1.0)}, "`data.augmentation.aspect`"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], option: str) -> None:
    with pytest.raises(InputError, match=option):
        ClassificationAugmentation(**settings)  # type: ignore[arg-type]


def three_classes(root: Path) -> Path:
    """Write three classes of two training images and one validation image; class c has none of these."""
    for synset in ("n01", "n02", "n03"):
        for number in (1, 2):
            image(root / f"train/{synset}/{synset}_{number}.JPEG")
    for synset in ("n01", "n02"):
        image(root / f"val/{synset}/ILSVRC2012_val_{synset}.JPEG")
    (root / "train/n01/notes.txt").write_text("not an image")
    return root


def test_classes_are_the_folders_of_the_training_split_in_every_split(tmp_path: Path) -> None:
    train, val = (open_image_folder(three_classes(tmp_path), split) for split in ("train", "val"))
    assert train.class_names == val.class_names == ("n01", "n02", "n03")
    assert train.classes == (0, 0, 1, 1, 2, 2) and val.classes == (0, 1)
    assert [train.files[index].name for index in (0, 1, 5)] == ["n01_1.JPEG", "n01_2.JPEG", "n03_2.JPEG"]
    assert len(val) == 2
    assert (val.image(1) == read_image(tmp_path / "val/n02/ILSVRC2012_val_n02.JPEG")).all()


def test_other_names_of_splits_are_known(tmp_path: Path) -> None:
    (three_classes(tmp_path) / "val").rename(tmp_path / "validation")
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
        three_classes(root)
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
