"""MATLAB's files: what SciPy writes is read as SciPy reads it, and no damage is more than a `ValueError`."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import loadmat, savemat

from globalconv.data.mat_files import read_field

VALUES = np.arange(15, dtype=np.uint8).reshape(3, 5)


def written(segmentation: np.ndarray[tuple[int, ...], np.dtype[np.generic]], compressed: bool = False) -> bytes:
    """Return a file as SBD's are: a structure of boundaries, class indices and the classes that occur."""
    boundaries = np.empty((2, 1), object)
    boundaries[0, 0] = boundaries[1, 0] = sparse.csc_matrix(np.eye(3))
    fields = {"Boundaries": boundaries, "Segmentation": segmentation, "CategoriesPresent": np.array([[1], [7]])}
    stream = io.BytesIO()
    savemat(stream, {"other": np.eye(2), "GTcls": fields}, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "i4", "f4", "f8", "u8"])
@pytest.mark.parametrize("compressed", [False, True])
def test_numbers_are_those_that_scipy_reads(dtype: str, compressed: bool) -> None:
    data = written(VALUES.astype(dtype), compressed)
    found = read_field(data, "GTcls", "Segmentation")
    expected = loadmat(io.BytesIO(data))["GTcls"]["Segmentation"][0, 0]
    assert found.dtype == expected.dtype == dtype and np.array_equal(found, expected)


def test_what_is_not_there_is_named() -> None:
    data = written(VALUES)
    for structure, field, message in (("GTx", "a", "no structure GTx"), ("GTcls", "a", "no field a")):
        with pytest.raises(ValueError, match=message):
            read_field(data, structure, field)
    with pytest.raises(ValueError, match="no array of numbers"):
        read_field(data, "GTcls", "Boundaries")
    with pytest.raises(ValueError, match="no MATLAB file of version 5"):
        read_field(b"x" * 200, "GTcls", "Segmentation")


@given(st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """Any bytes changed, the end cut off: numbers, or a `ValueError`; SciPy's reader ends the process for some."""
    file = bytearray(written(VALUES, data.draw(st.booleans())))
    for place in data.draw(st.lists(st.integers(0, len(file) - 1), max_size=8)):
        file[place] = data.draw(st.integers(0, 255))
    damaged = bytes(file[: data.draw(st.integers(len(file) // 2, len(file)))])
    with contextlib.suppress(ValueError):
        assert read_field(damaged, "GTcls", "Segmentation").dtype.kind in "iuf"


def test_every_single_byte_may_be_damaged() -> None:
    file = written(VALUES)
    for place in range(128, len(file)):
        for value in (0, 255, file[place] ^ 1):
            damaged = file[:place] + bytes([value]) + file[place + 1 :]
            with contextlib.suppress(ValueError):
                read_field(damaged, "GTcls", "Segmentation")


def test_what_would_unpack_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.data.mat_files.LARGEST", 1000)
    with pytest.raises(ValueError, match="or is too large"):
        read_field(written(np.zeros((99, 99), np.uint8), compressed=True), "GTcls", "Segmentation")
