from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workbench.runs.locks import SUPERVISOR, WRITER, RunLock, holder_pid

ASK = (
    "import sys, pathlib, workbench.runs.locks as l; print(l.holder_pid(pathlib.Path(sys.argv[1]), l.WRITER))"
)


def seen_from_outside(path: Path) -> str:
    """The pid of the writer as another process sees it."""
    return subprocess.check_output([sys.executable, "-c", ASK, str(path)], text=True).strip()


def test_asking_for_the_holder_keeps_the_lock_of_this_process(tmp_path: Path) -> None:
    """A process loses its locks of a file with the first descriptor of it that it closes."""
    path = tmp_path / "lock"
    lock = RunLock(path)
    assert holder_pid(path, WRITER) is None
    assert lock.acquire(WRITER)
    assert holder_pid(path, WRITER) == os.getpid()
    assert holder_pid(path, SUPERVISOR) is None
    assert seen_from_outside(path) == str(os.getpid())
    lock.release(WRITER)
    assert holder_pid(path, WRITER) is None
    assert seen_from_outside(path) == "None"
