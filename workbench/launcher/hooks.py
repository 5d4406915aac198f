"""A person's own commands at the end of a run: `python -m workbench.launcher.hooks RUN_DIR STATUS COMMAND`.

A process of its own, so that neither a command that hangs nor one that fails holds up anything of the run.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from workbench.runs.enums import Cause, Ending
from workbench.runs.journal import Journal, Notice
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import report_of
from workbench.system.processes import python

LIMIT = 300.0
"""Seconds a command has."""
STALLED = "stalled"


def setting_for(status: Ending, cause: Cause | None) -> str | None:
    """Which setting has the command for a run that ended like this; `None`: nothing is to be run.

    A run that was stopped because somebody asked for it has not failed; one that stopped by itself has.
    """
    if status is Ending.FINISHED:
        return "on_finish"
    intended = status is Ending.STOPPED and cause is not None and cause.intended
    return None if intended else "on_fail"


def start(folder: RunFolder, status: str, command: str) -> None:
    """Start the command in a process of its own, and leave it alone; an empty one is none."""
    if not command:
        return
    with contextlib.suppress(OSError), folder.log.open("ab") as log:
        subprocess.Popen(
            python("workbench.launcher.hooks", str(folder.path), status, command),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def environment(folder: RunFolder, status: str) -> dict[str, str]:
    """What the command is told: `WORKBENCH_RUN`, `_NAME`, `_STATUS`, `_REASON`, `_DIRECTORY`, `_STEP`, `_EPOCH`,
    and of the result `WORKBENCH_TEST_LOSS`, `WORKBENCH_TEST_ACCURACY`, ...
    """
    report = report_of(folder)
    stalled = status == STALLED
    values: dict[str, str | float | None] = {
        "RUN": report.run,
        "NAME": report.name,
        "STATUS": status,
        "REASON": f"no progress at step {report.step}" if stalled else report.reason,
        "DIRECTORY": report.directory,
        "STEP": report.step,
        "EPOCH": report.epoch,
    }
    values |= {f"TEST_{name.upper()}": value for name, value in (report.test or {}).items()}
    # A NUL can't be passed on.
    return {
        f"WORKBENCH_{name}": re.sub("\0", "", str(value))
        for name, value in values.items()
        if value is not None
    }


def run(folder: RunFolder, status: str, command: str, limit: float = LIMIT) -> str | None:
    """Run the command in the run's folder; returns what went wrong, in words."""
    process = subprocess.Popen(
        command, shell=True, cwd=folder.path, env={**os.environ, **environment(folder, status)},
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"took longer than {limit:.0f} s and was ended"
    if code == 0:
        return None
    return f"ended with code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"


def main() -> None:
    """Run a command and, where it fails, say so in the run's journal."""
    folder, status, command = RunFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    wrong = run(folder, status, command)
    if wrong is not None:
        name = "on_finish" if status == Ending.FINISHED else "on_fail"
        journal = Journal(folder.journal)
        journal.note(Notice(text=f"the command of {name} {wrong} (the log has its output)"))
        journal.close()


if __name__ == "__main__":
    main()
