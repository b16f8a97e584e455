"""A resumable folder starts only where nothing is, resumes only what it started, and reads what a kill left."""

from pathlib import Path
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.runtime.resumable_folder import ResumableFolder


class Work(ResumableFolder):
    kind = "work"
    activity = "works"
    settings_name = "work.json"
    written_files = ("result.json", "parts/*.npy")
    remedy = "work in another `out`"


def begun(path: Path, settings: dict[str, Any]) -> Work:
    folder = Work(path)
    folder.check_new()
    folder.open(settings)
    folder.close()
    return folder


def test_work_starts_only_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    begun(tmp_path / "old", {})
    for name, message in (
        ("full", "is not empty; name a new folder"),
        ("file", "is a file; name a folder"),
        ("old", "holds a work already; add `resume`"),
    ):
        with pytest.raises(InputError, match=message):
            Work(tmp_path / name).check_new()
    Work(tmp_path / "new").check_new()
    assert not (tmp_path / "new").exists()


def test_a_start_that_failed_is_no_obstacle(tmp_path: Path) -> None:
    for name in (".lock", ".work.json.x.partial"):
        (tmp_path / name).touch()
    begun(tmp_path, {})
    assert sorted(file.name for file in tmp_path.iterdir()) == [".lock", "work.json"]
    with pytest.raises(InputError, match="holds no work to `resume`"):
        Work(tmp_path / "other").check_started()


def test_partial_files_of_ours_are_swept_and_others_left(tmp_path: Path) -> None:
    folder = begun(tmp_path, {})
    (tmp_path / "parts").mkdir()
    partials = [".result.json.x.partial", "parts/.1.npy.x.partial"]
    for name in (*partials, ".mine.x.partial", "result.json", "parts/1.npy"):
        (tmp_path / name).touch()
    folder.open({})
    folder.close()
    assert not any((tmp_path / name).exists() for name in partials)
    assert all((tmp_path / name).exists() for name in (".mine.x.partial", "result.json", "parts/1.npy"))


def test_changed_settings_are_named_with_their_values(tmp_path: Path) -> None:
    folder = begun(tmp_path, {"scales": (1, 2), "grid": {"step": 1, "size": 2}, "names": ["a" * 60], "flip": True})
    same = {"flip": True, "names": ["a" * 60], "grid": {"size": 2, "step": 1}, "scales": [1, 2]}
    assert not folder.changes(same)
    changed = {"scales": (1, 3), "grid": {"step": 5, "size": 2}, "names": ["b"]}
    assert folder.changes(changed) == [
        "scales ([1, 2], now [1, 3])",
        "step (1, now 5)",
        "names",
        "flip (true, now null)",
    ]


def test_settings_of_one_last_name_are_told_apart(tmp_path: Path) -> None:
    folder = begun(tmp_path, {"search": {"size": 1}, "report": {"size": 2}})
    assert folder.changes({"search": {"size": 5}, "report": {"size": 2}}) == ["size (1, now 5)"]


def test_a_start_that_another_one_overtook_is_refused_and_locks_nobody_out(tmp_path: Path) -> None:
    late = Work(tmp_path)
    late.check_new()
    begun(tmp_path, {"step": 1})
    with pytest.raises(InputError, match="holds a work already"):
        late.open({"step": 2})
    resumed = Work(tmp_path)
    resumed.open({"step": 1})
    resumed.close()
    assert not resumed.changes({"step": 1})


def test_the_settings_of_the_start_stay(tmp_path: Path) -> None:
    folder = begun(tmp_path, {"step": 1})
    folder.open({"step": 2})
    folder.close()
    assert folder.changes({"step": 2}) == ["step (1, now 2)"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = Work(tmp_path)
    folder.open({})
    with pytest.raises(InputError, match="another process works there"):
        Work(tmp_path).open({})
    folder.close()
    begun_again = Work(tmp_path)
    begun_again.open({})
    begun_again.close()


def test_half_a_line_is_removed_and_a_damaged_one_refused(tmp_path: Path) -> None:
    folder = begun(tmp_path, {})
    log = tmp_path / "log.jsonl"
    assert folder.read_records(log, "name") == {}
    for name in "ab":
        folder.append(log, {"name": name, "value": 1})
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"name": "c", "val')
    assert list(folder.read_records(log, "name")) == ["a", "b"]
    assert log.read_bytes() == whole
    for line in (b"{}", b"3", b"nothing", b"\xff", b"[" * 200_000):
        log.write_bytes(whole + line + b"\n")
        with pytest.raises(InputError, match=r"log\.jsonl: damaged .*; work in another `out`"):
            folder.read_records(log, "name")


@pytest.mark.parametrize("text", ["[]", "{", "\xff", "[" * 200_000])
def test_damaged_settings_are_refused(tmp_path: Path, text: str) -> None:
    folder = begun(tmp_path, {})
    folder.settings_file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"work\.json: damaged"):
        folder.changes({})
