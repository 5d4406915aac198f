"""Disk space: runs in the trash, restored or deleted, and caches."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.cli.run_argument import to_change
from workbench.core import paths, text
from workbench.core.errors import BadInput
from workbench.core.exit_codes import DONE
from workbench.io.file_cache import clear, size_of
from workbench.runs import trash as kept
from workbench.runs.lookup import beginnings
from workbench.runs.store import Store


class RestoredRun(msgspec.Struct, frozen=True):
    """The document that `trash restore` prints with `--json`."""

    run: str
    directory: str


class FreedSpace(msgspec.Struct, frozen=True):
    """The document that `trash --empty` and `trash --caches` print with `--json`."""

    runs: int
    """Deleted ones."""
    bytes: int
    """Of these runs."""
    caches: int
    """Bytes of deleted caches."""


class TrashedRun(msgspec.Struct, frozen=True):
    """A run in the trash."""

    run: str
    name: str
    bytes: int
    put_away: float
    """Unix time at which it was moved there."""


class TrashContent(msgspec.Struct, frozen=True):
    """The document that `trash` prints with `--json`."""

    runs: tuple[TrashedRun, ...]
    """The newest in the trash first."""
    bytes: int
    """Of all of them."""
    caches: int
    """Bytes of caches."""


def remove(options: argparse.Namespace) -> int:
    """`workbench rm`."""
    folder = to_change(options.run, live=False)
    where = Store.default().remove(folder, now=options.now)
    if where is None:
        console.tell(f"{folder.id} is deleted")
    else:
        console.tell(f"{folder.id} is in the trash ('workbench trash restore {folder.id}' restores it)")
    return DONE


def trash(options: argparse.Namespace) -> int:
    """`workbench trash`, `trash restore RUN`, `trash --empty`, `trash --caches`."""
    if options.do and not options.run:
        raise BadInput("name the run: workbench trash restore RUN ('workbench trash' lists them)")
    if options.do and (options.empty or options.caches):
        raise BadInput("restore a run, or delete what is there: one after the other")
    if options.do:
        return _restore(options)
    if options.empty or options.caches:
        return _delete(options)
    return _list(options)


def _restore(options: argparse.Namespace) -> int:
    folder = Store.default().restore(options.run)
    if options.json:
        console.print_json(RestoredRun(folder.id, str(folder.path)))
    else:
        console.tell(f"{folder.id} is restored from the trash")
    return DONE


def _delete(options: argparse.Namespace) -> int:
    runs, freed = kept.empty(paths.trash()) if options.empty else (0, 0)
    caches = clear(paths.caches()) if options.caches else 0
    if options.json:
        console.print_json(FreedSpace(runs, freed, caches))
        return DONE
    if options.empty:
        console.tell(f"{runs} run{'' if runs == 1 else 's'} deleted: {text.size(freed)} are free again")
    if options.caches:
        console.tell(f"caches deleted: {text.size(caches)} are free again")
    return DONE


def _list(options: argparse.Namespace) -> int:
    rows = kept.rows(paths.trash())
    caches = size_of(paths.caches())
    if options.json:
        runs = tuple(TrashedRun(*row) for row in rows)
        console.print_json(TrashContent(runs, sum(row.bytes for row in rows), caches))
        return DONE
    if rows:
        console.print_table(
            ("run", "name", "size", "put away"),
            [(row.id, row.name, text.size(row.bytes), text.clock(row.put_away)) for row in rows],
            brief=beginnings([row.id for row in rows]),
        )
        console.say(f"{text.size(sum(row.bytes for row in rows))}: 'workbench trash --empty' makes it free")
    else:
        console.say("the trash is empty")
    if caches:
        console.say(f"caches: {text.size(caches)}, 'workbench trash --caches' makes it free")
    return DONE
