"""The run of a trial: started, or resumed where its worker was killed, and followed to its end."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable
from enum import Enum, auto

from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs.attempts import last_attempt_number, repeated_start
from workbench.runs.enums import Cause
from workbench.runs.metric_series import TRAINING, metric_series
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import Notes, RequestValues
from workbench.runs.restart import missing_checkpoints_error
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import end_cause, end_reason
from workbench.runs.status import Status, status_of
from workbench.sweeps.definition import trial_experiment
from workbench.sweeps.records import SweepDefinition
from workbench.sweeps.study import OpenTrial
from workbench.sweeps.sweep_folder import SweepFolder

LAUNCHER = "sweep"
POLL_SECONDS = 0.1
MAX_STARTS = 4
"""A run that is killed again and again, and never gets on, is a failed trial."""
KILLED = {Cause.CRASH, Cause.SIGNAL, Cause.SUPERVISOR_ENDED, Cause.TAKEN_OVER, Cause.REQUEUED}
"""Ends after which a run is resumed: its processes were killed, or its worker had to leave it."""


class Outcome(Enum):
    """What became of a trial."""

    ENDED = auto()
    LEFT = auto()
    """The worker leaves it: the trial goes on with the sweep, or with another worker."""
    NO_METRIC = auto()
    """The run has finished, and its record lacks the metric of the sweep."""


class TrialRun:
    """Works on one trial, which no other worker has."""

    def __init__(
        self, folder: SweepFolder, definition: SweepDefinition, trial: OpenTrial, changed: Callable[[], None],
        leave: Callable[[], RequestValues | None],
    ) -> None:  # fmt: skip
        """`changed` is called when the run has started, and after each value.

        `leave` returns how to stop the run once the worker has to leave it, else `None`.
        """
        self._folder, self._definition, self._trial = folder, definition, trial
        self._changed, self._leave = changed, leave
        self._stop_sent = False

    def work(self) -> Outcome:
        """Start, resume or only follow the run, and tell Optuna how it ended."""
        try:
            run = self._begin()
            self._changed()
            while (outcome := self._follow(run)) is None:
                self._resume(run)
        except UserError as error:
            self._trial.fail(str(error))
            return Outcome.ENDED
        return outcome

    def _begin(self) -> RunFolder:
        """The run, live or ended. One that was left by another worker is found by its id."""
        run = self._recorded_run()
        if run is None:
            return self._start()
        status = status_of(run)
        if status.ended and status is not Status.FINISHED and self._cause(run) is not Cause.PRUNED:
            self._resume(run)
        return run

    def _recorded_run(self) -> RunFolder | None:
        """The run that was started for this trial before; `None` where it was not, or is gone."""
        run = RunFolder(self._folder.runs / self._trial.run)
        if not self._trial.run or not run.path.is_dir():
            return None
        if (
            last_attempt_number(run) == 0 and not status_of(run).live
        ):  # killed between the record and the start
            shutil.rmtree(run.path, ignore_errors=True)
            return None
        return run

    def _start(self) -> RunFolder:
        experiment = trial_experiment(self._definition.content, self._trial.params, self._trial.number)
        return launch.start_run(
            experiment, LAUNCHER, self._folder.runs, notes=Notes(group=self._folder.name),
            before_start=lambda run: self._trial.set_run(run.id),
        )  # fmt: skip

    def _resume(self, run: RunFolder) -> None:
        """Resume a run whose processes were killed, or that was stopped with the sweep. Raises `UserError`."""
        if (step := repeated_start(run, MAX_STARTS)) is not None:
            raise UserError(f"its run was killed {MAX_STARTS} times after its start from step {step}")
        launch.resume_run(
            run, {}, LAUNCHER, take_over=True, from_start=missing_checkpoints_error(run) is not None
        )

    def _follow(self, run: RunFolder) -> Outcome | None:
        """Report the metric until the run ends; `None` where it was killed, and has to be resumed."""
        reader = RunReader(run)
        version = -1
        try:
            while True:
                view = reader.read_all()
                if view.version != version and not self._stop_sent:
                    self._report(run, view)
                version = view.version
                if view.status.ended:
                    return self._end(reader.read_all())
                if (values := self._leave()) is not None:
                    self._request_stop(run, values)
                time.sleep(POLL_SECONDS)
        finally:
            reader.close()

    def _report(self, run: RunFolder, view: RunView) -> None:
        values = metric_by_epoch(view, self._definition.metric)
        epoch = self._trial.report(values)
        if values:
            self._changed()
        if epoch is not None and view.status.live:
            reason = (
                f"pruned by the sweep {self._folder.name} at epoch {epoch}: "
                f"{self._definition.metric} {values[epoch]:.4g} ({self._definition.pruner})"
            )
            self._request_stop(run, RequestValues(pruned=reason))

    def _request_stop(self, run: RunFolder, values: RequestValues) -> None:
        if self._stop_sent:
            return
        with contextlib.suppress(UserError):  # it has ended in this moment
            launch.stop_run(run, values)
            self._stop_sent = True

    def _end(self, view: RunView) -> Outcome | None:
        """Tell Optuna how the run ended; `None` where it was killed."""
        cause = end_cause(view)
        if view.status is Status.FINISHED:
            return self._finish(view)
        if cause is Cause.PRUNED:
            self._trial.prune(end_reason(view) or "")
            return Outcome.ENDED
        if self._leave() is not None:
            return Outcome.LEFT
        if view.status in {Status.CRASHED, Status.UNKNOWN} or cause in KILLED:
            self._stop_sent = False
            return None
        self._trial.fail(end_reason(view) or str(view.status))
        return Outcome.ENDED

    def _finish(self, view: RunView) -> Outcome:
        definition = self._definition
        values = metric_by_epoch(view, definition.metric)
        if not values:
            self._trial.fail(f"the run has no {definition.metric}")
            return Outcome.NO_METRIC
        finite = [value for value in values.values() if math.isfinite(value)]
        if not finite or (not definition.best_epoch and not math.isfinite(values[max(values)])):
            self._trial.fail(f"{definition.metric} is not a finite number")
        elif not definition.best_epoch:
            self._trial.finish(values[max(values)])
        else:
            self._trial.finish(min(finite) if definition.minimize else max(finite))
        return Outcome.ENDED

    def _cause(self, run: RunFolder) -> Cause | None:
        reader = RunReader(run)
        try:
            return end_cause(reader.poll())
        finally:
            reader.close()


def metric_by_epoch(view: RunView, metric: str) -> dict[int, float]:
    """A metric of a run by the number of completed epochs, its newest value where an epoch has several."""
    split, _, name = metric.partition("/")
    if evaluated := {
        row.weights_of_epoch: value
        for row in view.evaluations
        if row.split == split and (value := row.metric(name)) is not None
    }:
        return evaluated
    if split == TRAINING:
        means = {int(row.epoch): value for row in view.epochs if (value := row.metric(name)) is not None}
        if means:
            return means
    series = metric_series(view).get(metric)
    per_epoch = view.setup.steps_per_epoch if view.setup else 0
    if series is None or not per_epoch:
        return {}
    return {
        math.ceil(step / per_epoch): value for step, value in zip(series.steps, series.values, strict=True)
    }
