"""Why a training in several processes has ended, from what its ranks have recorded and how they have ended."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping

from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from workbench.io.record_codec import read_record
from workbench.runs.attempts import last_attempt_number
from workbench.runs.enums import Cause, Ending
from workbench.runs.exit_text import describe_exit
from workbench.runs.journal import Attempt
from workbench.runs.records import Exit
from workbench.runs.run_folder import RunFolder, write_exit
from workbench.worker.attempt_end import log
from workbench.worker.rank import LOST_PEER_EXIT_CODE

CONSEQUENCES = (LOST_PEER_EXIT_CODE, -signal.SIGTERM)
"""Exit codes of ranks that end because another one has ended, by themselves or by the agent."""


def exit_codes(failures: Mapping[int, ProcessFailure]) -> dict[int, int]:
    """The exit codes of ranks that failed."""
    return {rank: failure.exitcode for rank, failure in failures.items()}


def recorded_end(folder: RunFolder, attempt: Attempt) -> Exit | None:
    """How the run has ended in this attempt, if that is recorded."""
    recorded = read_record(folder.exit, Exit)
    return recorded if recorded is not None and recorded.attempt == attempt.attempt else None


def recorded_failure(folder: RunFolder, attempt: Attempt) -> Exit | None:
    """The failure that a rank has recorded first, if one has."""
    records = [read_record(folder.rank_exit(rank), Exit) for rank in range(attempt.processes)]
    own = [record for record in records if record is not None and record.attempt == attempt.attempt]
    return min(own, key=lambda record: record.time, default=None)


def killed_rank(attempt: Attempt, codes: Mapping[int, int]) -> Exit:
    """The end of a rank that has not recorded it: killed, or ended by a library."""

    def importance(rank: int) -> int:
        return 2 if codes[rank] in CONSEQUENCES else int(codes[rank] >= 0)

    rank = min(sorted(codes), key=importance)
    text = f"rank {rank} {describe_exit(codes[rank])}"
    return Exit(
        status=Ending.FAILED, attempt=attempt.attempt, cause=Cause.CRASH, reason=text, time=time.time()
    )


def write_end(folder: RunFolder, attempt: Attempt, end: Exit) -> None:
    """Record the end of the run, unless another host has taken it over."""
    if last_attempt_number(folder) != attempt.attempt:
        return
    log(f"{end.status}: {end.reason}" if end.reason else str(end.status))
    with contextlib.suppress(OSError):  # a full disk
        write_exit(folder, end)
