"""The queue with real processes: order, places, crashes of every process, and what a run may wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.cli.test_control import until
from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, mig_slice, uuid
from tests.idle_model import IDLE_MODEL
from workbench.cli.follow import wait_for_end
from workbench.cli.main import run as command
from workbench.config.experiment import build_experiment
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.launcher.fork_client import wait_for_fork_server
from workbench.launcher.gpu_assignment import GpuAssigner, NoPlaceError
from workbench.launcher.queue import QueueOptions, ensure_runner
from workbench.runs import locks
from workbench.runs.enums import Cause
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.queue_state import decide, read_places
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.run_report import read_report
from workbench.runs.script import Script
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.runs.tickets import Ticket, TicketQueue
from workbench.system.device_claims import ClaimHolder, cpu_device, live_claims

__all__ = ["driver"]

SHORT = ["train.epochs=1", "train.threads=1", "train.device=cpu"]
LONG = ["train.epochs=100000", "train.threads=1", "train.device=cpu"]
STARTER = """
import sys
from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.launcher.queue import QueueOptions
experiment = build_experiment("digits-mlp", sets=sys.argv[2:])
for _ in range(int(sys.argv[1])):
    print(launch.start_run(experiment, "test", queue=QueueOptions()).id, flush=True)
"""


@pytest.fixture
def queue(home: Path) -> Iterator[TicketQueue]:
    """The queue of the test; what still waits or runs at its end is stopped."""
    tickets = TicketQueue(home)
    tickets.set_slots(1)
    yield tickets
    runs = [RunFolder(path) for path in (home / "runs").glob("2*")]
    for folder in sorted(runs, key=lambda folder: folder.id, reverse=True):
        if not status_of(folder).ended:
            launch.stop_run(folder)
    for folder in runs:
        wait_for_end(folder)
    until(lambda: tickets.runner_pid is None, "end of the queue runner")


def enqueue(sets: Sequence[str] = SHORT, model: str | None = None, **options: Any) -> RunFolder:
    experiment = build_experiment("digits-mlp", model=model, sets=list(sets))
    return launch.start_run(experiment, "test", queue=QueueOptions(**options))


def started_at(folder: RunFolder) -> float:
    return attempts_of(read_journal(folder.journal))[0].time


def has_worker(folder: RunFolder) -> bool:
    return locks.holder_pid(folder.lock, locks.WRITER) is not None


def kill(folder: RunFolder, byte: int) -> None:
    """Kill the supervisor or the worker of a run."""
    until(lambda: has_worker(folder), "worker")
    pid = locks.holder_pid(folder.lock, byte)
    assert pid
    os.kill(pid, signal.SIGKILL)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What `workbench queue … --json` prints."""
    capsys.readouterr()
    assert command(["queue", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.timeout(900)
def test_twenty_runs_of_three_starters_take_turns_on_two_slots_whatever_is_killed(queue: TicketQueue) -> None:
    wait_for_fork_server(lambda: False)
    queue.set_slots(2)
    gate = ClaimHolder()  # two runs of somebody else
    taken = [gate.claim("other", lambda _: cpu_device(queue.home)) for _ in range(2)]
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", STARTER, str(count), *SHORT], stdout=subprocess.PIPE, text=True
        )
        for count in (7, 7, 100)
    ]
    enqueue()  # the queue runner is forked here, with PyTorch imported
    doomed = starters[2]
    assert doomed.stdout is not None
    for _ in range(5):
        doomed.stdout.readline()
    doomed.kill()
    for starter in starters:
        starter.communicate()
    tickets = queue.tickets()
    assert len(tickets) >= 20 and not any(has_worker(queue.run_folder(one.run)) for one in tickets)
    runs = [queue.run_folder(ticket.run) for ticket in tickets]
    for claim in taken:
        assert claim
        gate.release(claim)
    kills = iter([(runs[1], locks.SUPERVISOR), (runs[4], locks.WRITER), (runs[-3], None)])
    victim = next(kills, None)
    most, end = 0, time.monotonic() + 600
    while not all(status_of(folder).ended for folder in runs):
        assert time.monotonic() < end, Counter(status_of(folder) for folder in runs)
        most = max(most, sum(has_worker(folder) for folder in runs))
        if victim is not None and has_worker(victim[0]):
            if victim[1] is None:
                runner = queue.runner_pid
                assert runner
                os.kill(runner, signal.SIGKILL)
            else:
                kill(*victim)
            victim = next(kills, None)
        time.sleep(0.01)
    assert most == 2 and victim is None
    starts = [started_at(folder) for folder in runs]
    assert starts == sorted(starts)
    statuses = [status_of(folder) for folder in runs]
    assert statuses[1] in {Status.STOPPED, Status.FINISHED} and statuses[4] in {
        Status.FAILED,
        Status.FINISHED,
    }
    assert {*statuses[:1], *statuses[2:4], *statuses[5:]} == {Status.FINISHED}
    assert queue.tickets() == [] and live_claims() == {}


