"""The process above a worker: `python -m workbench.launcher.supervisor RUN_DIR`.

It leaves the terminal's session, takes byte 0 of the run's lock, starts the worker, and writes `exit.json` when
the worker died without one. The worker's stdin is a pipe from here: when this process dies, the worker sees its
end and ends too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import msgspec

from workbench.config.experiment import Experiment, read_experiment
from workbench.core.settings_schema import SettingValue
from workbench.io.disk_full import NO_ROOM, why_no_room
from workbench.io.record_codec import read_record
from workbench.launcher import hooks
from workbench.launcher.paused_run import Released
from workbench.launcher.watchdog import Watch
from workbench.runs.attempts import installed_versions, last_attempt
from workbench.runs.checkpoint_index import newest_step
from workbench.runs.enums import Cause, Ending, Phase
from workbench.runs.journal import (
    Attempt,
    GpuChoice,
    Journal,
    Notice,
    PhaseChange,
    attempts_of,
    read_journal,
)
from workbench.runs.locks import SUPERVISOR, WRITER, RunLock, holder_of
from workbench.runs.records import Exit, Heartbeat
from workbench.runs.requests import RELEASED, StopReason, stopped_by
from workbench.runs.restart import put_aside
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.runs.status import who_has
from workbench.system import gpu as gpus
from workbench.system.processes import python, this_process

WORKERS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that are a worker's to answer."""

CRASHES = {
    -number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
}
"""Ends at which the worker leaves Python's stack in its log."""
STALL_SECONDS = 600.0
"""Of a run whose experiment can't be read."""


def main() -> None:
    """Leave the launcher's session, then supervise one attempt."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--overrides", default="{}")
    parser.add_argument("--launcher", default="")
    parser.add_argument("--accept-changed-data", action="store_true")
    parser.add_argument("--from-start", action="store_true")
    arguments = parser.parse_args()
    if os.fork():  # the launcher waits for this first process, and so keeps no zombie
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervise(RunFolder(arguments.run_dir), arguments)


def supervise(folder: RunFolder, arguments: argparse.Namespace) -> None:
    """Hold the run, see it through to its end, and see that the end is on record."""
    lock = RunLock(folder.lock)
    if not lock.take(SUPERVISOR) or _writer_left(folder):
        _say(arguments.ready_fd, f"{who_has(folder)} works on it")
        sys.exit(1)
    journal = Journal(folder.journal)
    try:
        attempt = _open_attempt(folder, journal, arguments)
    except OSError as error:
        mend = "; make room" if error.errno in NO_ROOM else ""
        _say(
            arguments.ready_fd,
            f"its folder can't be written: {why_no_room(error, folder.path.parent)}{mend}",
        )
        sys.exit(1)
    # Any index of ended runs goes by the folder's time: this run is no longer ended.
    os.utime(folder.path)
    signals = Signals()
    _say(arguments.ready_fd, "ready")
    code, reason = RELEASED, None
    try:
        while (code := _work(folder, journal, attempt, signals)) == RELEASED and (
            reason := _hold(folder, journal, attempt, signals, lock)
        ) is None:
            arguments.overrides, arguments.from_start = "{}", False
            attempt = _open_attempt(folder, journal, arguments)
    except OSError as error:  # no room for a worker's log, or for the line that begins an attempt
        cause = Cause.DISK_FULL if error.errno in NO_ROOM else Cause.ERROR
        reason = StopReason(cause, why_no_room(error, folder.path.parent))
    if not _taken_over(folder, attempt.attempt):
        _close_attempt(folder, journal, attempt.attempt, code, reason)
        _run_command(folder, attempt.attempt)


class Signals:
    """A signal to this process means the worker: it checkpoints and ends, and this process after it."""

    def __init__(self) -> None:
        self.worker: subprocess.Popen[bytes] | None = None
        self.reason: StopReason | None = None
        """Why to stop, of the last signal: a worker that is there gets it too, but may just be giving its place up."""
        for name in WORKERS:
            signal.signal(name, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGUSR1:
            self.reason = stopped_by(number)
        if self.worker is not None:
            self.worker.send_signal(number)

    def meant_for(self, worker: subprocess.Popen[bytes]) -> None:
        """From now on they are this worker's; it learns of one that came before."""
        self.worker = worker
        if self.reason is not None:
            worker.terminate()


