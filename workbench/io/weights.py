"""The one place that opens checkpoints and weights, and brings published weights here.

Nothing in a file is ever executed: torch's own restricted reader does the reading, after a look at what the file
claims to hold, so that a small file can't ask for more memory than its own size.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import os
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from workbench import paths
from workbench.errors import BadInput
from workbench.io import fetch
from workbench.io.pictures import open_regular
from workbench.io.progress import Cancelled, Report, never, silent
from workbench.models import catalogue

_ITEM_BYTES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1,
    "Bool": 1, "ComplexDouble": 16, "ComplexFloat": 8, "QUInt8": 1, "QInt8": 1, "QInt32": 4, "QUInt4x2": 1,
    "QUInt2x4": 1, "Untyped": 1,
}  # fmt: skip
_STATE_KEYS = ("model", "state_dict", "model_state_dict", "model_state")
_MAX_HEADER = 100_000_000  # what safetensors itself allows
_LEGACY_PICKLES = 5  # magic number, protocol, system, the object, storage keys


def load_checkpoint(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """The dictionary in a file that `torch.save` wrote, on the CPU, without executing anything.

    Raises `BadInput` with one line: no file, empty, another hash than `sha256`, damaged, not only tensors and
    plain values, claims of more data than the file has, no dictionary.
    """
    path = Path(path)
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise BadInput(f"{path} is empty: take another checkpoint or copy of it")
        if sha256 and _sha256(file) != sha256:
            raise BadInput(f"{path} is damaged: its SHA-256 is not the one recorded when it was written")
        content = _read(file, size, path)
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no checkpoint: a dictionary is expected, not {type(content).__name__}")
    return content


def load_state_dict(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a model by name: from a state dict, a checkpoint that holds one, or a safetensors file.

    Raises `BadInput` with one line.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path, sha256)
    content: Any = load_checkpoint(path, sha256)
    for key in _STATE_KEYS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BadInput(f"{path} holds no weights: a state dict (names to tensors) is expected")
    # What DistributedDataParallel and torch.compile put in front of every name.
    return {re.sub(r"^(module\.|_orig_mod\.)+", "", name): value for name, value in tensors.items()}


def match(module: nn.Module, state: Mapping[str, Tensor], except_for: Sequence[str] = ()) -> str:
    """What keeps `state` from being `module`'s in one line; empty when it fits.

    Names that begin with one of `except_for` don't count (a head that is replaced).
    """
    wanted = module.state_dict()
    skipped = _prefixes(except_for)
    # Older files lack the batch counters, which nothing depends on.
    missing = [k for k in wanted.keys() - state.keys() if not k.endswith("num_batches_tracked")]
    unexpected = list(state.keys() - wanted.keys())
    shapes = [
        f"{k} is {_shape(state[k])} instead of {_shape(wanted[k])}"
        for k in wanted.keys() & state.keys()
        if state[k].shape != wanted[k].shape
    ]
    parts = [
        _listed("missing", [k for k in missing if not k.startswith(skipped)]),
        _listed("unexpected", [k for k in unexpected if not k.startswith(skipped)]),
        _listed("shapes differ", [s for s in shapes if not s.startswith(skipped)]),
    ]
    return "; ".join(part for part in parts if part)


def load_into(
    module: nn.Module, state: Mapping[str, Tensor], source: str, except_for: Sequence[str] = ()
) -> tuple[str, ...]:
    """Give `module` the weights in `state`, all but those that begin with one of `except_for`.

    Returns warnings (NaN or infinite weights) in words. Raises `BadInput` with one line when they don't fit.
    """
    if problem := match(module, state, except_for):
        raise BadInput(f"the weights in {source} don't fit the model: {problem}")
    skipped = _prefixes(except_for)
    taken = {k: v for k, v in state.items() if not k.startswith(skipped)}
    module.load_state_dict(taken, strict=False)
    return not_finite(taken, source)


def _prefixes(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names)


def not_finite(state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """A warning in words where weights are NaN or infinite, else nothing."""
    bad = [k for k, v in state.items() if v.is_floating_point() and not bool(torch.isfinite(v).all())]
    return (f"{source}: {_listed('NaN or infinite weights in', bad)}",) if bad else ()


def ensure_weights(
    name: str, progress: Report = silent, cancelled: Cancelled = never, folder: Path | None = None
) -> Path:
    """The file of `name`'s published weights: found where torch keeps it (or in `folder`), else downloaded; checked.

    `name` is one of torchvision's architectures. The file's name ends in the first digits of its SHA-256.
    Raises `BadInput` that names the URL and the folder when it can't be had, or is another file.
    """
    info = catalogue.find(name)
    if not info.weights_file:
        raise BadInput(
            f"there are no published weights for {name}; models that have some: resnet18, alexnet …"
        )
    path = (folder or paths.weights()) / info.weights_file
    start = _named_hash(path)
    if path.exists():
        _check_start(path, start)
        return path
    try:
        return fetch.fetch(info.weights_url, path, sha256=start, progress=progress, cancelled=cancelled)
    except (BadInput, OSError) as error:
        raise BadInput(_by_hand(info, path.parent, str(error).partition(";")[0])) from None


def _by_hand(info: catalogue.ModelInfo, folder: Path, reason: str) -> str:
    return (
        f"the weights of {info.name} are not here and can't be downloaded: put {info.weights_url} into {folder}, "
        f"or name a local file (--weights FILE; in an experiment model.weights=FILE) ({reason})"
    )


def _named_hash(path: Path) -> str | None:
    """The start of the SHA-256 that a file's name says it has (`resnet18-f37072fd.pth`)."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    return found[1] if found else None


