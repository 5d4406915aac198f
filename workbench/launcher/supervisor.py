"""The parent process of a worker: `python -m workbench.launcher.supervisor RUN_DIR`.

It leaves the terminal's session, locks byte 0 of the run's lock file, starts the worker, and writes `exit.json` if
the worker dies without doing so. The worker's stdin is a pipe from this process: when this process dies, the worker
reads its end and ends too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

import msgspec

from workbench.config.process_count import process_count
from workbench.io.disk_full import DISK_FULL_ERRNOS, describe_disk_error
from workbench.io.record_codec import decode, read_record
from workbench.launcher import hooks
from workbench.launcher.crash_text import crash_location
from workbench.launcher.detached import Reply, leave_session
from workbench.launcher.fork_protocol import FORKED, Program
from workbench.launcher.forked_worker import ForkedWorker
from workbench.launcher.gpu_assignment import GpuAssigner, NoPlaceError, worker_environment
from workbench.launcher.queue import ensure_runner
from workbench.launcher.slurm_attempt import NothingToStart, ask_to_requeue, requeue_own_job, take_job
from workbench.launcher.source_version import record_source
from workbench.launcher.supervisor_settings import local_devices, read_settings
from workbench.launcher.suspended_run import SuspendedRunHolder
from workbench.launcher.watchdog import WorkerMonitor
from workbench.runs.attempts import installed_versions, last_attempt_number
from workbench.runs.checkpoint_index import newest_checkpoint_step
from workbench.runs.enums import Cause, Ending, Phase
from workbench.runs.exit_text import describe_exit
from workbench.runs.journal import (
    Attempt,
    GpuChoice,
    Journal,
    Notice,
    PhaseChange,
    attempts_of,
    read_journal,
    refused_attempts,
)
from workbench.runs.locks import SUPERVISOR, WRITER, RunLock, holder_pid
from workbench.runs.log_tail import last_log_line
from workbench.runs.nodes import read_placement
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.requests import (
    LOST_NODE_EXIT_CODE,
    SUSPENDED_EXIT_CODE,
    StopReason,
    signal_stop_reason,
)
from workbench.runs.restart import archive_record
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.runs.script import read_script
from workbench.runs.status import describe_holder
from workbench.runs.tickets import ResumeOptions, TicketQueue
from workbench.system.process_title import PADDING
from workbench.system.process_tree import adopt_orphans, end_descendants
from workbench.system.processes import python_command, this_process
from workbench.system.slurm import own_job

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that are forwarded to the worker."""

TRAINING_WORKER, SCRIPT_WORKER = "workbench.worker.main", "workbench.scripts.worker"
"""The modules that work on a run: a training of our own, a script."""
AGENT = "workbench.worker.agent"
"""The module that works on a training in several processes, which it starts."""


CONTINUED = {SUSPENDED_EXIT_CODE, LOST_NODE_EXIT_CODE}
"""Exit codes of workers after which another attempt follows."""


