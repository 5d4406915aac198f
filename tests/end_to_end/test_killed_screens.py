"""One run, and ten app processes that are killed in every way in which they can die."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.terminal import Terminal
from tests.end_to_end.test_screen import drawn, ended, until
from tests.idle_model import IDLE_MODEL
from workbench.config.experiment import build_experiment
from workbench.launcher import launch
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of

SERVER = "import pexpect, sys; pexpect.spawn(sys.executable, ['-m', 'workbench'], timeout=None).wait()"
"""Holds the terminal of an app as tmux does, where tmux is not installed."""


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunFolder]:
    """A long run that is past its first epochs."""
    monkeypatch.setenv("TERM", "xterm-256color")
    sets = ["train.epochs=1000000", "train.threads=1", "train.log_every=20"]
    folder = launch.start_run(build_experiment("digits-mlp", model=IDLE_MODEL, sets=sets), "test")
    until(lambda: written(folder) > 2000, "first steps")
    yield folder
    for process in ours(home):
        process.kill()


def written(folder: RunFolder) -> int:
    """The size of the metrics file in bytes, which grows with the steps."""
    return folder.metrics.stat().st_size if folder.metrics.exists() else 0


def ours(home: Path) -> list[psutil.Process]:
    """Every process of this test's home; forked ones have the environment of their server, but name the run."""
    found = []
    for process in psutil.process_iter(["environ", "pid", "status", "cmdline"]):
        environment, command = process.info["environ"] or {}, process.info["cmdline"] or []
        alive = process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid()
        if alive and (
            environment.get("WORKBENCH_HOME") == str(home) or any(str(home) in part for part in command)
        ):
            found.append(process)
    return found


def screens(home: Path) -> list[psutil.Process]:
    """The app processes of this home."""
    return [p for p in ours(home) if p.info["cmdline"][1:] == ["-m", "workbench"]]


def by_signal(home: Path, number: signal.Signals, keys: str = "") -> None:
    with Terminal(80, 24) as terminal:
        terminal.wait(lambda text: "digits-mlp" in text and "●" in text, "the run")
        terminal.press(*keys)
        os.kill(terminal.process.pid, number)
        terminal.wait_until_gone()


def by_hanging_up(home: Path) -> None:
    with Terminal(80, 24) as terminal:
        terminal.wait(lambda text: "digits-mlp" in text and "●" in text, "the run")
        pid = terminal.process.pid
        terminal.hang_up()
        until(lambda: ended(pid), "end of the screen")


def by_its_server(home: Path) -> None:
    """Kill the tmux server (or its stand-in), and the terminal with it."""
    tmux = shutil.which("tmux")
    socket = str(home / "tmux")
    if tmux:
        command = [
            tmux,
            "-S",
            socket,
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            f"{sys.executable} -m workbench",
        ]
        subprocess.run(command, check=True)
        asked = [tmux, "-S", socket, "display-message", "-p", "#{pid}"]
        server = int(subprocess.check_output(asked, text=True))
    else:
        server = subprocess.Popen([sys.executable, "-c", SERVER]).pid
    until(lambda: len(screens(home)) == 1 and len(screens(home)[0].threads()) > 2, "screen")
    os.kill(server, signal.SIGKILL)
    until(lambda: not screens(home), "end of the screen")


def test_killed_apps_harm_no_run(run: RunFolder, home: Path) -> None:
    ways = [
        lambda: by_signal(home, signal.SIGKILL),
        lambda: by_signal(home, signal.SIGHUP),
        lambda: by_signal(home, signal.SIGTERM),
        lambda: by_hanging_up(home),
        lambda: by_its_server(home),
    ]
    by_signal(home, signal.SIGKILL, keys="5")  # a screen that has requested data has one process more
    for count in range(1, 10):
        before = written(run)
        ways[count % len(ways)]()
        until(lambda before=before: written(run) > before, "more steps")  # type: ignore[misc]
        assert status_of(run) is Status.RUNNING
    assert len(attempts_of(read_journal(run.journal))) == 1
    until(lambda: len(ours(home)) == 2, "end of all but the supervisor and the worker")
    supervisor = min(ours(home), key=lambda process: process.create_time())
    assert supervisor.cmdline()[3] == "workbench.launcher.supervisor"
    assert sum(supervisor.cpu_times()[:2]) < 3, "the supervisor has something to do"
    the_next_app_shows_the_whole_curve()


def the_next_app_shows_the_whole_curve() -> None:
    """The curve extends from the first epochs on the left to the current one."""
    with Terminal(120, 36) as terminal:
        terminal.wait(lambda text: drawn(text) > 30, "a curve").press("3", "z")
        terminal.wait(whole, "the whole curve")
        terminal.press("ctrl+q").wait_until_gone()
        assert terminal.process.exitstatus == 0


def whole(text: str) -> bool:
    """Whether a curve is drawn near the left edge of the screen and right of its middle."""
    columns = {
        column
        for line in text.splitlines()
        for column, character in enumerate(line)
        if "\u2801" <= character <= "\u28ff"
    }
    return bool(columns) and min(columns) < 20 and max(columns) > 50
