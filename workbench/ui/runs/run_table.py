"""The table of runs: its columns, and the mark on runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core import text
from workbench.core.text import sanitize
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import status_mark
from workbench.ui.widgets.table import Column, Row, Table


def _epoch(run: RunSummary) -> str:
    return f"{run.epoch}/{run.epochs_total}" if run.epochs_total else ""


def _best(run: RunSummary) -> str:
    best = run.test if run.best is None else run.best  # without validation data, no epoch is the best
    return "" if best is None else text.format_fraction(best)


def _time(run: RunSummary) -> str:
    if run.status.live:
        return str(run.phase or run.status) if run.eta is None else text.format_duration(run.eta)
    return text.format_age(time.time() - run.created) if run.created else ""


COLUMNS = (
    Column("status", "", 1, priority=9, gap=0),
    Column("marked", "", 1, priority=8, gap=0),
    Column("name", "name", 8, priority=9, stretch=True),
    Column("epoch", "epoch", 8, priority=7),
    Column("best", "best", 5, priority=6),
    Column("time", "ETA/age", 7, priority=5),
    Column("device", "device", 7, priority=4, min_table_width=43),
    Column("model", "model", 14, priority=3, min_table_width=71),
    Column("data", "data", 14, priority=2, min_table_width=83),
    Column("started", "started", 12, priority=1, min_table_width=99),
)
MARKED = "◆"


@dataclass(frozen=True)
class RunRows:
    """Runs as rows of a table. A row is built when it is drawn: there may be ten thousand runs."""

    runs: Sequence[RunSummary]
    marked: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Row:
        run = self.runs[index]
        cells = {
            "status": status_mark(run.status, run.phase),
            "marked": (MARKED, "bold $accent") if run.id in self.marked else "",
            "name": sanitize(run.name),
            "epoch": _epoch(run),
            "best": _best(run),
            "time": _time(run),
            "device": sanitize(run.device),
            "model": sanitize(run.model),
            "data": sanitize(run.dataset),
            "started": text.format_time(run.created) if run.created else "",
        }
        return Row(run.id, cells)


class RunTable(Table):
    """The runs, with marks. The cursor stays on its run when runs come and go."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
    ]
    cursor_style = "bold on $primary 30%"

    @dataclass
    class MarkToggled(Message):
        """The user toggled the mark of a run."""

        run_id: str

    def show_runs(
        self, runs: Sequence[RunSummary], run_id: str | None, marked: frozenset[str] = frozenset()
    ) -> None:
        """Show `runs` with the cursor on `run_id`; where it is not among them, the cursor's index stays."""
        self._columns = COLUMNS
        index = next((index for index, run in enumerate(runs) if run.id == run_id), None)
        self.set_rows(RunRows(runs, marked), index)

    def action_mark(self) -> None:
        """Toggle the mark of the run under the cursor and move to the next one."""
        if self.key is not None:
            self.post_message(self.MarkToggled(self.key))
            self.move_to(self.cursor + 1)
