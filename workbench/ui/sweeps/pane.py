"""The sweeps pane: the sweeps, and of one of them its trials, its history and what its settings explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from workbench.core.text import format_compact
from workbench.sweeps.records import SweepStatus, TrialSummary
from workbench.sweeps.space import Choices
from workbench.sweeps.sweep_folder import EXAMPLE, NO_SWEEPS, SweepView
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import (
    Notify,
    RunOpened,
    SweepRemovalRequested,
    SweepResumeRequested,
    SweepStarted,
    SweepStopRequested,
    TrialChosen,
)
from workbench.ui.base.pane import Pane, PaneServices
from workbench.ui.sweeps.sweep_plots import (
    choice_lines,
    draw_history,
    draw_marginal,
    importance_lines,
    param_keys,
)
from workbench.ui.sweeps.trial_table import (
    SWEEP_COLUMNS,
    SweepTable,
    TrialTable,
    sweep_row,
    trial_columns,
    trial_rows,
)
from workbench.ui.widgets.plot import Drawing, Plot

WIDE_CELLS = 96
"""Cells of the pane from which trials and plots stand side by side."""
MAX_SWEEP_ROWS = 5
PARTS = ("-trials", "-history", "-settings")
"""What a narrow pane shows under the list of sweeps, one at a time."""
HOW_TO_START = f"{NO_SWEEPS} S searches settings of the experiment in pane 2; so does {EXAMPLE}"
NO_RESULT = "No result yet."


class SweepsPane(Pane):
    """Follows sweeps; the best trial, or any other, becomes a new experiment by one key."""

    ID = PaneId.SWEEPS

    DEFAULT_CSS = """
    SweepsPane #no-sweeps { display: none; color: $text-muted; }
    SweepsPane.-empty #no-sweeps { display: block; }
    SweepsPane.-empty #sweeps, SweepsPane.-empty #sweep-parts { display: none; }
    SweepsPane #sweeps { height: 2; }
    SweepsPane #sweep-parts { height: 1fr; }
    SweepsPane #trials { width: 3fr; }
    SweepsPane #sweep-charts { width: 2fr; height: 1fr; padding-left: 1; }
    SweepsPane #importances { height: auto; max-height: 50%; }
    SweepsPane #choices { height: 1fr; display: none; }
    SweepsPane.-choices #choices { display: block; }
    SweepsPane.-choices #marginal { display: none; }
    SweepsPane.-one.-trials #sweep-charts { display: none; }
    SweepsPane.-one.-history #trials, SweepsPane.-one.-settings #trials { display: none; }
    SweepsPane.-one #sweep-charts { width: 1fr; padding-left: 0; }
    SweepsPane.-one #trials { width: 1fr; }
    SweepsPane.-one.-history #importances, SweepsPane.-one.-history #marginal, SweepsPane.-one.-history #choices {
        display: none;
    }
    SweepsPane.-one.-settings #history { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "load_best", "best → experiment"),
        Binding("enter", "load_trial", "trial → experiment"),
        Binding("m", "next_setting", "other setting"),
        Binding("v", "next_part", "view"),
        Binding("a", "open_run", "run of the trial"),
        Binding("s", "stop_sweep", "stop the sweep"),
        Binding("r", "resume_sweep", "resume the sweep"),
        Binding("o", "order", "best or newest first", show=False),
        Binding("x", "remove_sweep", "move the sweep to the trash", show=False),
    ]

    def __init__(
        self, services: PaneServices | None = None, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(services, id=id, classes=classes)
        self._part = 0
        self._setting = ""
        """The full name of the setting over which the results are drawn."""
        self._by_value = True
        self._shown: tuple[object, ...] = ()
        """What the trials and the plots were drawn for."""
        self._wanted = ""
        """The name of a sweep that the cursor shall go to once it is known."""

    def compose(self) -> ComposeResult:
        yield Static(HOW_TO_START, id="no-sweeps", markup=False)
        yield SweepTable(id="sweeps")
        with Horizontal(id="sweep-parts"):
            yield TrialTable(id="trials")
            with Vertical(id="sweep-charts"):
                yield Plot(id="history")
                yield Static("", id="importances", markup=False)
                yield Plot(id="marginal")
                yield Static("", id="choices", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.add_class(PARTS[self._part])
        self._show()

    @property
    def sweep_table(self) -> SweepTable:
        """The list of sweeps."""
        return self.query_one(SweepTable)

    @property
    def trial_table(self) -> TrialTable:
        """The trials of the sweep under the cursor."""
        return self.query_one(TrialTable)

    @property
    def sweep(self) -> SweepView | None:
        """The sweep under the cursor."""
        return next((view for view in self.sweeps if view.folder.name == self.sweep_table.key), None)

    @property
    def trial(self) -> TrialSummary | None:
        """The trial under the cursor."""
        trials = self.sweep.summary.trials if self.sweep else ()
        return next((trial for trial in trials if str(trial.number) == self.trial_table.key), None)

    # Values

    def watch_sweeps(self) -> None:
        self._show()

    def on_show(self) -> None:
        self._show()

    def on_resize(self) -> None:
        super().on_resize()
        self.set_class(self.size.width < WIDE_CELLS, "-one")
        self._show()

    @on(SweepTable.RowHighlighted)
    def _sweep_highlighted(self) -> None:
        self._show()

    @on(Plot.Resized)
    def _plot_resized(self) -> None:
        self._show()

    def _show(self) -> None:
        if not self.is_mounted or not self.is_on_screen or self.size.area == 0:
            return
        self.set_class(not self.sweeps, "-empty")
        self.sweep_table.styles.height = 1 + max(1, min(len(self.sweeps), MAX_SWEEP_ROWS))
        self.sweep_table.show(SWEEP_COLUMNS, [sweep_row(view) for view in self.sweeps])
        if any(view.folder.name == self._wanted for view in self.sweeps):
            self.sweep_table.go_to(self._wanted)
            self._wanted = ""
        view = self.sweep
        self.headline = _headline(view)
        self.refresh_bindings()
        if view is None:
            return
        keys = param_keys(view.definition)
        if self._setting not in keys:
            self._setting = next(iter(view.summary.importances or keys))
        width = self.query_one("#sweep-charts").content_size.width
        shown = view, self._setting, self._by_value, self._part, self.size, width
        if shown != self._shown:
            self._shown = shown
            self._show_sweep(view, width)

    def _show_sweep(self, view: SweepView, width: int) -> None:
        self.trial_table.show(trial_columns(view.definition), trial_rows(view, by_value=self._by_value))
        self.set_class(isinstance(view.definition.spaces[self._setting], Choices), "-choices")
        _draw(self.query_one("#history", Plot), draw_history(view))
        _draw(self.query_one("#marginal", Plot), draw_marginal(view, self._setting))
        _write(self.query_one("#importances", Static), importance_lines(view, width, self._setting))
        _write(self.query_one("#choices", Static), choice_lines(view, self._setting, width))

    @on(SweepStarted)
    def _sweep_started(self, event: SweepStarted) -> None:
        self._wanted = event.name
        self._show()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        view = self.sweep if self.is_mounted else None
        match action:
            case "next_part":
                return view is not None and self.has_class("-one")
            case "stop_sweep":
                return view is not None and view.status in {SweepStatus.RUNNING, SweepStatus.QUEUED}
            case "resume_sweep":
                stopped = {SweepStatus.STOPPED, SweepStatus.FAILED, SweepStatus.INTERRUPTED}
                return view is not None and view.status in stopped
            case "remove_sweep":
                return view is not None and not view.status.live
            case "load_best":
                return view is not None and view.summary.best is not None
            case "next_setting":
                return view is not None
            case "load_trial" | "open_run" | "order":
                return view is not None and self.trial_table.display
        return True

    @on(SweepTable.RowSelected)
    def _sweep_selected(self) -> None:
        self._show_part(0)
        self.call_after_refresh(self.trial_table.focus)  # it may have been hidden until now

    @on(TrialTable.RowSelected)
    def action_load_trial(self) -> None:
        """Load the settings of the trial under the cursor into the experiment pane."""
        self._load(self.trial)

    def action_load_best(self) -> None:
        """Load the settings of the best trial into the experiment pane."""
        self._load(self.sweep.summary.best_trial if self.sweep else None)

    def _load(self, trial: TrialSummary | None) -> None:
        if trial is None or not trial.run:
            self.post_message(Notify("this trial has no run yet", "warning", transient=True))
            return
        self.post_message(TrialChosen(trial.run, trial.number))

    def action_open_run(self) -> None:
        """Show the curves of the trial under the cursor."""
        if self.trial is not None and self.trial.run:
            self.post_message(RunOpened(self.trial.run))

    def action_next_setting(self) -> None:
        """Draw the results over the next setting."""
        if self.sweep is not None:
            keys = param_keys(self.sweep.definition)
            self._setting = keys[(keys.index(self._setting) + 1) % len(keys)]
            self._show()

    def action_next_part(self) -> None:
        """Show the trials, the history or the settings, where there is no room for all."""
        self._show_part((self._part + 1) % len(PARTS))
        if self._part:  # the trials, which may have the focus, are hidden now
            self.sweep_table.focus()

    def _show_part(self, part: int) -> None:
        self._part = part
        for index, name in enumerate(PARTS):
            self.set_class(index == part, name)
        self.call_after_refresh(self._show)

    def action_order(self) -> None:
        """Order the trials by their results, or by their age."""
        self._by_value = not self._by_value
        self._show()

    def action_stop_sweep(self) -> None:
        """Stop the sweep and its runs after a checkpoint."""
        if self.sweep is not None:
            self.post_message(SweepStopRequested(self.sweep.folder))

    def action_resume_sweep(self) -> None:
        """Continue the sweep where it was."""
        if self.sweep is not None:
            self.post_message(SweepResumeRequested(self.sweep.folder))

    def action_remove_sweep(self) -> None:
        """Move the sweep under the cursor to the trash, without its runs."""
        if self.sweep is not None:
            self.post_message(SweepRemovalRequested(self.sweep.folder))

    def text_to_copy(self) -> str:
        """The path of the sweep's folder."""
        return str(self.sweep.folder.path) if self.sweep else ""


def _headline(view: SweepView | None) -> str:
    if view is None:
        return ""
    parts = [view.folder.name, f"{view.summary.ended} of {view.definition.trials} trials"]
    if (best := view.summary.best_trial) is not None:
        parts.append(f"best {format_compact(best.value)}")
    if view.error or view.waits_for:
        parts.append(view.error or f"waits for {view.waits_for}")
    return "──".join(parts)


def _draw(plot: Plot, drawing: Drawing | None) -> None:
    if drawing is None:
        plot.show_message(NO_RESULT)
        return
    plot.draw(drawing.series, drawing.x_axis, drawing.y_axis, drawing.marks, drawing.title)


def _write(static: Static, lines: Sequence[Content]) -> None:
    static.update(Content("\n").join(lines))
