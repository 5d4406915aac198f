"""The top line: the state of the selected run, and what happened since the last visit."""

from __future__ import annotations

import time
from typing import Any

from textual.content import Content

from workbench.core import text
from workbench.core.text import sanitize
from workbench.runs.enums import Phase
from workbench.runs.eta import eta
from workbench.runs.external_log import last_change
from workbench.runs.nodes import describe_missing
from workbench.runs.reader import RunView
from workbench.runs.records import Heartbeat
from workbench.runs.run_report import end_reason, phase_seconds, view_scores
from workbench.runs.scores import scores_text
from workbench.runs.status import Status
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED, status_mark
from workbench.ui.widgets.text_line import TextLine

FIRST_RECIPE = "digits-mlp"


class StatusLine(TextLine):
    """A run's name, status mark, epoch, progress, best metric and ETA."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: RunView | None = None
        self._changes = ""
        self._empty = True

    def show_view(self, view: RunView | None, *, empty: bool) -> None:
        """Show the selected run; `empty`: there are no runs at all."""
        self._view, self._empty = view, empty
        self._redraw()

    def show_since_last_visit(self, changes: str) -> None:
        """Show what happened while the screen was closed."""
        if changes != self._changes:
            self._changes = changes
            self._redraw()

    @property
    def shows_all_changes(self) -> bool:
        """Whether the line has room for everything that happened while the screen was closed."""
        return sanitize(self._changes) in self.text

    def on_resize(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        if self.size.width > 0:
            self.show(status_text(self._view, self._changes, self.size.width, time.time(), empty=self._empty))


def status_text(
    view: RunView | None, changes: str, width: int, now: float, *, empty: bool = False
) -> Content:
    """The whole top line, `width` cells wide; `changes`: what happened since the last visit."""
    known = view is not None and (view.experiment or view.script or view.external or view.unreadable_files)
    left = run_text(view, width, now) if view is not None and known else _no_run(empty)
    if changes and view is not None and not view.status.live:
        # The reason of a failure may be long: the summary since the last visit gets up to half of the line.
        available = width - 4 - min(text.cell_width(sanitize(changes)), width // 2)
        left = left.truncate(max(available, 0), ellipsis=True)
    shown = fit_summary(changes, width - left.cell_length - 4)
    return Content.assemble(left, (" │ ", MUTED), (shown, "$accent")) if shown else left


def fit_summary(changes: str, width: int) -> str:
    """As many whole parts of `away 6h: +9 epochs, 1 resume` as fit into `width` cells; empty if none does."""
    head, _, rest = sanitize(changes).partition(": ")
    parts = rest.split(", ")
    for count in range(len(parts), 0, -1):
        line = f"{head}: {', '.join(parts[:count])}" + (", …" if count < len(parts) else "")
        if text.cell_width(line) <= width:
            return line if rest else head
    return ""


def _no_run(empty: bool) -> Content:
    if not empty:
        return Content(" …")
    return Content.assemble(" No runs yet. Press ", ("t", "bold $accent"), f" to train {FIRST_RECIPE}")


def run_text(view: RunView, width: int, now: float) -> Content:
    """`lr3e-2 ● 14/60 ━━━━╸───── 23%  best val .913@12  ETA 3h08 → 02:22`."""
    mark, style = status_mark(view.status, view.heartbeat.phase)
    fraction = _fraction_done(view)
    parts: list[Any] = [
        (f" {sanitize(view.name, max(8, width // 5))} ", "bold"),
        (mark, style),
        f" {_epochs(view)} ",
    ]
    best = scores_text(view_scores(view), best="best " if width >= 100 else "")
    state = _state_text(view, now)
    if view.unreadable_files:
        state += f"  can't read {', '.join(view.unreadable_files)}"
    if view.status in {
        Status.FAILED,
        Status.CRASHED,
        Status.UNKNOWN,
    }:  # the reason matters more than the progress
        return Content.assemble(*parts, " ", state, f"  {best}")
    if view.waiting is not None and not view.heartbeat.step:  # there is no progress to show
        return Content.assemble(*parts, " ", state)
    if view.external is not None:  # nobody knows how much is to come
        return Content.assemble(*parts, f" {best}  " if best else " ", state)
    done, left = bar(fraction, max(6, width // 7), BarStyle.PROGRESS)
    parts += [(done, style), (left, MUTED), f" {fraction:.0%}  "]
    return Content.assemble(*parts, *([best, "  "] if best else []), state)


def _fraction_done(view: RunView) -> float:
    beat = view.heartbeat
    if view.script is not None:
        progress, epochs = beat.progress, beat.epochs_total or 1
        inside = progress.done / progress.total if progress and progress.total else 0.0
        done = 1.0 if view.status is Status.FINISHED else (beat.epoch + inside) / epochs
        return min(1.0, done)
    total = beat.steps_total or 0
    return min(1.0, beat.step / total) if total > 0 else 0.0


def _epochs(view: RunView) -> str:
    if not view.is_training and not view.heartbeat.epochs_total:
        return f"step {view.logged_step}" if view.logged else ""
    planned = view.experiment.train.epochs if view.experiment else None
    return f"{view.heartbeat.epoch}/{view.heartbeat.epochs_total or planned or '?'}"


def _state_text(view: RunView, now: float) -> Content:
    """The ETA, the phase other than training, or how the run ended; of a log when it was last written."""
    heartbeat = view.heartbeat
    if view.status is Status.LOG and view.external is not None:
        return Content.styled(f"{view.external.format} log, {last_change(view.external)}", MUTED)
    if view.waiting is not None:
        waiting = view.waiting
        return Content.assemble(
            (f"queued {waiting.place}", status_mark(view.status)[1]),
            f": waits for {sanitize(waiting.text)}",
        )
    if not view.status.live:
        reason = None if view.status in {Status.FINISHED, Status.STOPPED} else end_reason(view)
        style = status_mark(view.status)[1]
        return Content.assemble((f"{view.status}", style), sanitize(f": {reason}") if reason else "")
    if view.status is not Status.RUNNING:
        return Content(f"{view.status}{_clock(view, now)}")
    if heartbeat.phase in {Phase.LOADING, Phase.TUNING}:
        return Content(f"{heartbeat.phase}{_progress(heartbeat)}{_clock(view, now)}")
    if heartbeat.phase is Phase.WAITING_FOR_NODES:
        return Content.styled(describe_missing(view.nodes, now) or f"{heartbeat.phase}", "$warning")
    if heartbeat.phase not in {Phase.TRAINING, Phase.RUNNING}:
        return Content(f"{heartbeat.phase or 'starting'}{_progress(heartbeat)}")
    seconds = eta(heartbeat)
    if seconds is None:
        return Content(f"{heartbeat.phase}")
    return Content(f"ETA {text.format_duration(seconds)} → {text.format_time(now + seconds, now)}")


def _clock(view: RunView, now: float) -> str:
    """How long the run has been loading, or choosing its CPU threads."""
    seconds = phase_seconds(view, now)
    return "" if seconds is None else f" {text.format_duration(seconds)}"


def _progress(heartbeat: Heartbeat) -> str:
    progress = heartbeat.progress
    if progress is None:
        return ""
    part = f"{progress.done / progress.total:.0%}" if progress.total else text.format_count(progress.done)
    return f" {sanitize(progress.what, 24)}{f' {part}' if progress.done or progress.total else ''}"
