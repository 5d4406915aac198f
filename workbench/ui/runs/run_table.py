"""The table of runs: its columns, and the mark on runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from workbench.core import text
from workbench.core.text import cell_width, sanitize
from workbench.core.user_code import short_name
from workbench.runs.scores import Score
from workbench.runs.store import RunSummary
from workbench.ui.base.status_style import fit_name, fit_suffixed, shared_names, status_mark
from workbench.ui.runs.repeats import NO_REPEATS, Repeats, deviation
from workbench.ui.widgets.table import CellContent, Cells, Column, Row, Table


def _epoch(run: RunSummary) -> str:
    """Epochs; of a script or a log that does not count them, its steps."""
    if run.epochs_total:
        return f"{run.epoch}/{run.epochs_total}"
    return text.format_count(run.step) if not run.is_training and run.step else ""


def _time(run: RunSummary) -> str:
    if run.status.live:
        return str(run.phase or run.status) if run.eta is None else text.format_duration(run.eta)
    return text.format_age(time.time() - run.created) if run.created else ""


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


def table_columns(
    runs: Sequence[RunSummary], repeats: Mapping[str, Repeats] = NO_REPEATS
) -> tuple[Column, ...]:
    """The columns for these runs, wider if some figure is a `loss` and says so, or has a deviation.

    A narrow table has one figure for each run, the test result or else the best on validation data, with its split.
    """
    losses = any(score.metric == "loss" for run in runs for score in run.scores)
    width = (LOSS_WIDTH if losses else SCORE_WIDTH) + (DEVIATION_WIDTH if repeats else 0)
    name = max((cell_width(run.name) for run in runs), default=0)
    epochs = max((len(_epoch(run)) for run in runs), default=0)
    return (
        Column("status", "", 1, priority=9, gap=0),
        Column("marked", "", 1, priority=8, gap=0),
        Column("name", "name", min(max(8, name), MIN_NAME_WIDTH), priority=9, stretch=True),
        Column("epoch", "epoch", min(max(5, epochs), 9), priority=7),
        Column("score", "result", SPLIT_WIDTH + width, priority=6, max_table_width=TWO_FIGURES - 1),
        Column("test", "test", width, priority=6, min_table_width=TWO_FIGURES),
        Column("val", "val", width, priority=6, min_table_width=TWO_FIGURES),
        *newest_column(runs),
        Column("time", "ETA/age", 7, priority=5),
        Column("device", "device", 7, priority=4, min_table_width=TWO_FIGURES),
        Column("model", "model", 14, priority=3, min_table_width=71),
        Column("data", "data", 14, priority=2, min_table_width=83),
        Column("started", "started", 12, priority=1, min_table_width=99),
    )


def newest_column(runs: Sequence[RunSummary]) -> tuple[Column, ...]:
    """A column for what scripts and logs of other programs call neither test nor validation, if there is any."""
    figures = [run.newest_score.text_without_epoch for run in runs if run.newest_score]
    width = min(max(map(cell_width, figures), default=0), MAX_NEWEST_WIDTH)
    return (
        (Column("newest", "newest", max(width, 6), priority=6, min_table_width=TWO_FIGURES),)
        if figures
        else ()
    )


TWO_FIGURES = 50
"""Cells of a table from which test and validation figures have columns of their own."""
MARKED = "◆"


@dataclass(frozen=True)
class RunRows:
    """Runs as rows of a table. A row is built when it is drawn: there may be ten thousand runs."""

    runs: Sequence[RunSummary]
    marked: frozenset[str] = frozenset()
    shared_names: frozenset[str] = frozenset()
    """Names that several runs have: the ends of their ids distinguish them."""
    repeats: Mapping[str, Repeats] = field(default_factory=dict)
    """By the id of a row that stands for several runs, those runs."""

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Row:
        run = self.runs[index]
        repeats = self.repeats.get(run.id)
        ids = repeats.ids if repeats else {run.id}
        cells: Cells = {
            "status": status_mark(run.status, run.phase),
            "marked": (MARKED, "bold $accent") if ids <= self.marked else "",
            "name": self._name(run, repeats),
            "epoch": _epoch(run),
            "score": _figure(run.scores[0].text_without_epoch, run.scores[0], repeats) if run.scores else "",
            "test": _figure(run.test_score.unlabeled_split, run.test_score, repeats)
            if run.test_score
            else "",
            "val": _figure(run.best_score.unlabeled_split, run.best_score, repeats) if run.best_score else "",
            "time": _time(run),
            "device": sanitize(run.device),
            "newest": run.newest_score.text_without_epoch if run.newest_score else "",
            "model": sanitize(short_name(run.model) or run.format),
            "data": sanitize(short_name(run.dataset) or run.command or "".join(run.logs[:1])),
            "started": text.format_time(run.created) if run.created else "",
        }
        return Row(run.id, cells)

    def _name(self, run: RunSummary, repeats: Repeats | None) -> CellContent | Callable[[int], CellContent]:
        if repeats is not None:
            return partial(fit_suffixed, sanitize(run.name), f" ×{len(repeats.runs)}")
        return partial(fit_name, run, shared=True) if run.name in self.shared_names else sanitize(run.name)


def _figure(text: str, score: Score, repeats: Repeats | None) -> str:
    return f"{text} {deviation(score, repeats)}".rstrip()


class RunTable(Table):
    """The runs, with marks. The cursor stays on its run when runs come and go."""

    DEFAULT_CSS = """
    RunTable { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
    ]
    cursor_style = "bold on $primary 30%"

    def __init__(self) -> None:
        super().__init__()
        self._runs: Sequence[RunSummary] = ()
        self._shared_names: frozenset[str] = frozenset()

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
    ) -> None:
        """Show `runs` with the cursor on `run_id`; where it is not among them, the cursor's index stays.

        `repeats`: by the id of a row that stands for several runs, those runs.
        """
        if runs is not self._runs:  # not on every cursor move: there may be ten thousand runs
            self._runs, self._columns, self._shared_names = (
                runs,
                table_columns(runs, repeats),
                shared_names(runs),
            )
        index = next((index for index, run in enumerate(runs) if run.id == run_id), None)
        self.set_rows(RunRows(runs, marked, self._shared_names, repeats), index)

    def action_mark(self) -> None:
        """Toggle the mark of the run under the cursor and move to the next one."""
        if self.key is not None:
            self.post_message(self.MarkToggled(self.key))
            self.move_to(self.cursor + 1)
