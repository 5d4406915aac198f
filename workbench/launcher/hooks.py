"""Hooks: the user's commands at the end of a run, `python -m workbench.launcher.hooks RUN_DIR STATUS COMMAND`.

They run in a separate process, so that a command that hangs or fails does not affect the run.
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
from workbench.runs.run_report import read_report
from workbench.system.processes import python_command

TIMEOUT_SECONDS = 300.0
"""Time limit of a command."""
STALLED = "stalled"


def hook_setting(status: Ending, cause: Cause | None) -> str | None:
    """The setting with the command for this end of a run, `on_finish` or `on_fail`; `None`: run no command.

    A run that was stopped on request has not failed; one that stopped by itself has.
    """
    if status is Ending.FINISHED:
        return "on_finish"
    intended = status is Ending.STOPPED and cause is not None and cause.intended
    return None if intended else "on_fail"


def start_hook(folder: RunFolder, status: str, command: str) -> None:
    """Start the command in a separate process and don't wait for it; does nothing for an empty command."""
    if not command:
        return
    with contextlib.suppress(OSError), folder.log.open("ab") as log:
        subprocess.Popen(
            python_command("workbench.launcher.hooks", str(folder.path), status, command),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


def hook_environment(folder: RunFolder, status: str) -> dict[str, str]:
    """Environment variables of the command.

    `WORKBENCH_RUN`, `_NAME`, `_STATUS`, `_REASON`, `_DIRECTORY`, `_STEP`, `_EPOCH`, and the test metrics of the
    result: `WORKBENCH_TEST_LOSS`, `WORKBENCH_TEST_ACCURACY`, ...
    """
    report = read_report(folder)
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
    # An environment variable can't contain NUL.
    return {
        f"WORKBENCH_{name}": re.sub("\0", "", str(value))
        for name, value in values.items()
        if value is not None
    }


def run_hook(folder: RunFolder, status: str, command: str, limit: float = TIMEOUT_SECONDS) -> str | None:
    """Run the command in the run's folder for at most `limit` seconds; returns what failed, for people, or `None`."""
    process = subprocess.Popen(
        command, shell=True, cwd=folder.path, env={**os.environ, **hook_environment(folder, status)},
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"timed out after {limit:.0f} s"
    if code == 0:
        return None
    return f"exited with code {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"


def main() -> None:
    """Run a command; a failure is reported in the journal of the run."""
    folder, status, command = RunFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
    failure = run_hook(folder, status, command)
    if failure is not None:
        name = "on_finish" if status == Ending.FINISHED else "on_fail"
        journal = Journal(folder.journal)
        journal.append(Notice(text=f"the command of {name} {failure}; its output is in the log"))
        journal.close()


if __name__ == "__main__":
    main()
