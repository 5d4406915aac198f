from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workbench.runs.locks import SUPERVISOR, WRITER, RunLock, holder_of

ASK = (
    "import sys, pathlib, workbench.runs.locks as l; print(l.holder_of(pathlib.Path(sys.argv[1]), l.WRITER))"
)


def seen_from_outside(path: Path) -> str:
    """What another process is told of who writes."""
    return subprocess.check_output([sys.executable, "-c", ASK, str(path)], text=True).strip()


def test_who_asks_about_a_lock_of_its_own_keeps_it(tmp_path: Path) -> None:
    """A process loses its locks of a file with the first descriptor of it that it closes."""
    path = tmp_path / "lock"
    lock = RunLock(path)
    assert holder_of(path, WRITER) is None
    assert lock.take(WRITER)
    assert holder_of(path, WRITER) == os.getpid()
    assert holder_of(path, SUPERVISOR) is None
    assert seen_from_outside(path) == str(os.getpid())
    lock.give_back(WRITER)
    assert holder_of(path, WRITER) is None
    assert seen_from_outside(path) == "None"
