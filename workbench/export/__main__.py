"""`python -m workbench.export FOLDER FORMAT TO`: exports the run in a folder of any store."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.exit_codes import BAD_INPUT, DONE
from workbench.core.text import sanitize
from workbench.export import export_run
from workbench.runs.run_folder import RunFolder


def main(folder: str, format: str, target: str) -> int:
    """Print the path of the export; returns the exit code."""
    try:
        print(export_run(RunFolder(Path(folder)), format, target))
    except UserError as error:
        print(f"workbench: {sanitize(' '.join(str(error).split()))}", file=sys.stderr)
        return BAD_INPUT
    return DONE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
