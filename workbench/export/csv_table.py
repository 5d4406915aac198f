"""The metrics as one table."""

from __future__ import annotations

import csv
from pathlib import Path

from workbench.io.record_codec import to_json
from workbench.runs.metrics import EvaluationRow, MetricLine
from workbench.runs.reader import JsonlReader
from workbench.runs.run_folder import RunFolder

FIRST = ("kind", "step", "epoch", "split", "loss", "accuracy")

Cells = dict[str, str | float | None]


def write(folder: RunFolder, target: Path) -> None:
    """Every row of the record with all columns that any row has; times and rates as `wall.NAME`."""
    rows: list[Cells] = []
    reader: JsonlReader[MetricLine] = JsonlReader(folder.metrics, MetricLine)
    while found := reader.read()[0]:
        rows += [_cells(record) for record in found]
    reader.close()
    columns = dict.fromkeys([*FIRST, *(name for row in rows for name in row)])
    with target.open("x", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, list(columns))
        table.writeheader()
        table.writerows(rows)


def _cells(row: MetricLine) -> Cells:
    """A row's columns; values of the model's own stand beside the metrics."""
    content = to_json(row)
    nested = {name: content.pop(name, {}) for name in ("wall", "model")}
    walls = {f"wall.{name}": value for name, value in nested["wall"].items()}
    # What is written without its default still has a cell: pandas would read a missing one as NaN.
    defaults: Cells = {"epoch": row.epoch}
    if isinstance(row, EvaluationRow):
        defaults |= {"split": row.split, "best": row.best}
    else:
        defaults["count"] = row.count
    return (
        {name: value for name, value in {**defaults, **content}.items() if name != "v"}
        | nested["model"]
        | walls
    )
