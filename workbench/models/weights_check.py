"""Whether a weights file fits the model of an experiment, found in a moment: without torch, before a run starts."""

from __future__ import annotations

import lzma
from functools import cache
from pathlib import Path

import msgspec

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.settings_schema import Choice
from workbench.core.user_code_outline import declared_parameters
from workbench.io.weight_shapes import mismatch_reason, read_weight_shapes
from workbench.models import catalog
from workbench.models.loaded_weights import POSITIONS, match_weights

SHAPES = Path(__file__).with_name("torchvision_shapes.json.xz")
"""Heads, and shapes of the tensors of torchvision's architectures; see `generate_torchvision_csv`."""


class Architecture(msgspec.Struct, frozen=True):
    """The names of an architecture's head, and the shapes of its tensors without batch counters."""

    head: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]


@cache
def _architectures() -> dict[str, Architecture]:
    return msgspec.json.decode(lzma.decompress(SHAPES.read_bytes()), type=dict[str, Architecture])


def check_weights(choice: Choice) -> None:
    """Raise `UserError` where the file `model.weights` of a model can't be read or does not fit the model."""
    file, info = choice.options.get("weights"), catalog.find(choice.name)
    if not file or info.kind == "builtin":
        return
    path = expand_user_path(str(file))
    if info.kind == "custom":
        _check_file_for_custom_model(choice.name, path)
        return
    if (found := _match(info.name, path)) is None:
        return
    shapes, expected, head = found
    if POSITIONS in shapes and POSITIONS in expected:
        expected[POSITIONS] = shapes[POSITIONS]
    if problem := mismatch_reason(shapes, expected, head):
        raise UserError(f"the weights in {path} do not fit the model: {problem}")


def _check_file_for_custom_model(name: str, path: Path) -> None:
    """Raise `UserError` where the file can't be read; the worker, which builds the model, checks whether it fits."""
    parameters = declared_parameters(name)
    if parameters is not None and "weights" not in parameters.names:
        read_weight_shapes(path)


def output_count(name: str, path: Path) -> int | None:
    """The number of outputs of the weights of an architecture in a file; `None` where this is unknown.

    Raises `UserError` where the file can't be read or has other weights.
    """
    if (found := _match(name, path)) is None:
        return None
    shapes, _, head = found
    shape = shapes.get(f"{head[0]}.weight", ()) if head else ()
    return shape[0] if shape else None


def _match(
    name: str, path: Path
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]], tuple[str, ...]] | None:
    """Shapes by name in the file and in the architecture, and its head; `None` for an unknown architecture."""
    tables = read_weight_shapes(path)
    architecture = _architectures().get(name)
    if architecture is None:
        return None
    expected = dict(architecture.shapes)
    match = match_weights(tables, expected, str(path))
    shapes = {inner: tuple(tables[match.entry][original]) for inner, original in match.names.items()}
    return shapes, expected, architecture.head
