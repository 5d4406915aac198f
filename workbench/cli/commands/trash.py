"""Disk space: runs in the trash, restored or deleted, and caches."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.cli.run_argument import resolve_target_run
from workbench.cli.tables import print_table
from workbench.core import paths, text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.io.disk_usage import disk_usage
from workbench.io.file_cache import clear
from workbench.runs import trash as run_trash
from workbench.runs.lookup import shortest_unique_ids
from workbench.runs.store import Store


class RestoredRun(msgspec.Struct, frozen=True):
    """The document that `trash restore` prints with `--json`."""

    run: str
    directory: str


class FreedSpace(msgspec.Struct, frozen=True):
    """The document that `trash --empty` and `trash --caches` print with `--json`."""

    runs: int
    """Number of deleted runs."""
    bytes: int
    """Bytes of the deleted runs."""
    caches: int
    """Bytes of the deleted caches."""


class TrashedRun(msgspec.Struct, frozen=True):
    """A run in the trash."""

    run: str
    name: str
    bytes: int
    trashed_at: float = msgspec.field(name="put_away")
    """Unix time at which it was moved there. Its key is the one that scripts know from `trash --json`."""


class TrashContent(msgspec.Struct, frozen=True):
    """The document that `trash` prints with `--json`."""

    runs: tuple[TrashedRun, ...]
    """The most recently removed first."""
    bytes: int
    """Bytes of all runs."""
    caches: int
    """Bytes of the caches."""


def remove(options: argparse.Namespace) -> int:
    """`workbench rm`."""
    folder = resolve_target_run(options.run, live=False)
    trash_folder = Store.default().remove(folder, now=options.now)
    if trash_folder is None:
        console.print_result(f"Deleted {folder.id}.")
    else:
        console.print_result(
            f"Moved {folder.id} to the trash; 'workbench trash restore {folder.id}' restores it."
        )
    return DONE


def trash(options: argparse.Namespace) -> int:
    """`workbench trash`, `trash restore RUN`, `trash --empty`, `trash --caches`."""
    if options.action and not options.run:
        raise UserError("no run given: workbench trash restore RUN ('workbench trash' lists the runs)")
    if options.action and (options.empty or options.caches):
        raise UserError("restore can't be combined with --empty or --caches")
    if options.action:
        return _restore(options)
    if options.empty or options.caches:
        return _delete(options)
    return _list(options)


def _restore(options: argparse.Namespace) -> int:
    folder = Store.default().restore(options.run)
    if options.json:
        console.print_json(RestoredRun(folder.id, str(folder.path)))
    else:
        console.print_result(f"Restored {folder.id} from the trash.")
    return DONE


def _delete(options: argparse.Namespace) -> int:
    runs, freed = run_trash.empty_trash(paths.trash()) if options.empty else (0, 0)
    caches = clear(paths.caches()) if options.caches else 0
    if options.json:
        console.print_json(FreedSpace(runs, freed, caches))
        return DONE
    if options.empty:
        console.print_result(f"Deleted {text.plural(runs, 'run')} and freed {text.format_bytes(freed)}.")
    if options.caches:
        console.print_result(f"Deleted the caches and freed {text.format_bytes(caches)}.")
    return DONE


def _list(options: argparse.Namespace) -> int:
    rows = run_trash.list_trash(paths.trash())
    caches = disk_usage(paths.caches())
    total = sum(row.bytes for row in rows)
    if options.json:
        runs = tuple(TrashedRun(*row) for row in rows)
        console.print_json(TrashContent(runs, total, caches))
        return DONE
    if rows:
        print_table(
            ("run", "name", "size", "removed"),
            [
                (row.id, row.name, text.format_bytes(row.bytes), text.format_time(row.trashed_at))
                for row in rows
            ],
            short_ids=shortest_unique_ids([row.id for row in rows]),
        )
        console.print_status(f"trash: {text.format_bytes(total)}; delete it with 'workbench trash --empty'")
    else:
        console.print_status("The trash is empty.")
    if caches:
        console.print_status(
            f"caches: {text.format_bytes(caches)}; delete them with 'workbench trash --caches'"
        )
    return DONE
