"""`python -m workbench.export FOLDER FORMAT TO`: exports the run in a folder, wherever its store is."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.commands import BAD_INPUT, DONE
from workbench.errors import BadInput
from workbench.export import export_run
from workbench.runs.layout import RunFolder
from workbench.text import safe


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
