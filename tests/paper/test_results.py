"""A result is read as it was written; other files in the folder are ignored; a broken file is refused by name."""

from pathlib import Path

import pytest
from helpers.paper import example_result

from globalconv.errors import InputError
from globalconv.paper.results import read_results, result_file, write_result


def test_results_are_read_as_written(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert read_results(folder) == {}
    results = [example_result("0123456789ab"), example_result("ba9876543210", diverged=True, final_loss=None, hits=[])]
    for result in results:
        write_result(folder, result)
    (folder / "notes.json").write_text("mine")
    (folder / ".0123456789ab.json.x.partial").write_text("half of a ")
    assert read_results(folder) == {result.key: result for result in results}


@pytest.mark.parametrize("text", ["", "{}", '{"key": 1, "other": 2}', "[]"])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    result_file(tmp_path, "0123456789ab").write_text(text)
    with pytest.raises(InputError, match=r"0123456789ab\.json: not a result"):
        read_results(tmp_path)
