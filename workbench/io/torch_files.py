"""The one place that opens checkpoints and weights, and that writes them.

Nothing in a file is ever executed: torch's own restricted reader does the reading, after a look at what the file
claims to hold, so that a small file can't ask for more memory than its own size.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor, nn

from workbench.core.distribution import install_hint
from workbench.core.errors import BadInput
from workbench.core.text import one_line, times
from workbench.io.images import open_regular
from workbench.io.pickle_guard import Claim, check_legacy, check_zip

_STATE_KEYS = ("model", "state_dict", "model_state_dict", "model_state")
_ZIP = b"PK\x03\x04"
_MAX_HEADER = 100_000_000  # what safetensors itself allows


class _Watched:
    """A file for writing that remembers the `OSError` of a write."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write `data`, all of it."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()


def save(content: Mapping[str, Any], file: BinaryIO) -> None:
    """`torch.save`, but what `file` can't take (a full disk) is raised as the `OSError` that it was.

    torch ends its archive after a failed write too, and hides that behind the `RuntimeError` which this ends in.
    """
    watched = _Watched(file)
    try:
        torch.save(content, cast(BinaryIO, watched))
    except RuntimeError:
        if watched.error is None:
            raise
        raise watched.error from None


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


def _read(file: BinaryIO, size: int, path: Path) -> Any:
    try:
        file.seek(0)
        start = file.read(4)
        if start == _ZIP:
            check_zip(file, size)
        else:
            check_legacy(file, size)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Claim as claim:
        raise BadInput(f"{path} is refused: {claim}") from None
    except Exception as error:
        # Damaged data ends in nearly any exception, of zipfile, pickle or torch.
        raise BadInput(_why_unreadable(path, error, start)) from None


def _why_unreadable(path: Path, error: Exception, start: bytes) -> str:
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
    if not start.startswith((_ZIP, b"\x80")):  # what zip files and pickles begin with
        return f"{path} is no checkpoint: not a file that torch.save or safetensors wrote"
    return f"{path} is corrupt, cut short or no checkpoint ({one_line(error, 100)})"


def _load_safetensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise BadInput(f"{path}: reading safetensors needs an extra: {install_hint('export')}") from None
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
        raise BadInput(f"{path} is no sound safetensors file: {one_line(error, 100)}") from None
    return tensors


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open_regular(path) as file:
        return _sha256(file)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _shape(tensor: Tensor) -> str:
    return times(tensor.shape) or "a number"


def _listed(word: str, names: Sequence[str], most: int = 3) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{word} {', '.join(sorted(names)[:most])}{more}"
