"""A result written is the result read; other files in the folder are nobody's business; damage is one line."""

from pathlib import Path

import pytest
from helpers.paper import a_result

from globalconv.errors import InputError
from globalconv.paper.results import read_results, result_file, write_result


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert read_results(folder) == {}
    results = [a_result("0123456789ab"), a_result("ba9876543210", diverged=True, final_loss=None, hits=[])]
    for result in results:
        write_result(folder, result)
    (folder / "notes.json").write_text("mine")
    (folder / ".0123456789ab.json.x.partial").write_text("half of a ")
    assert read_results(folder) == {result.key: result for result in results}


@pytest.mark.parametrize("text", ["", "{}", '{"key": 1, "other": 2}', "[]"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    result_file(tmp_path, "0123456789ab").write_text(text)
    with pytest.raises(InputError, match=r"0123456789ab\.json: not a result"):
        read_results(tmp_path)
