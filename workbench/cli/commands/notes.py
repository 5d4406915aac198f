"""Commands for the log, and the name, tags and notes of a run."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from workbench.cli import console
from workbench.cli.run_argument import resolve_target_run
from workbench.config.experiment import check_run_name
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.text import sanitize
from workbench.launcher.notes import change_notes
from workbench.runs.external_log import check_is_ours
from workbench.runs.log_tail import read_log_tail
from workbench.runs.records import Notes
from workbench.runs.run_report import read_report
from workbench.runs.store import Store


class LogReport(msgspec.Struct, frozen=True):
    """The document that `workbench log --json` prints."""

    run: str
    lines: tuple[str, ...]


def log(options: argparse.Namespace) -> int:
    """`workbench log RUN [--lines N]`."""
    if options.lines < 1:
        raise UserError(f"--lines must be at least 1, not {options.lines}")
    folder = Store.default().find(options.run)
    check_is_ours(folder)
    lines = tuple(read_log_tail(folder.log)[-options.lines :])
    if options.json:
        console.print_json(LogReport(folder.id, lines))
    else:
        print("".join(f"{line}\n" for line in lines), end="", flush=True)
    return DONE


def note(options: argparse.Namespace) -> int:
    """`workbench note RUN TEXT`."""
    return _change(options, lambda notes: replace(notes, notes=" ".join(options.text).strip()))


def tag(options: argparse.Namespace) -> int:
    """`workbench tag RUN TAG… [--remove]`."""
    tags = [part.strip() for tag in options.tags for part in tag.split(",") if part.strip()]

    def change(notes: Notes) -> Notes:
        kept = [tag for tag in notes.tags if tag not in tags]
        return replace(notes, tags=tuple(kept if options.remove else [*kept, *dict.fromkeys(tags)]))

    return _change(options, change)


def rename(options: argparse.Namespace) -> int:
    """`workbench rename RUN NAME`."""
    check_run_name(options.name)
    return _change(options, lambda notes: replace(notes, name=options.name.strip()))


def _change(options: argparse.Namespace, change: Callable[[Notes], Notes]) -> int:
    folder = resolve_target_run(options.run, live=False)
    notes = change_notes(folder, change)
    report = read_report(folder)
    if options.json:
        console.print_json(report.to_json())
    else:
        about = [report.name, ", ".join(notes.tags), notes.notes]
        console.print_result(f"{folder.id}: {sanitize(' · '.join(filter(None, about)))}")
    return DONE
