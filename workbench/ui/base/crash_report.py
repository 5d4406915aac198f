"""What happens after an unexpected exception in the app: one line for the user, the traceback in a file."""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType
from textual.app import App

from workbench.ui.terminal import write_traceback


class CrashReport(App[None]):
    """Reports an exception in one line. An exception while the app exits is ignored."""

    exit_requested = False

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        self.exit_requested = True
        super().exit(result, return_code, message)

    def run_reporting_crashes(self) -> int:
        """Run the app in the terminal; returns the exit code."""
        report = io.StringIO()
        self.error_console = Console(file=report, width=120)  # Textual prints its tracebacks there at the end
        self.run()
        # While the app exits, widgets are removed that others still query.
        if self.exit_requested or not report.getvalue():
            return 0
        log = write_traceback(report.getvalue())
        print(
            f"workbench: internal error in the terminal app; runs keep running (traceback: {log})",
            file=sys.stderr,
        )
        return 1
