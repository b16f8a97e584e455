"""What a training looks at before it starts: broken data cost seconds then, and a line."""

from pathlib import Path

import numpy as np
import pytest
from helpers.breaking import LABEL0, TRAIN0, clean, everywhere, noise, values
from helpers.datasets import mask
from helpers.formats import labelme
from helpers.training import small_recipe
from PIL import Image

from globalconv.data.checks.quick import quick_check
from globalconv.data.datasets import open_source
from globalconv.errors import InputError
from globalconv.training.assemble import Execution, run_training


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return clean(tmp_path / "data")


def warnings_of(root: Path, val: str = "val") -> list[str]:
    return quick_check(open_source(root, "train"), open_source(root, val))


def refused(root: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        warnings_of(root)
    assert "\n" not in str(error.value)


def test_good_data_and_generated_scenes_get_no_word(data: Path) -> None:
    assert warnings_of(data) == []
    assert quick_check(open_source(None, "train"), open_source(None, "val")) == []


def test_headers_of_all_files_are_read(tmp_path: Path) -> None:
    for number in range(60):  # more than are looked at
        mask(tmp_path / f"images/{number:02}.png", noise(number)[:32, :40].repeat(2, axis=1)[:, :48])
        mask(tmp_path / f"labels/{number:02}.png", np.tile(np.arange(48, dtype=np.uint8) % 2, (32, 1)))
    assert warnings_of(tmp_path) == []
    for number in (7, 8):
        Image.new("L", (48, 31)).save(tmp_path / f"labels/{number:02}.png")
    refused(tmp_path, r"0.\.png: the label map is 48x31 but its image .* \(and 1 more like it; globalconv data check")
    for number in (7, 8):
        (tmp_path / f"labels/{number:02}.png").write_bytes(b"")
    (tmp_path / "classes.json").write_text('["a", "b"]')
    refused(tmp_path, r"0.\.png: the file is empty")


def test_a_file_system_that_is_slow_costs_seconds_not_hours(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def slow(path: Path) -> tuple[int, int]:
        read.append(path)
        clock[0] += 3.0
        return 40, 36

    clock = [0.0]
    monkeypatch.setattr("globalconv.data.checks.quick.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("globalconv.data.checks.quick.image_size", slow)
    warnings_of(data)
    assert len(read) == 4, "one pair of each split takes more than the time there is"


def test_a_few_masks_are_held_against_the_classes(data: Path) -> None:
    everywhere(data, 1, 2, 3)
    refused(data, r"label value 3 out of range .*shifted by one.*and 7 more like it")


def test_images_are_decoded_too(data: Path) -> None:
    whole = (data / TRAIN0).read_bytes()
    (data / TRAIN0).write_bytes(whole[: len(whole) // 2])
    refused(data, "0.png: cannot be decoded")


def test_warnings_name_how_many_were_warnings_of(data: Path) -> None:
    everywhere(data, 0, 255)
    assert [line[:40] for line in warnings_of(data)] == ["in 8 samples: all masks hold 0 and 255 o"]


def test_images_that_show_nothing_are_told_of_where_they_are_many(data: Path) -> None:
    for number in range(4):
        mask(data / f"train/images/{number}.png", noise(number) // 20)
    assert [line[:48] for line in warnings_of(data)] == ["in 8 samples: 4 of 8 images are nearly black, as"]
    mask(data / "train/images/0.png", noise(0))
    assert warnings_of(data) == [], "three may be photographs of the night"


def test_an_image_to_train_and_to_validate_on(data: Path) -> None:
    assert warnings_of(data, "train")[0].startswith("5 of 5 validation images are training images too")
    (data / "val/images/5.png").unlink()
    (data / "val/images/5.png").symlink_to(data / TRAIN0)
    assert warnings_of(data)[0].startswith("1 of 3 validation images are training images too")


def test_drawn_data_are_drawn(tmp_path: Path) -> None:
    root = labelme(tmp_path)
    told = [line.partition(": ")[2][:17] for line in warnings_of(root)]
    assert told == ["2 images less tha", "2 of 2 images are"], "small ones of one colour, and nothing else"
    labelme(root, imageWidth=16, imageHeight=24)
    refused(root, "the annotation is 16x24 but its image")


def test_a_training_refuses_before_it_makes_anything(data: Path, tmp_path: Path) -> None:
    mask(data / LABEL0, values(0, 9))
    with pytest.raises(InputError, match="label value 9 out of range"):
        run_training(small_recipe(), data, tmp_path / "run", Execution())
    assert not list((tmp_path / "run").glob("*.json"))
    mask(data / LABEL0, values(255))
    lines: list[str] = []
    run_training(small_recipe(), data, tmp_path / "other", Execution(log=lines.append))
    assert any(line.startswith("warning     in 8 samples: 1 mask with void only") for line in lines)
