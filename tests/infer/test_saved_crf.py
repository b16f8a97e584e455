"""A CRF by its name or its file; anything else is refused in one line."""

import json
import warnings
from pathlib import Path

import pytest

from globalconv.crf.dense import PRESETS, DenseCRF
from globalconv.errors import InputError
from globalconv.infer.saved_crf import crf_from, parameters_of

CRF = DenseCRF(7, 4.5, 33, (3, 4, 5), 2, 1.5)


def written(folder: Path, **changes: object) -> str:
    path = folder / "crf.json"
    path.write_text(json.dumps({"verdict": "use it", "parameters": parameters_of(CRF), **changes}))
    return str(path)


def test_presets_and_files(tmp_path: Path) -> None:
    assert all(crf_from(name) == crf for name, crf in PRESETS.items())
    with warnings.catch_warnings(action="error"):
        assert crf_from(written(tmp_path)) == CRF


def test_a_crf_without_a_gain_warns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"crf.json: the search that found this CRF says: do not use it"):
        crf_from(written(tmp_path, verdict="do not use it"))


def test_neither_a_preset_nor_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'example'"):
        crf_from("exampel")
    with pytest.raises(InputError, match="nor the file of a search"):
        crf_from(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {}}, "iterations is missing"),
        ({"parameters": None}, "not what"),
        ({"parameters": {**parameters_of(CRF), "appearance_xy": "far"}}, "appearance_xy='far'"),
        ({"parameters": {**parameters_of(CRF), "smoothness_weight": -1}}, "smoothness_weight=-1"),
    ],
)
def test_a_file_of_something_else(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"crf\.json") as error:
        crf_from(written(tmp_path, **changes))
    assert message in str(error.value) and "\n" not in str(error.value)
    for text in ("{", "[" * 200_000, "null"):
        (tmp_path / "crf.json").write_text(text)
        with pytest.raises(InputError, match="not what globalconv crf-search writes"):
            crf_from(str(tmp_path / "crf.json"))