def main() -> None:
    """Leave the launcher's session, then supervise one attempt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--launcher", default="")
    parser.add_argument("--resume", default="{}", help="`ResumeOptions` as JSON")
    parser.add_argument("--queued", action="store_true", help="the run waits in the queue: take its ticket")
    parser.add_argument("--slurm", action="store_true", help="this is the process of a Slurm job: stay in it")
    parser.add_argument("--no-driver", action="store_true", help="the NVIDIA driver does not respond")
    parser.add_argument(
        FORKED, action="store_true", help="forked with PyTorch imported, as the worker can be"
    )
    arguments = parser.parse_args()
    if arguments.slurm:
        arguments.ready_fd = os.dup(sys.stderr.fileno())
        sys.exit(supervise(RunFolder(arguments.run_dir), arguments))
    leave_session()
    supervise(RunFolder(arguments.run_dir), arguments)


def supervise(folder: RunFolder, arguments: argparse.Namespace) -> int:
    """Hold the run until its end, and make sure that the end is recorded; returns the exit code, 1 for a failure."""
    forked = ForkedWorker(FORWARDED_SIGNALS, [arguments.ready_fd]) if arguments.forked else None
    lock = RunLock(folder.lock)
    if not lock.acquire(SUPERVISOR) or _has_leftover_writer(folder):
        busy = f"{describe_holder(folder)} already runs it"
        _refuse(arguments, Reply.NO_PLACE if arguments.queued else busy)
    journal, gpus = Journal(folder.journal), GpuAssigner(folder.id, folder)
    try:
        start = _take_place(folder, arguments, gpus)
        attempt = _open_attempt(folder, journal, start)
    except NoPlaceError:
        _refuse(arguments, Reply.NO_PLACE)
    except (TicketGone, NothingToStart):
        _refuse(arguments, Reply.NOT_QUEUED)
    except OSError as error:
        hint = "; free some space" if error.errno in DISK_FULL_ERRNOS else ""
        text = f"its folder can't be written: {describe_disk_error(error, folder.path.parent)}{hint}"
        _refuse(arguments, text)
    # The index of ended runs compares the folder's modification time: this run is no longer ended.
    os.utime(folder.path)
    signals = SignalForwarder()
    if arguments.slurm:
        signals.at_warning = partial(ask_to_requeue, folder)
    _notify_launcher(arguments.ready_fd, Reply.READY)
    code, reason = SUSPENDED_EXIT_CODE, None
    try:
        while (code := _run_worker(folder, journal, attempt, signals, gpus, forked=forked)) in CONTINUED:
            if code == SUSPENDED_EXIT_CODE:
                reason = _hold_suspended_run(folder, journal, attempt, signals, lock)
            if reason := reason or signals.reason:
                break
            forked = None  # this process has used the GPU's driver and threads by now
            given = gpus.assign_all(*local_devices(folder))
            attempt = _open_attempt(folder, journal, Start(start.launcher, given, start.resume.continued))
    except OSError as error:  # a full disk: no space for the worker's log or the journal line of an attempt
        cause = Cause.DISK_FULL if error.errno in DISK_FULL_ERRNOS else Cause.ERROR
        reason = StopReason(cause, describe_disk_error(error, folder.path.parent))
    if not _is_taken_over(folder, attempt.attempt):
        _close_attempt(folder, journal, attempt.attempt, code, reason)
        _run_end_hook(folder, attempt.attempt)
    if arguments.slurm:
        requeue_own_job([folder], attempt.attempt)
    else:
        ensure_runner(TicketQueue.of(folder).home)
    return int(code not in {0, SUSPENDED_EXIT_CODE})


def _refuse(arguments: argparse.Namespace, reply: str) -> NoReturn:
    _notify_launcher(arguments.ready_fd, reply)
    sys.exit(1)


class TicketGone(Exception):
    """The run has left the queue, or its ticket was changed, since this process was started for it."""


@dataclass(frozen=True)
class Start:
    """How an attempt starts."""

    launcher: str
    gpus: tuple[GpuChoice, ...]
    resume: ResumeOptions


def _take_place(folder: RunFolder, arguments: argparse.Namespace, gpus: GpuAssigner) -> Start:
    """Claim a device for the first attempt; of a queued run, then take its ticket.

    Raises `NoPlaceError`, `TicketGone` and `OSError`.
    """
    if arguments.slurm:
        job, resume = take_job(folder)
        return Start(job.launcher, gpus.assign_all(*local_devices(folder, resume.overrides)), resume)
    if not arguments.queued:
        resume = decode(arguments.resume.encode(), ResumeOptions) or ResumeOptions()
        devices = local_devices(folder, resume.overrides)
        given = gpus.assign_all(*devices, ask_driver=not arguments.no_driver)
        return Start(arguments.launcher, given, resume)
    queue = TicketQueue.of(folder)
    ticket = queue.ticket(folder.id)
    if ticket is None:
        raise TicketGone
    given = gpus.assign_places(ticket)
    if not queue.take(ticket):
        raise TicketGone
    return Start(arguments.launcher, given, ticket.resume)


class Worker(Protocol):
    """A started worker."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; returns the exit code, or minus the number of the signal that killed it."""

    def send_signal(self, number: int) -> None:
        """Send a signal."""