def test_four_gpus_and_a_slice_are_given_to_one_run_each(driver: StubDriver, queue: TicketQueue) -> None:
    """Of five GPUs one is somebody else's and one has two MIG slices; three runs have to wait."""
    driver.write([
        gpu(0), gpu(1, pids=[FOREIGN_PID]), gpu(2),
        gpu(3, slices=[mig_slice(5), mig_slice(6, pids=[FOREIGN_PID])]),
    ])  # fmt: skip
    script = Script(command=("sleep", "100"), name="sleeper", working_directory=str(queue.home.parent))
    devices = ["auto", "cuda", "MIG-5555", "auto", "cuda:1", "MIG-6666"]
    runs = [
        launch.start_script(Script(command=script.command, name=f"run{n}", working_directory=script.working_directory,
                                   device=device), "test", queue=QueueOptions())
        for n, device in enumerate(devices)
    ]  # fmt: skip
    until(lambda: all(has_worker(folder) for folder in runs[:3]), "three runs")
    slices = [str(mig_slice(n)["uuid"]) for n in (5, 6)]
    gpus = [attempts_of(read_journal(folder.journal))[0].gpu for folder in runs[:3]]
    assert [one and one.uuid for one in gpus] == [uuid(0), uuid(2), slices[0]]
    assert {name: [claim.run for claim in claims] for name, claims in live_claims().items()} == {
        uuid(0): [runs[0].id], uuid(2): [runs[1].id], slices[0]: [runs[2].id]
    }  # fmt: skip
    expected = [
        "a free GPU (3 of 5 taken by run0, run1, run2)",
        "its turn (position 2)",
        "its turn (position 3)",
    ]
    until(lambda: [read_report(folder).waits_for for folder in runs[3:]] == expected, "what they wait for")
    launch.stop_run(runs[3])
    foreign = "a GPU that no other process uses"
    until(lambda: [read_report(folder).waits_for for folder in runs[4:]] == [foreign, foreign], "the same")
    driver.write([gpu(0), gpu(1), gpu(2), gpu(3, slices=[mig_slice(5), mig_slice(6)])])
    until(lambda: all(has_worker(folder) for folder in runs[4:]), "the others on what is free now")
    gpus = [attempts_of(read_journal(folder.journal))[0].gpu for folder in runs[4:]]
    assert [one and one.uuid for one in gpus] == [uuid(1), slices[1]]


