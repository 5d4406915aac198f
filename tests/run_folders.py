"""A run folder for tests that need no worker, and processes that hold one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.runs.journal import Attempt, Journal
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.sweeps.sweep_folder import SweepFolder
from workbench.system.processes import this_process

DEAD_PID = 2**22 + 1
"""Larger than any pid the kernel gives."""
HOLD = """
import sys
from pathlib import Path
from workbench.runs.locks import RunLock
lock = RunLock(Path(sys.argv[1]))
print(all(lock.acquire(int(byte)) for byte in sys.argv[2:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(home: Path) -> RunFolder:
    """A run's folder as the launcher leaves it, with one attempt of a process that is gone."""
    made = create_run_folder(home / "runs", "digits-mlp")
    write_json(made.experiment, build_experiment("digits-mlp", sets=["train.epochs=3"]).to_dict())
    attempt(made, 1, pid=DEAD_PID)
    return made


def attempt(folder: RunFolder, number: int, **changed: Any) -> None:
    """Add the journal line of a start."""
    journal = Journal(folder.journal)
    journal.append(Attempt(attempt=number, **{**msgspec.structs.asdict(this_process()), **changed}))
    journal.close()


@contextmanager
def holding(folder: RunFolder | SweepFolder, *held: int) -> Iterator[subprocess.Popen[str]]:
    """A real process that holds bytes of the lock of a run or a sweep, until it is killed at the end."""
    command = [sys.executable, "-c", HOLD, str(folder.lock), *map(str, held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "True"
        try:
            yield process
        finally:
            process.kill()
