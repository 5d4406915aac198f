"""The `RUN` argument of commands that change a run."""

from __future__ import annotations

from workbench.cli import console
from workbench.core import text
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store


def resolve_target_run(run: str, *, live: bool = True) -> RunFolder:
    """The run that `run` names, as `Store.find` resolves it. Raises `UserError`.

    Where several runs have that name (with `live`: several live ones), a line on stderr says which one is used.
    """
    store = Store.default()
    folder = store.find(run)
    rows = store.list_runs() if run != folder.id else []
    target = next((row for row in rows if row.id == folder.id and row.name.startswith(run)), None)
    same_name = [row for row in rows if target and row.name == target.name]
    if target and any(row.id != folder.id and (row.status.live or not live) for row in same_name):
        console.print_status(
            f"{len(same_name)} runs are named {target.name}; using the newest, {folder.id} "
            f"(started {text.format_time(target.created)})"
        )
    return folder
