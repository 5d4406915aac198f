"""`workbench sweep`: start, follow, show, stop and resume sweeps."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Sequence

import msgspec

from workbench.cli import console
from workbench.cli.process_options import process_sets
from workbench.cli.queue_options import LOCAL
from workbench.cli.signals import SignalRecorder
from workbench.cli.slurm_options import slurm_options, slurm_sets
from workbench.cli.sweep_options import ACTIONS
from workbench.cli.tables import print_table
from workbench.cli.waiting import SignalWaiter, check_detached
from workbench.config.experiment import build_experiment, experiment_content
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.launcher.launch import start_warnings
from workbench.launcher.slurm import is_changed
from workbench.sweeps.control import (
    check_optuna,
    remove_sweep,
    resume_sweep,
    start_sweep,
    stop_sweep,
    wait_until_stopped,
)
from workbench.sweeps.definition import SweepRequest, define_sweep
from workbench.sweeps.records import SweepStatus, TrialState, TrialSummary
from workbench.sweeps.slurm_jobs import list_workers
from workbench.sweeps.space import ParamValue, format_value
from workbench.sweeps.sweep_folder import (
    EXAMPLE,
    NO_SWEEPS,
    SweepFolder,
    SweepStore,
    SweepView,
    goal,
    read_sweep,
)

POLL_SECONDS = 0.3


class TrialReport(msgspec.Struct, frozen=True):
    """A trial in `sweep --json`."""

    number: int
    run: str
    """The id of its run; empty before it starts."""
    params: dict[str, ParamValue]
    value: float | None
    state: TrialState
    reason: str


class SweepReport(msgspec.Struct, frozen=True):
    """The document that `sweep --json` and `sweep show --json` print."""

    sweep: str
    status: SweepStatus
    error: str
    """Why it has failed, for people."""
    waits_for: str
    """What its workers in Slurm wait for, for people; empty unless it is queued."""
    metric: str
    minimize: bool
    trials_total: int
    workers: int
    """How many work on it now."""
    trials: tuple[TrialReport, ...]
    best: TrialReport | None
    importances: dict[str, float]
    storage: str
    """Optuna's journal."""
    slurm_jobs: tuple[str, ...]
    """The arrays of workers that were submitted to Slurm, oldest first."""


class RemovedSweep(msgspec.Struct, frozen=True):
    """The document that `sweep remove --json` prints."""

    sweep: str
    directory: str
    """Where it is in the trash."""


def sweep(options: argparse.Namespace) -> int:
    """`workbench sweep`."""
    if options.recipe in ACTIONS:
        if options.sweep is None:
            raise UserError(f"which sweep? workbench sweep {options.recipe} last, or its name")
        if options.param:
            raise UserError("--param is for a new sweep; the settings of one that exists can't change")
        folder = SweepStore.default().find(options.sweep)
        actions = {"show": _show, "stop": _stop, "resume": _resume, "remove": _remove}
        return actions[options.recipe](folder, options)
    if options.sweep is not None:
        raise UserError(f"unexpected '{options.sweep}': actions are {', '.join(ACTIONS)}")
    if options.recipe is None and not (options.param or options.dataset or options.model):
        return _list(options)
    return _start(options)


def _start(options: argparse.Namespace) -> int:
    check_optuna(options.sampler)
    arguments = {"dataset": options.dataset, "model": options.model, "device": options.device}
    content = experiment_content(
        options.recipe, sets=[*slurm_sets(options), *options.set, *process_sets(options)], **arguments
    )
    experiment = build_experiment(content)
    request = SweepRequest(
        content=content, params=options.param, trials=options.trials, workers=options.workers or 1,
        sampler=options.sampler, pruner=options.pruner, metric=options.metric, minimize=options.minimize,
        seed=options.seed,
    )  # fmt: skip
    if options.workers == 0:
        raise UserError("--workers must be at least 1")
    definition = define_sweep(request)
    slurm = slurm_options(options, None)
    for remark in start_warnings(experiment, here=slurm is None):
        console.print_status(remark)
    if slurm is not None:
        from workbench.cli.commands.fetch import fetch_for_nodes

        fetch_for_nodes(experiment)
    else:
        check_detached(options)
    with SignalRecorder() as signals:
        name = options.name or f"{experiment.name}-sweep"
        folder = start_sweep(definition, name, slurm, exact=options.name is not None)
        console.print_status(
            f"Started the sweep {folder.name}: {text.plural(definition.trials, 'trial')} by "
            f"{text.plural(definition.workers, 'worker')}{_array(folder)}; {goal(definition)}."
        )
        return _wait(folder, options, signals)