class SignalForwarder:
    """Forwards signals to the worker, which saves a checkpoint and ends, and this process after it."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.at_warning: Callable[[Callable[[], None]], None] | None = None
        """What SIGUSR1 does instead: in a Slurm job it announces the end. It is given what ends the run."""
        self.reason: StopReason | None = None
        """Why to stop, by the last signal. A worker gets the signal too, but may be about to suspend itself."""
        for name in FORWARDED_SIGNALS:
            signal.signal(name, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGUSR1 and self.at_warning is not None:
            self.at_warning(lambda: self._forward(signal.SIGTERM))
        else:
            self._forward(number)

    def _forward(self, number: int) -> None:
        if number != signal.SIGUSR1:
            self.reason = signal_stop_reason(number)
        if self.worker is not None:
            self.worker.send_signal(number)

    def attach(self, worker: Worker) -> None:
        """Forward signals to `worker` from now on, including one that came before."""
        self.worker = worker
        if self.reason is not None:
            worker.send_signal(signal.SIGTERM)


def _run_worker(
    folder: RunFolder,
    journal: Journal,
    attempt: Attempt,
    signals: SignalForwarder,
    gpus: GpuAssigner,
    *,
    forked: ForkedWorker | None,
) -> int:
    """Run one worker until it ends, `forked` if there is one.

    Returns its exit code, or minus the number of the signal that killed it.
    """
    monitor = WorkerMonitor(
        folder, journal, attempt.attempt,
        stall_seconds=read_settings(folder).stall_seconds,
        stalled=lambda: _report_stall(folder, journal, attempt.attempt),
        max_hours=attempt.max_hours,
    )  # fmt: skip
    if is_script := read_script(folder.experiment) is not None:
        adopt_orphans()
    module = SCRIPT_WORKER if is_script else AGENT if attempt.processes > 1 else TRAINING_WORKER
    worker = _start_worker(folder, attempt, module, forked)
    signals.attach(worker)
    gpu = attempt.gpu.uuid if attempt.gpu else None
    monitor.start(worker.pid, gpu, all_gpus=is_script and gpu is None)
    code = worker.wait()
    if is_script:
        end_descendants()
    monitor.stop()
    signals.worker = None
    gpus.release()  # a suspended run holds no GPU, nor does one whose hook runs
    return code


def _hold_suspended_run(
    folder: RunFolder, journal: Journal, attempt: Attempt, signals: SignalForwarder, lock: RunLock
) -> StopReason | None:
    """Hold a suspended run, which has no worker; returns why it has to stop, or `None` once it has to continue."""
    lock.acquire(WRITER)
    reason = SuspendedRunHolder(folder, journal, attempt.attempt).wait(lambda: signals.reason)
    lock.release(WRITER)
    return reason


def _report_stall(folder: RunFolder, journal: Journal, attempt: int) -> None:
    """Report in the journal that the run is stalled, and run its `on_fail` command."""
    with contextlib.suppress(OSError):
        beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
        text = f"stalled: no progress at step {beat.step}"
        journal.append(Notice(attempt=attempt, text=text, stalled=True))
    hooks.start_hook(folder, hooks.STALLED, _command(folder, "on_fail"))


def _is_taken_over(folder: RunFolder, attempt: int) -> bool:
    """Whether a later attempt on another host has taken the run over, and will record its end."""
    return any(later.attempt > attempt for later in attempts_of(read_journal(folder.journal)))


def _run_end_hook(folder: RunFolder, attempt: int) -> None:
    """Run the hook for this end of the run."""
    ended = read_record(folder.exit, Exit)
    if ended is None or ended.attempt != attempt:  # it could not be written: the disk is full
        ended = Exit(status=Ending.FAILED)
    if attempt in refused_attempts(read_journal(folder.journal)):
        ended = msgspec.structs.replace(ended, status=Ending.FAILED, cause=Cause.INVALID_INPUT)
    name = hooks.hook_setting(ended.status, ended.cause)
    if name is not None:
        hooks.start_hook(folder, ended.status, _command(folder, name))


def _command(folder: RunFolder, name: str) -> str:
    settings = read_settings(folder)
    return {"on_finish": settings.on_finish, "on_fail": settings.on_fail}[name]


def _has_leftover_writer(folder: RunFolder) -> bool:
    """Whether a worker of an earlier attempt still writes: its supervisor was killed a moment ago."""
    with contextlib.suppress(OSError):  # a file system without locks
        return holder_pid(folder.lock, WRITER) is not None
    return False


def _open_attempt(folder: RunFolder, journal: Journal, start: Start) -> Attempt:
    number, resume = last_attempt_number(folder) + 1, start.resume
    notices = _close_previous_attempt(folder, journal, number - 1)
    if resume.from_start:
        text = f"restarted from step 0; the previous record is archived in {archive_record(folder).name}"
        notices.append(Notice(text=text))
    record = Attempt(
        attempt=number,
        overrides=resume.overrides,
        accept_changed_data=resume.accept_changed_data,
        from_start=resume.from_start,
        data=resume.data,
        max_hours=resume.max_hours,
        from_step=newest_checkpoint_step(folder),
        gpu=start.gpus[0] if start.gpus else None,
        gpus=start.gpus if len(start.gpus) > 1 else (),
        processes=process_count(read_settings(folder, resume.overrides).train),
        nodes=read_placement(folder).nodes,
        versions=installed_versions(),
        launcher=start.launcher,
        job=own_job() or None,
        command=tuple(sys.argv),
        source=record_source(folder, number),
        **msgspec.structs.asdict(this_process()),
    )
    journal.append(record)
    for notice in notices:
        journal.append(msgspec.structs.replace(notice, attempt=number, from_step=record.from_step))
    return record


def _close_previous_attempt(folder: RunFolder, journal: Journal, number: int) -> list[Notice]:
    """Record the wall time of attempt `number`; returns notices about it."""
    beat = read_record(folder.heartbeat, Heartbeat)
    known = {attempt.attempt for attempt in attempts_of(read_journal(folder.journal))}
    if beat is not None and beat.attempt == number and beat.seconds is not None:
        # Of a killed attempt only the heartbeat has it.
        journal.append(PhaseChange(phase=Phase.ENDED, attempt=number, seconds=beat.seconds))
    if number == 0 or number in known:
        return []
    text = f"attempt {number} is missing in the journal: settings changed during it are lost"
    return [Notice(text=text, exact=False)]


def _start_worker(folder: RunFolder, attempt: Attempt, module: str, forked: ForkedWorker | None) -> Worker:
    environment = worker_environment(os.environ, *attempt.assigned)
    if forked is not None:
        forked.start(Program(module=module, arguments=(str(folder.path),), environment=environment))
        return forked
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    # The agent's copies, the ranks, show commands that are longer than its own.
    command = python_command(module, str(folder.path), *([PADDING] if module == AGENT else []))
    # Block signals until the worker has its handlers: before that they would kill it without a message.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED_SIGNALS)


def _close_attempt(
    folder: RunFolder, journal: Journal, attempt: int, code: int, reason: StopReason | None
) -> None:
    """Make sure that the end is recorded, unless the disk is full; `reason`: why a run without a worker stops."""
    if reason is not None:
        _write_end(folder, attempt, Ending.STOPPED, reason)
        return
    ended = read_record(folder.exit, Exit)
    if ended is not None and ended.attempt == attempt:
        return
    text = f"the worker {describe_exit(code)}" + (
        crash_location(folder.log, code) or last_log_line(folder.log)
    )
    _write_end(folder, attempt, Ending.FAILED, StopReason(Cause.CRASH, text))
    with contextlib.suppress(OSError):
        journal.append(Notice(attempt=attempt, text=text))


def _write_end(folder: RunFolder, attempt: int, status: Ending, reason: StopReason) -> None:
    record = Exit(status=status, attempt=attempt, cause=reason.cause, reason=reason.text, time=time.time())
    with contextlib.suppress(OSError):
        write_exit(folder, record)


def _notify_launcher(descriptor: int, text: str) -> None:
    """Send a reply to the launcher, if it is still waiting."""
    try:
        os.write(descriptor, text.encode() + b"\n")
        os.close(descriptor)
    except OSError:
        return


if __name__ == "__main__":
    main()
