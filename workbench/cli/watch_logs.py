"""Following logs that other programs write, from the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from workbench.cli import console, run_text
from workbench.cli.progress_line import logged_parts
from workbench.core import text
from workbench.core.exit_codes import DONE
from workbench.core.text import sanitize
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import build_report

POLL_SECONDS = 0.5
QUIET_SECONDS = 600.0
"""Logs in which nothing is written for so long have ended, as far as can be seen."""


def watch_logs(folders: Sequence[RunFolder]) -> int:
    """Show the newest values whenever some are written, until nothing is any more; then the reports.

    `KeyboardInterrupt` passes through.
    """
    watched = [_WatchedLog(folder) for folder in folders]
    try:
        growing = watched
        while growing := [log for log in growing if log.show_new(alone=len(watched) == 1)]:
            time.sleep(POLL_SECONDS)
        console.clear_line()
        for log in watched:
            run_text.print_run_report(build_report(log.reader.view))
    finally:
        for log in watched:
            log.reader.close()
    return DONE


class _WatchedLog:
    def __init__(self, folder: RunFolder) -> None:
        self.reader = RunReader(folder)
        self._line = ""

    def show_new(self, *, alone: bool) -> bool:
        """Show the newest values if they are new; whether something was written not long ago.

        A log `alone` on a terminal has one line, which is updated.
        """
        view = self.reader.read_all()
        modified = view.external.modified if view.external else 0.0
        if time.time() - modified >= QUIET_SECONDS:
            return False
        name = sanitize(view.name, max(8, console.terminal_width() // 3))
        line = text.truncate("  ".join([f"{name}:", *logged_parts(view)]), console.terminal_width())
        if line != self._line:
            self._line = line
            if alone and sys.stderr.isatty():
                console.show_line(line)
            else:
                console.print_status(line)
        return True
