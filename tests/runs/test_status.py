from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.run_folders import DEAD_PID, attempt, holding
from workbench.io.record_codec import write_record
from workbench.runs import locks
from workbench.runs.enums import Ending
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.records import Exit, Heartbeat, Launch
from workbench.runs.run_folder import RunFolder, create_run_folder, write_exit, write_heartbeat
from workbench.runs.status import (
    Status,
    describe_holder,
    file_server_time,
    heartbeat_is_live,
    may_be_live,
    status_of,
    suspended_worker,
    unknown_reason,
)
from workbench.system.host import host_name
from workbench.system.processes import start_ticks, this_process


def end(folder: RunFolder, status: Ending, attempt: int) -> None:
    write_record(folder.exit, Exit(status=status, attempt=attempt, reason="because"))


def start_attempt(folder: RunFolder, number: int, **changed: Any) -> None:
    attempt(folder, number, **{"pid": DEAD_PID, **changed})


def test_held_locks_come_first(folder: RunFolder) -> None:
    end(folder, Ending.FINISHED, 1)
    with holding(folder, locks.SUPERVISOR):
        assert status_of(folder) is Status.STARTING
    with holding(folder, locks.SUPERVISOR, locks.WRITER) as process:
        assert status_of(folder) is Status.RUNNING
        assert locks.holder_pid(folder.lock, locks.WRITER) == process.pid
    with holding(folder, locks.WRITER):
        assert status_of(folder) is Status.RUNNING
    assert status_of(folder) is Status.FINISHED


def test_a_byte_has_one_holder(folder: RunFolder) -> None:
    with holding(folder, locks.SUPERVISOR):
        assert not locks.RunLock(folder.lock).acquire(locks.SUPERVISOR)


def test_a_killed_holder_holds_nothing(folder: RunFolder) -> None:
    with holding(folder, locks.SUPERVISOR, locks.WRITER) as process:
        process.kill()
        process.wait()
        assert status_of(folder) is Status.CRASHED


@pytest.mark.parametrize("ending", Ending)
def test_the_exit_record_of_the_newest_attempt_decides(folder: RunFolder, ending: Ending) -> None:
    end(folder, ending, 1)
    assert status_of(folder) is Status(ending)


@pytest.mark.parametrize("content", [b"", b'{"status": "fini', b'{"status": "of a later version"}'])
def test_with_a_damaged_exit_record_the_status_is_unknown(folder: RunFolder, content: bytes) -> None:
    assert status_of(folder) is Status.CRASHED
    folder.exit.write_bytes(content)
    assert status_of(folder) is Status.UNKNOWN


def test_the_exit_record_of_an_older_attempt_is_ignored(folder: RunFolder) -> None:
    end(folder, Ending.STOPPED, 1)
    start_attempt(folder, 2)
    assert status_of(folder) is Status.CRASHED


def test_a_launcher_that_lives_is_starting(folder: RunFolder) -> None:
    start_attempt(folder, 2, pid=os.getpid())
    assert status_of(folder) is Status.STARTING


def test_a_reused_pid_is_not_mistaken_for_the_launcher(folder: RunFolder) -> None:
    start_attempt(folder, 2, pid=os.getpid(), start=12345)
    assert status_of(folder) is Status.CRASHED


