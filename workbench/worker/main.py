"""The process that trains one run: `python -m workbench.worker.main RUN_DIR`.

This part is light: it takes the run's writer lock, shows that it lives, and only then imports torch and the rest.
However the attempt ends, the end is on record in one line; tracebacks go to the worker's log.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import BadInput, NonFiniteLoss, RunFailed
from workbench.core.progress import Interrupted
from workbench.core.text import one_line
from workbench.io.disk_full import NO_ROOM, why_no_room
from workbench.runs.attempts import last_attempt
from workbench.runs.enums import Cause, Ending, Outcome, Phase
from workbench.runs.journal import PhaseChange
from workbench.runs.locks import WRITER, RunLock
from workbench.runs.records import Exit
from workbench.runs.requests import ON_REQUEST, RELEASED, Reply
from workbench.runs.run_folder import RunFolder, hold_reserve, sweep, write_exit
from workbench.system.memory import is_out_of_memory
from workbench.system.processes import age
from workbench.worker.context import Context, context_of
from workbench.worker.requests import Release, Stop

BEGAN = time.monotonic() - age()


@dataclass(frozen=True)
class End:
    """How an attempt ended."""

    status: Ending
    cause: Cause
    reason: str | None = None
    """One line for people."""


def main() -> int:
    """One attempt, from the lock to the record of its end; the exit code is 1 where it failed."""
    folder = RunFolder(Path(sys.argv[1]).absolute())
    lock = RunLock(folder.lock)
    if not lock.take(WRITER):
        print(f"another process writes {folder.path}", file=sys.stderr)
        return 1
    sweep(folder)
    attempt = max(1, last_attempt(folder))
    context = context_of(folder, attempt, BEGAN)
    faulthandler.enable(all_threads=False)  # a crash leaves in the log where it was
    context.requests.install()
    context.heartbeat.start()
    end = attempt_at(context)
    close(context, Phase.PAUSED if end is None else Phase(end.status))
    if end is None:
        return RELEASED
    record_end(context, end)
    return 1 if end.status is Ending.FAILED else 0


def attempt_at(context: Context) -> End | None:
    """Train, and put whatever ends it into one line; `None`: the run is paused and this process ends."""
    try:
        hold_reserve(context.folder)
        context.phase(Phase.LOADING)
        cause: Cause = importlib.import_module("workbench.worker.trainer").run(context)
    except Stop as stop:
        return End(Ending.STOPPED, *stop.reason)
    except Release:
        return None
    except Interrupted:
        return End(Ending.STOPPED, *(context.requests.stop or ON_REQUEST))
    except (BadInput, RunFailed) as error:
        return End(Ending.FAILED, cause_of(error), one_line(error, 500))
    except OSError as error:
        if error.errno in NO_ROOM:
            text = f"{why_no_room(error, context.folder.path.parent)}; resume once there is room"
            return End(Ending.STOPPED, Cause.DISK_FULL, text)
        log(traceback.format_exc())
        return End(Ending.FAILED, Cause.ERROR, one_line(error, 500))
    except Exception as error:
        log(traceback.format_exc())
        return End(Ending.FAILED, cause_of(error), in_words(error))
    return End(Ending.FINISHED, cause)


def cause_of(error: Exception) -> Cause:
    """What an attempt failed of."""
    if isinstance(error, BadInput):
        return Cause.INVALID_INPUT
    if isinstance(error, NonFiniteLoss):
        return Cause.NON_FINITE_LOSS
    return Cause.OUT_OF_MEMORY if is_out_of_memory(error) else Cause.ERROR


def log(text: str) -> None:
    """A line in the worker's log, where the disk has room for it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def in_words(error: Exception) -> str:
    """An exception nobody expected, in one line; out of memory says what to lower."""
    if is_out_of_memory(error):
        return f"out of memory: lower train.batch_size or the pictures' size ({one_line(error, 500)})"
    return f"{type(error).__name__}: {one_line(error, 500)} (the log has the details)"


def close(context: Context, phase: Phase) -> None:
    """Leave the last heartbeat and the seconds. On a full disk each can fail, and the end is still recorded."""
    context.heartbeat.show(phase=phase)
    context.heartbeat.stop()
    seconds = context.watch.seconds()
    with contextlib.suppress(OSError):
        context.journal.note(
            PhaseChange(phase=Phase.ENDED, attempt=context.attempt, status=phase, seconds=seconds)
        )


def record_end(context: Context, end: End) -> None:
    """Answer whoever still waits, and then leave `exit.json`."""
    with contextlib.suppress(OSError):
        for request in context.requests.pending():
            context.requests.answer(request, Reply(Outcome.ENDED, f"the run has {end.status}"))
    if end.reason:
        log(f"{end.status}: {end.reason}")
    record = Exit(
        status=end.status, attempt=context.attempt, cause=end.cause, reason=end.reason, time=time.time()
    )
    write_exit(context.folder, record)


if __name__ == "__main__":
    code = main()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all is written and closed; taking torch's libraries down would take a second more
