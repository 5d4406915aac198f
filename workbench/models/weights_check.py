"""Whether a weights file fits the model of an experiment, found in a moment: without torch, before a run starts."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.settings_schema import Choice
from workbench.io.weight_shapes import mismatch_reason, read_weight_shapes
from workbench.models import catalog
from workbench.models.loaded_weights import POSITIONS, match_weights

SHAPES = Path(__file__).with_name("torchvision_shapes.json.xz")
"""Heads, and shapes of the tensors of torchvision's architectures; see `generate_torchvision_csv`."""


@cache
def _architectures() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(lzma.decompress(SHAPES.read_bytes()))
    return content


def check_weights(choice: Choice) -> None:
    """Raise `UserError` where the file `model.weights` of a model can't be read or does not fit the model."""
    file, info = choice.options.get("weights"), catalog.find(choice.name)
    if not file or info.kind != "torchvision":
        return
    path = expand_user_path(str(file))
    tables = read_weight_shapes(path)
    architecture = _architectures().get(info.name)
    if architecture is None:
        return
    expected = {name: tuple(shape) for name, shape in architecture["shapes"].items()}
    match = match_weights(tables, expected, str(path))
    shapes = {inner: tuple(tables[match.entry][name]) for inner, name in match.names.items()}
    if POSITIONS in shapes and POSITIONS in expected:
        expected[POSITIONS] = shapes[POSITIONS]
    if problem := mismatch_reason(shapes, expected, architecture["head"]):
        raise UserError(f"the weights in {path} do not fit the model: {problem}")