def _array(folder: SweepFolder) -> str:
    """How newly started workers were submitted, for people."""
    submitted = list_workers(folder.path)
    return f" (array {submitted[-1].job} of Slurm)" if submitted else ""


def _resume(folder: SweepFolder, options: argparse.Namespace) -> int:
    submitted = list_workers(folder.path)
    slurm = slurm_options(options, None, again=bool(submitted))
    without_slurm = options.launcher == LOCAL
    if slurm is None and (without_slurm or not submitted):
        check_detached(options)
    elif submitted and is_changed(folder.slurm_script, submitted[-1].script_sha256):
        console.print_status(f"{folder.slurm_script} was changed, and is submitted as it is.")
    shown = {trial.number for trial in read_sweep(folder).summary.trials if trial.state.ended}
    with SignalRecorder() as signals:
        count = resume_sweep(
            folder, trials=options.trials, workers=options.workers, slurm=slurm, without_slurm=without_slurm
        )
        console.print_status(f"Resumed the sweep {folder.name} with {text.plural(count, 'more worker')}.")
        return _wait(folder, options, signals, shown)


def _wait(
    folder: SweepFolder, options: argparse.Namespace, signals: SignalRecorder, shown: set[int] | None = None
) -> int:
    """Follow a sweep to its end, or leave it (`--detach`); returns the exit code."""
    if options.detach:
        if options.json:
            console.print_json(report_sweep(read_sweep(folder)))
        else:
            console.print_result(folder.name)
        return DONE
    waiter = SweepWaiter(folder, signals, shown or set())
    view = waiter.wait()
    with contextlib.suppress(OSError) if waiter.interrupted else contextlib.nullcontext():
        if options.json:
            console.print_json(report_sweep(view))
        else:
            print_sweep(view)
    if waiter.interrupted:
        return INTERRUPTED
    return _exit_code(view)


def _exit_code(view: SweepView) -> int:
    match view.status:
        case SweepStatus.FINISHED if view.summary.best is None:
            console.print_status("workbench: no trial has a result")
        case SweepStatus.FINISHED:
            return DONE
        case SweepStatus.FAILED:
            console.print_status(f"workbench: {view.error}")
        case SweepStatus.INTERRUPTED:
            console.print_status(
                f"workbench: no worker is left (log: {view.folder.log}); "
                f"'workbench sweep resume {view.folder.name}' continues the sweep"
            )
        case _:
            return INTERRUPTED
    return FAILED


def _show(folder: SweepFolder, options: argparse.Namespace) -> int:
    view = read_sweep(folder)
    if options.json:
        console.print_json(report_sweep(view))
    else:
        print_sweep(view)
    return DONE


def _stop(folder: SweepFolder, options: argparse.Namespace) -> int:
    view = read_sweep(folder)
    if view.status in {SweepStatus.FINISHED, SweepStatus.STOPPED, SweepStatus.FAILED}:
        raise UserError(f"{folder.name} is {view.status}: nothing to stop")
    stop_sweep(folder)
    if not wait_until_stopped(folder):
        raise UserError(f"{folder.name} has not stopped yet: its workers end when their runs have stopped")
    if options.json:
        console.print_json(report_sweep(read_sweep(folder)))
    else:
        console.print_status(f"Stopped {folder.name}; 'workbench sweep resume {folder.name}' continues it.")
    return DONE


def _remove(folder: SweepFolder, options: argparse.Namespace) -> int:
    path = remove_sweep(folder)
    if options.json:
        console.print_json(RemovedSweep(folder.name, str(path)))
    else:
        console.print_result(
            f"Moved the sweep {folder.name} to the trash, without its runs; "
            f"'workbench trash restore {folder.name}' restores it."
        )
    return DONE


def _list(options: argparse.Namespace) -> int:
    views = [read_sweep(folder) for folder, _ in SweepStore.default().list_sweeps()]
    if options.json:
        console.print_json([report_sweep(view) for view in views])
        return DONE
    if not views:
        console.print_status(f"{NO_SWEEPS} Start one: {EXAMPLE}")
        return DONE
    print_table(("sweep", "status", "trials", "metric", "best"), [_list_row(view) for view in views])
    return DONE


def _list_row(view: SweepView) -> tuple[str, ...]:
    best = view.summary.best_trial
    return (
        view.folder.name, str(view.status), f"{view.summary.ended}/{view.definition.trials}", view.definition.metric,
        "-" if best is None else f"{text.format_decimals(best.value)} (trial {best.number})",
    )  # fmt: skip


