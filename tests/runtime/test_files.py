"""Functions of files that are computed once as long as the file stays as it is."""

import os
from pathlib import Path

from globalconv.runtime.files import cache_by_file


def test_a_function_of_a_file_is_computed_again_when_the_file_changes(tmp_path: Path) -> None:
    calls: list[int] = []

    @cache_by_file(maxsize=2)
    def read_times(file: Path, factor: int) -> str:
        calls.append(factor)
        return file.read_text() * factor

    file = tmp_path / "a"
    file.write_text("x")
    assert [read_times(file, 2), read_times(file, 2), read_times(file, 3)] == ["xx", "xx", "xxx"]
    assert calls == [2, 3]
    file.write_text("y")
    os.utime(file, ns=(0, 1))
    assert read_times(file, 2) == "yy"