def test_the_launcher_of_a_copied_run_works_on_the_original(folder: RunFolder, home: Path) -> None:
    original = create_run_folder(home / "runs", "original")
    original.lock.touch()
    folder.lock.touch()
    for named, expected in (((original,), Status.CRASHED), ((original, folder), Status.STARTING)):
        code = "import sys; print(flush=True); sys.stdin.read()"
        command = [sys.executable, "-c", code, *(str(run.path) for run in named)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()  # by then its command is known
            start_attempt(folder, 2, pid=process.pid, start=start_ticks(process.pid))
            assert status_of(folder) is expected


def test_a_suspended_worker_is_found(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert suspended_worker(folder) is None
    with holding(folder, locks.WRITER) as process:
        assert suspended_worker(folder) is None
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert suspended_worker(folder) == process.pid
        monkeypatch.setattr(locks, "holder_pid", no_locks)
        assert suspended_worker(folder) is None


def test_the_reason_of_an_unknown_status_is_given(folder: RunFolder) -> None:
    start_attempt(folder, 2, pid=7, host="elsewhere")
    assert unknown_reason(folder) == "may still be running (process 7 on elsewhere)"
    folder.exit.write_bytes(b"{")
    assert unknown_reason(folder).startswith("exit.json is damaged")
    end(folder, Ending.FINISHED, 1)
    assert unknown_reason(folder) == "may still be running (process 7 on elsewhere)"


def test_a_run_of_another_host_is_judged_by_its_heartbeat(folder: RunFolder) -> None:
    start_attempt(folder, 2, host="elsewhere", boot_id="another")
    write_heartbeat(folder, Heartbeat(counter=3))
    assert status_of(folder) is Status.RUNNING
    old = time.time() - 600
    os.utime(folder.heartbeat, (old, old))
    assert status_of(folder) is Status.UNKNOWN


def beat(folder: RunFolder, counter: int, age: float, attempt: int = 2) -> None:
    write_heartbeat(folder, Heartbeat(attempt=attempt, counter=counter))
    then = time.time() - age
    os.utime(folder.heartbeat, (then, then))


def test_a_changing_heartbeat_is_live_whatever_the_clocks_say(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_attempt(folder, 2, host="elsewhere", boot_id="another")
    for age in (600, -600):
        beat(folder, 3, age)
        assert status_of(folder) is Status.UNKNOWN
    beat(folder, 4, 600)
    assert status_of(folder) is Status.RUNNING
    assert status_of(folder) is Status.RUNNING
    monkeypatch.setattr("workbench.runs.status.HEARTBEAT_TIMEOUT", 0.001)
    ends = time.monotonic() + 10
    while heartbeat_is_live(folder):
        assert time.monotonic() < ends


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_without_locks_the_heartbeat_decides(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "holder_pid", no_locks)
    beat(folder, 1, 0, attempt=1)
    assert status_of(folder) is Status.RUNNING
    beat(folder, 1, 600, attempt=1)
    assert status_of(folder) is Status.UNKNOWN
    start_attempt(folder, 2, pid=os.getpid())
    assert status_of(folder) is Status.STARTING
    beat(folder, 1, 0)
    assert status_of(folder) is Status.RUNNING
    end(folder, Ending.FINISHED, 2)
    assert status_of(folder) is Status.FINISHED


def test_without_locks_everybody_may_write(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "lockf", no_locks)
    assert locks.RunLock(folder.lock).acquire(locks.SUPERVISOR)


def test_an_end_is_not_overwritten_by_that_of_an_attempt_before(folder: RunFolder) -> None:
    for number, status in ((2, Ending.FINISHED), (1, Ending.FAILED)):
        write_exit(folder, Exit(status=status, attempt=number))
    assert status_of(folder) is Status.FINISHED


def test_after_a_reboot_a_run_has_crashed(folder: RunFolder) -> None:
    start_attempt(folder, 2, boot_id="before the reboot")
    write_heartbeat(folder, Heartbeat(attempt=2, counter=3))
    assert status_of(folder) is Status.CRASHED


def test_an_empty_folder_is_a_crashed_run(home: Path) -> None:
    (home / "runs" / "x").mkdir(parents=True)
    assert status_of(RunFolder(home / "runs" / "x")) is Status.CRASHED


def test_a_process_works_on_a_run_that_is_live() -> None:
    named = ["starting", "running", "queued", "finished", "stopped", "failed", "crashed", "unknown", "log"]
    assert [str(status) for status in Status] == named  # in the output of --json
    assert {status for status in Status if status.live} == {Status.STARTING, Status.RUNNING}


def test_attempts_that_are_already_read_are_used(folder: RunFolder) -> None:
    read = attempts_of(read_journal(folder.journal))
    end(folder, Ending.FINISHED, 1)
    start_attempt(folder, 2)
    assert (status_of(folder), status_of(folder, read)) == (Status.CRASHED, Status.FINISHED)


def test_without_a_journal_launch_and_exit_records_decide(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.journal.unlink()
    write_record(folder.launch, Launch(**msgspec.structs.asdict(this_process())))
    assert status_of(folder) is Status.STARTING and may_be_live(folder)
    folder.launch.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(locks, "holder_pid", no_locks)
        assert status_of(folder) is Status.UNKNOWN
    end(folder, Ending.FINISHED, 0)
    assert status_of(folder) is Status.FINISHED


def test_the_heartbeat_of_an_earlier_attempt_does_not_count(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "holder_pid", no_locks)
    start_attempt(folder, 2)
    assert status_of(folder) is Status.UNKNOWN
    beat(folder, 1, 0, attempt=1)
    assert status_of(folder) is Status.UNKNOWN
    assert may_be_live(folder)


def test_a_new_attempt_is_a_change_of_the_heartbeat(folder: RunFolder) -> None:
    assert not heartbeat_is_live(folder)
    beat(folder, 3, 600, attempt=1)
    assert not heartbeat_is_live(folder)
    beat(folder, 3, 600, attempt=2)
    assert heartbeat_is_live(folder)


def test_the_holder_of_a_run_is_named(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for byte in (locks.SUPERVISOR, locks.WRITER):
        with holding(folder, byte) as process:
            assert describe_holder(folder) == f"process {process.pid} on {host_name()}"
    start_attempt(folder, 2)
    start_attempt(folder, 3, pid=7, host="else\x1bwhere")
    assert describe_holder(folder) == "process 7 on else�where"
    monkeypatch.setattr(locks, "holder_pid", no_locks)
    assert describe_holder(folder) == "process 7 on else�where"
    folder.journal.unlink()
    assert describe_holder(folder) == "a process on another host"


def test_asking_for_the_time_of_a_file_server_leaves_nothing_behind(folder: RunFolder) -> None:
    places = Path("/proc/self/fd"), folder.path.parent
    before = [len(list(place.iterdir())) for place in places]
    assert abs(file_server_time(folder.path) - time.time()) < 5
    assert [len(list(place.iterdir())) for place in places] == before
    assert abs(file_server_time(folder.path / "missing" / "x") - time.time()) < 5
