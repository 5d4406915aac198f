"""The top line: what the selected run is doing, and what happened since the last screen."""

from __future__ import annotations

import time
from typing import Any

from textual.content import Content

from workbench.core import text
from workbench.core.text import safe
from workbench.runs.enums import Phase
from workbench.runs.reader import RunView
from workbench.runs.records import Heartbeat
from workbench.runs.run_report import eta, reason
from workbench.runs.status import Status
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.base.status_style import MUTED, mark_of
from workbench.ui.widgets.text_line import Line

FIRST_RUN = "digits-mlp"


class StatusLine(Line):
    """Shows a run's name, mark, epoch, progress, best figure and when it will be there."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._view: RunView | None = None
        self._since = ""
        self._empty = True

    def show_view(self, view: RunView | None, *, empty: bool) -> None:
        """Show the selected run; `empty` where there is none at all."""
        self._view, self._empty = view, empty
        self._redraw()

    def show_since(self, since: str) -> None:
        """Show what happened while nobody looked."""
        self._since = since
        self._redraw()

    def on_resize(self) -> None:
        """The bar grows with the line."""
        self._redraw()

    def _redraw(self) -> None:
        if self.size.width > 0:
            self.show(line(self._view, self._since, self.size.width, time.time(), empty=self._empty))


def line(view: RunView | None, since: str, width: int, now: float, *, empty: bool = False) -> Content:
    """The whole top line, within `width` cells."""
    left = run_part(view, width, now) if view is not None and view.experiment else _no_run(empty)
    if since and view is not None and not view.status.live:
        # Why it failed may be long: what happened meanwhile has up to half of the line.
        kept = width - 4 - min(text.cell_width(safe(since)), width // 2)
        left = left.truncate(max(kept, 0), ellipsis=True)
    room = width - left.cell_length - 4
    if not since or room < 8:
        return left
    return Content.assemble(left, (" │ ", MUTED), (text.cut(safe(since), room), "$accent"))


def _no_run(empty: bool) -> Content:
    if not empty:
        return Content(" …")
    return Content.assemble(" no runs yet: press ", ("t", "bold $accent"), f" to train {FIRST_RUN}")


def run_part(view: RunView, width: int, now: float) -> Content:
    """`lr3e-2 ● 14/60 ━━━━╸───── 23%  best .913@12  ETA 3h08 → 02:22`, with a bar that fits."""
    beat = view.heartbeat
    mark, style = mark_of(view.status, beat.phase)
    share = _share(beat)
    parts: list[Any] = [
        (f" {safe(view.name, max(8, width // 5))} ", "bold"),
        (mark, style),
        f" {_epochs(view)} ",
    ]
    best, ending = _best(view, wide=width >= 100), _ending(view, now)
    if view.status in {Status.FAILED, Status.LOST}:  # why matters more than how far it came
        return Content.assemble(*parts, " ", ending, f"  {best}")
    done, left = bar(share, max(6, width // 7), BarStyle.PROGRESS)
    parts += [(done, style), (left, MUTED), f" {share:.0%}  "]
    return Content.assemble(*parts, *([best, "  "] if best else []), ending)


def _share(beat: Heartbeat) -> float:
    total = beat.steps_total or 0
    return min(1.0, beat.step / total) if total > 0 else 0.0


def _epochs(view: RunView) -> str:
    planned = view.experiment.train.epochs if view.experiment else None
    return f"{view.heartbeat.epoch}/{view.heartbeat.epochs_total or planned or '?'}"


def _best(view: RunView, *, wide: bool) -> str:
    """`best .913@12`: of the newest row that was the best when it was measured."""
    newest = next((row for row in reversed(view.evaluations) if row.best), None)
    if newest is None or view.experiment is None:
        return ""
    value = newest.metric(view.experiment.train.monitor)
    return "" if value is None else f"{'best ' if wide else ''}{text.fraction(value)}@{newest.epoch:.0f}"


def _ending(view: RunView, now: float) -> Content:
    """When it will be there, what else it is doing, or how it ended."""
    beat = view.heartbeat
    if not view.status.live:
        why = reason(view) if view.status in {Status.FAILED, Status.LOST} else None
        return Content.assemble((f"{view.status}", mark_of(view.status)[1]), safe(f": {why}") if why else "")
    if view.status is not Status.RUNNING:
        return Content(str(view.status))
    if beat.phase is not Phase.TRAINING:
        return Content(f"{beat.phase or 'starting'}{_progress(beat)}")
    left = eta(beat)
    if left is None:
        return Content("training")
    return Content(f"ETA {text.duration(left)} → {text.clock(now + left)}")


def _progress(beat: Heartbeat) -> str:
    progress = beat.progress
    if progress is None:
        return ""
    part = f"{progress.done / progress.total:.0%}" if progress.total else text.count(progress.done)
    return f" {safe(progress.what, 24)} {part}"
