"""`workbench` without a command: the screen."""

from __future__ import annotations

import argparse
import gc

from workbench.core.distribution import IMPORT_NAME, version_of
from workbench.core.exit_codes import DONE
from workbench.core.paths import expand_user_path
from workbench.runs.opened_logs import OpenedLogs


def screen(options: argparse.Namespace) -> int:
    """Open the screen, or print the version."""
    if options.version:
        print(version_of(IMPORT_NAME) or "unknown")
        return DONE
    return _run_screen(None)


def open_paths(options: argparse.Namespace) -> int:
    """Open the screen on logs of other programs."""
    opened = OpenedLogs([expand_user_path(path) for path in options.path])
    try:
        return _run_screen(opened)
    finally:
        opened.close()


def _run_screen(opened: OpenedLogs | None) -> int:
    gc.disable()  # until all panes are there: modules and widgets that remain would only be scanned over and over
    from workbench.ui import main

    return main.run(opened)
