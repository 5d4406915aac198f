"""Copy to the clipboard of the terminal."""

from __future__ import annotations

from workbench.core.text import sanitize
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunSelection


def copy_item(host: ActionHost, selection: RunSelection, item: str) -> None:
    """Copy `item`; if it is empty, the path of the selected run's folder."""
    row = selection.selected
    text = sanitize(item or (host.store.folder(row.id).path if row else ""))
    if text:
        host.run_in_background(lambda: host.copy_to_clipboard(text))
    else:
        host.show_notice("nothing to copy here", transient=True)
