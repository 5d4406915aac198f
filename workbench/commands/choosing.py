"""Which run a command means that changes something: where several bear the name, that is said first."""

from __future__ import annotations

from workbench import console, text
from workbench.runs.layout import RunFolder
from workbench.runs.store import Store


def to_change(wanted: str, *, live: bool = True) -> RunFolder:
    """The run that `wanted` means, as `Store.find` has it. Raises `BadInput`.

    Where others bear the same name, and could be meant too, a line on stderr names the one that is taken; `live`:
    only one that goes on could be.
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
