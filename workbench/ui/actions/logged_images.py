"""Show the images that a run has logged."""

from __future__ import annotations

from importlib import import_module

from workbench.compute.client import ComputeClient
from workbench.runs.logged_images import has_logged_images, list_logged_images
from workbench.ui.actions.host import ActionHost
from workbench.ui.services.run_state import RunState


def show_logged_images(host: ActionHost, runs: RunState, compute: ComputeClient) -> None:
    """Show the images of the selected run, if it has logged any."""
    row, view = runs.selected, runs.view
    if row is None or view is None:
        return

    def look() -> None:
        if has_logged_images(view):
            # Imported only now: it needs Pillow, without which the app starts faster.
            screens = import_module("workbench.ui.data.logged_images_screen")
            screen = screens.LoggedImagesScreen(compute, row.name, lambda: list_logged_images(view))
            host.run_soon(lambda: host.show_screen(screen))
        else:
            host.show_notice(f"{row.name} has logged no images: log_image(…) does", "warning", transient=True)

    host.run_in_background(look)
