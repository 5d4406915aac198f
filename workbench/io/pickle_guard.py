"""What a pickled file of tensors claims to hold, found out before torch makes room for any of it.

A file of a kilobyte can name a tensor of a terabyte; torch would try. Nothing that a file names is made here.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO

from workbench.core.text import times

_ITEM_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
    "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8, "QUInt8": 1, "QInt8": 1, "QInt32": 4, "QUInt4x2": 1,
    "QUInt2x4": 1, "Untyped": 1,
}  # fmt: skip
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys


class Claim(Exception):
    """A file claims to hold more than it does."""


def check_zip(file: BinaryIO, size: int) -> None:
    """Raise `Claim` unless every tensor of a zip checkpoint fits into what the archive holds of it."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(entries.values()) > size:
            raise Claim(f"unpacked it would be {sum(entries.values()):,} bytes, the file has {size:,}")
        root = next(name for name in entries if name.endswith("data.pkl")).removesuffix("data.pkl")
        with archive.open(f"{root}data.pkl") as pickled:
            storages = _scan(pickled, size)
    for key, wanted in storages.items():
        held = entries.get(f"{root}data/{key}", 0)
        if wanted > held:
            raise Claim(f"a tensor claims {wanted:,} bytes, the file holds {held:,} of it")


def check_legacy(file: BinaryIO, size: int) -> None:
    """Raise `Claim` unless the tensors of a checkpoint without zip can fit into the file."""
    file.seek(0)
    storages: dict[str, int] = {}
    with contextlib.suppress(EOFError):  # any other pickle is one object: torch says what is wrong with it
        for _ in range(_LEGACY_PICKLES):
            storages |= _scan(file, size)
    if sum(storages.values()) > size:
        raise Claim(f"its tensors claim {sum(storages.values()):,} bytes, the file has {size:,}")


def _scan(file: Any, size: int) -> dict[str, int]:
    """Bytes that each storage of a pickle claims, by key; nothing but inert stand-ins is made on the way."""
    scanner = _Scanner(file)
    scanner.size = size
    scanner.storages = {}
    scanner.load()
    return scanner.storages


class _Inert:
    """Stands for whatever a pickle names; takes everything and does nothing."""

    path = ""
    limit = 0

    def __new__(cls, *args: Any) -> _Inert:
        cls.check(args)
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass

    @classmethod
    def check(cls, args: tuple[Any, ...]) -> None:
        """Raise `Claim` for a call that would make something larger than the file."""
        numbers = [abs(a) for a in args if isinstance(a, int)]
        if cls.path.startswith("torch._utils._rebuild") and args and isinstance(args[0], _Storage):
            _check_view(*args[:4])
        elif not cls.path.startswith("torch._utils") and numbers and math.prod(numbers) > cls.limit:
            raise Claim(f"it asks for {cls.path} of {math.prod(numbers):,} elements")


class _Storage:
    """Stands for a storage of `numel` elements."""

    def __init__(self, numel: int) -> None:
        self.numel = numel


def _check_view(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int]) -> None:
    # torch enlarges a storage that is too small for the tensor in it, whatever size that needs.
    if 0 in size:
        return
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.numel:
        raise Claim(f"a tensor of {times(size)} claims more than the {storage.numel:,} values that are there")


# The pure Python unpickler: the fast one makes room for any memo index that a file names.
class _Scanner(pickle._Unpickler):
    """Reads a pickle for what it claims, and makes nothing of what it names."""

    size: int
    storages: dict[str, int]

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_Inert,), {"path": f"{module}.{name}", "limit": self.size})

    def persistent_load(self, pid: Any) -> Any:
        kind, typed, key, _, numel = pid[:5]
        if kind != "storage" or not isinstance(numel, int) or numel < 0:
            raise Claim("it refers to something that is no storage")
        item = _ITEM_BYTES.get(typed.path.rpartition(".")[2].removesuffix("Storage"))
        if item is None:
            raise Claim(f"it holds {typed.path}, which is not known")
        self.storages[key] = max(numel * item, self.storages.get(key, 0))
        return _Storage(numel)
