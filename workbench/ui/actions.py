"""What a person can do to the selected run. Whatever waits for a disk or a process does so in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from textual import on
from textual.content import Content
from textual.timer import Timer

from workbench.errors import BadInput
from workbench.experiment import Experiment
from workbench.io.atomic import read_json
from workbench.runs import launch
from workbench.runs.layout import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.ui.keyorder import KeysInOrder
from workbench.ui.marks import MUTED
from workbench.ui.messages import Noticed, RequestWanted, RunStarted, StartWanted
from workbench.ui.widgets.confirm import Confirm
from workbench.ui.widgets.log import Reading, log_tail
from workbench.ui.widgets.notices import NoticeLine

LAUNCHER = "screen"
WAIT_SECONDS = 3


class HoldsExperiment(Protocol):
    """The pane that an experiment is put together in."""

    def experiment(self) -> Experiment:
        """What it describes now. Raises `BadInput`."""

    def load(self, content: dict[str, Any]) -> None:
        """Show the experiment of a recipe or a run."""


@dataclass
class Steer:
    """A change that waits a moment before it is asked for."""

    run: RunSummary
    what: str
    by: float
    seconds: int = WAIT_SECONDS

    def add(self, by: float) -> None:
        """The key was pressed again."""
        self.by = self.by * by if self.what == "lr" else self.by + by
        self.seconds = WAIT_SECONDS

    @property
    def nothing(self) -> bool:
        """Whether it came back to where it started."""
        return self.by == (1 if self.what == "lr" else 0)

    @property
    def values(self) -> dict[str, Any]:
        """As the run is asked."""
        return {"times": self.by} if self.what == "lr" else {"add": int(self.by)}

    def says(self) -> str:
        """What will happen."""
        if self.what == "epochs":
            total = max(self.run.epoch + 1, self.run.epochs_total + int(self.by))
            return f"{self.by:+.0f} epochs: {self.run.epochs_total} → {total}"
        return f"learning rate ×{self.by:g}" if self.by >= 1 else f"learning rate ÷{1 / self.by:g}"


class RunActions(KeysInOrder):
    """The actions on runs; the screen itself is built on it."""

    steer: Steer | None = None
    _countdown: Timer | None = None

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""
        raise NotImplementedError

    @property
    def experiment_pane(self) -> HoldsExperiment | None:
        """The experiment pane, once it is there."""
        raise NotImplementedError

    def changed(self, run_id: str | None = None) -> None:
        """Something was done to the runs: look at once, and go to `run_id` if it is given."""
        raise NotImplementedError

    @property
    def folder(self) -> RunFolder | None:
        """Its folder."""
        row = self.selected
        return RunFolder(Store.default().root / row.id) if row else None

    def notice(self, text: str, severity: str = "information") -> None:
        """Say something in the line of notices."""
        self.post_message(Noticed(text, severity))

    def in_background(self, do: Callable[[], str | None]) -> None:
        """Run `do` in a thread; what it returns, or the complaint it raises, becomes a notice."""

        def work() -> None:
            try:
                said = do()
            except (BadInput, OSError) as error:
                self.notice(str(error), "error")
            else:
                if said:
                    self.notice(said)
            self.call_later(self.changed)

        self.run_worker(work, thread=True, exit_on_error=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the selected run can take has a key now."""
        row = self.selected
        if action in {"stop", "pause", "checkpoint", "times_lr", "add_epochs"}:
            return row is not None and row.status.live
        if action in {"resume", "trash"}:
            return row is not None and not row.status.live
        if action in {"log", "copy", "duplicate"}:
            return row is not None
        return True

    def action_train(self) -> None:
        """Start the experiment of the experiment pane."""
        pane = self.experiment_pane
        if pane is None:
            self.notice("one moment: the experiment is still being loaded")
            return
        try:
            experiment = pane.experiment()
        except BadInput as error:
            self.notice(str(error), "error")
            return
        self.post_message(StartWanted(experiment))

    @on(StartWanted)
    def _start(self, event: StartWanted) -> None:
        self.notice(f"starting {event.experiment.name}")

        def start() -> str:
            folder = launch.start(event.experiment, LAUNCHER)
            self.post_message(RunStarted(folder.id))
            return f"{event.experiment.name} trains in the background; it goes on when you leave"

        self.in_background(start)

    @on(RunStarted)
    def _started(self, event: RunStarted) -> None:
        self.changed(event.run_id)

    @on(RequestWanted)
    def _requested(self, event: RequestWanted) -> None:
        match event.what:
            case "resume":
                self.action_resume()
            case "trash":
                self.action_trash()
            case "stop":
                self.action_stop()
            case what:
                self._ask(what, **event.values)

    def _ask(self, what: str, row: RunSummary | None = None, **values: Any) -> None:
        """Ask something of `row`, else of the selected run."""
        row = row or self.selected
        if row is None:
            return
        folder = RunFolder(Store.default().root / row.id)

        def ask() -> str:
            launch.ask(folder, what, **values)
            return f"{row.name}: {what} asked for"

        self.in_background(ask)

    def action_stop(self) -> None:
        """Stop the selected run, after a question."""
        row = self.selected
        if row is None:
            return
        about = "It writes a checkpoint first; r goes on from there."
        self._confirm(f"Stop {row.name}?", about, lambda: self._ask("stop", row))

    def action_pause(self) -> None:
        """Pause the selected run, or let it go on."""
        row = self.selected
        if row is not None:
            self._ask("continue" if row.phase == "paused" else "pause")

    def action_checkpoint(self) -> None:
        """Have the selected run write a checkpoint now."""
        self._ask("checkpoint")

    def action_resume(self) -> None:
        """Go on with the selected run."""
        row = self.selected
        if row is None:
            return
        if row.status is not Status.FINISHED:
            self._resume(row, {})
            return
        more = max(1, row.epochs_total // 2)
        self._confirm(
            f"Train {row.name} for {more} epochs more?",
            f"It is finished after {row.epoch}. While it goes on, - and + change how many there are.",
            lambda: self._resume(row, {"train.epochs": row.epoch + more}),
        )

    def _resume(self, row: RunSummary, overrides: dict[str, Any]) -> None:
        folder = RunFolder(Store.default().root / row.id)
        self.notice(f"resuming {row.name}")

        def resume() -> str:
            launch.resume(folder, overrides, LAUNCHER)
            return f"{row.name} goes on"

        self.in_background(resume)

    def action_trash(self) -> None:
        """Move the selected run to the trash, after a question."""
        folder, row = self.folder, self.selected
        if folder is None or row is None:
            return

        def remove() -> str:
            kept = Store.default().remove(folder)
            return f"{row.name} is in the trash: {kept}"

        about = "Its folder is kept in the trash; nothing is deleted."
        self._confirm(f"Move {row.name} to the trash?", about, lambda: self.in_background(remove))

    def action_duplicate(self) -> None:
        """Put the selected run's experiment into the experiment pane, to change it."""
        folder, pane, row = self.folder, self.experiment_pane, self.selected
        if folder is None or pane is None or row is None:
            return
        content = read_json(folder.experiment)
        if content is None:
            self.notice(f"{row.name}: its experiment can't be read ({folder.experiment})", "error")
            return
        try:
            pane.load(content)
        except BadInput as error:
            self.notice(str(error), "error")
            return
        self.notice(f"the experiment of {row.name} is in pane 2: change it and press t")

    def action_copy(self) -> None:
        """Copy the path of the selected run's folder."""
        folder = self.folder
        if folder is not None:
            self.copy_to_clipboard(str(folder.path))
            self.notice(f"copied {folder.path}")

    def action_log(self) -> None:
        """Read the end of the selected run's log."""
        folder, row = self.folder, self.selected
        if folder is None or row is None:
            return

        def read() -> list[Content]:
            return log_tail(folder.log)

        self.push_screen(Reading(f"{row.name}  {folder.log}", read(), read, at_end=True))

    def action_times_lr(self, factor: float) -> None:
        """Multiply the learning rate, in a moment."""
        self._steer("lr", factor)

    def action_add_epochs(self, count: int) -> None:
        """Add epochs, in a moment."""
        self._steer("epochs", count)

    def take_back(self) -> bool:
        """Forget the change that waits; whether one did."""
        waited = self.steer is not None
        self._end_countdown()
        if waited:
            self.notice("taken back")
        return waited

    def _steer(self, what: str, by: float) -> None:
        row, waiting = self.selected, self.steer
        if row is None:
            return
        if waiting is not None and waiting.what == what and waiting.run.id == row.id:
            waiting.add(by)
        else:
            self._send_steer()
            self.steer = Steer(row, what, by)
        if self._countdown is not None:
            self._countdown.stop()
        self._countdown = self.set_interval(1.0, self._tick)
        self._show_steer()

    def _tick(self) -> None:
        if self.steer is None:
            return
        self.steer.seconds -= 1
        if self.steer.seconds <= 0:
            self._send_steer()
        else:
            self._show_steer()

    def _show_steer(self) -> None:
        if self.steer is None:
            return
        self.query_one(NoticeLine).wait(
            Content.assemble(
                (" → ", "bold $accent"),
                f"{self.steer.run.name} {self.steer.says()} in {self.steer.seconds} s  ",
                ("esc", "bold $accent"),
                (" takes it back", MUTED),
            )
        )

    def finish_steer(self) -> None:
        """Ask at once for a change that waits: nobody is left who could take it back."""
        steer = self.steer
        self._end_countdown()
        if steer is not None and not steer.nothing:
            with contextlib.suppress(BadInput, OSError):
                launch.ask(RunFolder(Store.default().root / steer.run.id), steer.what, **steer.values)

    def _send_steer(self) -> None:
        steer = self.steer
        self._end_countdown()
        if steer is None or steer.nothing:
            return
        folder = RunFolder(Store.default().root / steer.run.id)

        def send() -> str:
            launch.ask(folder, steer.what, **steer.values)
            return f"{steer.run.name}: {steer.says()}"

        self.in_background(send)

    def _end_countdown(self) -> None:
        self.steer = None
        if self._countdown is not None:
            self._countdown.stop()
            self._countdown = None
        self.query_one(NoticeLine).wait(None)

    def _confirm(self, question: str, about: str, do: Callable[[], None]) -> None:
        def answered(answer: bool | None) -> None:
            if answer:
                do()

        self.push_screen(Confirm(question, about), answered)
