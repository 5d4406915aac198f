"""`workbench train --repeat` and `--grid`: the runs of one group, which take their turns in the queue."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Sequence

import msgspec

from workbench.cli import console
from workbench.cli.signals import SignalRecorder, is_init_process
from workbench.cli.tables import print_table
from workbench.cli.waiting import LAUNCHER
from workbench.config.variants import SEED, Variant
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.core.paths import home
from workbench.launcher import launch
from workbench.launcher.group_start import free_group, queue_group
from workbench.launcher.queue import QueueOptions, ensure_runner
from workbench.planning.client import PlanProcess
from workbench.runs.enums import RequestKind
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import RunReport, read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.runs.tickets import TicketQueue, withdraw
from workbench.system.gpu import read_inventory

POLL_SECONDS = 0.5
CPU = "cpu"
MAX_PLANNED = 8
"""Settings of which a plan is made; the time of others is the mean of these."""


class PlannedRun(msgspec.Struct, frozen=True):
    """A run that would be started."""

    name: str
    settings: dict[str, str]
    """What distinguishes it, as it is typed."""
    seconds: float
    """Estimated, of the whole run."""


def train_many(
    options: argparse.Namespace, name: str, variants: Sequence[Variant], queue: QueueOptions | None
) -> int:
    """Queue the runs as one group, then wait for their ends, or return at once with `--detach`.

    `name`: that of the experiment without the variation, by which the group is called if the user gives it no name.
    """
    store = Store.default()
    group = options.group or free_group(name, store)
    notes, queue = Notes(group=group, tags=tuple(options.tag)), queue or QueueOptions()
    with SignalRecorder() as signals:
        folders = queue_group(
            variants, LAUNCHER, store, notes=notes, queue=queue, max_hours=options.max_hours
        )
        at_once = runs_at_once(variants)
        console.print_status(
            f"Queued {text.plural(len(folders), 'run')} of the group {group}; {at_once} at once."
        )
        if options.detach:
            return _print_ids(folders, group, options)
        waiter = GroupWaiter(folders, signals)
        waiter.wait()
    return _finish(folders, group, options, interrupted=waiter.interrupted)


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
            _print_json(group, reports)
        else:
            _print_results(group, reports)
    statuses = [Status(report.status) for report in reports]
    if interrupted or any(status in {Status.STOPPED, Status.QUEUED} for status in statuses):
        return INTERRUPTED
    return DONE if all(status is Status.FINISHED for status in statuses) else FAILED


def _print_json(group: str, reports: Sequence[RunReport]) -> None:
    console.print_json({"group": group, "runs": [report.to_json() for report in reports]})


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
    """How many of the runs the queue starts at once where nothing else runs: one per GPU, else per CPU slot."""
    uses_cpu = all(variant.experiment.train.device == CPU for variant in variants)
    gpus = 0 if uses_cpu else len(read_inventory().usable)
    return min(gpus or TicketQueue(home()).slots, len(variants))


def dry_run(options: argparse.Namespace, variants: Sequence[Variant]) -> int:
    """List the runs that would be started, and the time that they take by a few steps of each."""
    rows = _estimated(variants)
    at_once = runs_at_once(variants)
    seconds = sum(row.seconds for row in rows) / at_once
    if options.json:
        console.print_json({"runs": rows, "at_once": at_once, "seconds": seconds})
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
    return DONE


def _estimated(variants: Sequence[Variant]) -> list[PlannedRun]:
    """The runs with their estimated time, which does not depend on the seed."""
    distinct = {_without_seed(variant): variant for variant in reversed(variants)}
    planned = dict[tuple[tuple[str, str], ...], float]()
    for key, variant in list(reversed(distinct.items()))[:MAX_PLANNED]:
        console.print_status(f"running a few steps of {variant.experiment.name}; nothing is saved")
        with PlanProcess(variant.experiment) as planning:
            planned[key] = planning.wait(console.progress_printer()).seconds["total"]
    mean = sum(planned.values()) / len(planned)
    return [
        PlannedRun(
            variant.experiment.name,
            dict(variant.changed),
            round(planned.get(_without_seed(variant), mean), 3),
        )
        for variant in variants
    ]


def _without_seed(variant: Variant) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in variant.changed if key != SEED)


class GroupWaiter:
    """Follows several runs until all have ended.

    SIGUSR1 requests a checkpoint of those that run. Ctrl-C and SIGTERM take those that wait out of the queue and stop
    the others after a checkpoint; a second one leaves them. SIGHUP leaves all of them at once.
    """

    def __init__(self, folders: Sequence[RunFolder], signals: SignalRecorder) -> None:
        self._folders, self._signals = folders, signals
        self._statuses = dict.fromkeys((folder.id for folder in folders), Status.QUEUED)
        self._is_terminal = sys.stderr.isatty()
        self._stopping = False
        self.interrupted = False
        """Whether Ctrl-C, SIGTERM or SIGHUP was received."""

    def wait(self) -> None:
        """Wait until all have ended, or are left."""
        while not self._all_ended():
            if any(self._handle(number) for number in self._signals.take()):
                return
            time.sleep(POLL_SECONDS)
        self._clear()

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
        return ended == len(self._folders)

    def _show_end(self, report: RunReport) -> None:
        self._clear()
        reason = f": {report.reason}" if report.reason and report.status != Status.FINISHED else ""
        console.print_status(f"  {report.name} {report.status}{reason}  {_test_text(report)}".rstrip())

    def _show_progress(self, live: Sequence[RunFolder], ended: int) -> None:
        parts = [f"{ended} of {len(self._folders)} ended"]
        for folder in live:
            report = read_report(folder)
            parts.append(f"{report.name} {report.epoch}/{report.epochs_total or '?'}")
        console.show_line(text.truncate("  ".join(parts), console.terminal_width()))

    def _handle(self, number: signal.Signals) -> bool:
        """React to a signal; returns whether to leave the runs."""
        self._clear()
        live = [folder for folder in self._folders if status_of(folder).live]
        if number is signal.SIGUSR1:
            self._request_checkpoints(live)
            return False
        self.interrupted = True
        if not self._stopping and number is not signal.SIGHUP:
            self._stop(number)
            return False
        if is_init_process():
            console.print_status(
                f"{number.name}: this command is process 1, whose end would kill the runs; it waits on"
            )
            return False
        console.print_status(
            "The runs are left as they are; 'workbench queue' and 'workbench runs' show them."
        )
        return True

    def _clear(self) -> None:
        if self._is_terminal:
            console.clear_line()

    def _request_checkpoints(self, live: Sequence[RunFolder]) -> None:
        for folder in live:
            with contextlib.suppress(UserError):  # it has ended in this moment
                launch.send_request(folder, RequestKind.CHECKPOINT)
        console.print_status(f"SIGUSR1: requested a checkpoint of {text.plural(len(live), 'run')}.")

    def _stop(self, number: signal.Signals) -> None:
        self._stopping = True
        withdrawn = sum(withdraw(folder) for folder in self._folders)
        live = [folder for folder in self._folders if status_of(folder).live]
        for folder in live:
            with contextlib.suppress(UserError):  # it has ended in this moment
                launch.stop_run(folder)
        console.print_status(
            f"{number.name}: {text.plural(withdrawn, 'run')} taken out of the queue, {len(live)} stopped after a "
            "checkpoint; a second one leaves them running."
        )
