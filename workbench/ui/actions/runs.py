"""What a person can do to runs. Whatever waits for a disk or a process does so in a thread."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.content import Content

from workbench.config.experiment import read_experiment
from workbench.core.errors import BadInput
from workbench.launcher import launch
from workbench.runs.journal import SettingValue
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.actions.live_tuning import Steering
from workbench.ui.base.messages import RunStarted, StartWanted, Undoable
from workbench.ui.widgets.text_screen import Reading, log_tail

LAUNCHER = "screen"


class RunActions(Steering):
    """Start, stop, resume, put away, duplicate, read the log."""

    _when_loaded: Callable[[], None] | None = None
    """What was asked of the experiment pane before it was there."""

    def experiment_is_there(self) -> None:
        """Do what was asked of the experiment pane while it was being loaded."""
        do, self._when_loaded = self._when_loaded, None
        if do is not None:
            do()

    def action_train(self) -> None:
        """Start the experiment of the experiment pane."""
        pane = self.experiment_pane
        if pane is None:
            self._when_loaded = self.action_train
            self.notice("the experiment is being loaded: it trains as soon as it is there", passing=True)
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
            for remark in launch.remarks(event.experiment):
                self.notice(remark, "warning")
            folder = launch.start(event.experiment, LAUNCHER, self.store.root)
            self.post_message(RunStarted(folder.id))
            return f"{event.experiment.name} trains in the background; it goes on when you leave"

        self.in_background(start)

    @on(RunStarted)
    def _started(self, event: RunStarted) -> None:
        self.changed(event.run_id)

    def action_stop(self) -> None:
        """Stop the runs that are meant, after a question."""
        rows = self.able("stop")
        about = "It writes a checkpoint first; r goes on from there."

        def stop() -> str:
            why = {why for row in rows if (why := launch.stop(self.folder_of(row)))}
            return f"{self.named(rows)}: {'; '.join([*why, 'sent SIGTERM']) if why else 'asked to stop'}"

        self.confirm(f"Stop {self.named(rows)}?", about, lambda: self.in_background(stop))

    def action_resume(self) -> None:
        """Go on with the runs that are meant."""
        rows = self.able("resume")
        finished = [row for row in rows if row.status is Status.FINISHED]
        if not finished:
            self._resume({row: {} for row in rows})
            return
        more = max(1, finished[0].epochs_total // 2)
        about = f"It is finished after {finished[0].epoch}." if len(finished) == 1 else "They are finished."
        self.confirm(
            f"Train {self.named(finished)} for {more} epochs more?",
            f"{about} While it goes on, - and + change how many there are.",
            lambda: self._resume(
                {row: {"train.epochs": row.epoch + more} if row in finished else {} for row in rows}
            ),
        )

    def _resume(self, wanted: dict[RunSummary, dict[str, SettingValue]]) -> None:
        self.notice(f"resuming {self.named(list(wanted))}")

        def resume() -> str:
            for row, overrides in wanted.items():
                launch.resume(self.folder_of(row), overrides, LAUNCHER)
            return f"{self.named(list(wanted))} {'goes' if len(wanted) == 1 else 'go'} on"

        self.in_background(resume)

    def action_trash(self) -> None:
        """Move the runs that are meant to the trash, after a question."""
        rows = self.able("trash")

        def remove() -> str:
            moved: list[RunSummary] = []
            try:
                for row in rows:
                    where = self.store.remove(self.folder_of(row))
                    moved.append(row)
            finally:
                if moved:
                    words = f"{self.named(moved)} put into the trash"
                    self.post_message(Undoable(words, lambda: self._restore(moved)))
            return f"{self.named(rows)} {'is' if len(rows) == 1 else 'are'} in the trash: {where}"

        about = "Its folder is kept in the trash, u brings it back; nothing is deleted."
        self.confirm(f"Move {self.named(rows)} to the trash?", about, lambda: self.in_background(remove))

    def _restore(self, rows: list[RunSummary]) -> None:
        def restore() -> str:
            for row in rows:
                self.store.restore(row.id)
            return f"{self.named(rows)} {'is' if len(rows) == 1 else 'are'} back"

        self.in_background(restore)

    def action_duplicate(self) -> None:
        """Put the selected run's experiment into the experiment pane, to change it."""
        pane, row = self.experiment_pane, self.selected
        if pane is None:
            self._when_loaded = self.action_duplicate
        if pane is None or row is None:
            return
        folder = self.folder_of(row)
        experiment = read_experiment(folder.experiment)
        if experiment is None:
            self.notice(f"{row.name}: its experiment can't be read ({folder.experiment})", "error")
            return
        try:
            pane.load(experiment)
        except BadInput as error:
            self.notice(str(error), "error")
            return
        self.notice(f"the experiment of {row.name} is in pane 2: change it and press t")

    def action_log(self) -> None:
        """Read the end of the selected run's log."""
        row = self.selected
        if row is None:
            return
        log = self.folder_of(row).log

        def read() -> list[Content]:
            return log_tail(log)

        self.push_screen(Reading(f"{row.name}  {log}", read(), read, at_end=True))
