"""Choosing the columns of the list of runs: which, in which order, how wide, and by which the runs are sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from workbench.core.text import sanitize
from workbench.runs.run_columns import check_column, known_columns, run_column
from workbench.runs.store import RunSummary
from workbench.ui.base.dialog import Dialog
from workbench.ui.base.status_style import MUTED
from workbench.ui.runs.run_table import ASCENDING, DESCENDING
from workbench.ui.services.saved_layout import MAX_WIDTH, MIN_WIDTH, ColumnChoice, RunsLayout
from workbench.ui.widgets.chooser import Chooser, Finder, Option, filter_options
from workbench.ui.widgets.table import Column, Row, Table

DEFAULT_COLUMNS = ("epoch", "test", "val", "time", "device", "model", "data", "started")
"""What the first change starts from."""
FIGURES_FIRST = ("test", "val")
"""The columns that `o` sorts by first while the default ones are shown."""
USUAL_WIDTH = 10
"""Cells from which an automatic width is changed."""
HINT = (
    "The name and the status always stand first. Columns that do not fit are reached with ← → in the list; a"
    " click on a header sorts."
)


def sortable_columns(layout: RunsLayout) -> list[str]:
    """What the runs can be sorted by, in the order in which a key goes through it: first by their start."""
    if layout.columns:
        return list(dict.fromkeys([RunsLayout().order, "name", *(choice.name for choice in layout.columns)]))
    others = [name for name in ("epoch", "status", "name", *DEFAULT_COLUMNS) if name not in FIGURES_FIRST]
    return list(dict.fromkeys([RunsLayout().order, *FIGURES_FIRST, *others]))


class ColumnsScreen(Dialog[None]):
    """The chosen columns from left to right, one row each; every change is shown and kept at once."""

    DEFAULT_CSS = """
    ColumnsScreen { align: center middle; }
    ColumnsScreen > Vertical {
        width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
        border: round $accent; background: $surface;
    }
    ColumnsScreen Table { height: auto; }
    ColumnsScreen Static { height: auto; max-height: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,m", "dismiss", "back"),
        Binding("a", "add", "add"),
        Binding("x,delete", "remove", "remove"),
        Binding("shift+up,K,less_than_sign", "move(-1)", "move left"),
        Binding("shift+down,J,greater_than_sign", "move(1)", "move right"),
        Binding("plus", "widen(1)", "wider"),
        Binding("minus", "widen(-1)", "narrower"),
        Binding("f", "fit", "automatic width"),
        Binding("o", "sort", "sort by it"),
        Binding("O", "reverse", "reverse order"),
        Binding("d", "default", "default columns"),
    ]

    def __init__(
        self, layout: RunsLayout, rows: Sequence[RunSummary], apply: Callable[[RunsLayout], None]
    ) -> None:
        """`apply` is called with every change."""
        super().__init__()
        self._layout, self._rows, self._apply = layout, rows, apply

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "columns of the list"
            box.border_subtitle = "a add  x remove  < > move  + - width  enter sort  d default  esc back"
            yield Static(Content.styled(HINT, MUTED))
            yield Table()

    def on_mount(self) -> None:
        self.query_one(Table).focus()
        self._show()

    @property
    def _choices(self) -> tuple[ColumnChoice, ...]:
        return self._layout.columns or tuple(ColumnChoice(name=name) for name in DEFAULT_COLUMNS)

    @property
    def _index(self) -> int:
        return self.query_one(Table).cursor

    def _show(self, cursor: int | None = None) -> None:
        table = self.query_one(Table)
        kinds = known_columns(self._rows)
        columns = [
            Column("number", "", 2, align_right=True),
            Column("name", "column", 30, stretch=True, min_width=10),
            Column("kind", "", 22, priority=-1, min_width=8),
            Column("width", "width", 9),
            Column("sort", "sort", 4),
        ]
        rows = [
            Row(
                choice.name,
                {
                    "number": str(number),
                    "name": sanitize(choice.name),
                    "kind": kinds.get(choice.name, ""),
                    "width": "automatic" if choice.width is None else str(choice.width),
                    "sort": self._sort_mark(choice.name),
                },
            )
            for number, choice in enumerate(self._choices, 1)
        ]
        table.styles.height = len(rows) + 1
        table.show(columns, rows)
        if cursor is not None:
            table.move_to(cursor)

    def _sort_mark(self, name: str) -> str:
        if name != self._layout.order:
            return ""
        return DESCENDING if run_column(name).descending != self._layout.reverse else ASCENDING

    def _change(self, layout: RunsLayout, cursor: int | None = None) -> None:
        self._layout = layout
        self._apply(layout)
        self._show(cursor)

    def _set_columns(self, choices: Sequence[ColumnChoice], cursor: int | None = None) -> None:
        self._change(replace(self._layout, columns=tuple(choices)), cursor)

    def action_add(self) -> None:
        """Add a setting, a metric or another column behind the one under the cursor."""
        names = {choice.name for choice in self._choices}
        options = [
            Option(name, (name, kind))
            for name, kind in known_columns(self._rows).items()
            if name not in names
        ]
        finder = Finder(
            filter_options(options),
            hint="best:METRIC, min:, max: and smooth: are values over the whole run",
            check=lambda name: check_column(run_column(name), self._rows),
            allow_text=True,
        )
        self.app.push_screen(Chooser("Add a column", finder), self._add)

    def _add(self, name: str | None) -> None:
        choices = list(self._choices)
        if name is not None and run_column(name).name not in {choice.name for choice in choices}:
            choices.insert(self._index + 1, ColumnChoice(name=run_column(name).name))
            self._set_columns(choices, self._index + 1)

    def action_remove(self) -> None:
        """Remove the column under the cursor; the last one stays."""
        choices = list(self._choices)
        if len(choices) > 1:
            del choices[self._index]
            self._set_columns(choices)

    def action_move(self, by: int) -> None:
        """Move the column under the cursor."""
        choices, index = list(self._choices), self._index
        if 0 <= index + by < len(choices):
            choices.insert(index + by, choices.pop(index))
            self._set_columns(choices, index + by)

    def action_widen(self, by: int) -> None:
        """Make the column under the cursor wider or narrower."""
        width = (self._choices[self._index].width or USUAL_WIDTH) + by
        self._set_width(min(max(MIN_WIDTH, width), MAX_WIDTH))

    def action_fit(self) -> None:
        """Make the column under the cursor as wide as its content."""
        self._set_width(None)

    def _set_width(self, width: int | None) -> None:
        choices = list(self._choices)
        choices[self._index] = replace(choices[self._index], width=width)
        self._set_columns(choices)

    def action_sort(self) -> None:
        """Sort the runs by the column under the cursor; a second time reverses the order."""
        name = self._choices[self._index].name
        again = name == self._layout.order
        self._change(replace(self._layout, order=name, reverse=again and not self._layout.reverse))

    @on(Table.RowSelected)
    def _row_selected(self, event: Table.RowSelected) -> None:
        event.stop()
        self.action_sort()

    def action_reverse(self) -> None:
        """Reverse the order of the runs."""
        self._change(replace(self._layout, reverse=not self._layout.reverse))

    def action_default(self) -> None:
        """Show the default columns again, newest runs first."""
        self._change(RunsLayout(), 0)
