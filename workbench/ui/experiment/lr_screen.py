"""A screen that finds a learning rate: the loss of real steps over their rate, and what it suggests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from workbench.charts.axes import Axis, fit_axis
from workbench.config.experiment import Experiment
from workbench.core.errors import RunFailed, UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import sanitize
from workbench.planning.client import PlanProcess
from workbench.planning.lr_curve import HIGHEST_RATE, LOWEST_RATE, LrCurve
from workbench.planning.plan import Measurement
from workbench.ui.base.dialog import Dialog
from workbench.ui.widgets.plot import Mark, Plot, Series

HIGHEST_SHOWN = 1.3
"""The plot ends at so many times the first loss: beyond it, the steps diverge."""


class LrScreen(Dialog[float | None]):
    """The loss over the learning rate; `enter` and `v` return a suggested rate."""

    DEFAULT_CSS = """
    LrScreen { align: center middle; }
    LrScreen > Vertical {
        width: 90%; height: 80%; border: round $accent; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,L", "dismiss(None)", "back"),
        Binding("enter,ctrl+j", "use_steepest", "use the steepest descent"),
        Binding("v", "use_valley", "use the valley"),
    ]

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        self._experiment = experiment
        self.curve: LrCurve | None = None
        """The result, once it is there."""
        self._process: PlanProcess | None = None
        self._left = False

    def compose(self) -> ComposeResult:
        with Vertical() as frame:
            frame.border_title = "Loss over learning rate"
            frame.border_subtitle = "esc back"
            yield Plot()

    def on_mount(self) -> None:
        self.query_one(Plot).show_message("trying learning rates…")
        self._find()

    def on_unmount(self) -> None:
        self._left = True
        if self._process is not None:
            self._process.cancel()

    @work(group="lr")
    async def _find(self) -> None:
        report = partial(self.app.call_from_thread, self._show_progress)
        try:
            self.curve = await asyncio.to_thread(self._measure, report)
        except Cancelled:
            return
        except (UserError, RunFailed, OSError) as error:
            self.query_one(Plot).show_message(sanitize(str(error)))
            return
        self._show(self.curve)

    def _measure(self, report: Callable[[Progress], None]) -> LrCurve:
        with PlanProcess(self._experiment, Measurement.LEARNING_RATES) as process:
            self._process = process
            if self._left:
                raise Cancelled
            return process.wait_for_lr_curve(report)

    def _show_progress(self, progress: Progress) -> None:
        if self.is_mounted and not self._left:
            done = f" {100 * progress.done // progress.total} %" if progress.total else ""
            self.query_one(Plot).show_message(f"{sanitize(progress.what)}{done}")

    def _show(self, curve: LrCurve) -> None:
        marks = [
            Mark(x=rate, label=f"{name} {rate:g}", style=style, glyph="┆")
            for name, rate, style in (
                ("steepest", curve.steepest, "$success"), ("valley", curve.valley, "$warning"),
            )
            if rate is not None
        ]  # fmt: skip
        series = [
            Series("loss", curve.rates, curve.losses, "$foreground-muted", "points"),
            Series("smoothed", curve.rates, curve.smoothed, "$accent"),
        ]
        title = [("loss of a step", "$accent"), ("  over its learning rate, smoothed", "$foreground-muted")]
        x_axis = Axis(LOWEST_RATE, HIGHEST_RATE, "log")
        first = curve.smoothed[0]
        y_axis = fit_axis([loss for loss in curve.smoothed if loss <= HIGHEST_SHOWN * first])
        self.query_one(Plot).draw(series, x_axis, y_axis, marks, title)
        self.query_one(Vertical).border_subtitle = (
            f"enter {curve.steepest:g} (steepest)  v {curve.valley:g} (valley)  esc back"
            if curve.steepest is not None and curve.valley is not None
            else "the loss falls at no rate  esc back"
        )

    def action_use_steepest(self) -> None:
        """Use the rate at which the loss falls fastest."""
        self._use(self.curve.steepest if self.curve else None)

    def action_use_valley(self) -> None:
        """Use the rate in the middle of the fall."""
        self._use(self.curve.valley if self.curve else None)

    def _use(self, rate: float | None) -> None:
        if rate is not None:
            self.dismiss(rate)
