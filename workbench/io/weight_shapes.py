"""Names and shapes of the tensors in a weights file, read without torch and without loading a tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from workbench.core.errors import UserError
from workbench.core.parsing import parse_json
from workbench.core.text import format_shape
from workbench.io.pickle_guard import OversizedTensorError, foreign_class_reason, read_tensor_tree
from workbench.io.regular_files import open_regular_file

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of tensors by name."""
T = TypeVar("T")
MAX_HEADER_BYTES = 100_000_000
"""The limit of safetensors itself."""
MAX_DEPTH = 4
"""How deep in a checkpoint a table of tensors is looked for."""


def read_weight_shapes(path: Path) -> dict[str, Shapes]:
    """The shapes of each table of tensors in a file of torch.save or safetensors, by its place in the file.

    The place is `state_dict` or `callbacks.ema.weights`; empty for the top level. Raises `UserError` with one line for
    a file that is missing, empty, or not a weights file; details that only torch can judge are left to it.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError(f"{path} is empty: use another checkpoint or another copy")
        if path.suffix == ".safetensors":
            return {"": _safetensors_shapes(file, size, path)}
        try:
            tree = read_tensor_tree(file, size)
        except OversizedTensorError as error:
            raise UserError(f"{path} was rejected: {error}") from None
        except Exception:
            # Damaged data raises nearly any exception, of zipfile or pickle.
            raise UserError(
                f"{path} is corrupt, truncated or not a checkpoint of torch.save or safetensors"
            ) from None
    content = tree.content
    if not isinstance(content, Mapping):
        what = (
            f"a {type(content).__name__}"
            if type(content).__module__ == "builtins"
            else type(content).__name__
        )
        raise UserError(
            f"{path} is not a checkpoint with weights: it contains {what}; save model.state_dict() instead"
        )
    if tree.foreign_class:
        raise UserError(f"{path} {foreign_class_reason(tree.foreign_class)}")
    tables: dict[str, Shapes] = dict(tensor_tables(content, tuple).items())
    if not tables:
        raise UserError(f"{path} contains no weights: expected a state dict (names to tensors)")
    return tables


def tensor_tables(
    content: Mapping[Any, object], kind: type[T], place: str = "", depth: int = 0
) -> dict[str, dict[str, T]]:
    """Every table in `content` that has values of type `kind` under names, by its place."""
    found = {}
    values = {
        name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, kind)
    }
    if values:
        found[place] = values
    for name, inner in content.items():
        if isinstance(inner, Mapping) and isinstance(name, str) and depth < MAX_DEPTH:
            found |= tensor_tables(inner, kind, f"{place}.{name}" if place else name, depth + 1)
    return found


def _safetensors_shapes(file: BinaryIO, size: int, path: Path) -> Shapes:
    length = check_safetensors_header(file, size, path)
    try:
        header = parse_json(file.read(length))
        return {
            name: tuple(int(side) for side in tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise UserError(f"{path} is not a valid safetensors file: its header is damaged") from None


def check_safetensors_header(file: BinaryIO, size: int, path: Path) -> int:
    """The length of the header in bytes; the file stands at its start. Raises `UserError` if it exceeds the file."""
    header = int.from_bytes(file.read(8), "little")
    if size < 8 or header > min(size - 8, MAX_HEADER_BYTES):
        raise UserError(
            f"{path} is not a valid safetensors file: its header of {header:,} bytes exceeds the file"
        )
    return header


def mismatch_reason(state: Shapes, expected: Shapes, ignored_prefixes: Sequence[str] = ()) -> str:
    """Why tensors of these shapes can't be loaded into a model that expects others, in one line; empty if they can.

    Names that begin with one of `ignored_prefixes` are not compared (a head that is replaced).
    """
    skipped = tuple(f"{name}." for name in ignored_prefixes)
    # Older files lack the batch counters, which are not needed.
    missing = [k for k in expected.keys() - state.keys() if not k.endswith("num_batches_tracked")]
    unexpected = list(state.keys() - expected.keys())
    shapes = [
        f"{k} is {_shape_text(state[k])}, expected {_shape_text(expected[k])}"
        for k in expected.keys() & state.keys()
        if tuple(state[k]) != tuple(expected[k])
    ]
    parts = [
        join_names("missing", [k for k in missing if not k.startswith(skipped)]),
        join_names("unexpected", [k for k in unexpected if not k.startswith(skipped)]),
        join_names("shapes differ", [s for s in shapes if not s.startswith(skipped)]),
    ]
    return "; ".join(part for part in parts if part)


def _shape_text(shape: Sequence[int]) -> str:
    return format_shape(shape) or "a scalar"


def join_names(label: str, names: Sequence[str], limit: int = 3) -> str:
    """`missing a, b, c and 4 more`; empty without names."""
    if not names:
        return ""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{label} {', '.join(sorted(names)[:limit])}{more}"
