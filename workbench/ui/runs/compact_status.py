"""The narrow screen, where one pane is visible: a row of tabs above it and status lines below it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from workbench.core import text
from workbench.core.text import sanitize
from workbench.runs.confusions import confused_pairs
from workbench.runs.metrics import EvaluationFile
from workbench.runs.reader import RunView
from workbench.runs.run_report import elapsed_seconds, throughput
from workbench.runs.scores import split_label
from workbench.runs.store import RunSummary
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.base.status_style import MUTED, fit_name, shared_names, status_mark
from workbench.ui.plots.insights import top_confusion
from workbench.ui.widgets.text_line import TextLine

MAX_OTHER_RUNS = 5
"""The most other runs that one line lists."""


class PaneTabs(TextLine):
    """`1 Runs  2 Exp ▐3 Plots▌ 4 Class`: number and name of every pane; the active one is highlighted."""

    @dataclass
    class Clicked(Message):
        """A tab was clicked."""

        pane_id: PaneId

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._extents = list[tuple[int, int, PaneId]]()

    def show_active(self, active: PaneId) -> None:
        """Highlight the tab of the active pane."""
        parts: list[Any] = []
        self._extents, x = [], 0
        for pane_id, spec in PANES.items():
            left, right = ("▐", "▌") if pane_id == active else (" ", " ")
            style = "bold $foreground on $primary 40%" if pane_id == active else MUTED
            label = f"{spec.key} {spec.short_title}"
            parts += [(left, "$primary 40%"), (label, style), (right, "$primary 40%")]
            self._extents.append((x, x + len(label) + 2, pane_id))
            x += len(label) + 2
        self.show(Content.assemble(*parts))

    def on_click(self, event: events.Click) -> None:
        for start, end, pane_id in self._extents:
            if start <= event.x < end:
                self.post_message(self.Clicked(pane_id))


class CompactStatus(Vertical):
    """The pane's keys, the throughput, the worst classes, the other runs and the most frequent confusion."""

    DEFAULT_CSS = """
    CompactStatus { height: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[RunSummary] = ()
        self._candidates: Sequence[RunSummary] = ()
        self._run_id: str | None = None

    def compose(self) -> Any:
        for name in ("keys", "speed", "worst-classes", "other-runs", "confusion"):
            yield TextLine(id=f"status-{name}")

    def show_keys(self, keys: str) -> None:
        """Show the key bindings of the active pane."""
        self._line("keys", Content.styled(f" {keys}", MUTED))
        self.query_one("#status-keys").display = bool(keys)

    def hide_lines_of(self, active: PaneId) -> None:
        """Hide the lines whose content the active pane shows itself."""
        for name in ("speed", "confusion"):
            self.query_one(f"#status-{name}").display = active is not PaneId.PLOTS
        self.query_one("#status-other-runs").display = active is not PaneId.RUNS
        self.query_one("#status-worst-classes").display = active is not PaneId.CLASSES

    def show_view(self, view: RunView | None) -> None:
        """Show the throughput and progress of the selected run."""
        self._line("speed", speed_line(view))

    def show_evaluations(self, evaluations: Sequence[EvaluationFile]) -> None:
        """Show the worst classes and the most frequent confusion of the first evaluation."""
        newest = evaluations[0] if evaluations else None
        self._line("worst-classes", worst_classes_line(newest))
        self._line("confusion", top_confusion_line(newest))

    def show_runs(self, rows: Sequence[RunSummary], run_id: str | None) -> None:
        """Show the runs other than `run_id`."""
        if rows is not self._rows:  # not on every cursor move: there may be ten thousand runs
            self._rows, self._candidates = rows, first_runs(rows)
        self._run_id = run_id
        self._show_other_runs()

    def on_resize(self) -> None:
        self._show_other_runs()

    def _show_other_runs(self) -> None:
        self._line("other-runs", other_runs_line(self._candidates, self._run_id, max(1, self.size.width)))

    def _line(self, name: str, content: Content) -> None:
        self.query_one(f"#status-{name}", TextLine).show(content)


def speed_line(view: RunView | None) -> Content:
    """`183 samples/s · step 4928 · lr .015 · elapsed 3h08 · cuda:0`."""
    if view is None or not view.heartbeat.attempt:  # no heartbeat yet
        return Content("")
    heartbeat, parts = view.heartbeat, []
    if rate := throughput(view):
        parts.append(f"{text.format_count(rate)} samples/s")
    parts.append(f"step {max(heartbeat.step, view.logged_step)}")
    learning_rates = view.steps.column("lr")
    if learning_rates:
        parts.append(f"lr {text.format_learning_rate(learning_rates[-1])}")
    if elapsed := elapsed_seconds(view).total:
        parts.append(f"elapsed {text.format_duration(elapsed)}")
    if heartbeat.device:
        parts.append(sanitize(heartbeat.device))
    return Content(" " + " · ".join(parts))


def worst_classes_line(evaluation: EvaluationFile | None) -> Content:
    """`worst val  cat .81→dog  dog .86→cat  bird .88→deer`: recall and most frequent wrong prediction."""
    if evaluation is None:
        return Content("")
    known = [(row.accuracy, row.name) for row in evaluation.per_class
             if row.accuracy is not None and math.isfinite(row.accuracy)]  # fmt: skip
    if not known:
        return Content("")
    predicted = {true: name for true, name, _ in reversed(confused_pairs(evaluation))}
    parts: list[Any] = [(f" worst {split_label(evaluation.split)}  ", MUTED)]
    for recall, name in sorted(known, key=lambda pair: pair[0])[:3]:
        prediction = f"→{sanitize(predicted[name], 10)}" if name in predicted else ""
        parts.append(f"{sanitize(name, 12)} {text.format_fraction(recall)}{prediction}  ")
    return Content.assemble(*parts)


def top_confusion_line(evaluation: EvaluationFile | None) -> Content:
    """`⚠ cat→dog: 14% of all val errors`."""
    confusion = top_confusion(evaluation)
    return Content.assemble((" ⚠ ", "$warning"), confusion) if confusion else Content("")


def first_runs(rows: Sequence[RunSummary]) -> list[RunSummary]:
    """As many runs as the line lists and one more: live runs first, then the newest."""
    live = [row for row in rows if row.status.live]
    return list({row.id: row for row in [*live, *rows[: MAX_OTHER_RUNS + 1]]}.values())[: MAX_OTHER_RUNS + 1]


def other_runs_line(rows: Sequence[RunSummary], run_id: str | None, width: int = 200) -> Content:
    """`other  ● lr1e-1  ✓ lr1e-2 test .902  ✗ lr1`: live runs first, as many as fit into `width` cells."""
    rest = [row for row in first_runs(rows) if row.id != run_id][:MAX_OTHER_RUNS]
    if not rest:
        return Content("")
    line, shared = Content.styled(" other  ", MUTED), shared_names(rows)
    for row in rest:
        score = f" {row.scores[0].text_without_epoch}" if row.scores else ""
        name = fit_name(row, 16, shared=row.name in shared)
        longer = Content.assemble(line, status_mark(row.status, row.phase), f" {name}{score}  ")
        if longer.cell_length > width + 2:  # the blanks at the end may be cut
            break
        line = longer
    return line
