"""The main view: the status line, the panes in their columns, and the lines below them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from workbench.ui.actions.navigation import Navigation
from workbench.ui.base.layout import SIZE_CLASSES, Body, PaneId, pane_class, switch_classes
from workbench.ui.base.messages import ClassifyRequested, PaneMounted, RecipeSelected
from workbench.ui.base.pane import ExperimentEditor, Pane, PaneServices
from workbench.ui.runs.compact_status import CompactStatus, PaneTabs
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services.run_state import RunState
from workbench.ui.widgets.filter_input import FilterInput
from workbench.ui.widgets.notice_bar import NotificationBar

if TYPE_CHECKING:
    from workbench.compute.client import ComputeClient
    from workbench.config.experiment import Experiment


ABSENCE_SECONDS = 60.0
"""So long it is shown what happened while the app was closed."""


class MainView(Vertical):
    """Mounts the panes and assigns the values of the run state to them."""

    DEFAULT_CSS = """
    MainView { height: 1fr; }
    """

    def __init__(self, runs: RunState, open_compute: Callable[[], ComputeClient]) -> None:
        super().__init__()
        self._runs = runs
        self._services = PaneServices(open_compute, runs.store, self.current_experiment)
        self.panes: dict[PaneId, Pane] = {}
        """The panes that are mounted."""
        self.navigation = Navigation(self)
        self._last_focused: Widget | None = None

    def compose(self) -> ComposeResult:
        yield StatusLine(id="status")
        yield PaneTabs(id="tabs")
        yield Body(id="body")
        yield CompactStatus(id="rest")
        yield NotificationBar(id="notices")
        placeholder = "filter by words; enter keeps the filter, esc removes it"
        yield FilterInput(self.navigation.complete_filter, placeholder, id="filter")

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._show_pane_keys)
        self.watch(self.screen, "focused", self._focus_changed, init=False)

    # Panes

    async def mount_pane(self, pane_id: PaneId) -> Pane | None:
        """Import and mount a pane; `None` if it is or is being mounted already."""
        slot = self.query_one(Body).slot(pane_id)
        if slot.has_class("-mounted") or not slot.is_attached:
            return None
        slot.add_class("-mounted")
        pane = pane_class(pane_id)(self._services)
        await slot.mount(pane)
        self.panes[pane_id] = pane
        self._assign_rows([pane])
        pane.run_id, pane.evaluations = self._runs.run_id, self._runs.evaluations
        pane.marked, pane.overlays = self._runs.marked_ids, self._runs.overlays
        pane.group, pane.sweeps = self._runs.group_ids, self._runs.sweeps
        pane.view = self._runs.view
        self.post_message(PaneMounted(pane_id))
        return pane

    @property
    def experiment_editor(self) -> ExperimentEditor | None:
        """The experiment pane, once it is mounted."""
        pane = self.panes.get(PaneId.EXPERIMENT)
        return pane if isinstance(pane, ExperimentEditor) else None

    def current_experiment(self) -> Experiment | None:
        """The experiment of the experiment pane; `None` until that is mounted. Raises `UserError`."""
        editor = self.experiment_editor
        return editor.experiment() if editor is not None else None

    def is_visible(self, pane_id: PaneId) -> bool:
        """Whether the slot of a pane is on the screen now."""
        return self.query_one(Body).is_visible(pane_id)

    def show_layout(self, size_classes: set[str], front: PaneId, *, single: bool) -> None:
        """Arrange the panes for a terminal of these size classes."""
        switch_classes(self.screen, SIZE_CLASSES, size_classes)
        self.query_one(Body).arrange_panes(front, single=single)
        self.query_one(PaneTabs).show_active(front)
        self.query_one(CompactStatus).hide_lines_of(front)
        self.refresh_bindings()

    # Focus

    def _focus_changed(self, focused: Widget | None) -> None:
        """Bring the pane with the focus to the front, at once: `DescendantFocus` can come after the next change.

        Give the focus back if its widget was hidden, by a resize that arranges the panes differently.
        """
        if focused is None:
            self.call_after_refresh(self.restore_focus)
            return
        self._last_focused = focused
        for node in focused.ancestors_with_self:
            if isinstance(node, Pane):
                self.navigation.bring_to_front(node.ID)

    def restore_focus(self) -> None:
        """If nothing has the focus, focus what had it last if that is visible, else the pane in front."""
        last, pane = self._last_focused, self.navigation.front_pane
        if self.screen.focused is not None or last is None:
            return
        if last.is_attached and last.focusable and self._is_displayed(last):
            last.focus()
        elif pane is not None and self._is_displayed(pane):
            pane.focus_content()

    def _is_displayed(self, widget: Widget) -> bool:
        return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))

    # Values

    def show_absence(self, summary: str) -> None:
        """Show what happened since the app was last open, for a minute or until the first key."""
        line = self.query_one(StatusLine)
        line.show_since_last_visit(summary)

        def show_what_is_cut() -> None:
            if summary and not line.shows_all_changes:
                self.query_one(NotificationBar).add(summary, transient=True)

        if summary:
            self.call_after_refresh(show_what_is_cut)
            self.set_timer(ABSENCE_SECONDS, self.hide_absence)

    def hide_absence(self) -> None:
        """What happened while the app was closed has been read."""
        for line in self.query_children(StatusLine):  # none is left while the app exits
            line.show_since_last_visit("")

    def show_rows(self) -> None:
        """Show the list of runs."""
        self._assign_rows(self.panes.values())
        self._show_other_runs()

    def show_selection(self) -> None:
        """Show that another run is selected, and its record and evaluations."""
        for pane in self.panes.values():
            pane.run_id = self._runs.run_id
        self._show_other_runs()
        self.show_record()
        self.show_evaluations()

    def show_record(self) -> None:
        """Show the record of the selected run."""
        view = self._runs.view
        self.query_one(StatusLine).show_view(view, empty=self._runs.rows == [])
        self.query_one(CompactStatus).show_view(view)
        for pane in self.panes.values():
            pane.view = view

    def show_evaluations(self) -> None:
        """Show the evaluations of the selected run."""
        self.query_one(CompactStatus).show_evaluations(self._runs.evaluations)
        for pane in self.panes.values():
            pane.evaluations = self._runs.evaluations

    def show_overlays(self) -> None:
        """Show the runs beside the selected one."""
        for pane in self.panes.values():
            pane.overlays = self._runs.overlays

    def show_sweeps(self) -> None:
        """Show the list of sweeps."""
        for pane in self.panes.values():
            pane.sweeps = self._runs.sweeps

    def show_marks(self) -> None:
        """Show which runs are marked."""
        for pane in self.panes.values():
            pane.marked = self._runs.marked_ids

    def show_group(self) -> None:
        """Show which runs the row under the cursor stands for."""
        for pane in self.panes.values():
            pane.group = self._runs.group_ids

    def clear_marks(self) -> None:
        """Unmark all runs."""
        for pane in self.panes.values():
            pane.marked = frozenset()

    def _assign_rows(self, panes: Iterable[Pane]) -> None:
        for pane in panes:
            pane.rows = self._runs.rows

    def _show_other_runs(self) -> None:
        self.query_one(CompactStatus).show_runs(self._runs.rows or [], self._runs.run_id)
        self.refresh_bindings()

    # Filter

    @property
    def filter_input(self) -> FilterInput:
        """The input for the words to filter by."""
        return self.query_one("#filter", FilterInput)

    @property
    def filter_is_open(self) -> bool:
        """Whether the filter's input is shown."""
        return self.filter_input.has_class("-open")

    def open_filter(self, text: str) -> None:
        """Show the filter's input with `text`, and focus it."""
        self.filter_input.add_class("-open")
        with self.filter_input.prevent(Input.Changed):
            self.filter_input.value = text
        self.filter_input.select_on_focus = True
        self.filter_input.focus()

    def close_filter(self) -> None:
        """Hide the filter's input."""
        self.filter_input.remove_class("-open")

    # Events that navigate

    @on(ClassifyRequested)
    async def _classify_requested(self, event: ClassifyRequested) -> None:
        await self.navigation.go_to(PaneId.PHOTO)
        if PaneId.PHOTO in self.panes:
            self.panes[PaneId.PHOTO].post_message(RecipeSelected(event.recipe))

    @on(PaneTabs.Clicked)
    async def _tab_clicked(self, event: PaneTabs.Clicked) -> None:
        await self.navigation.go_to(event.pane_id)

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        if self.filter_is_open:
            event.input.select_on_focus = False  # the next key continues what is typed, even after a resize
            self.navigation.apply_filter(event.value)

    @on(Input.Submitted, "#filter")
    def _filter_submitted(self) -> None:
        self.navigation.end_filter()

    def _show_pane_keys(self, _screen: object) -> None:
        """On a narrow screen a pane has no frame for its keys."""
        pane = self.navigation.front_pane
        self.query_one(CompactStatus).show_keys(pane.key_hints() if pane else "")
