"""Train, stop, resume, trash and duplicate runs, and read their logs. File and process operations run in a thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from textual.content import Content

from workbench.config.data_summary import experiment_data
from workbench.config.experiment import Experiment, apply_overrides, experiment_from_dict, read_experiment
from workbench.config.variants import Variant
from workbench.core.errors import UserError
from workbench.core.setting_parser import parse_assignment
from workbench.core.settings_schema import Section, SettingValue
from workbench.launcher import launch
from workbench.launcher.group_start import free_group, queue_group
from workbench.launcher.queue import QueueOptions
from workbench.launcher.resume_settings import ResumedRun
from workbench.runs.queue_state import read_waiting
from workbench.runs.records import Notes
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunTargets
from workbench.ui.actions.undo import UndoStack
from workbench.ui.base.pane import ExperimentEditor
from workbench.ui.widgets.text_screen import TextScreen, log_tail

LAUNCHER = "screen"
REPEAT_SECONDS = 1.0
"""A second key press within this time asks before it starts the same experiment again."""


class RunActions:
    """The actions on runs; `editor` returns the experiment pane, `None` until it is mounted."""

    def __init__(
        self, host: ActionHost, targets: RunTargets, undo_stack: UndoStack,
        editor: Callable[[], ExperimentEditor | None],
    ) -> None:  # fmt: skip
        self._host, self._targets, self._undo_stack, self._editor = host, targets, undo_stack, editor
        self._deferred: Callable[[], None] | None = None
        """The action that waits for the experiment pane."""
        self._started: Experiment | None = None
        self._started_at = 0.0
        self._starting = False
        """The newest experiment that was started, when (monotonic seconds), and whether its start is under way."""

    def run_deferred(self) -> None:
        """Do what was requested before the experiment pane was mounted."""
        action, self._deferred = self._deferred, None
        if action is not None:
            action()

    def train(self, *, queued: bool = False) -> None:
        """Train the experiment of the experiment pane; with `queued`, when a device is free."""
        editor = self._editor()
        if editor is None:
            self._deferred = lambda: self.train(queued=queued)
            self._host.show_notice(
                "loading the experiment; training starts when it is loaded", transient=True
            )
            return
        try:
            variants = editor.variants()
        except UserError as error:
            self._host.show_notice(str(error), "error")
            return
        editor.clear_filter()
        if len(variants) > 1:
            self._queue_group(editor.experiment().name, variants)
            return
        experiment = variants[0].experiment
        recent = self._starting or time.monotonic() - self._started_at <= REPEAT_SECONDS
        if recent and experiment == self._started:
            self._host.confirm(
                f"Start {experiment.name} again?",
                "The same experiment was started a moment ago; this would be a second run of it.",
                lambda: self.start(experiment, queued=queued),
            )
            return
        self.start(experiment, queued=queued)

    def _queue_group(self, name: str, variants: Sequence[Variant]) -> None:
        """Queue the runs of settings with several values as one group, after a confirmation."""
        store, group = self._host.store, free_group(name, self._targets.rows)

        def queue() -> str:
            folders = queue_group(variants, LAUNCHER, store, notes=Notes(group=group), queue=QueueOptions())
            self._host.run_soon(lambda: self._host.refresh_runs(folders[0].id))
            return f"{len(folders)} runs of the group {group} are queued"

        keys = [key for key, _ in variants[0].changed]
        values = (
            f"value of {keys[0]}" if len(keys) == 1 else f"combination of the values of {', '.join(keys)}"
        )
        self._host.confirm(
            f"Queue {len(variants)} runs as the group {group}?",
            f"One for each {values}; they run as devices become free.",
            lambda: self._host.run_in_background(queue),
        )

    def start(self, experiment: Experiment, *, queued: bool = False) -> None:
        """Start or queue a run of `experiment`, and select it."""
        self._host.show_notice(f"{'queuing' if queued else 'starting'} {experiment.name}")
        self._started, self._started_at, self._starting = experiment, time.monotonic(), True

        def start() -> str:
            try:
                for remark in launch.start_warnings(experiment):
                    self._host.show_notice(remark, "warning")
                data = experiment_data(experiment)
                for warning in data.warnings if data else ():
                    self._host.show_notice(f"data: {warning}", "warning")
                queue = QueueOptions() if queued else None
                folder = launch.start_run(experiment, LAUNCHER, self._host.store.root, queue=queue)
            finally:
                self._starting = False
            self._host.run_soon(lambda: self._host.refresh_runs(folder.id))
            if queued and (waiting := read_waiting(folder)) is not None:
                return (
                    f"{experiment.name} is queued at position {waiting.position}; it waits for {waiting.text}"
                )
            return f"{experiment.name} trains in the background; it keeps running when you quit"

        self._host.run_in_background(start)

    def stop(self) -> None:
        """Stop the target runs, after a confirmation."""
        rows = self._targets.eligible_runs("stop")
        names = self._targets.display_names(rows)
        if all(row.status is Status.QUEUED for row in rows):
            self._leave_queue(rows)
            return

        def stop() -> str:
            reasons = {reason for row in rows if (reason := launch.stop_run(self._host.store.folder(row.id)))}
            return f"{names}: {'; '.join([*reasons, 'sent SIGTERM']) if reasons else 'stop requested'}"

        details = "A checkpoint is written first; r resumes from it."
        self._host.confirm(f"Stop {names}?", details, lambda: self._host.run_in_background(stop))

    def _leave_queue(self, rows: list[RunSummary]) -> None:
        names = self._targets.display_names(rows)

        def leave() -> str:
            for row in rows:
                launch.stop_run(self._host.store.folder(row.id))
            return f"{names} taken out of the queue"

        details = f"Nothing is deleted; r starts {'it' if len(rows) == 1 else 'them'} after all."
        self._host.confirm(
            f"Take {names} out of the queue?", details, lambda: self._host.run_in_background(leave)
        )

    def resume(self) -> None:
        """Resume the target runs; finished ones with more epochs, after a confirmation."""
        rows = self._targets.eligible_runs("resume")
        finished = [row for row in rows if row.status is Status.FINISHED]
        if not finished:
            self._resume([(row, {}) for row in rows])
            return
        more = max(1, finished[0].epochs_total // 2)
        state = (
            f"It finished after {finished[0].epoch} epochs." if len(finished) == 1 else "They are finished."
        )
        if len(finished) == 1 and (remark := self._learning_rate_remark(finished[0], more)):
            state += f" {remark[0].upper()}{remark[1:]}."
        self._host.confirm(
            f"Train {self._targets.display_names(finished)} for {more} more epochs?",
            f"{state} While it trains, - and + change the number of epochs.",
            lambda: self._resume(
                [(row, {"train.epochs": row.epoch + more} if row in finished else {}) for row in rows]
            ),
        )

    def _learning_rate_remark(self, row: RunSummary, more: int) -> str | None:
        with contextlib.suppress(UserError, OSError):  # then the resume says why it is impossible
            overrides = {"train.epochs": row.epoch + more}
            return ResumedRun(self._host.store.folder(row.id), overrides).learning_rate_remark()
        return None

    def _resume(self, resumes: list[tuple[RunSummary, dict[str, SettingValue]]]) -> None:
        names = self._targets.display_names([row for row, _ in resumes])
        self._host.show_notice(f"resuming {names}")

        def resume() -> str:
            for row, overrides in resumes:
                name = self._targets.display_names([row])
                launch.resume_run(
                    self._host.store.folder(row.id), overrides, LAUNCHER,
                    announce=lambda remark, name=name: self._host.show_notice(f"{name}: {remark}"),  # type: ignore[misc]
                )  # fmt: skip
            return f"{names} resumed"

        self._host.run_in_background(resume)

    def trash(self) -> None:
        """Move the target runs to the trash, after a confirmation."""
        rows = self._targets.eligible_runs("trash")
        names = self._targets.display_names(rows)

        def remove() -> str:
            moved: list[RunSummary] = []
            try:
                for row in rows:
                    trash_path = self._host.store.remove(self._host.store.folder(row.id))
                    moved.append(row)
            finally:
                if moved:  # those before the one that failed can be restored as well
                    text = f"{self._targets.display_names(moved)} moved to trash"
                    self._host.run_soon(
                        lambda: self._undo_stack.push(text, lambda: self._restore(moved), in_background=True)
                    )
            return f"{names} moved to trash: {trash_path}"

        details = "Nothing is deleted; u restores it from the trash."
        question = f"Move {names} to the trash?"
        self._host.confirm(question, details, lambda: self._host.run_in_background(remove))

    def _restore(self, rows: list[RunSummary]) -> None:
        for row in rows:
            self._host.store.restore(row.id)

    def duplicate(self) -> None:
        """Load the selected run's experiment into the experiment pane."""
        row = self._targets.selected
        if row is not None:
            self.load_run(row.id, row.name)

    def load_run(self, run_id: str, name: str) -> None:
        """Load the experiment of a run, which notices call `name`, into the experiment pane."""
        editor = self._editor()
        if editor is None:
            self._deferred = lambda: self.load_run(run_id, name)
            return
        path = self._host.store.folder(run_id).experiment
        experiment = read_experiment(path)
        if experiment is None:
            self._host.show_notice(f"the experiment of {name} can't be read: {path}", "error")
            return
        if self._load(editor, experiment.to_dict()):
            self._host.show_notice(
                f"loaded the experiment of {name} into the experiment pane: change it and press t"
            )

    def propose(self, experiment: Experiment, assignment: str) -> None:
        """Load an experiment with one setting changed (`KEY=VALUE`) into the experiment pane."""
        editor = self._editor()
        if editor is None:
            self._deferred = lambda: self.propose(experiment, assignment)
            return
        key, value = parse_assignment(assignment)
        if self._load(editor, apply_overrides(experiment.to_dict(), {key: value})):
            self._host.show_notice(
                f"loaded the experiment of the run with {assignment} into the experiment pane: t trains it"
            )

    def _load(self, editor: ExperimentEditor, content: Section) -> bool:
        """Load an experiment into the experiment pane; false after a notice that it is invalid."""
        try:
            editor.load(experiment_from_dict(content))
        except UserError as error:
            self._host.show_notice(str(error), "error")
            return False
        return True

    def read_log(self) -> None:
        """Show the end of the selected run's log."""
        row = self._targets.selected
        if row is None:
            return
        path = self._host.store.folder(row.id).log

        def read() -> list[Content]:
            return log_tail(path)

        self._host.show_screen(TextScreen(f"{row.name}  {path}", read(), read, at_end=True))
