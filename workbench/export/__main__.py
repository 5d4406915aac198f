"""`python -m workbench.export FOLDER FORMAT TO`: exports the run in a folder, wherever its store is."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.core.errors import BadInput
from workbench.core.exit_codes import BAD_INPUT, DONE
from workbench.core.text import safe
from workbench.export import export_run
from workbench.runs.run_folder import RunFolder


def main(folder: str, form: str, to: str) -> int:
    """Print where the export is; returns the exit code."""
    try:
        print(export_run(RunFolder(Path(folder)), form, to))
    except BadInput as error:
        print(f"workbench: {safe(' '.join(str(error).split()))}", file=sys.stderr)
        return BAD_INPUT
    return DONE


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
