"""Signals to commands that wait, as Slurm, Docker, `timeout` and a closed terminal send them: real processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cli.test_control import processes_of, until
from tests.idle_model import IDLE_MODEL
from workbench.cli.main import run
from workbench.io.record_codec import read_record
from workbench.runs import locks, requests
from workbench.runs.records import Manifest
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

WORKBENCH = [sys.executable, "-m", "workbench"]
LONG = ("--model", IDLE_MODEL, "--set", "train.epochs=100000", "--set", "train.threads=1",
        "--set", "train.checkpoint_seconds=3600")  # fmt: skip
IN_CONTAINER = ["unshare", "-r", "--fork", "--pid", "--mount-proc"]


class Command:
    """A command in a process of its own, with its output in files."""

    def __init__(self, place: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        self._error = place / f"stderr-{len(list(place.iterdir()))}"
        with self._error.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*prefix, *WORKBENCH, *arguments], stdout=subprocess.DEVNULL, stderr=stderr
            )

    @property
    def stderr(self) -> str:
        return self._error.read_text()

    def shows(self, text: str) -> None:
        until(lambda: text in self.stderr or self.process.poll() is not None, text)
        assert text in self.stderr, self.stderr

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def code(self) -> int:
        return self.process.wait(60)


def progress_on_a_terminal_of(columns: int) -> list[str]:
    """The lines that `watch` rewrites on a terminal of that width, until it has shown several steps."""
    terminal, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen([*WORKBENCH, "watch", "last"], stderr=slave, stdout=subprocess.DEVNULL) as watch:
        os.close(slave)
        shown = ""
        while len(lines := [part for part in shown.split("\r\x1b[K") if "digits-mlp: " in part]) < 4:
            shown += os.read(terminal, 4096).decode(errors="replace")
        watch.send_signal(signal.SIGINT)
        assert watch.wait() == 130
    os.close(terminal)
    return lines[:-1]


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "output"
    place.mkdir()
    yield place
    for row in Store.default().list_runs():
        for process in processes_of(Store.default().folder(row.id)):
            process.kill()


def test_signals_to_commands_that_wait_for_a_run(home: Path, output: Path) -> None:
    train = Command(output, "train", "digits-mlp", *LONG)
    train.shows("  epoch 2/")
    folder = Store.default().find("last")

    train.send(signal.SIGUSR1)
    train.shows("SIGUSR1: requested a checkpoint")
    train.shows("  checkpoint: saved at step ")

    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        watch = Command(output, "watch", "last")
        watch.shows("  epoch ")
        watch.send(signal.SIGUSR1)
        watch.shows("  checkpoint: saved at step ")
        watch.send(number)
        assert watch.code() == 130
        assert f"keeps running; follow it with 'workbench watch {folder.id}'" in watch.stderr
    assert status_of(folder) is Status.RUNNING

    assert all(len(line) < 40 for line in progress_on_a_terminal_of(40)), "a longer line would wrap"

    train.send(signal.SIGHUP)
    assert train.code() == 130
    assert "SIGHUP: " in train.stderr and "keeps running" in train.stderr
    assert status_of(folder) is Status.RUNNING

    assert run(["stop", "last"]) == 0
    resume = Command(output, "resume", "last")
    resume.shows("  epoch ")
    for number in (signal.SIGTERM, signal.SIGTERM):  # `timeout` sends two at once
        resume.send(number)
    assert resume.code() == 130
    assert "SIGTERM: stopping" in resume.stderr and "keeps running" not in resume.stderr
    assert status_of(folder) is Status.STOPPED
    manifest = read_record(folder.manifest, Manifest)
    assert manifest is not None and manifest.checkpoints[-1].step == read_report(folder).step


def test_a_second_signal_leaves_a_run_that_has_not_begun_to_stop(home: Path, output: Path) -> None:
    train = Command(output, "train", "digits-mlp", *LONG)
    train.shows("  epoch 1/")
    folder = Store.default().find("last")
    worker = locks.holder_pid(folder.lock, locks.WRITER)
    assert worker
    os.kill(worker, signal.SIGSTOP)
    train.send(signal.SIGTERM)
    train.shows("a second one leaves it running")
    train.send(signal.SIGTERM)
    assert train.code() == 130
    assert f"workbench watch {folder.id}" in train.stderr
    assert requests.pending_requests(folder) == []
    os.kill(worker, signal.SIGCONT)
    until(lambda: read_report(folder).epoch > 2, "more epochs")
    stop = Command(output, "stop", "last")
    assert stop.code() == 0


def test_the_wait_of_stop_can_be_interrupted(home: Path, output: Path) -> None:
    train = Command(output, "train", "digits-mlp", *LONG, "--detach")
    assert train.code() == 0
    folder = Store.default().find("last")
    supervisor = locks.holder_pid(folder.lock, locks.SUPERVISOR)
    assert supervisor
    stopped = [supervisor, *(child.pid for child in psutil.Process(supervisor).children())]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    stop = Command(output, "stop", "last")
    stop.shows("writes a checkpoint and stops")
    stop.send(signal.SIGTERM)
    assert stop.code() == 130
    assert "has its request" in stop.stderr and "interrupted by SIGTERM" in stop.stderr
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)
    until(lambda: status_of(folder) is Status.STOPPED, "end of the run")


def test_a_signal_before_the_run_starts_starts_nothing(home: Path, tmp_path: Path, output: Path) -> None:
    """A plan, which starts no run: its process and its folder are gone after SIGTERM."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    plan = Command(output, "plan", "digits-mlp", prefix=("env", f"TMPDIR={temporary}"))
    until(lambda: any(temporary.glob("workbench-plan-*/worker.log")), "process of the plan")
    for _ in range(2):
        plan.send(signal.SIGTERM)
    assert plan.code() == 130
    assert "interrupted by SIGTERM" in plan.stderr
    assert [path.name for path in temporary.iterdir()] == []
    until(
        lambda: (
            not any(
                str(temporary) in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])
            )
        ),
        "end of the processes of the plan",
    )


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*IN_CONTAINER, "true"], check=False, capture_output=True).returncode,
    reason="no new PID namespaces here",
)  # fmt: skip
def test_signals_to_process_1_of_a_container(home: Path, output: Path) -> None:
    unshare = Command(output, "train", "digits-mlp", *LONG, prefix=tuple(IN_CONTAINER))
    unshare.shows("  epoch 2/")
    (init,) = psutil.Process(unshare.process.pid).children()
    assert init.cmdline()[1:4] == ["-m", "workbench", "train"]
    init.send_signal(signal.SIGUSR1)
    unshare.shows("  checkpoint: saved at step ")
    init.send_signal(signal.SIGHUP)
    unshare.shows("SIGHUP: this command is process 1")
    init.send_signal(signal.SIGTERM)
    assert unshare.code() == 130
    folder: RunFolder = Store.default().find("last")
    assert read_report(folder).status is Status.STOPPED, unshare.stderr
    assert read_report(folder).step > 0
    detached = Command(output, "resume", "last", "--detach", prefix=tuple(IN_CONTAINER))
    assert detached.code() == 2
    assert "leave --detach out" in detached.stderr