def report_sweep(view: SweepView) -> SweepReport:
    """The JSON document of a sweep."""
    summary, definition = view.summary, view.definition
    best = summary.best_trial
    return SweepReport(
        sweep=view.folder.name, status=view.status, error=view.error, metric=definition.metric,
        minimize=definition.minimize, trials_total=definition.trials, workers=view.workers,
        trials=tuple(_report_trial(trial) for trial in summary.trials),
        best=None if best is None else _report_trial(best), importances=summary.importances,
        storage=str(view.folder.journal), waits_for=view.waits_for,
        slurm_jobs=tuple(workers.job for workers in list_workers(view.folder.path)),
    )  # fmt: skip


def _report_trial(trial: TrialSummary) -> TrialReport:
    return TrialReport(trial.number, trial.run, trial.params, trial.value, trial.state, trial.reason)


def print_sweep(view: SweepView) -> None:
    """Print the trials of a sweep, its best one and what explains the results."""
    summary, definition = view.summary, view.definition
    keys = [key for key, _ in definition.params]
    print_table(
        ("trial", "state", definition.metric, *(key.rpartition(".")[2] for key in keys), "run"),
        [
            (
                str(trial.number), str(trial.state), text.format_decimals(trial.value),
                *(format_value(trial.params[key]) if key in trial.params else "-" for key in keys), trial.run or "-",
            )
            for trial in summary.trials
        ],
    )  # fmt: skip
    waits = f", waits for {view.waits_for}" if view.waits_for else ""
    console.print_result(
        f"{view.folder.name} is {view.status}{waits}: "
        f"{summary.ended} of {text.plural(definition.trials, 'trial')} ended"
    )
    if best := summary.best_trial:
        console.print_result(
            f"best: trial {best.number}, {definition.metric} {text.format_decimals(best.value)} with "
            f"{_settings_text(best)} (run {best.run})"
        )
    if summary.importances:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in summary.importances.items())
        console.print_result(f"importance: {shares}")


def _settings_text(trial: TrialSummary) -> str:
    return " ".join(f"{key}={format_value(value)}" for key, value in trial.params.items())


class SweepWaiter(SignalWaiter):
    """Follows a sweep until nobody works on it; a signal to stop stops it, with its runs, after a checkpoint."""

    def __init__(self, folder: SweepFolder, signals: SignalRecorder, shown: set[int]) -> None:
        super().__init__(signals, "the runs", owner=True)
        self._folder, self._shown = folder, shown
        self._is_terminal = sys.stderr.isatty()

    def wait(self) -> SweepView:
        """Wait for the end; returns the sweep as it is then, or as it is left."""
        while True:
            view = read_sweep(self._folder)
            self._show(view)
            if not view.workers and view.status is not SweepStatus.QUEUED:
                break
            if self._handle_signals():
                return view
            time.sleep(POLL_SECONDS)
        if self._stop_sent:
            wait_until_stopped(self._folder)
            view = read_sweep(self._folder)
        self._clear_line()
        return view

    def _show(self, view: SweepView) -> None:
        for trial in view.summary.trials:
            if trial.state.ended and trial.number not in self._shown:
                self._shown.add(trial.number)
                self._show_end(view, trial)
        if self._is_terminal:
            console.show_line(_progress(view))

    def _show_end(self, view: SweepView, trial: TrialSummary) -> None:
        self._clear_line()
        value = (
            "" if trial.value is None else f"  {view.definition.metric} {text.format_decimals(trial.value)}"
        )
        reason = f": {trial.reason}" if trial.state is TrialState.FAILED else ""
        best = "  best so far" if trial.number == view.summary.best else ""
        console.print_status(
            f"  trial {trial.number} {trial.state}{reason}{value}  {_settings_text(trial)}{best}"
        )

    def _clear_line(self) -> None:
        if self._is_terminal:
            console.clear_line()

    def _request_checkpoint(self) -> None:
        """Nothing: a trial writes its checkpoints by itself, and is stopped with one."""

    def _stop(self, number: signal.Signals) -> bool:
        stop_sweep(self._folder)
        console.print_status(
            f"{number.name}: stopping the sweep and its runs after a checkpoint; a second one leaves them."
        )
        return True

    def _leave(self) -> str:
        return f"The sweep is left as it is; 'workbench sweep show {self._folder.name}' shows it."


def _progress(view: SweepView) -> str:
    best = view.summary.best_trial
    running: Sequence[TrialSummary] = [t for t in view.summary.trials if t.state is TrialState.RUNNING]
    parts = [f"{view.summary.ended} of {view.definition.trials} trials"]
    if view.waits_for:
        parts.append(f"waits for {view.waits_for}")
    if best is not None:
        parts.append(f"best {text.format_decimals(best.value)} (trial {best.number})")
    parts += [f"trial {trial.number}: epoch {trial.epoch}" for trial in running]
    return "  ".join(parts)
