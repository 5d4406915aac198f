"""`workbench train --repeat`, `--folds` and `--grid`: the runs of one group, which take their turns in the queue."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Mapping, Sequence

import msgspec

from workbench.cli import console
from workbench.cli.commands.plan import make_plan
from workbench.cli.queue_options import SLURM
from workbench.cli.signals import SignalRecorder
from workbench.cli.slurm_restart import continue_run, earlier_run
from workbench.cli.tables import print_table
from workbench.cli.waiting import LAUNCHER, SignalWaiter
from workbench.config.process_count import process_count
from workbench.config.variants import FOLD, SEED, Variant
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.core.paths import home
from workbench.launcher import launch
from workbench.launcher.group_start import free_group, queue_group
from workbench.launcher.queue import QueueOptions, ensure_runner
from workbench.launcher.slurm_script import SlurmOptions
from workbench.planning.plan import Plan, describe_cpu_wait
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.groups import OUT_OF_FOLD, OUT_OF_FOLD_METRICS, group_metrics, group_runs, out_of_fold
from workbench.runs.queue_state import read_places
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import RunReport, read_report
from workbench.runs.slurm_job import leave_queue, read_job
from workbench.runs.status import Status, status_of
from workbench.runs.store import RunSummary, Store
from workbench.runs.tickets import TicketQueue
from workbench.system.places import PlaceRequest
from workbench.system.slurm import restart_count

POLL_SECONDS = 0.5
MAX_PLANNED = 8
"""Settings of which a plan is made; the time of others is the mean of these."""

Settings = tuple[tuple[str, str], ...]
"""What distinguishes a variant, without its seed and its fold."""


class PlannedRun(msgspec.Struct, frozen=True):
    """A run that would be started."""

    name: str
    settings: dict[str, str]
    """What distinguishes it, as it is typed."""
    seconds: float
    """Estimated, of the whole run."""


def train_many(
    options: argparse.Namespace,
    name: str,
    variants: Sequence[Variant],
    queue: QueueOptions | SlurmOptions | None,
) -> int:
    """Queue the runs as one group, or submit them to Slurm; then wait for their ends, unless `--detach`.

    `name`: that of the experiment without the variation, by which the group is called if the user gives it no name.
    """
    store, queue = Store.default(), queue or QueueOptions()
    # Those of a batch job of the user, which Slurm has started once more.
    earlier = {} if isinstance(queue, SlurmOptions) else _earlier_runs(variants)
    known_groups = [row.group for row in store.list_runs() if row.id in {run.id for run in earlier.values()}]
    group = options.group or next(iter(known_groups), "") or free_group(name, store.list_runs())
    notes = Notes(group=group, tags=tuple(options.tag))
    with SignalRecorder() as signals:
        new = [variant for number, variant in enumerate(variants) if number not in earlier]
        made = iter(
            queue_group(new, LAUNCHER, store, notes=notes, queue=queue, max_hours=options.max_hours)
            if new
            else []
        )
        folders = [earlier.get(number) or next(made) for number in range(len(variants))]
        if isinstance(queue, QueueOptions):
            for folder in earlier.values():
                continue_run(folder, LAUNCHER, options, queue=queue)
        if new:
            console.print_status(_started_text(folders, group, runs_at_once(variants)))
        if options.detach:
            return _print_ids(folders, group, options)
        waiter = GroupWaiter(folders, signals)
        waiter.wait()
    return _finish(folders, group, options, interrupted=waiter.interrupted)


def _earlier_runs(variants: Sequence[Variant]) -> dict[int, RunFolder]:
    """The runs of the variants, by their position, that this batch job has started before, see `earlier_run`."""
    if not restart_count():
        return {}
    found = ((number, earlier_run(variant.experiment)) for number, variant in enumerate(variants))
    return {number: folder for number, folder in found if folder is not None}


def _started_text(folders: Sequence[RunFolder], group: str, at_once: int) -> str:
    runs = f"{text.plural(len(folders), 'run')} of the group {group}"
    if (job := read_job(folders[0])) is not None:
        return f"Submitted {runs} as the array {job.job.partition('_')[0]} of Slurm."
    return f"Queued {runs}; {at_once} at once."


def _print_ids(folders: Sequence[RunFolder], group: str, options: argparse.Namespace) -> int:
    if options.json:
        _print_json(group, [read_report(folder) for folder in folders])
    else:
        for folder in folders:
            console.print_result(folder.id)
    return DONE


def _finish(
    folders: Sequence[RunFolder], group: str, options: argparse.Namespace, *, interrupted: bool
) -> int:
    reports = [read_report(folder) for folder in folders]
    with contextlib.suppress(OSError) if interrupted else contextlib.nullcontext():
        if options.json:
            _print_json(group, reports, out_of_fold(_rows(folders)))
        else:
            _print_results(group, reports)
            _print_folds(_rows(folders))
    statuses = [Status(report.status) for report in reports]
    if interrupted or any(status in {Status.STOPPED, Status.QUEUED} for status in statuses):
        return INTERRUPTED
    return DONE if all(status is Status.FINISHED for status in statuses) else FAILED


def _print_json(
    group: str, reports: Sequence[RunReport], folds: Mapping[str, Sequence[float]] | None = None
) -> None:
    """Print the reports; of a cross-validation that has tested all folds also its metrics over all samples, by seed."""
    content = {"group": group, "runs": [report.to_json() for report in reports]}
    console.print_json({**content, OUT_OF_FOLD: folds} if folds else content)


def _rows(folders: Sequence[RunFolder]) -> list[RunSummary]:
    ids = {folder.id for folder in folders}
    return [row for row in Store.default().list_runs() if row.id in ids]


def _print_folds(rows: Sequence[RunSummary]) -> None:
    """Print the results of a cross-validation: over the folds, and over all samples; nothing for other runs."""
    for one in group_runs(rows):
        metrics = group_metrics(one)
        for name in OUT_OF_FOLD_METRICS:
            whole, folds = metrics.get(f"{OUT_OF_FOLD}.{name}"), metrics.get(f"test.{name}")
            if whole is None or folds is None:
                continue
            samples = sum(row.test_count for row in one) // whole.n
            console.print_result(
                f"out-of-fold {name} {text.format_decimals(whole.mean)} of {samples:,} samples; over "
                f"{text.plural(folds.n, 'run')} {folds.text}"
            )


def _print_results(group: str, reports: Sequence[RunReport]) -> None:
    print_table(
        ("run", "status", "test", "time"),
        [
            (
                report.name,
                report.status,
                _test_text(report) or "-",
                text.format_duration(report.seconds.total),
            )
            for report in reports
        ],
    )
    console.print_status(f"Compare them: workbench compare --groups group:{group}")


def _test_text(report: RunReport) -> str:
    test = list((report.test or {}).items())[:2]
    return "  ".join(f"{name} {text.format_decimals(value)}" for name, value in test if value is not None)


def runs_at_once(variants: Sequence[Variant]) -> int:
    """How many of the runs the queue starts at once where nothing else runs."""
    settings = [variant.experiment.train for variant in variants]
    wanted = [PlaceRequest(train.device, processes=process_count(train)) for train in settings]
    return read_places(TicketQueue(home())).capacity(wanted)


def dry_run(options: argparse.Namespace, variants: Sequence[Variant]) -> int:
    """List the runs that would be started, and the time that they take by a few steps of each."""
    plans = _plans(variants)
    rows = _estimated(variants, plans)
    cpu_wait = max(plan.cpu_wait for plan in plans.values())
    in_slurm = options.launcher == SLURM or options.slurm
    at_once = len(variants) if in_slurm else runs_at_once(variants)
    seconds = sum(row.seconds for row in rows) / at_once
    if options.json:
        console.print_json({"runs": rows, "at_once": at_once, "seconds": seconds, "cpu_wait": cpu_wait})
        return DONE
    print_table(
        ("run", "settings", "time"),
        [
            (
                row.name,
                " ".join(f"{k}={v}" for k, v in row.settings.items()),
                text.format_duration(row.seconds),
            )
            for row in rows
        ],
    )
    console.print_result(
        f"{text.plural(len(rows), 'run')}, {at_once} at once: about {text.format_duration(seconds)}; nothing is started"
    )
    if remark := describe_cpu_wait(cpu_wait):
        console.print_status(f"workbench: {remark}")
    return DONE


def _plans(variants: Sequence[Variant]) -> dict[Settings, Plan]:
    """Plans of the first settings, which depend neither on the seed nor on the fold."""
    distinct = {_without_repeats(variant): variant for variant in reversed(variants)}
    return {
        key: make_plan(variant.experiment, "; nothing is saved")
        for key, variant in list(reversed(distinct.items()))[:MAX_PLANNED]
    }


def _estimated(variants: Sequence[Variant], plans: Mapping[Settings, Plan]) -> list[PlannedRun]:
    """The runs with their estimated time."""
    planned = {key: plan.seconds["total"] for key, plan in plans.items()}
    mean = sum(planned.values()) / len(planned)
    return [
        PlannedRun(
            variant.experiment.name,
            dict(variant.changed),
            round(planned.get(_without_repeats(variant), mean), 3),
        )
        for variant in variants
    ]


def _without_repeats(variant: Variant) -> Settings:
    return tuple((key, value) for key, value in variant.changed if key not in {SEED, FOLD})


class GroupWaiter(SignalWaiter):
    """Follows several runs until all have ended; a signal to stop takes those that wait out of the queue."""

    def __init__(self, folders: Sequence[RunFolder], signals: SignalRecorder) -> None:
        super().__init__(signals, "the runs", owner=True)
        self._folders = folders
        self._statuses = dict.fromkeys((folder.id for folder in folders), Status.QUEUED)
        self._is_terminal = sys.stderr.isatty()

    def wait(self) -> None:
        """Wait until all have ended, or are left."""
        while not self._all_ended():
            if self._handle_signals():
                return
            time.sleep(POLL_SECONDS)
        self._clear_line()
        self._requeue()

    def _all_ended(self) -> bool:
        """Show what is new; whether nothing is to come."""
        ensure_runner(home())  # the one that was there may have been killed
        for folder in self._folders:
            if self._statuses[folder.id].ended:
                continue
            status = self._statuses[folder.id] = status_of(folder)
            if status.ended:
                self._show_end(read_report(folder))
        live = [folder for folder in self._folders if self._statuses[folder.id].live]
        ended = sum(status.ended for status in self._statuses.values())
        if self._is_terminal:
            self._show_progress(live, ended)
        held = sum(status is Status.QUEUED for status in self._statuses.values()) if self._requeues else 0
        return ended + held == len(self._folders)

    def _show_end(self, report: RunReport) -> None:
        self._clear_line()
        reason = f": {report.reason}" if report.reason and report.status != Status.FINISHED else ""
        console.print_status(f"  {report.name} {report.status}{reason}  {_test_text(report)}".rstrip())

    def _show_progress(self, live: Sequence[RunFolder], ended: int) -> None:
        parts = [f"{ended} of {len(self._folders)} ended"]
        for folder in live:
            report = read_report(folder)
            parts.append(f"{report.name} {report.epoch}/{report.epochs_total or '?'}")
        console.show_line(text.truncate("  ".join(parts), console.terminal_width()))

    def _clear_line(self) -> None:
        if self._is_terminal:
            console.clear_line()

    def _started_runs(self) -> Sequence[RunFolder]:
        return self._folders

    @property
    def _live(self) -> list[RunFolder]:
        return [folder for folder in self._folders if status_of(folder).live]

    def _request_checkpoint(self) -> None:
        live = self._live
        for folder in live:
            with contextlib.suppress(UserError):  # it has ended in this moment
                launch.send_request(folder, RequestKind.CHECKPOINT)
        console.print_status(f"SIGUSR1: requested a checkpoint of {text.plural(len(live), 'run')}.")

    def _stop(self, number: signal.Signals) -> bool:
        waiting = [folder for folder in self._folders if status_of(folder) is Status.QUEUED]
        withdrawn = sum(leave_queue(folder) for folder in waiting)
        live = self._live
        for folder in live:
            with contextlib.suppress(UserError):  # it has ended in this moment
                launch.stop_run(folder)
        console.print_status(
            f"{number.name}: {text.plural(withdrawn, 'run')} taken out of the queue, {len(live)} stopped after a "
            "checkpoint; a second one leaves them running."
        )
        return True

    def _leave(self) -> str:
        for folder in self._folders if self._stop_sent else ():
            requests.withdraw_requests(folder, RequestKind.STOP)
        return "The runs are left as they are; 'workbench queue' and 'workbench runs' show them."
