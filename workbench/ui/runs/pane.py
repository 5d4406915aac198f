"""The list of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive

from workbench.core import text
from workbench.core.text import safe
from workbench.runs.metric_direction import rank
from workbench.runs.run_report import LOST_REASON
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.messages import RunOpened, RunSelected, RunsMarked
from workbench.ui.base.pane import Pane
from workbench.ui.base.status_style import MUTED, mark_of
from workbench.ui.runs.run_table import RunTable
from workbench.ui.runs.status_line import FIRST_RUN
from workbench.ui.widgets.text_line import Line

_STATUS_ORDER = list(reversed(Status))
ORDERS: dict[str, Callable[[RunSummary], Any]] = {
    "newest": lambda row: row.id,
    "best": lambda row: rank(row.monitor, row.best),
    "epochs": lambda row: row.epoch,
    "status": lambda row: _STATUS_ORDER.index(row.status),
    "name": lambda row: row.name.lower(),
    "model": lambda row: row.model,
    "data": lambda row: row.dataset,
}
_ASCENDING = {"name", "model", "data"}


class RunsPane(Pane):
    """Every run with its status, progress and best figure; the cursor is what the other panes show."""

    NUMBER, NAME, SHORT = "1", "Runs", "Runs"
    DEFAULT_CSS = """
    RunsPane #about-run { height: 3; padding: 0 1; text-wrap: wrap; text-overflow: fold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "sort", "sort by the next thing", show=False),
        Binding("O", "turn_round", "the other way round", show=False),
    ]

    rows: reactive[list[RunSummary] | None] = reactive(None, always_update=True)
    """All runs; `None` until they are known."""

    run_id: reactive[str | None] = reactive(None)
    """The selected run."""

    filter: reactive[str] = reactive("")
    """Words that name, status, dataset or model of a shown run have."""

    marked: reactive[frozenset[str]] = reactive(frozenset())
    """The ids of the runs that are marked."""

    order: reactive[str] = reactive("newest")
    reverse: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[RunSummary] = []
        """The rows that pass the filter, in order."""

    def compose(self) -> ComposeResult:
        """The table, and what there is to say of the run under the cursor."""
        yield RunTable()
        yield Line(id="about-run")

    def watch_rows(self) -> None:
        """Show the new list."""
        self._list_anew()

    def watch_run_id(self) -> None:
        """Put the cursor on it."""
        self._show()

    def watch_filter(self) -> None:
        """Show what is left."""
        self._list_anew()

    def watch_order(self) -> None:
        """Sort anew."""
        self._list_anew()

    def watch_reverse(self) -> None:
        """Turn the list round."""
        self._list_anew()

    def watch_marked(self) -> None:
        """Show them."""
        self._show()
        self.post_message(RunsMarked())

    def action_sort(self) -> None:
        """Sort by the next thing."""
        names = list(ORDERS)
        self.order = names[(names.index(self.order) + 1) % len(names)]

    def action_turn_round(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse

    @on(RunTable.Marked)
    def _mark(self, event: RunTable.Marked) -> None:
        event.stop()
        self.marked ^= {event.run_id}

    def _list_anew(self) -> None:
        """Filter and sort: not at every move of the cursor, as there may be ten thousand."""
        words = self.filter.lower().split()
        rows = [row for row in self.rows or [] if matches(row, words)] if words else self.rows or []
        downwards = (self.order not in _ASCENDING) != self.reverse
        self.shown = sorted(rows, key=ORDERS[self.order], reverse=downwards)
        self._show()

    @on(RunTable.Moved)
    def _moved(self, event: RunTable.Moved) -> None:
        event.stop()
        self.run_id = event.run_id
        self.post_message(RunSelected(event.run_id))

    @on(RunTable.Opened)
    def _opened(self, event: RunTable.Opened) -> None:
        event.stop()
        self.post_message(RunOpened(event.run_id))

    def _show(self) -> None:
        if not self.is_mounted:
            return
        rows = self.shown
        table = self.query_one(RunTable)
        table.show(rows, self.run_id, self.marked)
        self.headline = self._counts(rows)
        selected = rows[table.cursor] if rows else None
        if selected is not None and selected.id != self.run_id and self._is_listed(self.run_id):
            # The filter took the selected run away: what has the cursor is what keys act on.
            self.set_reactive(RunsPane.run_id, selected.id)
            self.post_message(RunSelected(selected.id))
        self._show_about(selected)

    def _is_listed(self, run_id: str | None) -> bool:
        """Not so for a moment with a run that was just started."""
        return any(row.id == run_id for row in self.rows or [])

    def _show_about(self, selected: RunSummary | None) -> None:
        words = about(selected, self._notes(selected), empty=self.rows == [])
        self.query_one("#about-run", Line).show(words)

    def _notes(self, row: RunSummary | None) -> str:
        """What a person wrote about the run under the cursor, once it is read."""
        view = self.view
        known = view is not None and row is not None and view.folder.id == row.id
        return view.notes.notes if view is not None and known else ""

    def watch_view(self) -> None:
        """Its notes may be others."""
        if self.is_mounted and self.shown:
            self._show_about(self.shown[self.query_one(RunTable).cursor])

    def _counts(self, rows: Sequence[RunSummary]) -> str:
        count = len(self.rows or [])
        parts = [f"/{self.filter}──{len(rows)} of {count}" if self.filter else str(count) if count else ""]
        if self.order != "newest" or self.reverse:
            parts.append(f"by {self.order}{' reversed' if self.reverse else ''}")
        if self.marked and (here := self.marked & {row.id for row in self.rows or []}):
            parts.append(f"{len(here)} marked")
        return "──".join(part for part in parts if part)


def matches(row: RunSummary, words: Sequence[str]) -> bool:
    """Whether every word is found in what a person knows of the run."""
    known = f"{row.name} {row.id} {row.status} {row.dataset} {row.model} {row.device} {' '.join(row.tags)}".lower()
    return all(word in known for word in words)


def about(row: RunSummary | None, notes: str = "", *, empty: bool = False) -> Content:
    """What a run is of, why it ended where that needs saying, and what a person wrote about it."""
    if empty:
        return Content.assemble(
            "No runs yet. Press ", ("t", "bold $accent"), " to train ", (FIRST_RUN, "bold"),
            ": real digits, no download, half a minute.",
        )  # fmt: skip
    if row is None:
        return Content("")
    started = f"  {text.clock(row.created)}" if row.created else ""
    of = Content.styled(f"{safe(row.dataset, 30)} · {safe(row.model, 30)}{started}", MUTED)
    lines = [of]
    why = (
        f"{LOST_REASON}; r resumes it"
        if row.status is Status.LOST
        else ""
        if row.status is Status.FINISHED
        else row.reason
    )
    if why:
        mark, style = mark_of(row.status)
        lines.append(Content.styled(f"{mark} {safe(why, 400)}", style))
    written = "  ".join(part for part in (", ".join(row.tags), notes) if part)
    if written:
        lines.append(Content(f"✎ {safe(written, 400)}"))
    return Content("\n").join(lines)
