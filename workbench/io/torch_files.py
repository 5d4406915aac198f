"""Reads and writes checkpoints and weights.

Nothing in a file is ever executed: torch's restricted unpickler reads it, after a check of the tensor sizes that it
claims, so that a small file can't make torch allocate more memory than its own size.
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
from workbench.core.errors import UserError
from workbench.core.text import one_line
from workbench.io.pickle_guard import (
    OversizedTensorError,
    check_legacy,
    check_zip,
    foreign_class_reason,
)
from workbench.io.regular_files import open_regular_file
from workbench.io.weight_shapes import check_safetensors_header, join_names, mismatch_reason, tensor_tables

_ZIP = b"PK\x03\x04"


class _ErrorRecordingFile:
    """A file for writing that records the `OSError` of a failed write."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of `data`. Raises `OSError`."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Flush the underlying file."""
        self._file.flush()


def save(content: Mapping[str, Any], file: BinaryIO) -> None:
    """Like `torch.save`, but raises the original `OSError` of a failed write (a full disk).

    torch also finalizes its archive after a failed write, and the resulting `RuntimeError` hides the cause.
    """
    recording_file = _ErrorRecordingFile(file)
    try:
        torch.save(content, cast(BinaryIO, recording_file))
    except RuntimeError:
        if recording_file.error is None:
            raise
        raise recording_file.error from None


def load_checkpoint(path: Path, sha256: str | None = None) -> dict[str, Any]:
    """The dictionary in a file written by `torch.save`, with tensors on the CPU, without executing anything.

    Raises `UserError` with one line: not a file, empty, a hash other than `sha256`, damaged, content other than
    tensors and plain values, tensors larger than the file, not a dictionary.
    """
    path = Path(path)
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError(f"{path} is empty: use another checkpoint or another copy")
        if sha256 and _sha256(file) != sha256:
            raise UserError(f"{path} is corrupt (SHA-256 mismatch)")
        content = _read_checked(file, size, path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a checkpoint: expected a dictionary, not {type(content).__name__}")
    return content


def load_weight_tables(path: Path, sha256: str | None = None) -> dict[str, dict[str, Tensor]]:
    """The tensors by name of each table in a weights file, by its place in the file; empty for the top level.

    The file is a state dict, a checkpoint that holds some, or safetensors. Raises `UserError` with one line.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return {"": _load_safetensors(path, sha256)}
    tables = tensor_tables(load_checkpoint(path, sha256), Tensor)
    if not tables:
        raise UserError(f"{path} contains no weights: expected a state dict (names to tensors)")
    return tables


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def load_into(
    module: nn.Module, state: Mapping[str, Tensor], source: str, ignored_prefixes: Sequence[str] = ()
) -> None:
    """Load the weights in `state` into `module`, except those that begin with one of `ignored_prefixes`.

    Raises `UserError` with one line if they don't fit, or are NaN, infinite or quantized.
    """
    own = module.state_dict()
    if problem := mismatch_reason(shapes_of(state), shapes_of(own), ignored_prefixes):
        raise UserError(f"the weights in {source} do not fit the model: {problem}")
    skipped = _name_prefixes(ignored_prefixes)
    selected = {k: v for k, v in state.items() if not k.startswith(skipped)}
    check_values(module, selected, source)
    module.load_state_dict(selected, strict=False)


def check_values(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raise `UserError` for weights for `module` that are NaN, infinite, quantized or complex."""
    _check_numbers(module.state_dict(), state, source)
    _check_finite(module, state, source)


def _name_prefixes(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names)


def _check_numbers(own: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str) -> None:
    """Raise `UserError` for whole or complex numbers where the module has real ones: torch would convert them."""
    bad = [
        name
        for name, tensor in state.items()
        if name in own and own[name].is_floating_point() and not tensor.is_floating_point()
    ]
    if bad:
        raise UserError(
            f"{source} has {join_names(f'weights of type {state[bad[0]].dtype} in', bad)}, as quantized weights are: "
            "save them as floats"
        )


def _check_finite(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Raise `UserError` for NaN, and for infinite parameters and running statistics.

    Other buffers may be infinite: attention masks are.
    """
    parameters = {name for name, _ in module.named_parameters()}
    bad = []
    for name, tensor in state.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        must_be_finite = name in parameters or name.endswith((".running_mean", ".running_var"))
        invalid = ~torch.isfinite(tensor) if must_be_finite else torch.isnan(tensor)
        if bool(invalid.any()):
            bad.append(name)
    if bad:
        raise UserError(
            f"{source} has {join_names('NaN or infinite weights in', bad)}, so that its predictions would mean "
            "nothing: use another copy or an earlier checkpoint"
        )


def _read_checked(file: BinaryIO, size: int, path: Path) -> Any:
    try:
        file.seek(0)
        start = file.read(4)
        if start == _ZIP:
            check_zip(file, size)
        else:
            check_legacy(file, size)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except OversizedTensorError as error:
        raise UserError(f"{path} was rejected: {error}") from None
    except Exception as error:
        # Damaged data raises nearly any exception, of zipfile, pickle or torch.
        raise UserError(_unreadable_reason(path, error, start)) from None


def _unreadable_reason(path: Path, error: Exception, start: bytes) -> str:
    text = " ".join(str(error).split())
    if found := re.search(r"(?:GLOBAL|Unsupported class|type) (\w+\.[\w.]+)", text):
        return f"{path} {foreign_class_reason(found[1])}"
    if "TorchScript" in text:
        return f"{path} is a TorchScript archive: save model.state_dict() instead"
    if "legacy .tar format" in text:
        return f"{path} has a format older than PyTorch 0.2: load it and save it again with a newer PyTorch"
    if not start.startswith((_ZIP, b"\x80")):  # the first bytes of zip files and pickles
        return f"{path} is not a checkpoint: it was not written by torch.save or safetensors"
    return f"{path} is corrupt, truncated or not a checkpoint ({one_line(error, 100)})"


def _load_safetensors(path: Path, sha256: str | None) -> dict[str, Tensor]:
    try:
        safetensors = importlib.import_module("safetensors.torch")
    except ImportError:
        raise UserError(f"{path}: reading safetensors needs an extra: {install_hint('export')}") from None
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        check_safetensors_header(file, size, path)
        if sha256 and _sha256(file) != sha256:
            raise UserError(f"{path} is corrupt (SHA-256 mismatch)")
    try:
        tensors: dict[str, Tensor] = safetensors.load_file(path)
    except Exception as error:
        raise UserError(f"{path} is not a valid safetensors file: {one_line(error, 100)}") from None
    return tensors


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with open_regular_file(path) as file:
        return _sha256(file)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
