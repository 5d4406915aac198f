"""The only module that knows Optuna: its storage, which trial is next, which is pruned, and what explains the results.

The study is in `journal.log`, which Optuna's own API and optuna-dashboard read. The values of trial N depend on the
seed, N and the trials that have ended before, not on the worker that asks: samplers are made anew for each trial.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from pathlib import Path

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial

from workbench.datasets.drawing import derived_seed
from workbench.io.record_locks import holder_pid
from workbench.sweeps.definition import grid_points
from workbench.sweeps.records import (
    PrunerName,
    SamplerName,
    SweepDefinition,
    SweepSummary,
    TrialState,
    TrialSummary,
)
from workbench.sweeps.space import Choices, ParamValue, Space
from workbench.sweeps.sweep_folder import JOURNAL_BYTE, SweepFolder, SweepLock

RUN, REASON = "run", "reason"
"""Attributes of a trial: the id of its run, and why it was pruned or has failed."""
MIN_FOR_IMPORTANCES = 5
"""Finished trials from which on importances say anything."""
FIRST_PRUNED_EPOCH = 2
"""After one epoch a low learning rate looks worse than it is."""
_STATES = {
    optuna.trial.TrialState.WAITING: TrialState.WAITING,
    optuna.trial.TrialState.RUNNING: TrialState.RUNNING,
    optuna.trial.TrialState.COMPLETE: TrialState.FINISHED,
    optuna.trial.TrialState.PRUNED: TrialState.PRUNED,
    optuna.trial.TrialState.FAIL: TrialState.FAILED,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


class JournalLock(JournalFileSymlinkLock):
    """Optuna's lock of the journal, which a killed worker leaves behind, inside a record lock, which it does not.

    Whoever has the record lock knows that a lock of another worker is left over, and need not wait for Optuna's grace
    period. Other programs take only Optuna's lock; it does not point to where a worker's points.
    """

    def __init__(self, folder: SweepFolder, lock: SweepLock) -> None:
        super().__init__(str(folder.journal))
        self._lock_target_file = f"../{folder.name}/{folder.journal.name}"
        self._context, self._lock, self._journal = contextlib.ExitStack(), lock, folder.journal
        try:
            holder_pid(folder.lock, JOURNAL_BYTE)
            self._excludes = True
        except OSError:  # a file system without locks
            self._excludes = False

    def acquire(self) -> bool:
        """Wait for the lock and take it, to append lines behind whole ones."""
        self._context.enter_context(self._lock.mutex(JOURNAL_BYTE))
        with contextlib.suppress(OSError):
            if self._excludes and os.readlink(self._lock_file) == self._lock_target_file:  # noqa: PTH115
                Path(self._lock_file).unlink()
        acquired = super().acquire()
        _remove_torn_line(self._journal)
        return acquired

    def release(self) -> None:
        """Free the lock."""
        try:
            super().release()
        finally:
            self._context.close()


class OpenTrial:
    """A trial that has not ended, for the worker that has it."""

    def __init__(self, study: optuna.Study, trial: Trial, params: dict[str, ParamValue]) -> None:
        self._study, self._trial = study, trial
        self.number, self.params = trial.number, params
        self._reported = set(_frozen(study, trial.number).intermediate_values)

    @property
    def run(self) -> str:
        """The id of its run; empty before there is one."""
        return str(self._trial.user_attrs.get(RUN, ""))

    def set_run(self, run: str) -> None:
        """Record the run, before it starts."""
        self._trial.set_user_attr(RUN, run)

    def report(self, values: dict[int, float]) -> int | None:
        """Report the metric by epoch; returns the epoch at which the trial should be pruned, if it should be.

        Values that are known are ignored, and so are those behind that epoch.
        """
        new = [epoch for epoch in sorted(values) if epoch not in self._reported]
        for epoch in new:
            self._trial.report(values[epoch], epoch)
            self._reported.add(epoch)
            if self._trial.should_prune():
                return epoch
        return None

    def finish(self, value: float) -> None:
        """End it with its result, a finite number."""
        self._study.tell(self.number, value)

    def prune(self, reason: str) -> None:
        """End it as pruned."""
        self._trial.set_user_attr(REASON, reason)
        self._study.tell(self.number, state=optuna.trial.TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """End it without a result."""
        self._trial.set_user_attr(REASON, reason)
        self._study.tell(self.number, state=optuna.trial.TrialState.FAIL)


class SweepStudy:
    """The study of a sweep, as one worker sees it."""

    def __init__(self, folder: SweepFolder, definition: SweepDefinition, lock: SweepLock) -> None:
        self._definition, self._spaces = definition, definition.spaces
        storage = _open_storage(folder, lock)
        self._study = optuna.load_study(
            study_name=definition.name, storage=storage, pruner=_make_pruner(definition)
        )

    @classmethod
    def create(cls, folder: SweepFolder, definition: SweepDefinition, lock: SweepLock) -> SweepStudy:
        """Create the study. The trials of a grid, and the baseline, wait in it from the start."""
        directions = optuna.study.StudyDirection
        direction = directions.MINIMIZE if definition.minimize else directions.MAXIMIZE
        storage = _open_storage(folder, lock)
        study = optuna.create_study(study_name=definition.name, storage=storage, direction=direction)
        study.set_user_attr("metric", definition.metric)
        waiting = [definition.baseline] if definition.baseline else []
        if definition.sampler is SamplerName.GRID:
            waiting = grid_points(definition.spaces)
        for params in waiting:
            study.enqueue_trial(params)
        return cls(folder, definition, lock)

    def open_trials(self) -> list[int]:
        """The numbers of the trials that were started and have not ended, oldest first."""
        return [t.number for t in self._trials() if t.state == optuna.trial.TrialState.RUNNING]

    def started(self) -> int:
        """The number of trials that were started."""
        return sum(trial.state != optuna.trial.TrialState.WAITING for trial in self._trials())

    def next_number(self) -> int:
        """The number of the trial that `ask` would start. The caller holds the mutex of the sweep."""
        trials = self._trials()
        waiting = (t.number for t in trials if t.state == optuna.trial.TrialState.WAITING)
        return next(waiting, len(trials))

    def ask(self) -> OpenTrial:
        """Start a new trial. The caller holds the mutex of the sweep."""
        self._study.sampler = _make_sampler(self._definition, self.next_number())
        return self._opened(self._study.ask())

    def take_over(self, number: int) -> OpenTrial:
        """A trial of a worker that has ended; settings that it had not chosen yet are chosen now."""
        self._study.sampler = _make_sampler(self._definition, number)
        frozen = _frozen(self._study, number)
        return self._opened(Trial(self._study, frozen._trial_id))

    def _opened(self, trial: Trial) -> OpenTrial:
        params = {key: _suggest(trial, key, space) for key, space in self._spaces.items()}
        return OpenTrial(self._study, trial, params)

    def summary(self) -> SweepSummary:
        """The trials that were started, and what is learned from them."""
        trials = [_summarize(trial, self._definition) for trial in self._trials()]
        trials = [trial for trial in trials if trial.state is not TrialState.WAITING]
        finished = [t for t in trials if t.state is TrialState.FINISHED and t.value is not None]
        sign = -1 if self._definition.minimize else 1
        best = max(finished, key=lambda t: sign * (t.value or 0.0), default=None)
        return SweepSummary(
            trials=tuple(trials), best=None if best is None else best.number, importances=self._importances()
        )

    def _importances(self) -> dict[str, float]:
        """By PED-ANOVA (https://arxiv.org/abs/2304.10255), Optuna's default."""
        finished = [t for t in self._trials() if t.state == optuna.trial.TrialState.COMPLETE]
        if len(finished) < MIN_FOR_IMPORTANCES or len({t.value for t in finished}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(self._study)
        return {key: round(value, 4) for key, value in found.items() if math.isfinite(value)}

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def _frozen(study: optuna.Study, number: int) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[number]


def _summarize(trial: FrozenTrial, definition: SweepDefinition) -> TrialSummary:
    epoch = trial.last_step
    newest = None if epoch is None else trial.intermediate_values[epoch]
    value = trial.value if trial.state.is_finished() else newest
    return TrialSummary(
        number=trial.number, run=str(trial.user_attrs.get(RUN, "")), state=_STATES[trial.state],
        params={key: trial.params[key] for key, _ in definition.params if key in trial.params},
        value=value if value is not None and math.isfinite(value) else None,
        reason=str(trial.user_attrs.get(REASON, "")), epoch=epoch or 0,
    )  # fmt: skip


def _suggest(trial: Trial, key: str, space: Space) -> ParamValue:
    """The value of a setting, chosen now unless it was before."""
    if isinstance(space, Choices):
        return str(trial.suggest_categorical(key, space.values))
    if space.whole:
        return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)


def _make_sampler(definition: SweepDefinition, number: int) -> optuna.samplers.BaseSampler:
    """The sampler of one trial, with a seed of its own: one that restarts would repeat its first values."""
    seed = derived_seed(definition.seed, "trial", number) % 2**32
    match definition.sampler:
        case SamplerName.TPE:
            return optuna.samplers.TPESampler(seed=seed)
        case SamplerName.CMAES:
            return optuna.samplers.CmaEsSampler(
                seed=seed, warn_independent_sampling=False, independent_sampler=optuna.samplers.RandomSampler(seed)
            )  # fmt: skip
    return optuna.samplers.RandomSampler(seed)  # all trials of a grid wait with their values


def _make_pruner(definition: SweepDefinition) -> optuna.pruners.BasePruner:
    match definition.pruner:
        case PrunerName.MEDIAN:
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=FIRST_PRUNED_EPOCH)
        case PrunerName.HYPERBAND:
            return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(definition.epochs, 1))
    return optuna.pruners.NopPruner()


def _open_storage(folder: SweepFolder, lock: SweepLock) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder.journal), lock_obj=JournalLock(folder, lock)))


def _remove_torn_line(journal: Path) -> None:
    """Remove what a full disk or a crash of the machine left of a line: Optuna could read nothing behind it."""
    with contextlib.suppress(FileNotFoundError), journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        if file.read(1) not in {b"", b"\n"}:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
