"""A model layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.text import cut, pad, safe, times
from workbench.ui.widgets.listing import WIDTH, ListingScreen


class LayersScreen(ListingScreen):
    """Every layer with the shape of its output and its parameters, and their sum."""

    def __init__(self, title: str, facts: Mapping[str, Any]) -> None:
        """`facts` is the session's summary: `layers`, `parameters`, `trainable`, `input_shape`."""
        shape = times(facts["input_shape"])
        super().__init__(
            title,
            layer_line("layer", "kind", "output", "parameters"),
            [_row(row) for row in facts["layers"]],
            layer_line("all", "", f"input {shape}", f"{facts['parameters']:,}"),
        )


def _row(row: Mapping[str, Any]) -> str:
    shape = times(row["output_shape"])
    parameters = f"{row['parameters']:,}" if row["parameters"] else ""
    return layer_line(row["name"], row["kind"], shape, parameters)


def layer_line(name: str, kind: str, shape: str, parameters: str) -> str:
    """The columns of one layer."""
    return cut(f"{pad(safe(name), 26)} {pad(safe(kind), 20)} {pad(shape, 14)} {parameters:>11}", WIDTH)
