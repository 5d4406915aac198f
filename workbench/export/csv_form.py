"""The metrics as one table."""

from __future__ import annotations

import csv
from pathlib import Path

from workbench.runs.layout import RunFolder
from workbench.runs.reader import LineReader

FIRST = ("kind", "step", "epoch", "split", "loss", "accuracy")


def write(folder: RunFolder, target: Path) -> None:
    """Every row of the record with all columns that any row has; times and rates as `wall.NAME`."""
    rows = []
    reader = LineReader(folder.metrics)
    while found := reader.read()[0]:
        rows += [_flat(record) for record in found]
    reader.close()
    columns = dict.fromkeys([*FIRST, *(name for row in rows for name in row)])
    with target.open("x", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, list(columns))
        table.writeheader()
        table.writerows(rows)


def _flat(record: dict[str, object]) -> dict[str, object]:
    wall = record.get("wall")
    walls = {f"wall.{name}": value for name, value in wall.items()} if isinstance(wall, dict) else {}
    return {name: value for name, value in record.items() if name not in {"v", "wall"}} | walls
