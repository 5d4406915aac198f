"""`workbench` without a command: the screen."""

from __future__ import annotations

import argparse

from workbench.core.distribution import IMPORT_NAME, version_of
from workbench.core.exit_codes import DONE
from workbench.core.paths import expand_user_path
from workbench.runs.opened_logs import OpenedLogs


def screen(options: argparse.Namespace) -> int:
    """Open the screen, or print the version."""
    if options.version:
        print(version_of(IMPORT_NAME) or "unknown")
        return DONE
    from workbench.ui import main

    return main.run()


def open_paths(options: argparse.Namespace) -> int:
    """Open the screen on logs of other programs."""
    opened = OpenedLogs([expand_user_path(path) for path in options.path])
    try:
        from workbench.ui import main

        return main.run(opened)
    finally:
        opened.close()
