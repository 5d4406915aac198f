"""Arrays in MATLAB files are those that SciPy writes, and anything else is refused."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from workbench.datasets.mat_file import read_arrays

ARRAYS: dict[str, np.ndarray] = {
    "X": np.arange(7 * 5 * 3 * 2).reshape(7, 5, 3, 2).astype(np.uint8),
    "y": np.array([[10], [2], [3]], np.uint8),
    "a_long_name": np.arange(6).reshape(2, 3) * 70_000,
    "real": np.array([[0.5, -2.0]]),
    "single": np.float32([[1.5]]),
    "empty": np.zeros((0, 3), np.int16),
}


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "arrays.mat"
    others = {"text": "not numbers", "complex": np.array([[1j]]), "record": {"x": 1}}
    scipy.io.savemat(path, {**others, **ARRAYS}, do_compression=request.param)
    return path


def test_arrays_are_those_that_scipy_reads(file: Path) -> None:
    expected = scipy.io.loadmat(str(file))
    for name, array in read_arrays(file, ARRAYS).items():
        assert array.dtype == expected[name].dtype
        assert np.array_equal(array, expected[name]) and np.array_equal(array, ARRAYS[name])


@pytest.mark.parametrize("name", ["text", "complex", "record"])
def test_what_is_not_an_array_of_numbers_is_refused(file: Path, name: str) -> None:
    with pytest.raises(ValueError, match="does not contain real numbers"):
        read_arrays(file, [name])


def test_a_missing_array_and_a_file_cut_anywhere_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="it has no array 'z'"):
        read_arrays(file, ["X", "z"])
    content = file.read_bytes()
    for length in range(0, len(content), 7):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            read_arrays(file, ARRAYS)


def test_a_shape_that_its_values_do_not_fill_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arrays.mat"
    scipy.io.savemat(path, {"X": ARRAYS["X"]})
    content, shape = path.read_bytes(), struct.pack("<4i", 7, 5, 3, 2)
    for sizes in [(7, 5, 3, 3), (-7, -5, 3, 2), (2**31 - 1,) * 4]:
        path.write_bytes(content.replace(shape, struct.pack("<4i", *sizes)))
        with pytest.raises(ValueError, match=re.escape(f"can't have the shape {list(sizes)}")):
            read_arrays(path, ["X"])