def test_what_waits_is_listed_moved_held_changed_and_taken_out(
    queue: TicketQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = ClaimHolder()
    claim = gate.claim("other", lambda _: cpu_device(queue.home))
    first, second, third, fourth, fifth = (enqueue() for _ in range(5))
    slot = "a free CPU slot (1 of 1 taken by other)"
    assert listed(capsys) == [
        {"run": one.id, "name": "digits-mlp", "position": n, "state": "queued",
         "waits_for": slot if n == 1 else f"its turn (position {n})"}
        for n, one in enumerate((first, second, third, fourth, fifth), 1)
    ]  # fmt: skip
    for where, expected in {
        "last": (second, third, fourth, fifth, first), "up": (second, third, fourth, first, fifth),
        "1": (first, second, third, fourth, fifth), "99": (second, third, fourth, fifth, first),
        "first": (first, second, third, fourth, fifth), "down": (second, first, third, fourth, fifth),
    }.items():  # fmt: skip
        rows = listed(capsys, "move", first.id, where)
        assert [row["run"] for row in rows] == [one.id for one in expected], where
    assert command(["queue", "move", first.id, "0"]) == 2
    rows = listed(capsys, "hold", second.id)
    assert (rows[0]["state"], rows[0]["waits_for"]) == ("held", "its release (held)")
    assert rows[1]["waits_for"] == slot
    listed(capsys, "set", first.id, "train.epochs=2", "train.batch_size=16")
    experiment = read_report(first).experiment
    assert experiment and (experiment.train.epochs, experiment.train.batch_size) == (2, 16)
    assert command(["queue", "set", first.id, "seed=2"]) == 2
    assert "seed can't change" in capsys.readouterr().err
    assert command(["resume", first.id]) == 2
    assert f"{first.id} is queued and starts by itself" in capsys.readouterr().err
    assert command(["lr", first.id, "x2"]) == 2 and command(["note", first.id, "waits"]) == 0
    assert command(["stop", third.id]) == 0 and command(["rm", fourth.id]) == 0
    report = read_report(third)
    assert (report.status, report.cause, report.step) == (Status.STOPPED, Cause.REQUESTED, 0)
    assert report.reason == "taken out of the queue before it started"
    assert [(row["run"], row["position"]) for row in listed(capsys)] == [
        (second.id, 1), (first.id, 2), (fifth.id, 3)
    ]  # fmt: skip
    until(lambda: read_report(fifth).position == 3, "the new positions")
    summary = next(row for row in Store.default().list_runs() if row.id == first.id)
    assert (summary.status, summary.position, summary.waits_for, summary.notes) == (
        Status.QUEUED,
        2,
        slot,
        "waits",
    )
    assert read_report(fifth).waits_for == "its turn (position 3)"
    assert claim
    gate.release(claim)
    until(lambda: status_of(first) is Status.FINISHED, "end of the first run")
    report = read_report(first)
    assert report.experiment and (report.experiment.train.batch_size, report.epoch) == (16, 2)
    until(lambda: status_of(fifth) is Status.FINISHED, "end of the other one")
    assert status_of(second) is Status.QUEUED and queue.runner_pid is None
    assert listed(capsys, "release", second.id)[0]["waits_for"] in {"its start", slot}
    until(lambda: status_of(second) is Status.FINISHED, "end of the run that was held")
    assert command(["queue", "hold", second.id]) == 2
    assert "is finished, not queued" in capsys.readouterr().err


def test_runs_follow_others_and_the_clock(queue: TicketQueue, capsys: pytest.CaptureFixture[str]) -> None:
    queue.set_slots(4)
    leader = enqueue(LONG, IDLE_MODEL)
    follower = enqueue(after=(leader.id,))
    strict = enqueue(after_ok=(leader.id,))
    later = enqueue(after=(strict.id,), not_before=time.time() + 3600)
    assert command(["queue", "move", later.id, "first"]) == 0
    until(lambda: has_worker(leader), "leader")
    waits = {row["run"]: row["waits_for"] for row in listed(capsys)}
    assert waits == {
        follower.id: "digits-mlp to end", strict.id: "digits-mlp to succeed", later.id: "digits-mlp to end"
    }  # fmt: skip
    assert command(["stop", leader.id]) == 0
    until(lambda: status_of(follower) is Status.FINISHED, "end of the run that follows")
    report = read_report(strict)
    assert (report.status, report.cause) == (Status.STOPPED, Cause.DEPENDENCY)
    assert report.reason == "not started: digits-mlp did not succeed"
    assert ":" in listed(capsys)[0]["waits_for"]  # the time
    queued = queue.ticket(later.id)
    assert queued is not None and queued.not_before > time.time()


def test_a_resume_waits_and_leaves_the_run_as_it_was_if_it_is_taken_out(
    queue: TicketQueue, capsys: pytest.CaptureFixture[str], digits_run: RunFolder
) -> None:
    gate = ClaimHolder()
    claim = gate.claim("other", lambda _: cpu_device(queue.home))
    arguments = ["resume", digits_run.id, "--set", "train.epochs=7", "--set", "train.device=cpu", "--detach"]
    assert command([*arguments, "--queue"]) == 0
    assert "at position 1; it waits for a free CPU slot" in capsys.readouterr().err
    assert status_of(digits_run) is Status.QUEUED
    assert next(row for row in Store.default().list_runs()).status is Status.QUEUED
    assert command(["stop", digits_run.id]) == 0
    assert status_of(digits_run) is Status.FINISHED and read_report(digits_run).epoch == 6
    assert command([*arguments, "--after", digits_run.id]) == 2
    assert "would wait for itself" in capsys.readouterr().err
    assert command([*arguments, "--queue"]) == 0
    assert claim
    gate.release(claim)
    until(
        lambda: status_of(digits_run) is Status.FINISHED and read_report(digits_run).epoch == 7, "7th epoch"
    )


def test_a_run_stops_after_its_time_limit_with_a_checkpoint(queue: TicketQueue) -> None:
    experiment = build_experiment("digits-mlp", model=IDLE_MODEL, sets=LONG)
    folder = launch.start_run(experiment, "test", queue=QueueOptions(), max_hours=12 / 3600)
    until(lambda: status_of(folder) is Status.STOPPED, "stop")
    report = read_report(folder)
    assert report.cause is Cause.TIME_LIMIT and "its time limit (--max-hours)" in (report.reason or "")
    assert report.step > 0 and list(folder.checkpoint_files())


def test_a_command_waits_with_the_run_and_takes_it_out_at_ctrl_c(queue: TicketQueue) -> None:
    claim = ClaimHolder().claim("other", lambda _: cpu_device(queue.home))
    assert claim
    sets = [part for setting in SHORT for part in ("--set", setting)]
    train = [sys.executable, "-m", "workbench", "train", "digits-mlp", *sets, "--queue"]
    with subprocess.Popen(train, stderr=subprocess.PIPE, text=True, process_group=0) as process:
        assert process.stderr is not None
        until(queue.tickets, "ticket")
        lines = iter(process.stderr.readline, "")
        assert any("queued #1, waits for a free CPU slot (1 of 1 taken by other)" in line for line in lines)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130 and "is taken out of the queue" in rest, rest
    (run,) = Store.default().list_runs()
    assert run.status is Status.STOPPED and queue.tickets() == []


def test_void_tickets_are_removed_and_a_start_that_fails_is_recorded(
    queue: TicketQueue, tmp_path: Path
) -> None:
    queue.set_slots(3)
    gone = tmp_path / "gone"
    gone.mkdir()
    claims = ClaimHolder()
    taken = [claims.claim("other", lambda _: cpu_device(queue.home)) for _ in range(3)]
    script = Script(command=("true",), name="true", working_directory=str(gone))
    lost = launch.start_script(script, "test", queue=QueueOptions())
    started, removed = enqueue(), enqueue()
    ticket = queue.ticket(started.id)
    assert ticket
    gone.rmdir()
    Store.default().remove(removed, now=True)
    for claim in taken:
        assert claim
        claims.release(claim)
    until(lambda: not queue.tickets(), "empty queue")
    # As if its supervisor had been killed between the start of the attempt and the removal of its ticket.
    until(lambda: status_of(started) is Status.FINISHED, "end")
    queue.add(ticket)
    assert status_of(started) is Status.FINISHED
    ensure_runner(queue.home)
    until(lambda: not queue.tickets(), "removal of the ticket")
    until(lambda: status_of(lost).ended, "end of the script")
    report = read_report(lost)
    assert report.status is Status.FAILED and "gone is missing" in (report.reason or "")


def test_a_gpu_that_is_taken_between_the_two_looks_is_left_alone(
    driver: StubDriver, queue: TicketQueue
) -> None:
    driver.write([gpu(0)])
    folder = create_run_folder(queue.home / "runs", "run")
    ticket = queue.add(Ticket(run=folder.id, held=True))
    free = replace(ticket, held=False)
    assert [one.device for one in decide(queue, [free], read_places(queue, fresh=True), time.time())] == [
        uuid(0)
    ]
    driver.write([gpu(0, pids=[FOREIGN_PID])])
    assigner = GpuAssigner(folder.id, folder)
    with pytest.raises(NoPlaceError):
        assigner.assign_place(free)
    assert live_claims() == {}
    driver.write([gpu(0)])
    choice = assigner.assign_place(free)
    assert choice and choice.uuid == uuid(0)
    assigner.release()
    queue.remove(folder.id)


def test_memory_and_sharing_are_checked_before_a_run_is_queued(driver: StubDriver, home: Path) -> None:
    driver.write([gpu(0)])
    with pytest.raises(UserError, match=r"--memory 90.0 GB: the largest GPU of this host has 80.0 GB"):
        enqueue(memory=90 * GB)
    with pytest.raises(UserError, match=r"--memory 8GB"):
        enqueue(share=True)
    assert not list((home / "runs").glob("2*"))
