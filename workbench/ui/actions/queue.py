"""Runs in the queue: their order, and which are held. File operations run in a thread."""

from __future__ import annotations

from workbench.launcher.queue import hold
from workbench.runs.status import Status
from workbench.runs.tickets import QueueMove, TicketQueue
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunTargets


def move_in_queue(host: ActionHost, targets: RunTargets, where: QueueMove) -> None:
    """Move the target runs; several keep their order among each other."""
    rows = sorted(
        targets.eligible_runs("move_in_queue"),
        key=lambda row: row.position or 0,
        reverse=where in {QueueMove.DOWN, QueueMove.FIRST},
    )
    names, queue = targets.display_names(rows), TicketQueue(host.store.home)

    def move() -> str:
        before = queue.tickets()
        positions = [queue.move(row.id, where.target) for row in rows]
        numbers = "position" if len(rows) == 1 else "positions"
        moved = f"moved {where}: " if queue.tickets() != before else f"can't move {where} from "
        return f"{names} {moved}{numbers} {', '.join(map(str, sorted(positions)))} of the queue"

    host.run_in_background(move)


def hold_or_release(host: ActionHost, targets: RunTargets) -> None:
    """Keep the target runs from starting; release them if all are held."""
    rows = targets.eligible_runs("hold")
    names, queue = targets.display_names(rows), TicketQueue(host.store.home)

    def change() -> str:
        tickets = [queue.ticket(row.id) for row in rows]
        held = not all(ticket is None or ticket.held for ticket in tickets)
        for row in rows:
            hold(host.store.folder(row.id), held=held)
        return (
            f"{names} held: H releases {'it' if len(rows) == 1 else 'them'}" if held else f"{names} released"
        )

    host.run_in_background(change)


def queue_labels(targets: RunTargets) -> dict[str, str]:
    """What keys do to queued target runs, by the name of the action."""
    rows, stops = targets.eligible_runs("hold"), targets.eligible_runs("stop")
    hold = {"hold": "release" if all(row.held for row in rows) else "hold"} if rows else {}
    only_queued = stops and all(row.status is Status.QUEUED for row in stops)
    return {**hold, "stop": "take out"} if only_queued else hold
