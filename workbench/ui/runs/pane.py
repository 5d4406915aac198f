"""The runs pane: a sortable, filterable list of all runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive

from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.text import sanitize
from workbench.core.user_code import short_name
from workbench.runs.queue_state import queue_place
from workbench.runs.run_columns import run_column, sort_runs
from workbench.runs.run_query import complete_query, parse_query
from workbench.runs.run_report import CRASH_REASON
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import GroupSelected, MarksChanged, RangesRequested, RunOpened, RunSelected
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.base.status_style import MUTED, status_mark
from workbench.ui.runs.columns_screen import ColumnsScreen, sortable_columns
from workbench.ui.runs.repeats import Repeats, fold_repeats
from workbench.ui.runs.run_table import RunTable
from workbench.ui.runs.status_line import FIRST_RECIPE
from workbench.ui.services.saved_layout import RunsLayout, load_layout, save_layout
from workbench.ui.widgets.text_line import TextLine


class RunsPane(Pane):
    """Every run with its status, progress and best metric; the other panes show the run under the cursor."""

    ID = PaneId.RUNS
    DEFAULT_CSS = """
    RunsPane #run-details { height: 3; padding: 0 1; text-wrap: wrap; text-overflow: fold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "columns", "columns"),
        Binding("o", "sort", "next sort column", show=False),
        Binding("O", "reverse", "reverse order", show=False),
        Binding("F", "fold", "fold repeats into one row", show=False),
        Binding("shift+down", "mark_next(1)", "mark one after the other", show=False),
        Binding("shift+up", "mark_next(-1)", "mark one after the other", show=False),
        Binding("v", "mark_range", "mark a range: v, move, v", show=False),
        Binding("M", "mark_all", "mark all listed runs, or none", show=False),
    ]

    FILTERABLE = True

    arrangement: reactive[RunsLayout] = reactive(RunsLayout())
    """The columns, and by which of them the runs are sorted."""
    folded: reactive[bool] = reactive(False)
    """Whether runs that repeat each other have one row."""

    def __init__(self, services: PaneServices | None = None) -> None:
        super().__init__(services)
        self.visible_rows: list[RunSummary] = []
        """The rows that match the filter, sorted."""
        self._valid_query, self._filter_problem = parse_query(""), ""
        self._repeats: dict[str, Repeats] = {}
        """By the id of a row that stands for several runs, those runs."""
        self._group = frozenset[str]()
        """The runs that the row under the cursor stands for, if they are several."""
        self._range: tuple[str, frozenset[str]] | None = None
        """While a range is marked: the run where it begins, and the marks outside of it."""

    def compose(self) -> ComposeResult:
        yield RunTable()
        yield TextLine(id="run-details")

    def on_mount(self) -> None:
        super().on_mount()
        self.arrangement = load_layout(self.services.store.home).runs
        self._request_ranges()

    def watch_rows(self) -> None:
        self._refresh_rows()

    def watch_run_id(self) -> None:
        self._show()

    def watch_filter(self) -> None:
        self._refresh_rows()

    def watch_arrangement(self) -> None:
        self._refresh_rows()

    def watch_folded(self) -> None:
        self._refresh_rows()

    def action_fold(self) -> None:
        """Fold runs that differ only in their seed, or are of one group, into one row; or unfold them."""
        self.folded = not self.folded

    def watch_marked(self) -> None:
        if not self.marked:
            self._range = None
        self._show()
        self.post_message(MarksChanged(self.marked))

    def action_columns(self) -> None:
        """Choose the columns, their order and width, and by which the runs are sorted."""
        self.app.push_screen(ColumnsScreen(self.arrangement, self.rows or [], self._arrange))

    def _arrange(self, arrangement: RunsLayout) -> None:
        """Show the list in another way, and remember it."""
        self.arrangement = arrangement
        save_layout(self.services.store.home, runs=arrangement)
        self._request_ranges()

    def _request_ranges(self) -> None:
        """What only whole records show is read while a column shows it."""
        names = [*(choice.name for choice in self.arrangement.columns), self.arrangement.order]
        self.post_message(RangesRequested(any(run_column(name).needs_ranges for name in names)))

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = sortable_columns(self.arrangement)
        order = self.arrangement.order
        index = names.index(order) if order in names else -1
        self._arrange(replace(self.arrangement, order=names[(index + 1) % len(names)], reverse=False))

    def action_reverse(self) -> None:
        """Reverse the sort order."""
        self._arrange(replace(self.arrangement, reverse=not self.arrangement.reverse))

    @on(RunTable.HeaderSelected)
    def _sort_by(self, event: RunTable.HeaderSelected) -> None:
        """Sort by the clicked column; a second click reverses the order."""
        event.stop()
        again = event.column == self.arrangement.order
        reverse = again and not self.arrangement.reverse
        self._arrange(replace(self.arrangement, order=event.column, reverse=reverse))

    @on(RunTable.MarkToggled)
    def _toggle_mark(self, event: RunTable.MarkToggled) -> None:
        event.stop()
        self.marked ^= self._ids([event.run_id])

    def _ids(self, rows: Iterable[str]) -> frozenset[str]:
        """The runs that these rows stand for."""
        return frozenset(
            run_id for row in rows for run_id in (self._repeats[row].ids if row in self._repeats else {row})
        )

    def _refresh_rows(self) -> None:
        """Filter and sort; not on every cursor move, as there may be ten thousand runs."""
        rows = self._filtered_rows(self.rows or [])
        rows, self._repeats = fold_repeats(rows) if self.folded else (rows, {})
        order = run_column(self.arrangement.order)
        groups = {run_id: one.runs for run_id, one in self._repeats.items()}
        self.visible_rows = sort_runs(rows, order, reverse=self.arrangement.reverse, repeats=groups)
        self._show()

    def _filtered_rows(self, rows: list[RunSummary]) -> list[RunSummary]:
        """The rows that match the filter; of one that is no expression (yet), those of the last one that was."""
        try:
            query = parse_query(self.filter)
            found = query.select(rows)
        except UserError as error:
            self._filter_problem = str(error)
            return [row for row in rows if self._valid_query.matches(row)]
        self._valid_query, self._filter_problem = query, ""
        return found

    def complete_filter(self, text: str) -> list[str]:
        """Keys of the expression and values that the runs have."""
        return complete_query(text, self.rows or [])

    def action_mark_next(self, by: int) -> None:
        """Mark the run under the cursor, move, and mark that one."""
        table = self.query_one(RunTable)
        first = table.cursor
        table.move_to(first + by)
        rows = self.visible_rows
        self.marked |= self._ids(rows[index].id for index in (first, table.cursor) if index < len(rows))

    def action_mark_range(self) -> None:
        """Begin to mark all runs between here and the cursor; a second time ends that."""
        table = self.query_one(RunTable)
        self._range = (table.key, self.marked) if self._range is None and table.key is not None else None
        self._extend_range()

    def _extend_range(self) -> None:
        if self._range is None:
            return
        begin, others = self._range
        ids, cursor = [row.id for row in self.visible_rows], self.query_one(RunTable).cursor
        if begin in ids:
            low, high = sorted((ids.index(begin), cursor))
            self.marked = others | self._ids(ids[low : high + 1])

    def action_mark_all(self) -> None:
        """Mark all runs that the filter shows; if they are marked already, none."""
        listed = self._ids(row.id for row in self.visible_rows)
        self.marked = self.marked - listed if listed <= self.marked else self.marked | listed

    @on(RunTable.RowHighlighted)
    def _row_highlighted(self, event: RunTable.RowHighlighted) -> None:
        event.stop()
        self.run_id = event.key
        self._extend_range()
        self.post_message(RunSelected(event.key))
        self._select_group(event.key)

    @on(RunTable.RowSelected)
    def _row_selected(self, event: RunTable.RowSelected) -> None:
        event.stop()
        self.post_message(RunOpened(event.key))

    def _show(self) -> None:
        if not self.is_mounted:
            return
        rows = self.visible_rows
        table = self.query_one(RunTable)
        table.show_runs(rows, self.run_id, self.marked, self._repeats, self.arrangement)
        self.headline = self._counts(rows)
        selected = rows[table.cursor] if rows else None
        if selected is not None and selected.id != self.run_id and self._is_listed(self.run_id):
            # The filter hides the selected run: keys act on the run under the cursor, so select that one.
            self.set_reactive(RunsPane.run_id, selected.id)
            self.post_message(RunSelected(selected.id))
        self._show_details(selected)
        self._select_group(None if selected is None else selected.id)

    def _select_group(self, row_id: str | None) -> None:
        """Tell which runs the row under the cursor stands for, if that has changed."""
        repeats = self._repeats.get(row_id or "")
        group = repeats.ids if repeats else frozenset()
        if group != self._group:
            self._group = group
            self.post_message(GroupSelected(group))

    def _is_listed(self, run_id: str | None) -> bool:
        """Whether the run is listed; one that has just been started is not yet."""
        return any(row.id == run_id for row in self.rows or [])

    def _show_details(self, selected: RunSummary | None) -> None:
        repeats = self._repeats.get(selected.id) if selected is not None else None
        details = run_details(selected, self._notes(selected), empty=self.rows == [], repeats=repeats)
        self.query_one("#run-details", TextLine).show(details)

    def _notes(self, row: RunSummary | None) -> str:
        """The notes of the run under the cursor, once they are loaded."""
        view = self.view
        loaded = view is not None and row is not None and view.folder.id == row.id
        return view.notes.notes if view is not None and loaded else ""

    def watch_view(self) -> None:
        if self.is_mounted and self.visible_rows:
            self._show_details(self.visible_rows[self.query_one(RunTable).cursor])

    def _counts(self, rows: Sequence[RunSummary]) -> str:
        count = len(self.rows or [])
        shown = self._filter_problem or f"{len(rows)} of {count}"
        parts = [f"/{self.filter}──{shown}" if self.filter else _num_runs(count)]
        if self.folded:
            parts.append("repeats folded")
        if self._range is not None:
            parts.append("range: v ends")
        order, reverse = self.arrangement.order, self.arrangement.reverse
        if (order, reverse) != (RunsLayout().order, False):
            parts.append(
                f"by {'start' if order == RunsLayout().order else order}{' reversed' if reverse else ''}"
            )
        if self.marked and (listed := self.marked & {row.id for row in self.rows or []}):
            parts.append(f"{len(listed)} marked")
        return "──".join(part for part in parts if part)


