"""What happens to a run while it trains: its command hangs up, its folder is copied or moved, its worker is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workbench.cli.main import run
from workbench.io.record_codec import read_record
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)


def step(folder: RunFolder) -> int:
    beat = read_record(folder.heartbeat, Heartbeat)
    return beat.step if beat else 0


def processes_of(folder: RunFolder) -> list[psutil.Process]:
    """The supervisor and the worker of a run."""
    return [process for process in psutil.process_iter(["cmdline"])
            if str(folder.path) in (process.info["cmdline"] or ())]  # fmt: skip


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A waiting `train` of a long run that has written checkpoints, and its home."""
    home = tmp_path_factory.mktemp("live")
    settings = ("train.epochs=100000", "train.threads=1", "train.checkpoint_seconds=0.5")
    main = "signal.signal(signal.SIGHUP, signal.SIG_DFL); main()"  # under nohup it would be ignored
    code = f"import signal; from workbench.cli.main import main; {main}"
    command = [sys.executable, "-c", code, "train", "digits-mlp"]
    command += [part for setting in settings for part in ("--set", setting)]
    with subprocess.Popen(
        command, env={**os.environ, "WORKBENCH_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        until(lambda: list((home / "runs").glob("2*")), "run")
        (path,) = (home / "runs").glob("2*")
        folder = RunFolder(path)
        until(folder.manifest.exists, "checkpoint")
        yield process, home
        process.kill()
        for place in (home / "runs").glob("*"):
            for left in processes_of(RunFolder(place)) + processes_of(folder):
                left.kill()


@pytest.fixture
def live(waiting: tuple[subprocess.Popen[str], Path], monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setenv("WORKBENCH_HOME", str(waiting[1]))
    (row,) = [row for row in Store.default().list_runs() if row.status.live]
    return Store.default().folder(row.id)


def test_a_hangup_of_a_waiting_command_leaves_its_run(
    live: RunFolder, waiting: tuple[subprocess.Popen[str], Path]
) -> None:
    process = waiting[0]
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 130
    before = step(live)
    until(lambda: step(live) > before, "more steps")
    assert status_of(live) is Status.RUNNING


def copy_with_checkpoint(live: RunFolder, copy: RunFolder) -> bool:
    """Copy a live run as `cp -r` does; whether the copy holds a listed checkpoint.

    Each file is copied at another moment: they are of different steps, and some are gone before their turn.
    """
    shutil.rmtree(copy.path, ignore_errors=True)
    with contextlib.suppress(shutil.Error):
        shutil.copytree(live.path, copy.path)
    return any((copy.checkpoints / entry.file).exists() for entry in read_entries(copy))


def test_a_copy_of_a_live_run_is_a_run_of_its_own(
    live: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = RunFolder(live.path.with_name("copy"))
    until(lambda: copy_with_checkpoint(live, copy), "copy with a checkpoint")
    assert status_of(live) is Status.RUNNING
    assert not status_of(copy).live, "nobody holds the lock of the copy"
    assert run(["show", "copy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["directory"] == str(copy.path)
    epochs = read_entries(copy)[-1].epoch + 2
    assert run(["resume", "copy", "--set", f"train.epochs={epochs}", "--json"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert (resumed["status"], resumed["epoch"]) == ("finished", epochs)
    assert status_of(live) is Status.RUNNING
    assert run(["rm", "copy"]) == 0
    before = step(live)
    until(lambda: step(live) > before, "more steps")


def test_a_worker_that_is_suspended_by_sigstop(live: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    beat = read_record(live.heartbeat, Heartbeat)
    assert beat is not None
    supervisor, worker = sorted(processes_of(live), key=lambda process: process.create_time())[-2:]
    worker.suspend()
    try:
        until(lambda: worker.status() == psutil.STATUS_STOPPED, "stopped worker")
        assert status_of(live) is Status.RUNNING, "its lock is held"
        assert run(["show", live.id]) == 0 and run(["runs"]) == 0
        assert run(["resume", live.id]) == 2 and run(["rm", live.id]) == 2
        assert "is running" in capsys.readouterr().err
    finally:
        worker.resume()
    before = step(live)
    until(lambda: step(live) > before, "more steps")
    assert supervisor.is_running()


def test_a_live_run_whose_folder_is_moved(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its worker can't write to the old place any more and ends; the run resumes from the new one."""
    settings = ("train.epochs=100000", "train.threads=1", "train.checkpoint_seconds=0.2")
    options = [part for setting in settings for part in ("--set", setting)]
    assert run(["train", "digits-mlp", "--detach", *options]) == 0
    folder = Store.default().find("last")
    until(folder.manifest.exists, "checkpoint")
    moved = RunFolder(folder.path.with_name("moved"))
    folder.path.rename(moved.path)
    until(lambda: not status_of(moved).live, "end of the moved run")
    assert not folder.path.exists(), "nothing was written to the old place"
    epochs = read_entries(moved)[-1].epoch + 2
    capsys.readouterr()
    assert run(["resume", "moved", "--set", f"train.epochs={epochs}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["epoch"]) == ("finished", epochs)
