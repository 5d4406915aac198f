"""A model layer by layer."""

from __future__ import annotations

from workbench.compute.protocol import ModelSummary
from workbench.core.text import cut, pad, safe, times
from workbench.models.layer_row import LayerRow
from workbench.ui.widgets.list_screen import WIDTH, ListingScreen


class LayersScreen(ListingScreen):
    """Every layer with the shape of its output and its parameters, and their sum."""

    def __init__(self, title: str, summary: ModelSummary) -> None:
        shape = times(summary.input_shape)
        super().__init__(
            title,
            layer_line("layer", "kind", "output", "parameters"),
            [_row(row) for row in summary.layers],
            layer_line("all", "", f"input {shape}", f"{summary.parameters:,}"),
        )


def _row(row: LayerRow) -> str:
    parameters = f"{row.parameters:,}" if row.parameters else ""
    return layer_line(row.name, row.kind, times(row.output_shape), parameters)


def layer_line(name: str, kind: str, shape: str, parameters: str) -> str:
    """The columns of one layer."""
    return cut(f"{pad(safe(name), 26)} {pad(safe(kind), 20)} {pad(shape, 14)} {parameters:>11}", WIDTH)
