"""Stopping and resuming sweeps."""

from __future__ import annotations

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.sweeps import control
from workbench.sweeps.sweep_folder import SweepFolder
from workbench.ui.actions.host import ActionHost


def stop_sweep(host: ActionHost, folder: SweepFolder) -> None:
    """Stop a sweep and its runs, after a confirmation."""

    def stop() -> str:
        control.stop_sweep(folder)
        if not control.wait_until_stopped(folder):
            raise UserError(f"{folder.name} has not stopped yet: it ends when its runs have stopped")
        return f"{folder.name} is stopped; r continues it"

    host.confirm(
        f"Stop the sweep {folder.name}?",
        "Its runs stop after a checkpoint; r continues them and the sweep.",
        lambda: host.run_in_background(stop),
    )


def resume_sweep(host: ActionHost, folder: SweepFolder) -> None:
    """Continue a sweep."""

    def resume() -> str:
        count = control.resume_sweep(folder)
        return f"{folder.name} continues with {plural(count, 'worker')}"

    host.show_notice(f"resuming {folder.name}")
    host.run_in_background(resume)
