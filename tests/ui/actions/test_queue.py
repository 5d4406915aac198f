"""The keys of queued runs, with real tickets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import pytest

from tests.cli.test_control import until
from tests.ui.actions.fakes import FakeHost, FakeSelection
from tests.ui.actions.test_runs import Editor, actions
from tests.ui.screen_steps import MakeRun
from workbench.config.experiment import build_experiment
from workbench.core.plain_text import to_plain
from workbench.runs.reader import read_view
from workbench.runs.run_columns import run_column
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.runs.tickets import QueueMove, Ticket, TicketQueue
from workbench.ui.actions.queue import hold_or_release, move_in_queue, queue_labels
from workbench.ui.actions.targets import RunTargets
from workbench.ui.base.status_style import status_mark
from workbench.ui.runs.pane import run_details
from workbench.ui.runs.status_line import status_text


@pytest.fixture
def queue(host: FakeHost, make_run: MakeRun) -> Iterator[TicketQueue]:
    """Three runs that wait until tomorrow."""
    tickets = TicketQueue(host.store.home)
    for name in ("a", "b", "c"):
        folder = make_run(name, done=0, status=None)
        tickets.add(Ticket(run=folder.id, attempt=1, not_before=time.time() + 86_400))
    yield tickets
    for ticket in tickets.tickets():
        tickets.remove(ticket.run)
    until(lambda: tickets.runner_pid is None, "end of the queue runner")


def named(host: FakeHost, *names: str) -> list[RunSummary]:
    rows = {row.name: row for row in host.store.list_runs()}
    return [rows[name] for name in names]


def order(host: FakeHost) -> list[str]:
    rows = [row for row in host.store.list_runs() if row.status is Status.QUEUED]
    return [row.name for row in sorted(rows, key=lambda row: row.position or 0)]


def test_queued_runs_are_moved_held_and_taken_out(host: FakeHost, queue: TicketQueue) -> None:
    move_in_queue(host, RunTargets(FakeSelection(marked=named(host, "b", "c"))), QueueMove.UP)
    assert order(host) == ["b", "c", "a"]
    move_in_queue(host, RunTargets(FakeSelection(marked=named(host, "b", "c"))), QueueMove.DOWN)
    assert order(host) == ["a", "b", "c"]
    assert host.texts[-1] == "2 runs moved down: positions 2, 3 of the queue"
    move_in_queue(host, RunTargets(FakeSelection(marked=named(host, "c"))), QueueMove.DOWN)
    assert (
        order(host) == ["a", "b", "c"] and host.texts[-1] == "c can't move down from position 3 of the queue"
    )
    (row,) = named(host, "a")
    targets = RunTargets(FakeSelection(rows=[row], selected=row))
    hold_or_release(host, targets)
    assert host.texts[-1] == "a held: H releases it"
    (held,) = named(host, "a")
    assert (held.waits_for, run_column("status").text(held)) == ("its release (held)", "held #1")
    hold_or_release(host, targets)
    assert host.texts[-1] == "a released" and not any(ticket.held for ticket in queue.tickets())
    actions(host, FakeSelection(rows=[row], selected=row)).stop()
    assert host.questions == ["Take a out of the queue?"] and order(host) == ["b", "c"]
    assert (
        targets.unavailable_reason("pause")
        == "pause: a is queued and starts by itself; s takes it out of the queue"
    )
    ended = RunTargets(FakeSelection(selected=named(host, "a")[0]))
    submitted = RunTargets(FakeSelection(selected=msgspec.structs.replace(held, slurm_job="7")))
    assert not submitted.eligible_runs("hold") and not submitted.eligible_runs("move_in_queue")
    assert submitted.unavailable_reason("hold") == "hold: a waits in Slurm, which has an order of its own"
    assert queue_labels(submitted) == {"stop": "take out"}
    assert ended.unavailable_reason("hold") == "hold: a is crashed, not queued; T queues the experiment"


def test_a_queued_run_shows_its_position_and_what_it_waits_for(host: FakeHost, queue: TicketQueue) -> None:
    (row,) = named(host, "b")
    assert "queued #2, waits for " in run_details(row).plain
    assert run_column("time").text(row) == run_column("status").text(row) == "queued #2"
    view = read_view(host.store.folder(row.id))
    shown = status_text(view, "", 80, time.time()).plain
    assert shown.startswith(f" b ◦ 0/4  queued #2: waits for {row.waits_for}")
    marks = [to_plain(status_mark(status)[0]) for status in (Status.QUEUED, Status.STARTING, Status.RUNNING)]
    assert len(set(marks)) == 3


def test_settings_with_several_values_are_queued_as_a_group(host: FakeHost, queue: TicketQueue) -> None:
    queue.add(Ticket(run=queue.tickets()[0].run, attempt=1, not_before=time.time() + 86_400))
    editor = Editor()
    editor.draft.set("train.device", "cpu")
    editor.draft.set("train.epochs", "1")
    editor.draft.set("train.lr", "0.1 | 0.01")
    actions(host, FakeSelection(), editor).train()
    assert host.questions == ["Queue 2 runs as the group digits-mlp?"]
    assert host.texts[-1] == "2 runs of the group digits-mlp are queued"
    rows = [row for row in host.store.list_runs() if row.group == "digits-mlp"]
    assert {(row.name, row.settings["train.lr"]) for row in rows} == {
        ("digits-mlp-lr0.1", 0.1), ("digits-mlp-lr0.01", 0.01)
    }  # fmt: skip
    for row in rows:
        folder = host.store.folder(row.id)
        until(lambda folder=folder: read_view(folder).status is Status.FINISHED, "end")
    actions(host, FakeSelection(rows=rows), editor).train()
    assert host.questions[-1] == "Queue 2 runs as the group digits-mlp-2?"


def test_the_experiment_is_queued(host: FakeHost, queue: TicketQueue) -> None:
    held = queue.change(queue.tickets()[0].run, lambda ticket: ticket)
    editor = Editor()
    editor.draft.load(build_experiment("digits-mlp", sets=["train.device=cpu", "name=queued"]))
    queue.set_slots(1)
    run_actions = actions(host, FakeSelection(), editor)
    run_actions.train(queued=True)
    (run,) = host.refreshed
    assert run is not None and "queuing queued" in host.texts
    assert any(
        "queued is queued at position 4" in text or "trains in the background" in text for text in host.texts
    )
    folder = host.store.folder(run)
    until(lambda: read_view(folder).status is Status.RUNNING, "start")
    until(lambda: read_view(folder).status is Status.FINISHED, "end")
    assert held.run in {ticket.run for ticket in queue.tickets()}
