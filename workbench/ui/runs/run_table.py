"""The list of runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core import text
from workbench.core.text import safe
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import MUTED, mark_of
from workbench.ui.widgets.cell_grid import BLANK, Cell, spread
from workbench.ui.widgets.virtual_list import CursorRows


@dataclass(frozen=True)
class Column:
    """One column: its head, its width in cells, what it shows, and from which width of the table on."""

    head: str
    width: int
    show: Callable[[RunSummary], str]
    at: int = 0


def _epoch(row: RunSummary) -> str:
    return f"{row.epoch}/{row.epochs_total}" if row.epochs_total else ""


def _best(row: RunSummary) -> str:
    figure = row.test if row.best is None else row.best  # without validation data there is no best one
    return "" if figure is None else text.fraction(figure)


def _when(row: RunSummary) -> str:
    if row.status.live:
        return str(row.phase or row.status) if row.eta is None else text.duration(row.eta)
    return text.age(time.time() - row.created) if row.created else ""


COLUMNS = (
    Column("epoch", 8, _epoch),
    Column("best", 5, _best),
    Column("ETA/age", 7, _when),
    Column("device", 7, lambda row: safe(row.device), at=44),
    Column("model", 14, lambda row: safe(row.model), at=72),
    Column("data", 14, lambda row: safe(row.dataset), at=84),
    Column("started", 12, lambda row: text.clock(row.created) if row.created else "", at=100),
)

MARKED = "◆"
CURSOR = "bold on $primary 30%"
"""The row under the cursor in the list that has the keys; its ▸ tells it where there are no colours."""


class RunTable(CursorRows):
    """Rows of runs with a cursor that stays on its run whatever happens around it."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor came to another run."""

        run_id: str

    @dataclass
    class Opened(Message):
        """Enter was pressed on a run, or it was clicked twice."""

        run_id: str

    @dataclass
    class Marked(Message):
        """A mark should be set on a run, or taken away."""

        run_id: str

    rows: Sequence[RunSummary]

    def __init__(self) -> None:
        super().__init__()
        self.marked: frozenset[str] = frozenset()

    @property
    def run_id(self) -> str | None:
        """The run under the cursor."""
        return self.rows[self.cursor].id if self.rows else None

    def show(
        self, rows: Sequence[RunSummary], run_id: str | None, marked: frozenset[str] = frozenset()
    ) -> None:
        """Show `rows`, the cursor on `run_id` (or where it stood, when that is not among them)."""
        self.marked = marked
        self.put(rows, next((place for place, row in enumerate(rows) if row.id == run_id), None))

    def moved(self) -> None:
        """Tell the run."""
        self.post_message(self.Moved(self.rows[self.cursor].id))

    def action_choose(self) -> None:
        """Open the run under the cursor."""
        if self.rows:
            self.post_message(self.Opened(self.rows[self.cursor].id))

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go on to the next."""
        if self.rows:
            self.post_message(self.Marked(self.rows[self.cursor].id))
            self.move_to(self.cursor + 1)

    def redraw(self) -> None:
        """Draw what is seen; only what differs is sent."""
        width, height = self.size
        if width < 1 or height < 1:
            return
        columns = [column for column in COLUMNS if width >= column.at]
        name_width = max(8, width - 3 - sum(column.width + 1 for column in columns))
        grid = [_head(columns, name_width)]
        for place in self.seen:
            extra = (CURSOR if self.has_focus else "bold") if place == self.cursor else ""
            row = self.rows[place]
            cursor, marked = "▸" if extra else " ", row.id in self.marked
            grid.append(_row(row, columns, name_width, cursor=cursor, extra=extra, marked=marked))
        blank: list[list[Cell]] = [[]] * (height - len(grid))
        self.paint([[*line[:width], *[BLANK] * (width - len(line))] for line in [*grid, *blank][:height]])


def _head(columns: Sequence[Column], name_width: int) -> list[Cell]:
    heads = " ".join(text.pad(column.head, column.width) for column in columns)
    return spread(f"   {text.pad('name', name_width)} {heads}", MUTED)


def _row(
    row: RunSummary, columns: Sequence[Column], name_width: int, *, cursor: str, extra: str, marked: bool
) -> list[Cell]:
    mark, style = mark_of(row.status, row.phase)
    cells = " ".join(text.pad(column.show(row), column.width) for column in columns)
    parts = (
        (cursor, "$accent"), (mark, style), (MARKED if marked else " ", "bold $accent"),
        (f"{text.pad(safe(row.name), name_width)} {cells}", ""),
    )  # fmt: skip
    return [cell for part, own in parts for cell in spread(part, f"{own} {extra}".strip())]
