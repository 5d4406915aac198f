"""Exports the metrics as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from workbench.runs.metrics import EpochRow, EvaluationRow, MetricLine, StepRow
from workbench.runs.reader import JsonlReader
from workbench.runs.run_folder import RunFolder


def write(folder: RunFolder, target: Path) -> None:
    """Write scalars `train/loss`, `validation/accuracy`, … by step, with the time of their measurement."""
    reader: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
    with SummaryWriter(str(target)) as out:
        while rows := reader.read()[0]:
            for row in rows:
                _add(out, row)
    reader.close()


def _add(out: SummaryWriter, row: MetricLine) -> None:
    for name, value in _scalars(row).items():
        if value is not None:
            out.add_scalar(f"{_group(row)}/{name}", value, row.step, walltime=row.wall.time or None)


def _group(row: MetricLine) -> str:
    match row:
        case EvaluationRow():
            return row.split
        case EpochRow():
            return "epoch"
    return "train"


def _scalars(row: MetricLine) -> dict[str, float | None]:
    """The metrics of a row by name; `None` for those that it lacks."""
    metrics = {name: row.metric(name) for name in row.METRICS}
    if isinstance(row, StepRow):
        return {**metrics, "lr": row.lr}
    return {**metrics, **row.model} if isinstance(row, EvaluationRow) else metrics
