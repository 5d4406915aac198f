"""The process that trains one run: `python -m workbench.worker.main RUN_DIR`.

This module imports no torch: it takes the run's writer lock and starts the heartbeat before it imports the trainer.
However the attempt ends, its end is recorded in one line; tracebacks go to the worker's log.
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

from workbench.core.errors import NonFiniteLoss, RunFailed, UserError
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import one_line
from workbench.core.user_code import user_code_line
from workbench.io.disk_full import DISK_FULL_ERRNOS, describe_disk_error
from workbench.io.record_codec import read_record
from workbench.runs.enums import Cause, Ending, Phase
from workbench.runs.journal import RefusedResume
from workbench.runs.records import Exit
from workbench.runs.requests import STOP_REQUESTED, SUSPENDED_EXIT_CODE
from workbench.runs.run_folder import allocate_reserve
from workbench.system.memory import is_out_of_memory
from workbench.system.processes import process_age
from workbench.worker.attempt_end import AttemptEnd, close_attempt, log, record_end
from workbench.worker.context import Context, open_attempt
from workbench.worker.membership import Membership
from workbench.worker.requests import Stop, Suspend

STARTED = time.monotonic() - process_age()


class LostPeer(Exception):
    """Another process that trains the run has ended, so that this one can't continue."""

    is_signaled = False
    """Whether the agent has seen that, and has asked this process to end."""
    own_failure: AttemptEnd | None = None
    """Of several nodes: what has failed here, if no process of this host has ended."""


def main(membership: Membership | None = None) -> int:
    """Run one attempt, from the lock to the record of its end; returns the exit code, 1 for a failure.

    `membership`: as rank 0 of several processes. Raises `LostPeer`, with no end recorded, where another one has ended.
    """
    context = open_attempt(STARTED, membership)
    if context is None:
        return 1
    faulthandler.enable(all_threads=False)  # a crash leaves its stack in the log
    context.requests.install()
    context.heartbeat.start()
    try:
        end = run_attempt(context)
    except LostPeer as lost:
        lost.is_signaled = context.requests.stop is not None
        close_attempt(context, Phase.FAILED)
        raise
    if end is not None and is_refused_resume(context, end):
        end = refuse_resume(context, end)
    close_attempt(context, Phase.PAUSED if end is None else Phase(end.status))
    if end is None:
        return SUSPENDED_EXIT_CODE
    record_end(context, end)
    return 1 if end.status is Ending.FAILED else 0


def run_attempt(context: Context) -> AttemptEnd | None:
    """Train, and describe the end in one line; `None` where the run is suspended. Raises `LostPeer`."""
    try:
        allocate_reserve(context.folder)
        context.enter_phase(Phase.LOADING)
        context.heartbeat.report_progress(Progress("importing PyTorch"))
        cause: Cause = importlib.import_module("workbench.worker.trainer").run(context)
    except Stop as stop:
        return AttemptEnd(Ending.STOPPED, *stop.reason)
    except Suspend:
        return None
    except Cancelled:
        return AttemptEnd(Ending.STOPPED, *(context.requests.stop or STOP_REQUESTED))
    except (UserError, RunFailed) as error:
        return AttemptEnd(Ending.FAILED, failure_cause(error), one_line(error, 500))
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            text = (
                f"{describe_disk_error(error, context.folder.path.parent)}; resume once there is free space"
            )
            return AttemptEnd(Ending.STOPPED, Cause.DISK_FULL, text)
        log(traceback.format_exc())
        return AttemptEnd(Ending.FAILED, Cause.ERROR, one_line(error, 500))
    except Exception as error:
        log(traceback.format_exc())
        end = AttemptEnd(Ending.FAILED, failure_cause(error), describe_error(error))
        if context.membership is not None:
            _raise_if_lost_peer(context.membership, end, error)
        return end
    return AttemptEnd(Ending.FINISHED, cause)


def _raise_if_lost_peer(membership: Membership, end: AttemptEnd, error: Exception) -> None:
    """Raise `LostPeer` where another process has ended, or where those of other nodes may have."""
    if membership.has_lost_peer():
        raise LostPeer from error
    if membership.spans_nodes:
        lost = LostPeer()
        lost.own_failure = end
        raise lost from error


def is_refused_resume(context: Context, end: AttemptEnd) -> bool:
    """Whether bad input prevented a resume before its first step."""
    is_first = context.attempt == 1 or context.heartbeat.has_started_training
    return end.cause is Cause.INVALID_INPUT and not is_first


def refuse_resume(context: Context, end: AttemptEnd) -> AttemptEnd:
    """Record that a resume was refused; returns the end to record: a run that had not failed is what it was before."""
    with contextlib.suppress(OSError):
        context.journal.append(RefusedResume(attempt=context.attempt, reason=end.reason or ""))
    previous = read_record(context.folder.exit, Exit)
    if previous is None or previous.status is Ending.FAILED or previous.cause is None:
        return end
    return AttemptEnd(previous.status, previous.cause, f"not resumed: {end.reason}")


def failure_cause(error: Exception) -> Cause:
    """The cause of a failure."""
    if isinstance(error, UserError):
        return Cause.INVALID_INPUT
    if isinstance(error, NonFiniteLoss):
        return Cause.NON_FINITE_LOSS
    return Cause.OUT_OF_MEMORY if is_out_of_memory(error) else Cause.ERROR


def describe_error(error: Exception, where: str = "see the log for the traceback") -> str:
    """An unexpected exception in one line, with the line of the user's file that it passed, or `where` to look.

    For out of memory, with the settings to lower.
    """
    if is_out_of_memory(error):
        return f"out of memory: lower train.batch_size or the image size ({one_line(error, 500)})"
    places = ", ".join(part for part in (user_code_line(error), where) if part)
    return f"{type(error).__name__}: {one_line(error, 500)}{f' ({places})' if places else ''}"


if __name__ == "__main__":
    code = main()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # everything is written and closed; unloading torch's libraries would take another second
