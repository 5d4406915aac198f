"""The top line: what the selected run is doing, and what happened since the last screen."""

from __future__ import annotations

import math
import time
from typing import Any

from textual.content import Content

from workbench import text
from workbench.runs.attempts import began, number_of
from workbench.runs.reader import RunView
from workbench.runs.records import number
from workbench.runs.report import reason
from workbench.runs.status import Status
from workbench.text import safe
from workbench.ui.marks import MUTED, mark_of
from workbench.ui.widgets.line import Line

FIRST_RUN = "digits-mlp"
LONGEST = 1e9
"""Seconds: what is said to take longer is not believed."""
PHASES = {"training": "", "evaluating": "evaluating", "paused": "paused", "stopping": "stopping"}


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
    mark, style = mark_of(view.status, str(beat.get("phase")))
    share = _share(beat)
    parts: list[Any] = [
        (f" {safe(view.name, max(8, width // 5))} ", "bold"),
        (mark, style),
        f" {_epochs(view)} ",
    ]
    best, ending = _best(view, wide=width >= 100), _ending(view, now)
    if view.status in {Status.FAILED, Status.LOST}:  # why matters more than how far it came
        return Content.assemble(*parts, " ", ending, f"  {best}")
    parts += [bar(share, max(6, width // 7), style), f" {share:.0%}  "]
    return Content.assemble(*parts, *([best, "  "] if best else []), ending)


def bar(share: float, width: int, style: str) -> Content:
    """A bar of thin lines, half a cell fine."""
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    full, half = divmod(halves, 2)
    return Content.assemble(("━" * full + "╸" * half, style), ("─" * (width - full - half), MUTED))


def _share(beat: dict[str, Any]) -> float:
    done, total = number(beat.get("step")) or 0.0, number(beat.get("steps_total")) or 0.0
    return min(1.0, done / total) if math.isfinite(done) and total > 0 else 0.0


def _epochs(view: RunView) -> str:
    train = view.experiment.get("train") or {}
    total = view.heartbeat.get("epochs_total") or train.get("epochs") or "?"
    return f"{view.heartbeat.get('epoch') or 0}/{total}"


def _best(view: RunView, *, wide: bool) -> str:
    """`best .913@12`: of the newest row that was the best when it was measured."""
    rows = [row for row in view.evaluations if row.get("best")]
    monitor = str((view.experiment.get("train") or {}).get("monitor") or "accuracy")
    value = number(rows[-1].get(monitor)) if rows else None
    if value is None:
        return ""
    return f"{'best ' if wide else ''}{text.fraction(value)}@{rows[-1].get('epoch', '?')}"


def eta(view: RunView) -> float | None:
    """Seconds to the end: what the worker says, else by the pace of this attempt."""
    beat = view.heartbeat
    if (said := number(beat.get("eta"))) is not None:
        return said
    start = began(view.journal).get(number_of(view.attempts[-1])) if view.attempts else None
    step, total = number(beat.get("step")), number(beat.get("steps_total"))
    seconds = beat.get("seconds") or {}
    spent = (number(seconds.get("train")) or 0.0) + (number(seconds.get("evaluate")) or 0.0)
    if start is None or step is None or total is None or step <= start:
        return None
    return (total - step) * spent / (step - start)


def _ending(view: RunView, now: float) -> Content:
    """When it will be there, what else it is doing, or how it ended."""
    beat = view.heartbeat
    if not view.status.live:
        why = reason(view) if view.status in {Status.FAILED, Status.LOST} else None
        return Content.assemble((f"{view.status}", mark_of(view.status)[1]), safe(f": {why}") if why else "")
    if view.status is not Status.RUNNING:
        return Content(str(view.status))
    phase = str(beat.get("phase") or "starting")
    if doing := PHASES.get(phase, phase):
        return Content(f"{safe(doing)}{_progress(beat)}")
    left = eta(view)
    if left is None or not 0 <= left < LONGEST:
        return Content("training")
    return Content(f"ETA {text.duration(left)} → {text.clock(now + left)}")


def _progress(beat: dict[str, Any]) -> str:
    progress = beat.get("progress") or {}
    done, total = number(progress.get("done")), number(progress.get("total"))
    if done is None:
        return ""
    what = safe(progress.get("what") or "", 24)
    return f" {what} {done / total:.0%}" if total and math.isfinite(done) else f" {what} {text.count(done)}"
