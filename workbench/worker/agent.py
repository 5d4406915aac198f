"""torchrun's elastic agent for the processes that train one run: `python -m workbench.worker.agent RUN_DIR`.

It runs below the supervisor in place of a single worker, starts the ranks, and ends them all once one of them has
ended too early. Its own end is that of rank 0; where another rank was killed or failed, it records that.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workbench.io.record_codec import read_record
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, Ending
from workbench.runs.exit_text import describe_exit
from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.locks import WRITER, holder_pid
from workbench.runs.records import Exit
from workbench.runs.requests import SUSPENDED_EXIT_CODE
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.worker.attempt_end import log
from workbench.worker.rank import ENDED_EXIT_CODE, LOST_PEER_EXIT_CODE, RANK, run_forked

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals of the supervisor, which rank 0 handles: it lets all ranks act at the same step."""
POLL_SECONDS = 0.05
MONITOR_SECONDS = 0.1
"""How often the agent looks whether a rank has ended."""
FORKED_MODULES = ("workbench.worker.trainer", "torch._dynamo")
"""What each rank would import otherwise; DistributedDataParallel asks `torch._dynamo` for its settings."""
LOOPBACK = "127.0.0.1"


def main() -> int:
    """Run the ranks of the newest attempt to their end; returns the exit code of a worker."""
    folder = RunFolder(Path(sys.argv[1]).absolute())
    attempt = attempts_of(read_journal(folder.journal))[-1]
    forward_signals(folder)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    forked = sys.platform == "linux" and not attempt.gpus  # CUDA does not survive a fork
    for module in FORKED_MODULES if forked else ():
        importlib.import_module(module)
    failures = run_ranks(folder, attempt, forked=forked)
    return end_code(folder, attempt, failures)


def run_ranks(folder: RunFolder, attempt: Attempt, *, forked: bool) -> Mapping[int, ProcessFailure]:
    """Start the ranks, forked from this process or as programs of their own, and wait for their end.

    Returns the failures by rank.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-agent-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=attempt.processes,
            run_id=f"{folder.id}-{attempt.attempt}",
            rdzv_backend="c10d",
            rdzv_endpoint=f"{LOOPBACK}:0",
            local_addr=LOOPBACK,
            max_restarts=0,
            monitor_interval=MONITOR_SECONDS,
            start_method="fork" if forked else "spawn",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            if forked:
                elastic_launch(config, run_forked)(str(folder.path), os.getpid(), os.dup(0))
            else:
                command = ("-P", "-m", RANK, str(folder.path), str(os.getpid()))
                elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return dict(error.failures)
    return {}


def forward_signals(folder: RunFolder) -> None:
    """Pass signals on to rank 0. They stay blocked in this process, where the elastic agent would end all ranks."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*FORWARDED_SIGNALS, signal.SIGHUP))
    threading.Thread(target=_forward_signals, args=(folder,), name="signals", daemon=True).start()


def _forward_signals(folder: RunFolder) -> None:
    while True:
        number = signal.sigwait(FORWARDED_SIGNALS)
        while (pid := holder_pid(folder.lock, WRITER)) is None:  # rank 0 has not started yet
            time.sleep(POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_code(folder: RunFolder, attempt: Attempt, failures: Mapping[int, ProcessFailure]) -> int:
    """The exit code for the supervisor, after the end of all ranks; records why one ended if rank 0 has not."""
    if not failures:
        return 0
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    if codes.get(0) in {SUSPENDED_EXIT_CODE, ENDED_EXIT_CODE}:
        return SUSPENDED_EXIT_CODE if codes[0] == SUSPENDED_EXIT_CODE else 0
    recorded = read_record(folder.exit, Exit)
    is_recorded = recorded is not None and recorded.attempt == attempt.attempt
    if not is_recorded and last_attempt_number(folder) == attempt.attempt:  # no other host has taken it over
        end = _own_failure(folder, attempt) or _killed_rank(attempt.attempt, codes)
        log(f"{end.status}: {end.reason}")
        with contextlib.suppress(OSError):  # a full disk
            write_exit(folder, end)
    return 1


def _own_failure(folder: RunFolder, attempt: Attempt) -> Exit | None:
    """The failure that a rank has recorded first, if one has."""
    records = [read_record(folder.rank_exit(rank), Exit) for rank in range(1, attempt.processes)]
    own = [record for record in records if record is not None and record.attempt == attempt.attempt]
    return min(own, key=lambda record: record.time, default=None)


def _killed_rank(attempt: int, codes: Mapping[int, int]) -> Exit:
    """The end of a rank that has not recorded it: killed, or ended by a library."""

    def importance(rank: int) -> int:
        # The others end because of it, by themselves or by the agent.
        consequences = (LOST_PEER_EXIT_CODE, -signal.SIGTERM)
        return 2 if codes[rank] in consequences else int(codes[rank] >= 0)

    rank = min(sorted(codes), key=importance)
    text = f"rank {rank} {describe_exit(codes[rank])}"
    return Exit(status=Ending.FAILED, attempt=attempt, cause=Cause.CRASH, reason=text, time=time.time())


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
