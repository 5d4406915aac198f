"""The screen: panes around one selected run, kept up to date by a monitor, and the keys that act on it."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from textual import on
from textual.app import ComposeResult
from textual.events import DescendantFocus, Resize
from textual.widgets import Input, Static

from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.text import safe
from workbench.ui import since, terminal
from workbench.ui.actions import HoldsExperiment, RunActions
from workbench.ui.commands import Commands
from workbench.ui.keys import PANE_KEYS, RUN_KEYS, SCREEN_KEYS, KeyLine, key_table
from workbench.ui.layout import MODULES, PLACES, SMALLEST, TABS, Body, pane_class, shape
from workbench.ui.messages import ClassifyWanted, Noticed, RunOpened, RunSelected, Updated
from workbench.ui.monitor import Mirror, Monitor, Snapshot
from workbench.ui.panes.base import Pane
from workbench.ui.panes.runs import RunsPane
from workbench.ui.theme import THEME
from workbench.ui.widgets.log import Reading
from workbench.ui.widgets.notices import NoticeLine
from workbench.ui.widgets.statusline import StatusLine
from workbench.ui.widgets.strip import RestLines, Tabs

if TYPE_CHECKING:
    from workbench.ui.panes.photo import PhotoPane

REMEMBER_SECONDS = 60.0
SHAPES = ("-tiny", "-narrow", "-low", "-short", "-roomy")
MOVES = {"up": "cursor_up", "down": "cursor_down", "left": "cursor_left", "right": "cursor_right",
         "first": "cursor_first", "last": "cursor_last"}  # fmt: skip
SCROLLS = {"up": "scroll_up", "down": "scroll_down", "left": "scroll_left", "right": "scroll_right",
           "first": "scroll_home", "last": "scroll_end"}  # fmt: skip


class WorkbenchApp(RunActions):
    """The workbench on a terminal."""

    TITLE = "workbench"
    CSS_PATH = "app.tcss"
    COMMANDS = {Commands}
    AUTO_FOCUS = None
    BINDINGS = [*RUN_KEYS, *SCREEN_KEYS, *PANE_KEYS]

    def __init__(self, store: Store | None = None) -> None:
        # Told to use none, Textual would send greys; with the terminal's own colours it sends none at all.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.store = store or Store.default()
        self.monitor = Monitor(self.store, lambda snapshot: self.post_message(Updated(snapshot)))
        self.rows: list[RunSummary] | None = None
        self._by_id: dict[str, RunSummary] = {}
        self.mirror: Mirror | None = None
        self.evaluations: list[dict[str, Any]] = []
        self.panes: dict[str, Pane] = {}
        self.front, self.zoomed = "1", False
        self._shape: set[str] = set()
        self._run_id: str | None = None
        self._before = since.recall()

    def compose(self) -> ComposeResult:
        """The top line, the panes' places, the rest in sight, notices and keys."""
        yield StatusLine(id="status")
        yield Tabs(TABS, id="tabs")
        yield Body(id="body")
        yield RestLines(id="rest")
        yield NoticeLine(id="notices")
        yield Input(
            placeholder="words to filter by; enter keeps them, esc takes them away", id="filter", compact=True
        )
        yield KeyLine(id="keys")
        yield Static(f"too small: {SMALLEST[0]}×{SMALLEST[1]} at least", markup=False, id="too-small")

    async def on_mount(self) -> None:
        """Show the runs at once, the other panes after the first frame."""
        self.register_theme(THEME)
        self.theme = THEME.name
        self._shape = shape(self.size)
        self._arrange()
        await self._put("1")
        self._take(self.monitor.look())
        self.monitor.start()
        self.set_interval(REMEMBER_SECONDS, self._remember)
        self.call_after_refresh(self._put_others)

    async def _put(self, number: str) -> None:
        """Load a pane into its place, once."""
        slot = self.query_one(Body).slot(number)
        if slot.has_class("-taken") or not slot.is_attached:
            return
        slot.add_class("-taken")
        pane = pane_class(number)()
        await slot.mount(pane)
        self.panes[number] = pane
        self._push(pane)
        if self.front == number:
            pane.enter()

    async def _put_others(self) -> None:
        """Those in sight first."""
        body = self.query_one(Body)
        for number in sorted(set(MODULES) - set(self.panes), key=lambda number: not body.shows(number)):
            await self._put(number)

    # What the monitor found

    @on(Updated)
    def _updated(self, event: Updated) -> None:
        if self.query(StatusLine):  # while the screen closes there is nothing left to show it on
            self._take(event.snapshot)
        self.monitor.taken()

    def _take(self, snapshot: Snapshot) -> None:
        if snapshot.complaint:
            self.notice(snapshot.complaint, "error")
        if snapshot.rows is not None:
            self._take_rows(snapshot.rows)
        if snapshot.change is not None and self.mirror is not None and snapshot.run_id == self._run_id:
            known = len(self.mirror.view.journal) if self.mirror.view.version else None
            self.mirror.take(snapshot.change)
            if known is not None:
                self._say_what_was_answered(self.mirror.view.journal[known:])
            self._show_view()
        if snapshot.evaluations is not None and snapshot.run_id == self._run_id:
            self.evaluations = snapshot.evaluations
            self._show_evaluations()

    def _take_rows(self, rows: list[RunSummary]) -> None:
        first, before = self.rows is None, self._by_id
        self.rows, self._by_id = rows, {row.id: row for row in rows}
        if first:
            self.query_one(StatusLine).show_since(since.sum_up(self._before, rows, time.time()))
        else:
            self._say_what_ended(before, rows)
        if self._run_id not in self._by_id:
            self.select(first_choice(rows))
        self._show_rows()

    def _say_what_ended(self, before: dict[str, RunSummary], rows: list[RunSummary]) -> None:
        for row in rows:
            was = before.get(row.id)
            if was is None or was.status is row.status or row.status.live:
                continue
            severity = {Status.FINISHED: "information", Status.STOPPED: "warning"}.get(row.status, "error")
            why = f": {row.reason}" if row.reason and row.status is not Status.FINISHED else ""
            self.notice(f"{row.name} {row.status}{why}", severity)

    def _say_what_was_answered(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            if record.get("kind") in {"answer", "notice"} and self.mirror is not None:
                severity = "information" if record["kind"] == "answer" else "warning"
                self.notice(f"{self.mirror.view.name}: {record.get('text', '')}", severity)

    def select(self, run_id: str | None) -> None:
        """Show another run in all panes."""
        if run_id == self._run_id:
            return
        self._run_id = run_id
        self.mirror = Mirror(run_id, self.store) if run_id else None
        self.evaluations = []
        self.monitor.select(run_id)
        self._show_selection()
        self._show_view()
        self._show_evaluations()

    def changed(self, run_id: str | None = None) -> None:
        """Look at once, and go to a run that has just been started."""
        self.monitor.look_now()
        if run_id is not None:
            self.select(run_id)
            if self._single:
                self.call_later(self.action_pane, "3")

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""
        return self._by_id.get(self._run_id or "")

    @property
    def experiment_pane(self) -> HoldsExperiment | None:
        """The experiment pane, once it is there."""
        return cast("HoldsExperiment | None", self.panes.get("2"))

    def _push(self, pane: Pane) -> None:
        """Give a pane everything there is."""
        if isinstance(pane, RunsPane):
            pane.rows, pane.run_id = self.rows, self._run_id
        self._push_evaluations(pane)
        pane.view = self.mirror.view if self.mirror else None

    def _push_evaluations(self, pane: Any) -> None:
        if "evaluations" in pane._reactives:
            pane.evaluations = self.evaluations
        if "evaluation" in pane._reactives:
            pane.evaluation = self.evaluations[0] if self.evaluations else None

    def _show_rows(self) -> None:
        pane = self.panes.get("1")
        if isinstance(pane, RunsPane):
            pane.rows = self.rows
        self._show_selection()

    def _show_selection(self) -> None:
        pane = self.panes.get("1")
        if isinstance(pane, RunsPane):
            pane.run_id = self._run_id
        self.query_one(RestLines).show_rows(self.rows or [], self._run_id)
        self.refresh_bindings()

    def _show_view(self) -> None:
        view = self.mirror.view if self.mirror else None
        self.query_one(StatusLine).show_view(view, empty=self.rows == [])
        self.query_one(RestLines).show_view(view)
        for pane in self.panes.values():
            pane.view = view

    def _show_evaluations(self) -> None:
        self.query_one(RestLines).show_evaluations(self.evaluations)
        for pane in self.panes.values():
            self._push_evaluations(pane)

    # What panes and people say

    @on(RunSelected)
    def _run_selected(self, event: RunSelected) -> None:
        self.select(event.run_id)

    @on(RunOpened)
    async def _run_opened(self, event: RunOpened) -> None:
        self.select(event.run_id)
        await self.action_pane("3")

    @on(ClassifyWanted)
    async def _classify_wanted(self, event: ClassifyWanted) -> None:
        await self.action_pane("6")
        if "6" in self.panes:
            cast("PhotoPane", self.panes["6"]).take_recipe(event.recipe)

    @on(Noticed)
    def _noticed(self, event: Noticed) -> None:
        self.query_one(NoticeLine).say(event.text, event.severity)

    @on(Tabs.Clicked)
    async def _tab_clicked(self, event: Tabs.Clicked) -> None:
        await self.action_pane(event.number)

    @on(DescendantFocus)
    def _focus_moved(self, event: DescendantFocus) -> None:
        """The pane that was clicked or tabbed into is the one that a zoom or a narrow screen shows."""
        pane = next((node for node in event.widget.ancestors_with_self if isinstance(node, Pane)), None)
        if pane is not None and self.front != pane.NUMBER:
            self.front = pane.NUMBER
            self._arrange()

    def on_resize(self, event: Resize) -> None:
        """Panes stand together, or one at a time."""
        self._shape = shape(event.size)
        self._arrange()

    # Moving about

    @property
    def _single(self) -> bool:
        return self.zoomed or "-narrow" in self._shape

    def _arrange(self) -> None:
        for name in SHAPES:
            self.screen_stack[0].set_class(name in self._shape, name)
        self.query_one(Body).stand(self.front, single=self._single)
        self.query_one(Tabs).show_front(self.front)
        self.query_one(RestLines).stand_under(self.front)

    async def action_pane(self, number: str) -> None:
        """Go to a pane."""
        if number not in MODULES:
            return
        self.front = number
        self._arrange()
        if number in self.panes:
            self.panes[number].enter()
        else:
            await self._put(number)

    def action_zoom(self) -> None:
        """The pane that has the keys fills the screen, or stands among the others again."""
        self.zoomed = not self.zoomed
        self._arrange()

    async def action_back(self) -> None:
        """Take back what waits, else leave the filter, the zoom, or a pane that stands alone."""
        if self.take_back():
            return
        if self._filter.has_class("-open"):
            self._filter.value = ""
            self._close_filter()
        elif self.zoomed or self.front in PLACES["more"]:
            self.zoomed = False
            await self.action_pane("1" if self.front in PLACES["more"] else self.front)

    def action_move(self, where: str) -> None:
        """`hjkl`, `g` and `G` do what arrows, home and end do."""
        focused = self.focused
        for name in (MOVES[where], SCROLLS[where]):
            move = getattr(focused, f"action_{name}", None)
            if move is not None:
                move()
                return

    def action_enter(self) -> None:
        """A newline that was sent or pasted counts as enter."""
        self.simulate_key("enter")

    # Filter, sort, keys

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    @property
    def _listing(self) -> Any:
        """The pane whose rows are filtered and sorted: the one in front, else the runs."""
        pane = self.panes.get(self.front)
        return pane if pane is not None and "filter" in pane._reactives else self.panes["1"]

    def action_filter(self) -> None:
        """Type words that rows must have."""
        self._filter.add_class("-open")
        with self._filter.prevent(Input.Changed):
            self._filter.value = str(self._listing.filter)
        self._filter.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self._listing.filter = event.value

    @on(Input.Submitted, "#filter")
    def _close_filter(self) -> None:
        self._filter.remove_class("-open")
        self._listing.enter()

    def action_sort(self) -> None:
        """Sort the runs by the next thing."""
        cast("RunsPane", self.panes["1"]).sort_next()

    def action_reverse(self) -> None:
        """Turn the order of the runs round."""
        pane = cast("RunsPane", self.panes["1"])
        pane.reverse = not pane.reverse

    def action_keys(self) -> None:
        """Show every key that does something now."""
        self.push_screen(
            Reading("keys", key_table(self.screen.active_bindings.values(), self.get_key_display))
        )

    def action_notices(self) -> None:
        """Read what was said before."""
        notices = self.query_one(NoticeLine).notices
        self.push_screen(Reading("notices", [notice.content() for notice in notices], at_end=True))

    def action_help_quit(self) -> None:
        """ctrl+c: many press it to quit."""
        self.notice("press q to quit; runs go on")

    async def action_quit(self) -> None:
        """Close the screen. No run is stopped, and a change that waits to be taken back is made."""
        self.finish_steer()
        self.farewell()
        self.exit()

    # The end

    def farewell(self) -> None:
        """Write down how things stand."""
        if self.rows is not None:
            since.remember(self.rows)

    def _remember(self) -> None:
        self._show_rows()  # their ages
        self.run_worker(self.farewell, thread=True, exit_on_error=False)

    def on_unmount(self) -> None:
        """The monitor ends with the screen."""
        self.monitor.stop()

    def last_words(self) -> str:
        """What goes on without the screen."""
        live = [row.name for row in self.rows or [] if row.status.live]
        if not live:
            return ""
        names = ", ".join(safe(name, 40) for name in live[:3]) + (" and others" if len(live) > 3 else "")
        return (
            f"{names} {'goes' if len(live) == 1 else 'go'} on in the background; 'workbench' shows it again"
        )


def first_choice(rows: list[RunSummary]) -> str | None:
    """The newest run that goes on, else the newest."""
    live = [row.id for row in rows if row.status.live]
    return next(iter(live + [row.id for row in rows]), None)


def run() -> int:
    """Open the screen; returns the exit code."""
    why = terminal.complaint([sys.stdin, sys.stdout, sys.stderr], os.environ)
    if why:
        print(f"workbench: {why}", file=sys.stderr)
        return 2
    terminal.speak_utf8()
    app = WorkbenchApp()
    signal.signal(signal.SIGTERM, lambda *_: app.call_later(app.exit))
    terminal.watch(sys.stdin.fileno(), app.farewell)
    app.run()
    if words := app.last_words():
        print(words)
    return app.return_code or 0
