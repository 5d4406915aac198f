"""Exports the metrics as one CSV table."""

from __future__ import annotations

import csv
from pathlib import Path

from workbench.io.record_codec import to_json
from workbench.runs.metric_series import external_rows
from workbench.runs.metrics import EvaluationRow, LogRow, MetricLine
from workbench.runs.reader import JsonlReader
from workbench.runs.run_folder import RunFolder

FIRST = ("kind", "step", "epoch", "split", "loss", "accuracy")

Cells = dict[str, str | float | None]


def write(folder: RunFolder, target: Path) -> None:
    """Write every metrics row, with all columns that any row has; times and throughput as `wall.NAME`."""
    rows: list[Cells] = []
    reader: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
    while records := reader.read()[0]:
        rows += [_cells(record) for record in records]
    reader.close()
    rows += map(_cells, external_rows(folder))
    columns = dict.fromkeys([*FIRST, *(name for row in rows for name in row)])
    with target.open("x", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, list(columns))
        table.writeheader()
        table.writerows(rows)


def _cells(row: MetricLine) -> Cells:
    """The columns of a row; metrics of the model and of a script become columns of their own."""
    content = to_json(row)
    nested: dict[str, Cells] = {name: content.pop(name, {}) for name in ("wall", "model", "values")}
    walls: Cells = {f"wall.{name}": value for name, value in nested["wall"].items()}
    # Fields that JSON omits because they have their default still get a cell: pandas reads an empty one as NaN.
    defaults: Cells
    match row:
        case EvaluationRow():
            defaults = {"epoch": row.epoch, "split": row.split, "best": row.best}
        case LogRow():
            defaults = {}
        case _:
            defaults = {"epoch": row.epoch, "count": row.count}
    columns: Cells = {name: value for name, value in {**defaults, **content}.items() if name != "v"}
    return columns | nested["model"] | nested["values"] | walls
