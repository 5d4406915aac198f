"""One of the processes that train a run together: `python -m workbench.worker.rank RUN_DIR`, started by `worker.agent`.

Rank 0 does what the only process of other runs does (`worker.main`). The others compute their part of each batch, and
write nothing but their log and, where they fail by themselves, why. With several nodes rank 0 leaves that to its agent
too: what fails there may be the consequence of what another node knows.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from workbench.io.record_codec import read_record, write_record
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Ending
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder
from workbench.system.cuda_order import VARIABLE
from workbench.system.process_title import set_command
from workbench.system.process_tree import end_with_parent
from workbench.system.processes import process_age, python_command
from workbench.worker import main as worker
from workbench.worker.attempt_end import AttemptEnd
from workbench.worker.follower import follower_context
from workbench.worker.membership import Membership

RANK = "workbench.worker.rank"

ENDED_EXIT_CODE = 70
"""Of rank 0 where it has recorded an end before the last epoch: the agent then ends the others."""
LOST_PEER_EXIT_CODE = 71
"""Where another process has ended: its end is the one to record."""
AGENT_SECONDS = 20.0
"""The agent sees the process that ended first, if the others wait so long for their own end."""


class RankOptions(msgspec.Struct, frozen=True):
    """What the agent tells its ranks, as JSON."""

    agent: int
    """Its pid."""
    gpus: tuple[str, ...] = ()
    """The UUIDs of the GPUs on this host, one for each rank."""
    has_copy: bool = False
    """Whether the folder is a copy of that of rank 0, which is on another node."""


def run_forked(run_dir: str, options: str, stdin: int) -> None:
    """Be a rank in a process that the agent has forked; `stdin`: a descriptor of its stdin."""
    os.dup2(stdin, 0)  # multiprocessing has closed it
    sys.stdin = os.fdopen(0, closefd=False)
    membership = Membership.from_environment()
    set_command(python_command(RANK, run_dir, str(membership.rank)))
    if code := run_rank(RunFolder(Path(run_dir)), membership, options):
        _exit(code)


def run_rank(folder: RunFolder, membership: Membership, options: str) -> int:
    """Train as one of the processes of `folder`, below an agent; `options`: `RankOptions`. Returns the exit code."""
    end_with_parent()
    told = msgspec.json.decode(options, type=RankOptions)
    if os.getppid() != told.agent:  # it has ended already
        return ENDED_EXIT_CODE
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    membership.has_copy = told.has_copy
    if told.gpus:
        os.environ[VARIABLE] = told.gpus[membership.local_rank]
    if membership.rank == 0:
        return _lead(folder, membership)
    return _follow(folder, membership)


def _lead(folder: RunFolder, membership: Membership) -> int:
    try:
        code = worker.main(membership)
    except worker.LostPeer as lost:
        if lost.own_failure is not None:
            return _record_failure(folder, membership, last_attempt_number(folder), lost.own_failure)
        return LOST_PEER_EXIT_CODE if lost.is_signaled else _wait_for_agent()
    ended = read_record(folder.exit, Exit)
    is_finished = ended is not None and ended.status is Ending.FINISHED
    return code if code or is_finished else ENDED_EXIT_CODE


def _follow(folder: RunFolder, membership: Membership) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
    log = os.open(folder.rank_log(membership.rank), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    faulthandler.enable(all_threads=False)
    context = follower_context(folder, membership, time.monotonic() - process_age())
    try:
        end = worker.run_attempt(context)
    except worker.LostPeer as lost:
        if lost.own_failure is None:
            return _wait_for_agent()
        end = lost.own_failure
    if end is not None and end.status is Ending.FAILED:
        return _record_failure(folder, membership, context.attempt, end)
    # Where all ranks of a host end well, its agent waits for those of the other hosts to end well, too.
    is_finished = end is not None and end.status is Ending.FINISHED
    return 0 if is_finished or membership.is_beside_writer else ENDED_EXIT_CODE


def _record_failure(folder: RunFolder, membership: Membership, attempt: int, end: AttemptEnd) -> int:
    """Record why this process has failed; returns its exit code."""
    record = Exit(
        status=end.status, attempt=attempt, cause=end.cause, time=time.time(),
        reason=f"rank {membership.rank}: {end.reason}",
    )  # fmt: skip
    write_record(folder.rank_exit(membership.rank), record)
    return 1


def _wait_for_agent() -> int:
    """Wait for the signal of the agent, which has to find out which process ended first."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    signal.sigtimedwait((signal.SIGTERM,), AGENT_SECONDS)
    return LOST_PEER_EXIT_CODE


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # everything is written; unloading torch's libraries would take another second


if __name__ == "__main__":
    _exit(run_rank(RunFolder(Path(sys.argv[1]).absolute()), Membership.from_environment(), sys.argv[2]))
