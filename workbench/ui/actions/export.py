"""Export a run in another format."""

from __future__ import annotations

import subprocess
from pathlib import Path

from workbench.core.errors import UserError
from workbench.export import unused_name
from workbench.runs.run_folder import RunFolder
from workbench.system.processes import python_command
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunSelection
from workbench.ui.experiment.choosers import export_format_finder
from workbench.ui.widgets.chooser import Chooser


def choose_export(host: ActionHost, selection: RunSelection) -> None:
    """Let the user choose a format, and export the selected run in a subprocess."""
    row = selection.selected
    if row is None:
        return

    def export(format_name: str | None) -> None:
        if format_name is None:
            return
        host.show_notice(f"exporting {row.name} as {format_name}…")
        host.run_in_background(lambda: export_run(host.store.folder(row.id), row.name, format_name))

    host.show_screen(Chooser(f"Export the run {row.name}", export_format_finder()), export)


def export_run(folder: RunFolder, name: str, format_name: str) -> str:
    """Export the run in a subprocess, to an unused name in the working directory; returns a message with its path.

    Raises `UserError` with the error message of the subprocess.
    """
    destination = unused_name(folder.id, name, format_name)
    command = python_command("workbench.export", str(folder.path), format_name, destination)
    process = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    lines = (process.stdout if process.returncode == 0 else process.stderr).strip().splitlines()
    if process.returncode != 0:
        raise UserError(lines[-1].removeprefix("workbench: ") if lines else f"exit code {process.returncode}")
    return f"exported to {Path.cwd() / lines[-1]}"