def _work(folder: RunFolder, journal: Journal, attempt: Attempt, signals: Signals) -> int:
    """One worker from its start to its end; returns its code (minus a signal's number)."""
    experiment = _experiment(folder)
    watch = Watch(
        folder, journal, attempt.attempt,
        stall_seconds=experiment.stall_seconds if experiment else STALL_SECONDS,
        stalled=lambda: _stalled(folder, journal, attempt.attempt),
    )  # fmt: skip
    worker = _start_worker(folder, attempt)
    signals.meant_for(worker)
    watch.start(worker.pid, attempt.gpu.uuid if attempt.gpu else None)
    code = worker.wait()
    watch.stop()
    signals.worker = None
    return code


def _hold(
    folder: RunFolder, journal: Journal, attempt: Attempt, signals: Signals, lock: RunLock
) -> StopReason | None:
    """Hold a run that is paused without a worker; why it is to stop, or `None` when it is to go on."""
    lock.take(WRITER)
    reason = Released(folder, journal, attempt.attempt).wait(lambda: signals.reason)
    lock.give_back(WRITER)
    return reason


def _stalled(folder: RunFolder, journal: Journal, attempt: int) -> None:
    """Say that the run does not get on, and run the command for it."""
    with contextlib.suppress(OSError):
        beat = read_record(folder.heartbeat, Heartbeat) or Heartbeat()
        text = f"no progress at step {beat.step} for some time"
        journal.note(Notice(attempt=attempt, text=text, stalled=True))
    hooks.start(folder, hooks.STALLED, _command(folder, "on_fail"))


def _taken_over(folder: RunFolder, attempt: int) -> bool:
    """Whether a later attempt goes on with the run, on another host: its end is that one's to tell."""
    return any(later.attempt > attempt for later in attempts_of(read_journal(folder.journal)))


def _run_command(folder: RunFolder, attempt: int) -> None:
    """Run what the person wants to be run at this end."""
    ended = read_record(folder.exit, Exit)
    if ended is None or ended.attempt != attempt:  # the disk had no room even for that
        ended = Exit(status=Ending.FAILED)
    name = hooks.setting_for(ended.status, ended.cause)
    if name is not None:
        hooks.start(folder, ended.status, _command(folder, name))


def _command(folder: RunFolder, name: str) -> str:
    experiment = _experiment(folder)
    return {"on_finish": experiment.on_finish, "on_fail": experiment.on_fail}[name] if experiment else ""


def _writer_left(folder: RunFolder) -> bool:
    """Whether a worker of an attempt before still writes (its supervisor was killed a moment ago)."""
    with contextlib.suppress(OSError):  # a disk without locks tells nothing
        return holder_of(folder.lock, WRITER) is not None
    return False


def _open_attempt(folder: RunFolder, journal: Journal, arguments: argparse.Namespace) -> Attempt:
    number = last_attempt(folder) + 1
    remarks = _close_before(folder, journal, number - 1)
    if arguments.from_start:
        text = f"begun again at step 0; what was recorded before is kept in {put_aside(folder).name}"
        remarks.append(Notice(text=text))
    overrides: dict[str, SettingValue] = json.loads(arguments.overrides)
    record = Attempt(
        attempt=number,
        overrides=overrides,
        accept_changed_data=arguments.accept_changed_data,
        from_start=arguments.from_start,
        from_step=newest_step(folder),
        gpu=_gpu(folder, overrides),
        versions=installed_versions(),
        launcher=arguments.launcher,
        job=os.environ.get("SLURM_JOB_ID"),
        command=tuple(sys.argv),
        **msgspec.structs.asdict(this_process()),
    )
    journal.note(record)
    for remark in remarks:
        journal.note(msgspec.structs.replace(remark, attempt=number, from_step=record.from_step))
    return record