def _check_start(path: Path, start: str | None) -> None:
    with open_regular(path) as file:
        digest = _sha256(file)
    if start and not digest.startswith(start):
        raise BadInput(
            f"{path} is not the published file: its SHA-256 begins with {digest[:8]}, not {start}; "
            "remove it, and it is downloaded anew"
        )


def _read(file: BinaryIO, size: int, path: Path) -> Any:
    try:
        file.seek(0)
        zipped = file.read(4) == b"PK\x03\x04"
        if zipped:
            _check_zip(file, size)
        else:
            _check_legacy(file, size)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except _Claim as claim:
        raise BadInput(f"{path} is refused: {claim}") from None
    except Exception as error:
        # Damaged data ends in nearly any exception, of zipfile, pickle or torch.
        raise BadInput(_why_unreadable(path, error)) from None


def _why_unreadable(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split())
    if found := re.search(r"(?:GLOBAL|Unsupported class|type) (\w+\.[\w.]+)", text):
        return (
            f"{path} is refused, nothing in it was executed: it holds {found[1]}, only tensors and plain values "
            "are taken; save model.state_dict() instead"
        )
    if "TorchScript" in text:
        return f"{path} is a TorchScript archive: save model.state_dict() instead"
    if "legacy .tar format" in text:
        return f"{path} is of a format older than PyTorch 0.2: load and save it anew with a newer PyTorch"
    return f"{path} is corrupt, cut short or no checkpoint ({(text or type(error).__name__)[:100]})"


class _Claim(Exception):
    """A file claims to hold more than it does."""


def _check_zip(file: BinaryIO, size: int) -> None:
    """Raise `_Claim` unless every tensor of a zip checkpoint fits into what the archive holds of it."""
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(entries.values()) > size:
            raise _Claim(f"unpacked it would be {sum(entries.values()):,} bytes, the file has {size:,}")
        root = next(name for name in entries if name.endswith("data.pkl")).removesuffix("data.pkl")
        with archive.open(f"{root}data.pkl") as pickled:
            storages = _scan(pickled, size)
    for key, wanted in storages.items():
        held = entries.get(f"{root}data/{key}", 0)
        if wanted > held:
            raise _Claim(f"a tensor claims {wanted:,} bytes, the file holds {held:,} of it")


def _check_legacy(file: BinaryIO, size: int) -> None:
    """Raise `_Claim` unless the tensors of a checkpoint without zip can fit into the file."""
    file.seek(0)
    storages: dict[str, int] = {}
    with contextlib.suppress(EOFError):  # any other pickle is one object: torch says what is wrong with it
        for _ in range(_LEGACY_PICKLES):
            storages |= _scan(file, size)
    if sum(storages.values()) > size:
        raise _Claim(f"its tensors claim {sum(storages.values()):,} bytes, the file has {size:,}")


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
        """Raise `_Claim` for a call that would make something larger than the file."""
        numbers = [abs(a) for a in args if isinstance(a, int)]
        if cls.path.startswith("torch._utils._rebuild") and args and isinstance(args[0], _Storage):
            _check_view(*args[:4])
        elif not cls.path.startswith("torch._utils") and numbers and math.prod(numbers) > cls.limit:
            raise _Claim(f"it asks for {cls.path} of {math.prod(numbers):,} elements")


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
        raise _Claim(
            f"a tensor of {_times(size)} claims more than the {storage.numel:,} values that are there"
        )


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
            raise _Claim("it refers to something that is no storage")
        item = _ITEM_BYTES.get(typed.path.rpartition(".")[2].removesuffix("Storage"))
        if item is None:
            raise _Claim(f"it holds {typed.path}, which is not known")
        self.storages[key] = max(numel * item, self.storages.get(key, 0))
        return _Storage(numel)


def _load_safetensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise BadInput(
            f"{path}: reading safetensors needs an extra: pip install 'workbench[export]'"
        ) from None
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        header = int.from_bytes(file.read(8), "little")
        if size < 8 or header > min(size - 8, _MAX_HEADER):
            raise BadInput(
                f"{path} is no safetensors file: its header of {header:,} bytes doesn't fit into it"
            )
        if sha256 and _sha256(file) != sha256:
            raise BadInput(f"{path} is damaged: its SHA-256 is not the one recorded when it was written")
    try:
        tensors: dict[str, Tensor] = safetensors.load_file(path)
    except Exception as error:
        raise BadInput(f"{path} is no sound safetensors file: {' '.join(str(error).split())[:100]}") from None
    return tensors


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return _times(tensor.shape) or "a number"


def _times(size: Sequence[int]) -> str:
    return "×".join(map(str, size))


def _listed(word: str, names: Sequence[str], most: int = 3) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{word} {', '.join(sorted(names)[:most])}{more}"
