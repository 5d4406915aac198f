"""`workbench` without a command."""

from __future__ import annotations

import argparse
from importlib import metadata

from workbench.commands import DONE


def screen(options: argparse.Namespace) -> int:
    """Open the screen, or print the version."""
    if options.version:
        print(metadata.version("workbench"))
        return DONE
    from workbench.ui import app

    return app.run()
