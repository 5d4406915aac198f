"""A screen that lists the layers of a model."""

from __future__ import annotations

from workbench.compute.protocol_responses import ModelSummary
from workbench.core.text import format_shape, pad, sanitize, truncate
from workbench.models.layer_row import LayerRow
from workbench.ui.widgets.list_screen import WIDTH, ListScreen


class LayersScreen(ListScreen):
    """Every layer with its output shape and number of parameters, and their total."""

    def __init__(self, title: str, summary: ModelSummary) -> None:
        shape = format_shape(summary.input_shape)
        super().__init__(
            title,
            layer_line("layer", "kind", "output", "parameters"),
            [_row(row) for row in summary.layers],
            layer_line("total", "", f"input {shape}", f"{summary.parameters:,}"),
        )


def _row(row: LayerRow) -> str:
    parameters = f"{row.parameters:,}" if row.parameters else ""
    return layer_line(row.name, row.kind, format_shape(row.output_shape), parameters)


def layer_line(name: str, kind: str, shape: str, parameters: str) -> str:
    """One row of the list."""
    return truncate(
        f"{pad(sanitize(name), 26)} {pad(sanitize(kind), 20)} {pad(shape, 14)} {parameters:>11}", WIDTH
    )
