"""Copy to the clipboard of the terminal."""

from __future__ import annotations

from workbench.core.text import sanitize
from workbench.io.record_codec import read_record
from workbench.runs.nodes import Nodes, read_placement
from workbench.runs.run_command import later_changes, run_command
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


def copy_command(host: ActionHost, selection: RunSelection) -> None:
    """Copy the command that starts the selected run once more; of a run that waits for nodes, the one that joins it."""
    row = selection.selected
    if row is None:
        return
    folder = host.store.folder(row.id)

    def copy() -> str:
        placement, nodes = read_placement(folder), read_record(folder.nodes, Nodes)
        if row.status.live and placement.nodes > 1 and (nodes is None or nodes.missing):
            return f"{host.copy_to_clipboard(sanitize(placement.command))}: execute it on the missing nodes"
        changes = later_changes(folder)
        remark = f"; changed later: {', '.join(changes)}" if changes else ""
        return host.copy_to_clipboard(sanitize(run_command(folder))) + remark

    host.run_in_background(copy)
