"""The run that a changing command addresses; a line on stderr where several have the name."""

from __future__ import annotations

from workbench.cli import console
from workbench.core import text
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store


def to_change(wanted: str, *, live: bool = True) -> RunFolder:
    """The run that `wanted` addresses, see `Store.find`. Raises `BadInput`.

    Where other runs of the same name qualify too, a line on stderr names the one that is used; `live`: only live
    runs qualify.
    """
    store = Store.default()
    folder = store.find(wanted)
    rows = store.rows() if wanted != folder.id else []
    taken = next((row for row in rows if row.id == folder.id and row.name.startswith(wanted)), None)
    called = [row for row in rows if taken and row.name == taken.name]
    if taken and any(row.id != folder.id and (row.status.live or not live) for row in called):
        console.say(
            f"{len(called)} runs are called {taken.name}; this is the newest, {folder.id} "
            f"(started {text.clock(taken.created)})"
        )
    return folder
