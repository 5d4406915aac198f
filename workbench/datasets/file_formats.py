"""Readers of the formats that well-known datasets are published in. None of them trusts what it reads."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.core.text import one_line
from workbench.io.archives import decompressed

_MOST_TIMES = 1100
"""No .gz file holds more than this many times its own size (DEFLATE's limit is 1032)."""
_IDX_TYPES = {0x08: ">u1", 0x0C: ">i4"}


def read_idx(path: Path, dimensions: int) -> Tensor:
    """An idx file, plain or .gz: uint8 [...], or int32 [...] where it holds 32-bit integers.

    The format is described at http://yann.lecun.com/exdb/mnist. Raises `BadInput` naming the file: no idx file,
    other dimensions, truncated, damaged.
    """
    try:
        with decompressed(path) as file:
            return _read_idx(file, path, dimensions)
    except BadInput:
        raise
    except Exception as error:  # gzip, zlib and lzma have many words for damage
        raise _damaged(path, "idx", error) from None


def _read_idx(file: IO[bytes], path: Path, dimensions: int) -> Tensor:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
        raise BadInput(f"{path} is no idx file of whole numbers: replace it")
    if magic[3] != dimensions:
        raise BadInput(
            f"{path} holds {magic[3]} dimensions instead of {dimensions}: it is another file; replace it"
        )
    shape = tuple(int(n) for n in np.frombuffer(file.read(4 * dimensions), ">u4"))
    kind = np.dtype(_IDX_TYPES[magic[2]])
    wanted = math.prod(shape) * kind.itemsize
    if len(shape) < dimensions or wanted > _MOST_TIMES * path.stat().st_size:
        raise BadInput(f"{path} is truncated: it can't hold the {wanted:,} bytes it says; fetch it again")
    buffer = bytearray(wanted)
    have = _fill(file, buffer)
    if have < wanted:
        raise BadInput(f"{path} is truncated: {have:,} of {wanted:,} bytes; fetch it again")
    values = np.frombuffer(buffer, kind).reshape(shape)
    return torch.from_numpy(values if kind.itemsize == 1 else values.astype(np.int32))


def _fill(file: IO[bytes], buffer: bytearray) -> int:
    view, have = memoryview(buffer), 0
    while have < len(buffer) and (count := file.readinto(view[have : have + (1 << 24)])):  # type: ignore[attr-defined]
        have += count
    return have


def read_cifar(path: Path, label_key: str) -> tuple[Tensor, Tensor]:
    """One of CIFAR's Python pickles: uint8 [N, 3, 32, 32], int64 [N]. Raises `BadInput` naming the file."""
    content = read_plain_pickle(path)
    try:
        pixels, labels = content["data"], content[label_key]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise TypeError("data is no array of bytes")
        pictures = torch.from_numpy(pixels.reshape(-1, 3, 32, 32).copy())
        targets = torch.tensor([int(label) for label in labels], dtype=torch.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "CIFAR", error) from None
    if len(pictures) != len(targets):
        raise BadInput(f"{path} holds {len(pictures)} pictures but {len(targets)} labels: fetch it again")
    return pictures, targets


def read_plain_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of arrays, texts, numbers and lists. Whatever else it names is not run.

    Raises `BadInput` naming the file.
    """
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a pickle that is no pickle may raise anything
        raise _damaged(path, "pickle", error) from None
    if not isinstance(content, dict):
        raise BadInput(
            f"{path} is another file than it should be (a pickle of {type(content).__name__}): replace it"
        )
    return content


class _PlainUnpickler(pickle.Unpickler):
    """Knows how arrays are put together, and no other function or class."""

    _KNOWN = frozenset(
        (module, name)
        for base in ("numpy.core", "numpy._core")
        for module, name in ((f"{base}.multiarray", "_reconstruct"), (f"{base}.numeric", "_frombuffer"))
    ) | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module: str, name: str) -> Any:
        """The few names that arrays need; `UnpicklingError` for every other."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}, which is refused")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_svhn(path: Path) -> tuple[Tensor, Tensor]:
    """One of SVHN's MATLAB files: uint8 [N, 3, 32, 32], int64 [N] (its label 10 is the digit 0)."""
    content = read_mat(path, "X", "y")
    pixels, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3 or pixels.shape[3] != len(labels):
        raise BadInput(f"{path} is no file of SVHN: X is {pixels.dtype} {pixels.shape}; replace it")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))), torch.from_numpy(labels % 10)


def read_mat(path: Path, *names: str) -> dict[str, np.ndarray]:
    """The named arrays of numbers in a MATLAB file. Raises `BadInput` naming the file."""
    import scipy.io  # noqa: PLC0415 - two of the datasets need it

    try:
        content = scipy.io.loadmat(str(path), variable_names=names)
        arrays = {name: content[name] for name in names}
    except Exception as error:  # scipy has many words for damage
        raise _damaged(path, "MATLAB", error) from None
    if any(array.dtype.kind not in "ui" for array in arrays.values()):
        raise BadInput(f"{path} holds something else than whole numbers: replace it")
    return arrays


def read_stl10(pictures: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """STL-10's raw files: uint8 [N, 3, 96, 96] (stored column by column), int64 [N] from 0."""
    try:
        pixels = np.fromfile(pictures, np.uint8)
        numbers = np.fromfile(labels, np.uint8).astype(np.int64) - 1
    except OSError as error:
        raise BadInput(f"{pictures.parent} can't be read: {error.strerror}") from None
    if not len(pixels) or len(pixels) % (3 * 96 * 96):
        raise BadInput(f"{pictures} is truncated: no whole number of 96×96 pictures; fetch it again")
    shaped = np.ascontiguousarray(pixels.reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2))
    if len(shaped) != len(numbers):
        raise BadInput(f"{labels} holds {len(numbers)} labels for {len(shaped)} pictures: fetch both again")
    return torch.from_numpy(shaped), torch.from_numpy(numbers)


def _damaged(path: Path, kind: str, error: Exception) -> BadInput:
    return BadInput(f"{path} is damaged or no {kind} file: {one_line(error, 120)}; replace it")
