"""The terminal app: composes the panes, the services that keep them up to date, and the actions of the keys."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

from textual import events, on
from textual.actions import ActionParseResult, parse
from textual.app import ComposeResult
from textual.dom import DOMNode
from textual.driver import Driver
from textual.widgets import Input, Static

from workbench.runs.store import Store
from workbench.runs.tickets import QueueMove
from workbench.ui.actions.app_host import AppHost
from workbench.ui.actions.live_tuning import LiveTuning
from workbench.ui.actions.navigation import move_cursor
from workbench.ui.actions.queue import hold_or_release, move_in_queue, queue_labels
from workbench.ui.actions.runs import RunActions
from workbench.ui.actions.targets import RunTargets
from workbench.ui.actions.undo import UndoStack
from workbench.ui.base import messages
from workbench.ui.base.crash_report import CrashReport
from workbench.ui.base.key_queue import OrderedKeys
from workbench.ui.base.layout import SMALLEST, PaneId
from workbench.ui.base.pane import Pane
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.base.terminal_app import TerminalApp
from workbench.ui.base.theme import THEME
from workbench.ui.bindings import PANE_KEYS, RUN_KEYS, SCREEN_KEYS
from workbench.ui.command_palette import ActionCommands, Palette
from workbench.ui.key_bar import KeyBar
from workbench.ui.main_screen import MainScreen
from workbench.ui.main_view import MainView
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services.run_state import RunState
from workbench.ui.services.run_updates import RunUpdates
from workbench.ui.widgets.notice_bar import NotificationBar

if TYPE_CHECKING:
    from workbench.compute.client import ComputeClient

SAVE_SECONDS = 60.0


class WorkbenchApp(OrderedKeys, CrashReport, TerminalApp):
    """The workbench in a terminal."""

    TITLE = "workbench"
    CSS_PATH = "app.tcss"
    COMMANDS = {ActionCommands}
    AUTO_FOCUS = None
    BINDINGS = [*RUN_KEYS, *SCREEN_KEYS, *PANE_KEYS]

    def __init__(self, store: Store | None = None, driver_class: type[Driver] | None = None) -> None:
        # With NO_COLOR alone Textual would send grays; with the terminal's own colors it sends none.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None, driver_class=driver_class)
        self.register_theme(THEME)
        self.theme = THEME.name
        self.runs = RunState(store or Store.default())
        self.store = self.runs.store
        self._compute: ComputeClient | None = None
        self.main_view = MainView(self.runs, self.open_compute)
        self.navigation = self.main_view.navigation
        self.host = AppHost(self, self.store, self.refresh_runs)
        self.targets, self.undo_stack = RunTargets(self.runs), UndoStack(self.host)
        self.live_tuning = LiveTuning(self.host, self.targets, self.undo_stack)
        self.run_actions = RunActions(
            self.host, self.targets, self.undo_stack, lambda: self.main_view.experiment_editor
        )
        self.updates = RunUpdates(self.runs, self.main_view, self.host, self._deliver)

    def open_compute(self) -> ComputeClient:
        """The client of the compute process, which starts with its first request."""
        from workbench.compute.client import ComputeClient

        if self._compute is None:
            self._compute = ComputeClient(self.store.home / "compute.log")
        return self._compute

    def _deliver(self, snapshot: Snapshot) -> None:
        """Called in the thread of the monitor."""
        self.post_message(messages.SnapshotReady(snapshot))

    def get_default_screen(self) -> MainScreen:
        return MainScreen(
            lambda: {
                "pause": self.live_tuning.pause_label,
                **queue_labels(self.targets),
                "zoom": "all panes" if self.navigation.zoomed else "zoom",
            }
        )

    def compose(self) -> ComposeResult:
        yield self.main_view
        yield KeyBar(id="keys")
        yield Static(f"too small: at least {SMALLEST[0]}×{SMALLEST[1]} cells", markup=False, id="too-small")

    async def on_mount(self) -> None:
        """Show the runs at once, the other panes after the first frame."""
        self.navigation.resize(self.size)
        await self.navigation.mount_pane(PaneId.RUNS)
        self.updates.start()
        self.set_interval(SAVE_SECONDS, self._every_minute)
        self.call_after_refresh(self._mount_other_panes)

    async def _mount_other_panes(self) -> None:
        await self.navigation.mount_all()
        if not self.is_headless:
            gc.enable()
            gc.freeze()  # modules stay loaded: scanning them at every collection would delay keys

    def on_unmount(self) -> None:
        self.updates.stop()
        if self._compute is not None:
            self._compute.close()

    def refresh_runs(self, run_id: str | None = None) -> None:
        """Poll the runs at once; show `run_id` if it is given, a run that was just started."""
        self.updates.refresh(run_id)
        if run_id is not None and self.navigation.single:
            self.call_later(self.navigation.go_to, PaneId.PLOTS)

    def _every_minute(self) -> None:
        self.main_view.show_rows()  # for the ages of the runs
        self.run_worker(self.updates.save_visit, thread=True, exit_on_error=False)

    # Messages of the monitor, the panes and the widgets

    @on(messages.SnapshotReady)
    def _snapshot_ready(self, event: messages.SnapshotReady) -> None:
        exiting = not self.main_view.query_children(StatusLine)
        self.updates.apply(None if exiting else event.snapshot)

    @on(messages.PaneMounted)
    def _pane_mounted(self, event: messages.PaneMounted) -> None:
        if event.pane_id is PaneId.EXPERIMENT:
            self.run_actions.run_deferred()

    @on(messages.RunSelected)
    def _run_selected(self, event: messages.RunSelected) -> None:
        self.updates.select(event.run_id)

    @on(messages.RunOpened)
    async def _run_opened(self, event: messages.RunOpened) -> None:
        self.updates.select(event.run_id)
        await self.navigation.go_to(PaneId.PLOTS)

    @on(messages.MarksChanged)
    def _marks_changed(self, event: messages.MarksChanged) -> None:
        self.runs.marked_ids = event.run_ids
        self.main_view.show_marks()
        self.refresh_bindings()

    @on(messages.GroupSelected)
    def _group_selected(self, event: messages.GroupSelected) -> None:
        self.runs.group_ids = event.run_ids
        self.main_view.show_group()
        self.refresh_bindings()

    @on(messages.OverlaysRequested)
    def _overlays_requested(self, event: messages.OverlaysRequested) -> None:
        self.updates.overlay(event.run_ids)

    @on(messages.RangesRequested)
    def _ranges_requested(self, event: messages.RangesRequested) -> None:
        self.updates.read_ranges(event.wanted)

    @on(messages.ExperimentProposed)
    def _experiment_proposed(self, event: messages.ExperimentProposed) -> None:
        self.run_actions.propose(event.experiment, event.assignment)

    @on(messages.TrialChosen)
    def _trial_chosen(self, event: messages.TrialChosen) -> None:
        self.run_actions.load_run(event.run_id, f"trial {event.number}")

    @on(messages.SweepStopRequested)
    def _sweep_stop_requested(self, event: messages.SweepStopRequested) -> None:
        from workbench.ui.actions.sweeps import stop_sweep

        stop_sweep(self.host, event.folder)

    @on(messages.SweepResumeRequested)
    def _sweep_resume_requested(self, event: messages.SweepResumeRequested) -> None:
        from workbench.ui.actions.sweeps import resume_sweep

        resume_sweep(self.host, event.folder)

    @on(messages.SweepRemovalRequested)
    def _sweep_removal_requested(self, event: messages.SweepRemovalRequested) -> None:
        from workbench.ui.actions.sweeps import remove_sweep

        remove_sweep(self.host, self.undo_stack, event.folder)

    @on(messages.ComparisonRequested)
    def _comparison_requested(self, event: messages.ComparisonRequested) -> None:
        from workbench.ui.actions.compare import find_second_run

        find_second_run(self.host, self.runs, event.show, event.split)

    @on(messages.Undoable)
    def _undoable(self, event: messages.Undoable) -> None:
        self.undo_stack.push(event.description, event.undo)

    @on(events.DescendantFocus)
    def _descendant_focused(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, Input):
            event.widget.cursor_blink = False  # a blinking cursor would keep a slow line busy

    @on(messages.Notify)
    def _notify(self, event: messages.Notify) -> None:
        for bar in self.main_view.query_children(NotificationBar):  # none is left while the app exits
            bar.add(event.text, event.severity, transient=event.transient)

    def on_resize(self, event: events.Resize) -> None:
        self.navigation.resize(event.size)
        self.call_after_refresh(self.main_view.restore_focus)

    # Actions on runs

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is available now has a key."""
        return not self._unavailable_reason(action)

    def _unavailable_reason(self, action: str, *parameters: object) -> str:
        return self.navigation.unavailable_reason(action) or self.targets.unavailable_reason(
            action, *parameters
        )

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: dict[str, DOMNode] | None = None,  # type: ignore[override]
    ) -> bool:
        """Run the action of a key; if it is unavailable, show why."""
        if await super().run_action(action, default_namespace, namespaces):
            return True
        _, name, parameters = parse(action) if isinstance(action, str) else action
        reason = ""
        if default_namespace in {None, self}:
            reason = self._unavailable_reason(name, *parameters)
        elif isinstance(default_namespace, Pane):
            reason = default_namespace.unavailable_reason(name)
        if reason:
            self.host.show_notice(reason, "warning", transient=True)
        return bool(reason)

    def action_train(self) -> None:
        """Train the experiment of the experiment pane."""
        self.run_actions.train()

    def action_train_queued(self) -> None:
        """Train the experiment of the experiment pane when a GPU or a CPU slot is free."""
        self.run_actions.train(queued=True)

    def action_search(self) -> None:
        """Search settings of the experiment in the experiment pane: start a sweep."""
        from workbench.ui.actions.sweeps import configure_sweep

        configure_sweep(self.host, self.main_view.experiment_editor, self._show_sweep)

    async def _show_sweep(self, name: str) -> None:
        await self.navigation.go_to(PaneId.SWEEPS)
        self.main_view.panes[PaneId.SWEEPS].post_message(messages.SweepStarted(name))

    def action_move_in_queue(self, where: str) -> None:
        """Let the runs start earlier or later than the ones next to them in the queue."""
        move_in_queue(self.host, self.targets, QueueMove(where))

    def action_hold(self) -> None:
        """Keep the queued runs from starting; release them if they are held."""
        hold_or_release(self.host, self.targets)

    def action_stop(self) -> None:
        """Stop the marked runs or the selected one, after a confirmation."""
        self.run_actions.stop()

    def action_resume(self) -> None:
        """Resume the runs; finished ones with more epochs, after a confirmation."""
        self.run_actions.resume()

    def action_pause(self) -> None:
        """Pause the runs; continue them if they are paused."""
        self.live_tuning.pause()
        self.refresh_bindings()  # the key may do something else now

    def action_suspend(self) -> None:
        """Suspend the runs: pause them and free the device's memory."""
        self.live_tuning.suspend()

    def action_checkpoint(self) -> None:
        """Write a checkpoint now."""
        self.live_tuning.checkpoint()

    def action_multiply_lr(self, factor: float) -> None:
        """Multiply the learning rate, after a countdown."""
        self.live_tuning.multiply_lr(factor)

    def action_add_epochs(self, count: int) -> None:
        """Add or remove epochs, after a countdown."""
        self.live_tuning.add_epochs(count)

    def action_trash(self) -> None:
        """Move the runs to the trash, after a confirmation."""
        self.run_actions.trash()

    def action_duplicate(self) -> None:
        """Load the selected run's experiment into the experiment pane."""
        self.run_actions.duplicate()

    def action_log(self) -> None:
        """Show the end of the selected run's log."""
        self.run_actions.read_log()

    def action_notes(self) -> None:
        """Edit the name, tags and notes of the selected run."""
        from workbench.ui.actions.notes import edit_notes

        edit_notes(self.host, self.runs)

    def action_logged_images(self) -> None:
        """Show the images that the selected run has logged."""
        from workbench.ui.actions.logged_images import show_logged_images

        show_logged_images(self.host, self.runs, self.open_compute())

    def action_export(self) -> None:
        """Export the selected run in another format."""
        from workbench.ui.actions.export import choose_export

        choose_export(self.host, self.runs)

    def action_compare(self) -> None:
        """Compare the marked runs, or the selected one with the best."""
        from workbench.ui.actions.compare import compare_runs

        compare_runs(self.host, self.runs)

    def action_copy(self) -> None:
        """Copy the item under the cursor, else the path of the selected run's folder."""
        from workbench.ui.actions.copy import copy_item

        pane = self.navigation.front_pane
        copy_item(self.host, self.runs, pane.text_to_copy() if pane else "")

    def action_copy_command(self) -> None:
        """Copy the command that starts the selected run once more."""
        from workbench.ui.actions.copy import copy_command

        copy_command(self.host, self.runs)

    def action_undo(self) -> None:
        """Undo the last change of the experiment, of a live run or of the trash."""
        if not self.live_tuning.cancel():
            self.undo_stack.undo()

    # Actions on the screen

    async def action_pane(self, pane_id: str) -> None:
        """Go to a pane."""
        await self.navigation.go_to(PaneId(pane_id))

    def action_zoom(self) -> None:
        """Let the pane with the focus fill the screen, or show all panes again."""
        self.navigation.toggle_zoom()

    def action_filter(self) -> None:
        """Filter the rows of the pane by words."""
        self.navigation.start_filter()

    def action_redraw(self) -> None:
        """Draw the whole screen again, after other output went to the terminal."""
        if self.redraw_terminal is not None:
            self.redraw_terminal()

    async def action_back(self) -> None:
        """Cancel a pending change, else leave the filter, the zoom or the pane, or remove the marks."""
        if not self.live_tuning.cancel():
            await self.navigation.go_back()

    def action_move_cursor(self, direction: str) -> None:
        """Move the cursor as the arrow keys, home and end do."""
        move_cursor(self.focused, direction)

    def action_enter(self) -> None:
        """Treat a newline that was sent or pasted as enter."""
        self.simulate_key("enter")

    def action_command_palette(self) -> None:
        """Show all commands by name."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def action_keys(self) -> None:
        """Show all keys that are available now."""
        from workbench.ui.key_help import key_table
        from workbench.ui.widgets.text_screen import TextScreen

        table = key_table(self.screen.active_bindings.values(), self.get_key_display)
        self.push_screen(TextScreen("keys", table))

    def action_notifications(self) -> None:
        """Show the notification history."""
        from workbench.ui.widgets.text_screen import TextScreen

        history = [notification.content() for notification in self.query_one(NotificationBar).notifications]
        self.push_screen(TextScreen("notifications", history, at_end=True))

    def action_toggle_bell(self) -> None:
        """Ring the bell when a run ends, or don't."""
        self.updates.bell_on = not self.updates.bell_on
        self.host.show_notice(f"the bell at the end of a run is {'on' if self.updates.bell_on else 'off'}")

    def action_help_quit(self) -> None:
        """Tell how to quit: many press ctrl+c for it."""
        self.host.show_notice("press q to quit; runs keep running", transient=True)

    async def action_quit(self) -> None:
        """Quit. No run is stopped; a pending change is requested."""
        self.live_tuning.flush()
        self.updates.save_visit()
        self.exit()

    async def on_event(self, event: events.Event) -> None:
        """A transient notification and what happened during an absence disappear at the next key press."""
        if isinstance(event, events.Key):
            self.main_view.hide_absence()
            for bar in self.main_view.query_children(NotificationBar):
                bar.dismiss_transient()
        await super().on_event(event)
