"""torchrun's elastic agent for the processes that train one run: `python -m workbench.worker.agent RUN_DIR`.

It runs below the supervisor in place of a single worker, starts the ranks, and ends them all once one of them has
ended too early. Its own end is that of rank 0; where another rank was killed or failed, it records that. Of several
nodes each has such an agent: `node_leader` is that of the first node, which has the run, `node_member` that of others.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from workbench.runs.journal import Attempt, attempts_of, read_journal
from workbench.runs.nodes import read_placement
from workbench.runs.requests import SUSPENDED_EXIT_CODE
from workbench.runs.run_folder import RunFolder
from workbench.worker.agent_end import exit_codes, killed_rank, recorded_end, recorded_failure, write_end
from workbench.worker.agent_signals import SIGNALS, forward_signals
from workbench.worker.elastic import run_ranks
from workbench.worker.rank import ENDED_EXIT_CODE

FORKED_MODULES = ("workbench.worker.trainer", "torch._dynamo")
"""What each rank would import otherwise; DistributedDataParallel asks `torch._dynamo` for its settings."""


def main() -> int:
    """Run the ranks of the newest attempt to their end; returns the exit code of a worker."""
    folder = RunFolder(Path(sys.argv[1]).absolute())
    attempt = attempts_of(read_journal(folder.journal))[-1]
    # The elastic agent would end all ranks by these signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGHUP))
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    forked = sys.platform == "linux" and not attempt.assigned  # CUDA does not survive a fork
    if attempt.nodes > 1:
        role = "node_member" if read_placement(folder).joins else "node_leader"
        node = importlib.import_module(f"workbench.worker.{role}")
        code: int = node.run(folder, attempt, forked=forked)
        return code
    import_for_forks(forked)
    forward_signals(folder)
    return end_code(folder, attempt, run_ranks(folder, attempt, forked=forked))


def import_for_forks(forked: bool) -> None:
    """Import what forked ranks need."""
    for module in FORKED_MODULES if forked else ():
        importlib.import_module(module)


def end_code(folder: RunFolder, attempt: Attempt, failures: Mapping[int, ProcessFailure]) -> int:
    """The exit code for the supervisor, after the end of all ranks; records why one ended if rank 0 has not."""
    if not failures:
        return 0
    codes = exit_codes(failures)
    if codes.get(0) in {SUSPENDED_EXIT_CODE, ENDED_EXIT_CODE}:
        return SUSPENDED_EXIT_CODE if codes[0] == SUSPENDED_EXIT_CODE else 0
    if recorded_end(folder, attempt) is None:
        write_end(folder, attempt, recorded_failure(folder, attempt) or killed_rank(attempt, codes))
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
