"""`workbench add`: list the logs of other programs as runs."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.paths import expand_user_path
from workbench.core.text import sanitize
from workbench.launcher.notes import change_notes
from workbench.logs.logged_runs import find_logged_runs
from workbench.runs.external_log import ExternalLog, create_external_run, external_log
from workbench.runs.opened_logs import by_last_change
from workbench.runs.records import Notes
from workbench.runs.store import Store


class AddedRun(msgspec.Struct, frozen=True):
    """One run in the document that `add` prints with `--json`."""

    run: str
    name: str
    format: str
    log: str
    """Where the log is, and stays."""
    added: bool
    """False for a log that was in the list already."""


def add(options: argparse.Namespace) -> int:
    """`workbench add PATH…`."""
    paths = [expand_user_path(path).absolute() for path in options.path]
    found = [(run, external_log(run)) for path in paths for run in find_logged_runs(path)]
    if options.name and len(found) > 1:
        raise UserError(f"--name names one run, but {text.plural(len(found), 'run')} were found")
    notes = Notes(name=options.name or "", group=options.group, tags=tuple(options.tag))
    store = Store.default()
    listed = {row.logs: row.id for row in store.list_runs(log_seconds=0.0) if row.logs}
    known = frozenset(listed)
    for _, log in by_last_change(found):
        if _key(log) not in listed:
            folder = create_external_run(store.root, log)
            listed[_key(log)] = folder.id
            if notes != Notes():
                change_notes(folder, lambda _: notes)
    rows = {
        _key(log): AddedRun(listed[_key(log)], log.name, log.format, log.place, _key(log) not in known)
        for _, log in found
    }
    _print(list(rows.values()), json=options.json)
    return DONE


def _key(log: ExternalLog) -> tuple[str, ...]:
    """What identifies a log in the list of runs."""
    return tuple(map(str, log.paths))


def _print(rows: list[AddedRun], *, json: bool) -> None:
    if json:
        console.print_json(rows)
        return
    for row in rows:
        what = "added" if row.added else "is in the list already"
        console.print_result(f"{row.run}: {sanitize(row.name)} ({row.format}) {what}; {sanitize(row.log)}")
    if any(row.added for row in rows):
        console.print_status(
            "They are read from where they are; 'workbench rm RUN' only removes them from the list."
        )
