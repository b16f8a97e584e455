"""Scenes written as a folder data set: the same scenes, read back by the reader everybody's data go through."""

from pathlib import Path

import numpy as np
import pytest

from globalconv.cli.main import main
from globalconv.data.datasets import open_source, recognise_layout
from globalconv.data.scenes.scene import SCENES, Dial, draw_scene, open_scenes
from globalconv.data.scenes.writing import SceneSet, write_scenes
from globalconv.errors import InputError

SMALL = SceneSet(train=3, val=2, size=64, dial=Dial("local", 16))


def test_written_scenes_read_back_as_drawn(tmp_path: Path) -> None:
    write_scenes(tmp_path / "s", SMALL, workers=1)
    assert recognise_layout(tmp_path / "s") == "folder"
    for split, count, stream in (("train", 3, 1), ("val", 2, 2)):
        source = open_source(tmp_path / "s", split)
        assert (source.labels.class_names, source.labels.palette) == (SCENES.class_names, SCENES.palette)
        assert len(source) == count
        for index in range(count):
            image, label_map = draw_scene(stream, index, 64, SMALL.dial)
            assert (source.image(index) == image).all()
            assert (source.label_map(index) == label_map).all()


def test_the_first_seed_writes_the_scenes_that_are_built_in_and_others_write_others(tmp_path: Path) -> None:
    built_in = open_scenes("val")
    assert (SceneSet().draw("val", 0)[0] == built_in.image(0)).all()
    images = [SceneSet(seed=seed).draw(split, 0)[0] for seed in range(3) for split in ("train", "val")]
    assert len({image.tobytes() for image in images}) == len(images)


def test_processes_draw_what_one_draws(tmp_path: Path) -> None:
    done: list[int] = []
    write_scenes(tmp_path / "two", SMALL, 2, lambda count, total: done.append(count))
    write_scenes(tmp_path / "one", SMALL, 1)
    assert done == [1, 2, 3, 4, 5]
    files = sorted(path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*.*"))
    assert len(files) == 2 * 5 + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_call_that_was_stopped_goes_on(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "s", SMALL, 1, stop)
    left: list[int] = []
    write_scenes(tmp_path / "s", SMALL, 1, lambda done, total: left.append(done))
    assert left == [3, 4, 5]
    assert (open_source(tmp_path / "s", "val").label_map(1) == SMALL.draw("val", 1)[1]).all()
    write_scenes(tmp_path / "s", SMALL, 1, lambda done, total: left.append(done))
    assert left == [3, 4, 5], "nothing is drawn twice"


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        write_scenes(tmp_path, SMALL, 1)
    write_scenes(tmp_path / "s", SMALL, 1)
    with pytest.raises(InputError, match="is not empty"):
        write_scenes(tmp_path / "s", SceneSet(train=3, val=2, size=64), 1)
    with pytest.raises(InputError, match="is a file"):
        write_scenes(tmp_path / "mine.txt", SMALL, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distance", "200"], "--distance 200"),
        (["--distance", "50", "--size", "64"], "--distance 50"),
        (["--train", "0"], "--train 0"),
        (["--size", "8"], "--size 8"),
        (["--seed", "-1"], "--seed -1"),
        (["--workers", "0"], "--workers 0"),
        (["--cue", "near"], "near"),
    ],
)
def test_options_that_make_no_scenes_are_refused(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "scenes", "--out", str(tmp_path / "s"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_the_command_writes_a_data_set_that_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "s")
    assert main(["data", "scenes", "--out", out, "--train", "30", "--val", "8", "--size", "96", "--workers", "1"]) == 0
    assert "globalconv train folder --data" in capsys.readouterr().out
    assert main(["data", "check", out, "--workers", "1"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("ready")
    assert np.isin(open_source(Path(out), "train").label_map(0), [*range(9), 255]).all()
