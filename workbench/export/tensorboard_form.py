"""The metrics as TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from workbench.runs.layout import RunFolder
from workbench.runs.reader import LineReader
from workbench.runs.records import number

WITHOUT = {"v", "kind", "step", "epoch", "split", "count", "wall", "best", "final"}


def write(folder: RunFolder, target: Path) -> None:
    """Scalars `train/loss`, `validation/accuracy`, … by step, with the time they were measured at."""
    reader = LineReader(folder.metrics)
    with SummaryWriter(str(target)) as out:
        while found := reader.read()[0]:
            for record in found:
                _add(out, record)
    reader.close()


def _add(out: SummaryWriter, record: dict[str, object]) -> None:
    kind = record.get("kind")
    group = str(record.get("split")) if kind == "evaluation" else "epoch" if kind == "epoch" else "train"
    wall = record.get("wall")
    when = number(wall.get("time")) if isinstance(wall, dict) else None
    for name, value in record.items():
        if name not in WITHOUT and (figure := number(value)) is not None:
            out.add_scalar(f"{group}/{name}", figure, int(number(record.get("step")) or 0), walltime=when)
