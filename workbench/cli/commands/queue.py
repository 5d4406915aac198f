"""`workbench queue`: the runs that wait for their turn, their order, and how many run at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import msgspec

from workbench.cli import console
from workbench.cli.run_argument import resolve_target_run
from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.paths import home
from workbench.core.setting_parser import parse_assignment
from workbench.launcher import queue as run_queue
from workbench.runs.lookup import shortest_unique_ids
from workbench.runs.queue_state import QueuedRun, display_name, read_queue, read_queued
from workbench.runs.tickets import QueueMove, TicketQueue


class QueueRow(msgspec.Struct, frozen=True):
    """A row of `queue --json`."""

    run: str
    name: str
    position: int
    state: str
    """`queued` or `held`."""
    waits_for: str
    """In words, for people."""


def queue(options: argparse.Namespace) -> int:
    """`workbench queue`."""
    tickets = TicketQueue(home())
    run_queue.ensure_runner(tickets.home)
    rows = [_row(tickets, one) for one in read_queue(tickets)]
    if options.json:
        console.print_json(rows)
        return DONE
    if not rows:
        console.print_status("The queue is empty; 'workbench train … --queue' adds a run.")
        return DONE
    print_table(
        ("run", "#", "name", "state", "waits for"),
        [(row.run, str(row.position), row.name, row.state, row.waits_for) for row in rows],
        short_ids=shortest_unique_ids([row.run for row in rows]),
    )
    console.print_status(
        f"{text.plural(tickets.slots, 'CPU slot')}; change it with 'workbench queue slots N'"
    )
    return DONE


def _row(tickets: TicketQueue, one: QueuedRun) -> QueueRow:
    run, waiting = one.ticket.run, one.waiting
    state = "held" if one.ticket.held else "queued"
    return QueueRow(run, display_name(tickets, run), waiting.position, state, waiting.text)


def move(options: argparse.Namespace) -> int:
    """`workbench queue move RUN up|down|first|last|POSITION`."""
    folder = resolve_target_run(options.run, live=False)
    run_queue.check_queued(folder)
    position = TicketQueue.of(folder).move(folder.id, _place(options.where))
    return _finish(options, f"{folder.id} is at position {position} of the queue")


def _place(where: str) -> Callable[[int, int], int]:
    if where in set(QueueMove):
        return QueueMove(where).target
    if where.isdecimal() and 0 < int(where) < 10**9:
        return lambda _, __: int(where) - 1
    raise UserError(f"where to move it: {', '.join(QueueMove)} or a position from 1, not '{where}'")


def hold(options: argparse.Namespace) -> int:
    """`workbench queue hold RUN`."""
    folder = resolve_target_run(options.run, live=False)
    run_queue.hold(folder, held=True)
    return _finish(options, f"{folder.id} is held; 'workbench queue release {folder.id}' lets it start")


def release(options: argparse.Namespace) -> int:
    """`workbench queue release RUN`."""
    folder = resolve_target_run(options.run, live=False)
    run_queue.check_queued(folder)
    queued = read_queued(folder)
    if queued is not None and not queued.ticket.held:
        return _finish(options, f"{folder.id} is not held; it waits for {queued.waiting.text}")
    run_queue.hold(folder, held=False)
    return _finish(options, f"{folder.id} starts when its turn has come")


def change(options: argparse.Namespace) -> int:
    """`workbench queue set RUN KEY=VALUE…`."""
    folder = resolve_target_run(options.run, live=False)
    overrides = dict(parse_assignment(assignment) for assignment in options.settings)
    run_queue.change_settings(folder, overrides)
    return _finish(options, f"{folder.id} starts with {', '.join(options.settings)}")


def slots(options: argparse.Namespace) -> int:
    """`workbench queue slots [N]`."""
    tickets = TicketQueue(home())
    if options.count is not None:
        if not 0 < options.count <= 10_000:
            raise UserError(f"the number of CPU slots must be from 1 to 10000, not {options.count}")
        tickets.set_slots(options.count)
    return _finish(options, f"up to {text.plural(tickets.slots, 'run')} at once on the CPU")


def _finish(options: argparse.Namespace, message: str) -> int:
    """Print what was done; with `--json` the queue as it is now."""
    if options.json:
        return queue(options)
    run_queue.ensure_runner(home())
    console.print_result(message)
    return DONE
