"""Exports the metrics as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from workbench.runs.metric_series import external_rows
from workbench.runs.metrics import EpochRow, EvaluationRow, LogRow, MetricLine, StepRow
from workbench.runs.reader import JsonlReader
from workbench.runs.run_folder import RunFolder


def write(folder: RunFolder, target: Path) -> None:
    """Write scalars `train/loss`, `validation/accuracy`, … by step, with the time of their measurement."""
    reader: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
    with SummaryWriter(str(target)) as out:
        while rows := reader.read()[0]:
            for row in rows:
                _add(out, row)
        for row in external_rows(folder):
            _add(out, row)
    reader.close()


def _add(out: SummaryWriter, row: MetricLine) -> None:
    for name, value in _scalars(row).items():
        if value is not None:
            out.add_scalar(name, value, row.step, walltime=row.wall.time or None)


def _scalars(row: MetricLine) -> Mapping[str, float | None]:
    """The metrics of a row by the name of their chart; `None` for those that it lacks."""
    match row:
        case LogRow():
            return row.values
        case EvaluationRow():
            group = row.split
        case EpochRow():
            group = "epoch"
        case _:
            group = "train"
    return {f"{group}/{name}": value for name, value in _metrics(row).items()}


def _metrics(row: StepRow | EpochRow | EvaluationRow) -> dict[str, float | None]:
    metrics = {name: row.metric(name) for name in row.METRICS}
    if isinstance(row, StepRow):
        return {**metrics, "lr": row.lr}
    return {**metrics, **row.model} if isinstance(row, EvaluationRow) else metrics
