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
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.hostile.live_runs import LIVE, kill_all, processes_of, start_live_run, step, until
from workbench.cli.main import run
from workbench.io.record_codec import read_record
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    FILE *file = id == CLOCK_REALTIME ? fopen(getenv("CLOCK"), "r") : NULL;
    long offset = 0;
    if (file) {
        if (fscanf(file, "%ld", &offset) == 1) now->tv_sec += offset;
        fclose(file);
    }
    return result;
}
"""
"""A C library whose clock is ahead by the seconds in a file."""


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A waiting `train` of a long run that has written checkpoints, and its home."""
    home = tmp_path_factory.mktemp("live")
    main = "signal.signal(signal.SIGHUP, signal.SIG_DFL); main()"  # under nohup it would be ignored
    code = f"import signal; from workbench.cli.main import main; {main}"
    command = [sys.executable, "-c", code, "train", *LIVE]
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
        kill_all(home)


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
    """It is shown and kept; `stop` says why nothing happens, and takes effect once the worker continues."""
    _, worker = processes_of(live)
    worker.suspend()
    try:
        until(lambda: worker.status() == psutil.STATUS_STOPPED, "stopped worker")
        assert status_of(live) is Status.RUNNING, "its lock is held"
        assert run(["show", live.id]) == 0 and run(["runs"]) == 0
        assert run(["resume", live.id]) == 2 and run(["rm", live.id]) == 2
        assert "is running" in capsys.readouterr().err
        command = [sys.executable, "-m", "workbench", "stop", live.id]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stop:
            assert stop.stderr is not None and stop.stdout is not None
            asked, told = stop.stderr.readline(), stop.stderr.readline()
            assert "writes a checkpoint and stops" in asked
            assert f"process {worker.pid} is suspended" in told and f"kill -CONT {worker.pid}" in told
            assert stop.poll() is None and status_of(live) is Status.RUNNING
            worker.resume()
            assert stop.wait(60) == 0 and "stopped at step" in stop.stdout.read()
    finally:
        if worker.is_running():
            worker.resume()
    capsys.readouterr()
    assert run(["resume", live.id, "--detach"]) == 0, "the other tests need a live run"
    until(lambda: status_of(live) is Status.RUNNING, "resumed run")


def test_a_live_run_whose_folder_is_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its worker can't write to the old place any more and ends; the run resumes from the new one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path))
        folder = start_live_run(tmp_path)
        moved = RunFolder(folder.path.with_name("moved"))
        folder.path.rename(moved.path)
        until(lambda: not status_of(moved).live, "end of the moved run")
        assert not folder.path.exists(), "nothing was written to the old place"
        epochs = read_entries(moved)[-1].epoch + 2
        capsys.readouterr()
        assert run(["resume", "moved", "--set", f"train.epochs={epochs}", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["status"], document["epoch"]) == ("finished", epochs)


def test_the_clock_is_set_back_and_forth_while_a_run_trains(tmp_path: Path) -> None:
    """In every process, for the C library: a day back, then ten years ahead."""
    if shutil.which("cc") is None:
        assert "CI" not in os.environ, "CI installs gcc; this one has no C compiler"
        pytest.skip("needs a C compiler (CI installs one)")
    source, library, clock = (tmp_path / name for name in ("clock.c", "clock.so", "clock"))
    source.write_text(CLOCK)
    clock.write_text("0")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    changed = {"WORKBENCH_HOME": str(tmp_path), "LD_PRELOAD": str(library), "CLOCK": str(clock)}

    def command(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "workbench", *arguments], env={**os.environ, **changed},
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def beat_time() -> float:
        beat = read_record(folder.heartbeat, Heartbeat)
        assert beat is not None
        return beat.time

    folder = start_live_run(tmp_path, changed)
    try:
        for offset, is_set in (("-86400", lambda: beat_time() < time.time() - 80_000),
                               ("315360000", lambda: beat_time() > time.time() + 3e8)):  # fmt: skip
            clock.write_text(offset)
            until(is_set, "heartbeat with the new time")
            before = step(folder)
            until(lambda before=before: step(folder) > before, "more steps")
            (row,) = json.loads(command("runs", "--json"))
            assert row["status"] == "running" and 0 < row["eta"] < 10**6
            assert "running" in command("show", folder.id)
        clock.write_text("-2592000")
        command("pause", folder.id)
        command("continue", folder.id)
        command("stop", folder.id)
        report = read_report(folder)
        epochs = read_entries(folder)[-1].epoch + 2
        assert report.seconds is not None and 0 < report.seconds.total < 3600
        document = json.loads(command("resume", folder.id, "--set", f"train.epochs={epochs}", "--json"))
        assert (document["status"], document["epoch"], document["exact"]) == ("finished", epochs, True)
        steps = [row.step for row in RunReader(folder).read_all().epochs]
        assert steps == sorted(set(steps)), "each epoch is there once"
    finally:
        kill_all(tmp_path)
