"""The screen: panes around one selected run, kept up to date by a monitor, and the keys that act on it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from workbench.core.text import safe
from workbench.runs.metrics import EvaluationFile
from workbench.runs.store import RunSummary, Store
from workbench.ui import terminal
from workbench.ui.actions.navigation import Moving
from workbench.ui.actions.targets import HoldsExperiment
from workbench.ui.actions.undo import Keeping
from workbench.ui.base.layout import MODULES, SMALLEST, TABS, Body, pane_class, shape
from workbench.ui.base.messages import ClassifyWanted, Noticed, RunOpened, RunSelected, RunsMarked, Updated
from workbench.ui.base.pane import Pane
from workbench.ui.base.snapshot import Snapshot
from workbench.ui.base.theme import THEME
from workbench.ui.bindings import PANE_KEYS, RUN_KEYS, SCREEN_KEYS
from workbench.ui.command_palette import Commands
from workbench.ui.key_bar import KeyLine
from workbench.ui.key_help import key_table
from workbench.ui.runs.compact_status import RestLines, Tabs
from workbench.ui.runs.compare_screen import to_compare
from workbench.ui.runs.pane import RunsPane
from workbench.ui.runs.status_line import StatusLine
from workbench.ui.services import last_visit, notifications
from workbench.ui.services.run_monitor import Mirror, Monitor
from workbench.ui.widgets.notice_bar import NoticeLine
from workbench.ui.widgets.text_screen import Reading

if TYPE_CHECKING:
    from workbench.ui.classes.pane import ClassesPane
    from workbench.ui.photo.pane import PhotoPane

REMEMBER_SECONDS = 60.0


class WorkbenchApp(Keeping, Moving):
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
        self._by_id: dict[str, RunSummary] = {}
        self.mirror: Mirror | None = None
        self.evaluations: list[EvaluationFile] = []
        self._run_id: str | None = None
        self._awaited: str | None = None
        """A run that was just started and is not among the rows yet."""
        self._before = last_visit.recall(self.store)
        self._told: set[tuple[str, int]] = set()
        self.rings = notifications.bell_is_wanted()

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
        self.arrange()
        self.screen.bindings_updated_signal.subscribe(self.query_one(RestLines), self._show_own_keys)
        await self.put("1")
        self._take(self.monitor.look())
        self.monitor.start()
        self.set_interval(REMEMBER_SECONDS, self._remember)
        self.call_after_refresh(self._put_others)

    async def put(self, number: str) -> None:
        """Load a pane into its place, once."""
        slot = self.query_one(Body).slot(number)
        if slot.has_class("-taken") or not slot.is_attached:
            return
        slot.add_class("-taken")
        pane = pane_class(number)()
        await slot.mount(pane)
        self.panes[number] = pane
        self._push(pane)
        if pane is self.experiment_pane:
            self.experiment_is_there()
        if self.front == number:
            self.refresh_bindings()
            pane.enter()

    async def _put_others(self) -> None:
        """Those in sight first."""
        body = self.query_one(Body)
        for number in sorted(set(MODULES) - set(self.panes), key=lambda number: not body.shows(number)):
            await self.put(number)
        if not self.is_headless:
            gc.freeze()  # what is loaded stays: to look through it again and again holds keys up

    def _show_own_keys(self, _screen: object) -> None:
        """Where a pane has no frame that they could stand in."""
        self.query_one(RestLines).show_keys(self.pane.own_keys() if self.pane else "")

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
        for run_id, lines in snapshot.journal_lines:
            self._say(notifications.answers(self._called(run_id), lines))
        if snapshot.change is not None and self.mirror is not None and snapshot.run_id == self._run_id:
            known = len(self.mirror.view.journal) if self.mirror.view.version else None
            self.mirror.take(snapshot.change)
            if known is not None:
                self._say(notifications.answers(self._called(self._run_id), self.mirror.view.journal[known:]))
            self._show_view()
        if snapshot.evaluations is not None and snapshot.run_id == self._run_id:
            self.evaluations = snapshot.evaluations
            self._show_evaluations()

    def _take_rows(self, rows: list[RunSummary]) -> None:
        first, before = self.rows is None, self._by_id
        self.rows, self._by_id = rows, {row.id: row for row in rows}
        if first:
            self.query_one(StatusLine).show_since(
                last_visit.sum_up(self._before, rows, self.store, time.time())
            )
        else:
            self._say_what_ended(notifications.endings(before, rows))
        self._say(notifications.waiting(rows, self._told))
        if self._run_id in self._by_id:
            self._awaited = None
        elif self._awaited is None:
            self.select(first_choice(rows))
        self._show_rows()

    def _called(self, run_id: str | None) -> str:
        """A run's name in notices."""
        row = self._by_id.get(run_id or "")
        return self.named([row]) if row is not None else ""

    def _say_what_ended(self, said: list[notifications.News]) -> None:
        self._say(said)
        if said and self.rings:
            self.bell()

    def _say(self, said: list[notifications.News]) -> None:
        for text, severity in said:
            self.notice(text, severity)

    def select(self, run_id: str | None) -> None:
        """Show another run in all panes."""
        if run_id == self._run_id:
            return
        self._run_id = run_id
        self.mirror = Mirror(run_id, self.store) if run_id else None
        self.evaluations = []
        if "4" in self.panes:
            cast("ClassesPane", self.panes["4"]).second = None
        self.monitor.select(run_id)
        self._show_selection()
        self._show_view()
        self._show_evaluations()

    def changed(self, run_id: str | None = None) -> None:
        """Look at once, and go to a run that has just been started."""
        self.monitor.look_now()
        if run_id is not None:
            self._awaited = None if run_id in self._by_id else run_id
            self.select(run_id)
            if self.single:
                self.call_later(self.action_pane, "3")

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""
        return self._by_id.get(self._run_id or "")

    @property
    def marked(self) -> list[RunSummary]:
        """The runs that are marked in the list of runs, newest first."""
        pane = self.panes.get("1")
        marks = pane.marked if isinstance(pane, RunsPane) else frozenset[str]()
        return [self._by_id[run_id] for run_id in sorted(marks, reverse=True) if run_id in self._by_id]

    def unmark(self) -> bool:
        """Take all marks away; whether there were any."""
        had = bool(self.marked)
        if had:
            cast("RunsPane", self.panes["1"]).marked = frozenset()
        return had

    @on(RunsMarked)
    def _marks_moved(self) -> None:
        self.refresh_bindings()

    def compared(self) -> list[RunSummary]:
        """The marked runs, else the selected one and the best."""
        return to_compare(self.selected, self.marked, self.rows or [])

    def take_second(self, name: str, evaluation: EvaluationFile) -> None:
        """Hold the classes against this evaluation of the run called so."""
        if "4" in self.panes:
            cast("ClassesPane", self.panes["4"]).second = (name, evaluation)

    def copied(self) -> str:
        """What the cursor of the pane in front stands on."""
        return self.pane.copied() if self.pane is not None else ""

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
        for line in self.query(NoticeLine):  # there is none once the screen closes
            line.say(event.text, event.severity, passing=event.passing)

    # Keys and notices

    async def on_event(self, event: events.Event) -> None:
        """A passing notice goes with the next key."""
        if isinstance(event, events.Key):
            for line in self.query(NoticeLine):
                line.pass_on()
        await super().on_event(event)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A list is filtered where there is one."""
        return self.listing is not None if action == "filter" else super().check_action(action, parameters)

    def action_keys(self) -> None:
        """Show every key that does something now."""
        self.push_screen(
            Reading("keys", key_table(self.screen.active_bindings.values(), self.get_key_display))
        )

    def action_notices(self) -> None:
        """Read what was said before."""
        notices = self.query_one(NoticeLine).notices
        self.push_screen(Reading("notices", [notice.content() for notice in notices], at_end=True))

    def action_silence(self) -> None:
        """Ring the bell when a run ends, or not."""
        self.rings = not self.rings
        self.notice(f"the bell {'rings' if self.rings else 'is silent'} when a run ends")

    def action_help_quit(self) -> None:
        """ctrl+c: many press it to quit."""
        self.notice("press q to quit; runs go on", passing=True)

    async def action_quit(self) -> None:
        """Close the screen. No run is stopped, and a change that waits to be taken back is made."""
        self.finish_steer()
        self.farewell()
        self.exit()

    # The end

    def farewell(self) -> None:
        """Write down how things stand."""
        if self.rows is not None:
            last_visit.remember(self.rows, self.store)

    def _remember(self) -> None:
        self._show_rows()  # their ages
        self.run_worker(self.farewell, thread=True, exit_on_error=False)

    def _handle_exception(self, error: Exception) -> None:
        """While the screen closes, widgets go that others still ask for: that is no error of anybody's."""
        if not self._exit:
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """An error of our own: one line for the person, the rest for whoever mends it."""
        log = terminal.keep_traceback()
        self.panic(
            Text(f"workbench: the screen ended by an error of its own (see {log}); runs go on without it")
        )

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
    terminal.forget_exported_size(os.environ)
    app = WorkbenchApp()
    signal.signal(signal.SIGTERM, lambda *_: app.call_later(app.exit))
    terminal.watch(sys.stdin.fileno(), app.farewell)
    app.run()
    if words := app.last_words():
        print(words)
    return app.return_code or 0
