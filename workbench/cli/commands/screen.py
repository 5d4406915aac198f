"""`workbench` without a command: the screen."""

from __future__ import annotations

import argparse

from workbench.core.distribution import IMPORT_NAME, version_of
from workbench.core.exit_codes import DONE


def screen(options: argparse.Namespace) -> int:
    """Open the screen, or print the version."""
    if options.version:
        print(version_of(IMPORT_NAME) or "unknown")
        return DONE
    from workbench.ui import main

    return main.run()
