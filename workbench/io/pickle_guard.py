"""Checks the tensor sizes that a pickled checkpoint claims, before torch allocates memory for them.

A file of a kilobyte can name a tensor of a terabyte, which torch would try to allocate. Nothing that a file names is
constructed here.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from workbench.core.text import format_shape

_ITEM_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
    "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8, "QUInt8": 1, "QInt8": 1, "QInt32": 4, "QUInt4x2": 1,
    "QUInt2x4": 1, "Untyped": 1,
}  # fmt: skip
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys


class OversizedTensorError(Exception):
    """A checkpoint claims tensors larger than the file itself."""


def check_zip(file: BinaryIO, size: int) -> None:
    """Raise `OversizedTensorError` unless every tensor of a zip checkpoint fits its entry in the archive."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(entries.values()) > size:
            raise OversizedTensorError(
                f"unpacked it would have {sum(entries.values()):,} bytes, the file has {size:,}"
            )
        root = next(name for name in entries if name.endswith("data.pkl")).removesuffix("data.pkl")
        with archive.open(f"{root}data.pkl") as pickled:
            storages = _claimed_bytes(pickled, size)
    for key, claimed in storages.items():
        stored = entries.get(f"{root}data/{key}", 0)
        if claimed > stored:
            raise OversizedTensorError(f"a tensor claims {claimed:,} bytes, the file has {stored:,} for it")


def check_legacy(file: BinaryIO, size: int) -> None:
    """Raise `OversizedTensorError` unless the tensors of a checkpoint in the legacy format fit into the file."""
    file.seek(0)
    storages: dict[str, int] = {}
    with contextlib.suppress(EOFError):  # any other pickle is one object: torch reports what is wrong with it
        for _ in range(_LEGACY_PICKLES):
            storages |= _claimed_bytes(file, size)
    if sum(storages.values()) > size:
        raise OversizedTensorError(
            f"its tensors claim {sum(storages.values()):,} bytes, the file has {size:,}"
        )


@dataclass(frozen=True)
class TensorTree:
    """What a checkpoint contains."""

    content: Any
    """With the shape of each tensor as a tuple; other objects are inert stand-ins."""
    foreign_class: str
    """The first class of another package than torch that it names, which torch refuses to load; or empty."""


def foreign_class_reason(name: str) -> str:
    """Why a checkpoint with a pickled class is refused, and what to do."""
    if name.startswith("torch.nn.parameter.Uninitialized"):
        return "has lazy layers without weights, which they get in the first forward pass: save it after one"
    return (
        f"was rejected without executing anything: it contains {name}, and loading a class may run any code; where you "
        'made the file, load it and save only the weights: torch.save(ckpt["state_dict"], "weights.pth"), or '
        "model.state_dict() of a whole model"
    )


def read_tensor_tree(file: BinaryIO, size: int) -> TensorTree:
    """The content of a checkpoint. Nothing that it names is constructed.

    Raises `OversizedTensorError`, or nearly any exception where the file is damaged or no pickle.
    """
    file.seek(0)
    is_zip = file.read(4) == b"PK\x03\x04"
    file.seek(0)
    if is_zip:
        check_zip(file, size)
        with zipfile.ZipFile(file) as archive:
            name = next(entry for entry in archive.namelist() if entry.endswith("data.pkl"))
            with archive.open(name) as pickled:
                return _load_tree(pickled, size)
    check_legacy(file, size)
    file.seek(0)
    tree = TensorTree(None, "")
    for _ in range(_LEGACY_PICKLES - 1):  # the object is the last but one
        tree = _load_tree(file, size)
    return tree


def _load_tree(file: Any, size: int) -> TensorTree:
    scanner = _TreeScanner(file)
    scanner.size = size
    scanner.storages = {}
    content = scanner.load()
    return TensorTree(content, scanner.foreign_class)


def _claimed_bytes(file: Any, size: int) -> dict[str, int]:
    """Bytes that each storage of a pickle claims, by key; only inert stand-ins are constructed."""
    scanner = _Scanner(file)
    scanner.size = size
    scanner.storages = {}
    scanner.load()
    return scanner.storages


class _InertObject:
    """Stand-in for any object that a pickle names; accepts every call and does nothing."""

    path = ""
    limit = 0

    def __new__(cls, *args: Any) -> _InertObject:
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
        """Raise `OversizedTensorError` for a call that would allocate more than the file's size."""
        numbers = [abs(a) for a in args if isinstance(a, int)]
        if cls.path.startswith("torch._utils._rebuild") and args and isinstance(args[0], _Storage):
            _check_view(*args[:4])
        elif not cls.path.startswith("torch._utils") and numbers and math.prod(numbers) > cls.limit:
            raise OversizedTensorError(f"it asks for {cls.path} of {math.prod(numbers):,} elements")


class _Storage:
    """Stand-in for a storage of `numel` elements."""

    def __init__(self, numel: int) -> None:
        self.numel = numel


def _check_view(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int]) -> None:
    # torch enlarges a storage that is too small for its tensor, to whatever size that takes.
    if 0 in size:
        return
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= storage.numel:
        raise OversizedTensorError(
            f"a tensor of {format_shape(size)} claims more than the {storage.numel:,} values in its storage"
        )


# The pure Python unpickler: the C one allocates memory for any memo index that a file names.
class _Scanner(pickle._Unpickler):
    """Reads the storage sizes in a pickle without constructing the objects that it names."""

    size: int
    storages: dict[str, int]

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_InertObject,), {"path": f"{module}.{name}", "limit": self.size})

    def persistent_load(self, pid: Any) -> Any:
        kind, typed, key, _, numel = pid[:5]
        if kind != "storage" or not isinstance(numel, int) or numel < 0:
            raise OversizedTensorError("it refers to something that is not a storage")
        item_bytes = _ITEM_BYTES.get(typed.path.rpartition(".")[2].removesuffix("Storage"))
        if item_bytes is None:
            raise OversizedTensorError(f"it has a storage of the unknown type {typed.path}")
        self.storages[key] = max(numel * item_bytes, self.storages.get(key, 0))
        return _Storage(numel)


def _tensor_shape(*args: Any) -> tuple[int, ...]:
    """The shape of a tensor that a pickle rebuilds from a storage."""
    _check_view(*args[:4])
    return tuple(int(side) for side in args[2])


def _parameter_shape(*args: Any) -> Any:
    """The shape of a parameter that a pickle rebuilds from its tensor."""
    return args[0]


class _Table(dict[Any, Any]):
    """Stand-in for an `OrderedDict` without its attributes (`_metadata` of a state dict)."""

    def __setstate__(self, state: Any) -> None:
        pass


_TREE_CLASSES = {
    "collections.OrderedDict": _Table,
    "torch._utils._rebuild_tensor": _tensor_shape,
    "torch._utils._rebuild_tensor_v2": _tensor_shape,
    "torch._utils._rebuild_parameter": _parameter_shape,
}
"""What replaces the classes and functions that a state dict names."""
_JUDGED_BY_TORCH = frozenset({"torch", "collections", "builtins", "__builtin__", "_codecs", "numpy"})
"""Packages of which torch loads some classes; it loads none of any other."""


class _TreeScanner(_Scanner):
    """Reads tables and the shapes of tensors, and constructs nothing else that a pickle names."""

    foreign_class = ""

    def find_class(self, module: str, name: str) -> Any:
        if not self.foreign_class and module.partition(".")[0] not in _JUDGED_BY_TORCH:
            self.foreign_class = f"{module}.{name}"
        return _TREE_CLASSES.get(f"{module}.{name}") or super().find_class(module, name)