def _close_before(folder: RunFolder, journal: Journal, number: int) -> list[Notice]:
    """Put on record what attempt `number` spent; what is to be said of it."""
    beat = read_record(folder.heartbeat, Heartbeat)
    known = {attempt.attempt for attempt in attempts_of(read_journal(folder.journal))}
    if beat is not None and beat.attempt == number and beat.seconds is not None:
        # It is in no other place when the attempt was killed.
        journal.note(PhaseChange(phase=Phase.ENDED, attempt=number, seconds=beat.seconds))
    if number == 0 or number in known:
        return []
    text = f"the journal lacks attempt {number}: settings that were changed on the way are forgotten"
    return [Notice(text=text, exact=False)]


def _experiment(folder: RunFolder, overrides: dict[str, SettingValue] | None = None) -> Experiment | None:
    """The experiment with what resumes changed since, and `overrides`; `None` where it can't be read."""
    experiment = read_experiment(folder.experiment)
    if experiment is None:
        return None
    for attempt in attempts_of(read_journal(folder.journal)):
        experiment = experiment.with_overrides(attempt.overrides)
    return experiment.with_overrides(overrides or {})


def _gpu(folder: RunFolder, overrides: dict[str, SettingValue]) -> GpuChoice | None:
    """The CUDA device this attempt should see, chosen here because it must be so before torch is loaded."""
    experiment = _experiment(folder, overrides)
    device = experiment.train.device if experiment else "auto"
    if device != "auto" or "CUDA_VISIBLE_DEVICES" in os.environ:
        return None
    gpu = gpus.choose_gpu()
    return None if gpu is None else GpuChoice(index=gpu.index, uuid=gpu.uuid, name=gpu.name)


def _start_worker(folder: RunFolder, attempt: Attempt) -> subprocess.Popen[bytes]:
    environment = dict(os.environ)
    if attempt.gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = attempt.gpu.uuid
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    command = python("workbench.worker.main", str(folder.path))
    # Signals that come before the worker listens wait for it, instead of ending it without a word.
    signal.pthread_sigmask(signal.SIG_BLOCK, WORKERS)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKERS)


def _close_attempt(
    folder: RunFolder, journal: Journal, attempt: int, code: int, reason: StopReason | None
) -> None:
    """See that the end is on record, as far as the disk has room; `reason`: why a run without a worker stops."""
    if reason is not None:
        _end(folder, attempt, Ending.STOPPED, reason)
        return
    ended = read_record(folder.exit, Exit)
    if ended is not None and ended.attempt == attempt:
        return
    text = _death(code) + (_crash(folder.log, code) or _last_words(folder.log))
    _end(folder, attempt, Ending.FAILED, StopReason(Cause.CRASH, text))
    with contextlib.suppress(OSError):
        journal.note(Notice(attempt=attempt, text=text))


def _end(folder: RunFolder, attempt: int, status: Ending, reason: StopReason) -> None:
    record = Exit(status=status, attempt=attempt, cause=reason.cause, reason=reason.text, time=time.time())
    with contextlib.suppress(OSError):
        write_exit(folder, record)


def _death(code: int) -> str:
    if code >= 0:
        return f"the worker ended with code {code} and without a word"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory? see dmesg)" if name == "SIGKILL" else ""
    return f"the worker was ended by {name}{hint}"


def _crash(log: Path, code: int) -> str:
    """Where Python was when the worker crashed, as `faulthandler` left it in the log; empty where it did not."""
    _, crashed, stack = _tail(log).rpartition("Fatal Python error")
    frames = re.findall(r'File ".*?([^/"]+)", line (\d+) in (\S+)', stack)[:2]
    if code not in CRASHES or not crashed or not frames:
        return ""
    where = ", called by ".join(f"{name} ({file} line {line})" for file, line, name in frames)
    return f" in {where}; the log has the whole stack"


def _last_words(log: Path) -> str:
    """The last line of the log that says something, to stand behind the reason."""
    said = [line.strip() for line in _tail(log).splitlines() if line.strip()]
    return f": {said[-1][:200]}" if said else ""


def _tail(log: Path) -> str:
    try:
        return log.read_bytes()[-16_000:].decode(errors="replace")
    except OSError:
        return ""


def _say(descriptor: int, text: str) -> None:
    """Tell the launcher how it went, if it still listens."""
    try:
        os.write(descriptor, text.encode() + b"\n")
        os.close(descriptor)
    except OSError:
        return


if __name__ == "__main__":
    main()
