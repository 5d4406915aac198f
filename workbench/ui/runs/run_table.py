"""The table of runs: its columns, and the mark on runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core.distinct_names import DistinctNames
from workbench.core.text import cell_width, sanitize
from workbench.runs.lookup import id_suffix
from workbench.runs.run_columns import RUN_FIELDS, RunColumn, run_column
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import shared_names, status_mark
from workbench.ui.runs.repeats import NO_REPEATS, Repeats
from workbench.ui.services.saved_layout import MIN_WIDTH, ColumnChoice, RunsLayout
from workbench.ui.widgets.cell_grid import Cell
from workbench.ui.widgets.table import (
    HEADER_STYLE,
    CellContent,
    Cells,
    Column,
    PlacedColumn,
    Row,
    Table,
    fit_columns,
)

SCORE_WIDTH, LOSS_WIDTH = 5, 9
"""Cells of a figure in a column that names its split: `.913`, `loss .31`."""
DEVIATION_WIDTH = 6
"""Cells of a deviation after a figure: ` ±.004`."""
MIN_NAME_WIDTH = 14
"""Cells that a long name has at least; other columns are left out for it."""
MAX_NEWEST_WIDTH = 18
"""Cells of a value with the name that a script has given it."""
SPLIT_WIDTH = 5
"""Cells of the split before a figure: `test .913`."""
TWO_FIGURES = 50
"""Cells of a table from which test and validation figures have columns of their own."""
MARKED = "◆"
DESCENDING, ASCENDING = "▼", "▲"
"""Marks the header of the column that the runs are sorted by."""
MORE_LEFT, MORE_RIGHT = "‹", "›"
"""Stand in the header where there are more columns than fit."""
FIXED_COLUMNS = ("status", "marked", "name")
"""These stand first and stay in sight while the others scroll."""
MAX_CHOSEN_WIDTH = 24
"""The most cells of a chosen column whose width is not chosen."""
MAX_HEADER_WIDTH = 18
"""Cells that a column has for its header alone."""
MEASURED_RUNS = 200
"""The runs whose content is measured for the width of a column."""


def table_columns(
    runs: Sequence[RunSummary],
    repeats: Mapping[str, Repeats] = NO_REPEATS,
    layout: RunsLayout = RunsLayout(),  # noqa: B008 - immutable
) -> tuple[Column, ...]:
    """The columns for these runs, those that the user has chosen or the default ones."""
    chosen = _chosen_columns(runs, repeats, layout.columns) if layout.columns else ()
    order = run_column(layout.order)
    return tuple(
        _with_sort_mark(column, order, reverse=layout.reverse)
        for column in chosen or _default_columns(runs, repeats)
    )


def _default_columns(runs: Sequence[RunSummary], repeats: Mapping[str, Repeats]) -> tuple[Column, ...]:
    """Wider if some figure is a `loss` and says so, or has a deviation.

    A narrow table has one figure for each run, the test result or else the best on validation data, with its split.
    """
    losses = any(score.metric == "loss" for run in runs for score in run.scores)
    width = (LOSS_WIDTH if losses else SCORE_WIDTH) + (DEVIATION_WIDTH if repeats else 0)
    epochs = max((len(RUN_FIELDS["epoch"].text(run)) for run in runs), default=0)
    queued = max((len(RUN_FIELDS["time"].text(run)) for run in runs if run.position), default=0)
    return (
        *_fixed_columns(runs),
        Column("epoch", "epoch", min(max(5, epochs), 11), priority=7),
        Column("result", "result", SPLIT_WIDTH + width, priority=6, max_table_width=TWO_FIGURES - 1),
        Column("test", "test", width, priority=6, min_table_width=TWO_FIGURES),
        Column("val", "val", width, priority=6, min_table_width=TWO_FIGURES),
        *_newest_column(runs),
        Column("time", RUN_FIELDS["time"].header, max(7, queued), priority=5),
        Column("device", "device", 7, priority=4, min_table_width=TWO_FIGURES),
        Column("model", "model", 14, priority=3, min_table_width=71),
        Column("data", "data", 14, priority=2, min_table_width=83),
        Column("started", "started", 12, priority=1, min_table_width=99),
    )


def _fixed_columns(runs: Sequence[RunSummary]) -> tuple[Column, ...]:
    name = max((cell_width(run.name) for run in runs), default=0)
    return (
        Column("status", "", 1, priority=9, gap=0),
        Column("marked", "", 1, priority=8, gap=0),
        Column("name", "name", min(max(8, name), MIN_NAME_WIDTH), priority=9, stretch=True),
    )


def _newest_column(runs: Sequence[RunSummary]) -> tuple[Column, ...]:
    """A column for what scripts and logs of other programs call neither test nor validation, if there is any."""
    figures = [run.newest_score.text_without_epoch for run in runs if run.newest_score]
    width = min(max(map(cell_width, figures), default=0), MAX_NEWEST_WIDTH)
    return (
        (Column("newest", "newest", max(width, 6), priority=6, min_table_width=TWO_FIGURES),)
        if figures
        else ()
    )


def _chosen_columns(
    runs: Sequence[RunSummary], repeats: Mapping[str, Repeats], choices: Sequence[ColumnChoice]
) -> tuple[Column, ...]:
    """After the fixed ones; as wide as the user has chosen, else as their content."""
    columns = {
        choice.name: _chosen_column(run_column(choice.name), choice.width, runs, repeats)
        for choice in choices
        if choice.name not in FIXED_COLUMNS
    }
    return (*_fixed_columns(runs), *columns.values())


def _chosen_column(
    column: RunColumn, width: int | None, runs: Sequence[RunSummary], repeats: Mapping[str, Repeats]
) -> Column:
    if width is None:
        texts = (_text(column, run, repeats) for run in islice(runs, MEASURED_RUNS))
        content = min(max(map(cell_width, texts), default=0), MAX_CHOSEN_WIDTH)
        width = max(content, min(cell_width(column.header) + 1, MAX_HEADER_WIDTH))  # with its sort mark
    return Column(column.name, sanitize(column.header), width, min_width=min(width, MIN_WIDTH))


def _with_sort_mark(column: Column, order: RunColumn, *, reverse: bool) -> Column:
    if column.key != order.name:
        return column
    mark = DESCENDING if order.descending != reverse else ASCENDING
    header = f"{column.header}{mark}"
    return replace(column, header=header, width=max(column.width, cell_width(header)))


def _text(column: RunColumn, run: RunSummary, repeats: Mapping[str, Repeats]) -> str:
    group = repeats.get(run.id)
    return sanitize(column.text(run, group.runs if group else ()))


@dataclass(frozen=True)
class RunRows:
    """Runs as rows of a table. A row is built when it is drawn: there may be ten thousand runs."""

    runs: Sequence[RunSummary]
    columns: Sequence[RunColumn] = ()
    """Those after the name."""
    marked: frozenset[str] = frozenset()
    shared_names: frozenset[str] = frozenset()
    """Names that several runs have: the ends of their ids distinguish them."""
    repeats: Mapping[str, Repeats] = field(default_factory=dict)
    """By the id of a row that stands for several runs, those runs."""
    names: DistinctNames = field(default_factory=DistinctNames)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Row:
        run = self.runs[index]
        repeats = self.repeats.get(run.id)
        ids = repeats.ids if repeats else {run.id}
        cells: Cells = {
            **{column.name: _text(column, run, self.repeats) for column in self.columns},
            "status": status_mark(run.status, run.phase),
            "marked": (MARKED, "bold $accent") if ids <= self.marked else "",
            "name": self._name(run, repeats),
        }
        return Row(run.id, cells)

    def _name(self, run: RunSummary, repeats: Repeats | None) -> CellContent | Callable[[int], CellContent]:
        if repeats is not None:
            return partial(self._fit, sanitize(run.name), f" ×{len(repeats.runs)}")
        return partial(
            self._fit, sanitize(run.name), f" {id_suffix(run.id)}" if run.name in self.shared_names else ""
        )

    def _fit(self, name: str, suffix: str, width: int) -> str:
        """A name and its suffix, which is not cut, in `width` cells."""
        return self.names.fit(name, max(1, width - cell_width(suffix))) + suffix


class RunTable(Table):
    """The runs, with marks. The cursor stays on its run when runs come and go."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
        Binding("left", "cursor_left", "columns to the left", show=False),
        Binding("right", "cursor_right", "columns to the right", show=False),
    ]
    cursor_style = "bold on $primary 30%"

    def __init__(self) -> None:
        super().__init__()
        self._runs: Sequence[RunSummary] = ()
        self._layout = RunsLayout()
        self._run_columns: Sequence[RunColumn] = ()
        self._shared_names: frozenset[str] = frozenset()
        self._names, self._known_names = DistinctNames(), frozenset[str]()
        self._first = 0
        """The first chosen column in sight."""

    @dataclass
    class MarkToggled(Message):
        """The user toggled the mark of a run."""

        run_id: str

    def show_runs(
        self,
        runs: Sequence[RunSummary],
        run_id: str | None,
        marked: frozenset[str] = frozenset(),
        repeats: Mapping[str, Repeats] = NO_REPEATS,
        layout: RunsLayout = RunsLayout(),  # noqa: B008 - immutable
    ) -> None:
        """Show `runs` with the cursor on `run_id`; where it is not among them, the cursor's index stays.

        `repeats`: by the id of a row that stands for several runs, those runs.
        """
        if (
            runs is not self._runs or layout != self._layout
        ):  # not on every move: there may be ten thousand runs
            self._runs, self._layout = runs, layout
            self._columns, self._shared_names = table_columns(runs, repeats, layout), shared_names(runs)
            self._keep_distinct(frozenset(run.name for run in runs))
            names = [column.key for column in self._columns if column.key not in FIXED_COLUMNS]
            self._run_columns = [run_column(name) for name in names]
            self._first = min(self._first, max(0, len(names) - 1))
        index = next((index for index, run in enumerate(runs) if run.id == run_id), None)
        rows = RunRows(runs, self._run_columns, marked, self._shared_names, repeats, self._names)
        self.set_rows(rows, index)

    def _keep_distinct(self, names: frozenset[str]) -> None:
        """Cut these names so that they differ; while a run trains, the names of all stay the same."""
        if names != self._known_names:
            self._names, self._known_names = DistinctNames(map(sanitize, names)), names

    @property
    def _scrollable(self) -> list[Column]:
        """The columns after the name, from left to right, that scroll; `result` stands only for two of them."""
        others = self._columns[len(FIXED_COLUMNS) :]
        if self._layout.columns:
            return list(others)
        return [replace(column, min_table_width=0) for column in others if column.key != "result"]

    def placed_columns(self, width: int) -> list[PlacedColumn]:
        """As many as fit from the first in sight on; of default ones that are not scrolled, the most important."""
        if not self._layout.columns and self._first == 0:
            return fit_columns(self._columns, width)
        fixed, rest = self._columns[: len(FIXED_COLUMNS)], self._scrollable[self._first :]
        room = width - 1 - sum(column.width + column.gap for column in fixed)
        count = len(_fitting(rest, room)) or 1
        return fit_columns([*fixed, *rest[:count]], width - 1)

    def action_cursor_left(self) -> None:
        """Show the columns to the left."""
        self._show_from(self._first - 1)

    def action_cursor_right(self) -> None:
        """Show the columns to the right."""
        if self._is_cut_right(self.placed_columns(self.size.width - 1)):
            self._show_from(self._first + 1)

    def _show_from(self, first: int) -> None:
        self._first = max(0, first)
        self.redraw()

    def _is_cut_right(self, placed: Sequence[PlacedColumn]) -> bool:
        return self._scrollable[-1:] != [] and all(
            one.column.key != self._scrollable[-1].key for one in placed
        )

    def paint(self, grid: list[list[Cell]]) -> None:
        """Show the rows; the header says where there are more columns, if it has room."""
        if grid and self._columns:
            placed = self.placed_columns(self.size.width - 1)
            fixed = [one for one in placed if one.column.key in FIXED_COLUMNS]
            left = sum(one.width + one.column.gap for one in fixed)
            if self._first > 0 and left < len(grid[0]):
                grid[0][left] = (MORE_LEFT, HEADER_STYLE)
            if self._is_cut_right(placed) and grid[0][-1][0] == " ":
                grid[0][-1] = (MORE_RIGHT, HEADER_STYLE)
        super().paint(grid)

    def action_mark(self) -> None:
        """Toggle the mark of the run under the cursor and move to the next one."""
        if self.key is not None:
            self.post_message(self.MarkToggled(self.key))
            self.move_to(self.cursor + 1)


def _fitting(columns: Sequence[Column], room: int) -> list[Column]:
    """The first of these columns, as many as fit in `room` cells."""
    fitting = []
    for column in columns:
        room -= column.width
        if room < 0:
            break
        fitting.append(column)
        room -= column.gap
    return fitting
