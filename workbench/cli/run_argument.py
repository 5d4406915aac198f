"""The `RUN` and `RUN|PATH` arguments of commands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workbench.cli import console
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.runs.opened_logs import OpenedLogs
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
    if target and any(row.id != folder.id and (not row.status.ended or not live) for row in same_name):
        console.print_status(
            f"{len(same_name)} runs are named {target.name}; using the newest, {folder.id} "
            f"(started {text.format_time(target.created)})"
        )
    return folder


@contextmanager
def runs_and_logs(arguments: Sequence[str]) -> Iterator[list[RunFolder]]:
    """The runs that the arguments name: runs of the list, and those in files and folders of logs.

    Logs are opened for the time of the context. Raises `UserError`.
    """
    opened: list[OpenedLogs] = []
    folders: list[RunFolder] = []
    try:
        for argument in arguments:
            run = _resolve(argument)
            if isinstance(run, RunFolder):
                folders.append(run)
            else:
                opened.append(OpenedLogs([run]))
                folders += opened[-1].folders
        yield folders
    finally:
        for logs in opened:
            logs.close()


def _resolve(argument: str) -> RunFolder | Path:
    """A run of the list, or a path: what has a separator, and what names no run but exists."""
    path = expand_user_path(argument)
    if is_path(argument):
        return path
    try:
        return Store.default().find(argument)
    except UserError:
        if os.path.lexists(path):
            return path
        raise


def is_path(argument: str) -> bool:
    """Whether an argument can only be a path."""
    return argument in {".", ".."} or argument.startswith("~") or "/" in argument