def _num_runs(count: int) -> str:
    return text.plural(count, "run") if count else ""


def run_details(
    row: RunSummary | None, notes: str = "", *, empty: bool = False, repeats: Repeats | None = None
) -> Content:
    """Dataset, model and start time of a run, why it stopped or failed, and its tags and notes."""
    if empty:
        return Content.assemble(
            "No runs yet. Press ", ("t", "bold $accent"), " to train ", (FIRST_RECIPE, "bold"),
            ": handwritten digits, no download, about 30 seconds.",
        )  # fmt: skip
    if row is None:
        return Content("")
    started = f"  {text.format_time(row.created)}" if row.created else ""
    lines = [Content.styled(f"{_what(row)}{started}", MUTED)]
    if row.waits_for:
        mark, style = status_mark(row.status)
        place = queue_place(row.position or 0, row.slurm_job)
        waits = f"queued {place}, waits for {sanitize(row.waits_for, 300)}"
        lines.append(Content.styled(f"{mark} {waits}", style))
    if repeats is not None:
        lines.append(Content(repeats.description))
    if reason := _end_reason(row):
        mark, style = status_mark(row.status)
        lines.append(Content.styled(f"{mark} {sanitize(reason, 400)}", style))
    remarks = "  ".join(part for part in (", ".join(row.tags), notes) if part)
    if remarks:
        lines.append(Content(f"✎ {sanitize(remarks, 400)}"))
    return Content("\n").join(lines)


def _what(row: RunSummary) -> str:
    """What a run does: `cifar10 · resnet18`, the command of a script, or the log of another program."""
    if row.logs:
        where = sanitize(row.logs[0], 200)
        return f"{row.format} log {where}" + ("  (opened, not in the list of runs)" if row.opened else "")
    if row.command:
        return sanitize(row.command, 200)
    return f"{sanitize(short_name(row.dataset), 30)} · {sanitize(short_name(row.model), 30)}"


def _end_reason(row: RunSummary) -> str:
    if row.status is Status.CRASHED:
        return f"{row.reason or CRASH_REASON}; r resumes it"
    return "" if row.status is Status.FINISHED else row.reason
