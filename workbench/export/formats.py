"""The export formats: what each holds, and which module writes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExportFormat:
    """One row of the table. `module` is imported when it writes, so that no format costs the others anything."""

    name: str
    title: str
    module: str
    """`module` in `workbench.export` with a function `write(folder: RunFolder, target: Path) -> None`."""
    suffix: str
    is_directory: bool = False


FORMATS = {
    row.name: row
    for row in (
        ExportFormat("onnx", "for other runtimes", "onnx_graph", ".onnx"),
        ExportFormat("safetensors", "the weights, safe to load", "safetensors_weights", ".safetensors"),
        ExportFormat("pytorch", "a state dict for torch.load", "pytorch_weights", ".pt"),
        ExportFormat("tensorboard", "the curves for TensorBoard", "tensorboard_logs", "-tensorboard", True),
        ExportFormat("csv", "the curves as a table", "csv_table", ".csv"),
    )
}
"""All formats by name, in the order in which they are listed."""
