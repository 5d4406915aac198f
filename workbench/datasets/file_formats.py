"""Readers of the file formats of published datasets. The files are not trusted: all of them are validated."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.core.text import one_line
from workbench.datasets.mat_file import read_arrays
from workbench.io.archives import open_decompressed

_MAX_RATIO = 1100
"""A .gz file can't expand to more than this many times its own size (DEFLATE's limit is 1032)."""
_IDX_TYPES = {0x08: ">u1", 0x0C: ">i4"}


def read_idx(path: Path, dimensions: int) -> Tensor:
    """An idx file, plain or .gz: uint8 [...], or int32 [...] if it has 32-bit integers.

    The format is described at http://yann.lecun.com/exdb/mnist. Raises `UserError` naming the file: not an idx file,
    other dimensions, truncated, damaged.
    """
    try:
        with open_decompressed(path) as file:
            return _read_idx(file, path, dimensions)
    except UserError:
        raise
    except Exception as error:  # gzip, zlib and lzma raise many exceptions for damaged data
        raise _damaged(path, "idx", error) from None


def _read_idx(file: IO[bytes], path: Path, dimensions: int) -> Tensor:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
        raise UserError(f"{path} is not an idx file of integers: replace it")
    if magic[3] != dimensions:
        raise UserError(
            f"{path} has {magic[3]} dimensions instead of {dimensions}: it is the wrong file; replace it"
        )
    shape = tuple(int(n) for n in np.frombuffer(file.read(4 * dimensions), ">u4"))
    dtype = np.dtype(_IDX_TYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    if len(shape) < dimensions or size > _MAX_RATIO * path.stat().st_size:
        raise UserError(
            f"{path} is truncated: it can't contain the {size:,} bytes it claims; download it again"
        )
    buffer = bytearray(size)
    count = _fill(file, buffer)
    if count < size:
        raise UserError(f"{path} is truncated: {count:,} of {size:,} bytes; download it again")
    values = np.frombuffer(buffer, dtype).reshape(shape)
    return torch.from_numpy(values if dtype.itemsize == 1 else values.astype(np.int32))


def _fill(file: IO[bytes], buffer: bytearray) -> int:
    """Read into `buffer` until it is full or the file ends; returns the number of bytes read."""
    view, total = memoryview(buffer), 0
    while total < len(buffer) and (count := file.readinto(view[total : total + (1 << 24)])):  # type: ignore[attr-defined]
        total += count
    return total


def read_cifar(path: Path, label_key: str) -> tuple[Tensor, Tensor]:
    """A Python pickle of CIFAR: uint8 [N, 3, 32, 32], int64 [N]. Raises `UserError` naming the file."""
    content = read_plain_pickle(path)
    try:
        pixels, labels = content["data"], content[label_key]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError("data is not an array of bytes")
        images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy())
        targets = torch.tensor([int(label) for label in labels], dtype=torch.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "CIFAR", error) from None
    if len(images) != len(targets):
        raise UserError(f"{path} has {len(images)} images but {len(targets)} labels: download it again")
    return images, targets


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of arrays, strings, numbers and lists; nothing else in it is executed.

    Raises `UserError` naming the file.
    """
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # an invalid pickle may raise any exception
        raise _damaged(path, "pickle", error) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path} is the wrong file (a pickle of {type(content).__name__}, not of a dict): replace it"
        )
    return content


class _PlainUnpickler(pickle._Unpickler):
    """Allows the functions that reconstruct arrays, and no other function or class.

    In Python: that in C reserves memory for the largest memo index that a pickle names.
    """

    _KNOWN = frozenset(
        (module, name)
        for base in ("numpy.core", "numpy._core")
        for module, name in ((f"{base}.multiarray", "_reconstruct"), (f"{base}.numeric", "_frombuffer"))
    ) | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        """The function or class of an array pickle. Raises `UnpicklingError` for every other name."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not allowed")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_svhn(path: Path) -> tuple[Tensor, Tensor]:
    """A MATLAB file of SVHN: uint8 [N, 3, 32, 32], int64 [N] (its label 10 is the digit 0)."""
    content = read_mat(path, "X", "y")
    pixels, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3 or pixels.shape[3] != len(labels):
        raise UserError(f"{path} is not a valid SVHN file: X is {pixels.dtype} {pixels.shape}; replace it")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))), torch.from_numpy(labels % 10)


def read_mat(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The arrays of integers `names` in a MATLAB file. Raises `UserError` naming the file."""
    try:
        arrays = read_arrays(path, names)
    except (OSError, ValueError, MemoryError) as error:
        raise _damaged(path, "MATLAB", error) from None
    if any(array.dtype.kind not in "ui" for array in arrays.values()):
        raise UserError(f"{path} contains values other than integers: replace it")
    return arrays


def read_stl10(images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """The raw files of STL-10: uint8 [N, 3, 96, 96] (stored column by column), int64 [N] from 0."""
    try:
        pixels = np.fromfile(images, np.uint8)
        numbers = np.fromfile(labels, np.uint8).astype(np.int64) - 1
    except OSError as error:
        raise UserError(f"{images.parent} can't be read: {error.strerror}") from None
    if not len(pixels) or len(pixels) % (3 * 96 * 96):
        raise UserError(
            f"{images} is truncated: its size is not a multiple of a 96×96 image; download it again"
        )
    shaped = np.ascontiguousarray(pixels.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2))
    if len(shaped) != len(numbers):
        raise UserError(f"{labels} has {len(numbers)} labels for {len(shaped)} images: download both again")
    return torch.from_numpy(shaped), torch.from_numpy(numbers)


def _damaged(path: Path, kind: str, error: Exception) -> UserError:
    return UserError(f"{path} is damaged or not a valid {kind} file: {one_line(error, 120)}; replace it")
