"""Run the app in this terminal."""

from __future__ import annotations

import os
import sys

from workbench.core import paths
from workbench.launcher.fork_client import stop_fork_server
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.store import Store
from workbench.ui import terminal
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.diff_driver import DiffDriver
from workbench.ui.services.run_state import live_runs_text

SWITCH_SECONDS = 0.001


def run(opened: OpenedLogs | None = None) -> int:
    """Run the app, with logs that are shown without being in the list of runs; returns the exit code."""
    if reason := terminal.unusable_reason([sys.stdin, sys.stdout, sys.stderr], os.environ):
        print(f"workbench: {reason}", file=sys.stderr)
        return 2
    terminal.use_utf8()
    terminal.drop_exported_size(os.environ)
    terminal.set_no_color(os.environ)
    # By default a key waits up to 5 ms each time that it needs the interpreter while another thread lists 10,000 runs.
    sys.setswitchinterval(SWITCH_SECONDS)
    app = WorkbenchApp(Store(paths.runs(), opened), driver_class=DiffDriver)
    terminal.exit_on_signals(lambda: app.call_later(app.exit))

    def hang_up() -> None:
        app.updates.save_visit()
        if opened is not None:
            opened.close()

    terminal.exit_on_hangup(sys.stdin.fileno(), hang_up)
    exit_code = app.run_reporting_crashes()
    stop_fork_server()
    if text := live_runs_text(app.runs.rows or []):
        print(text)
    return exit_code
