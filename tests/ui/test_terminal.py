from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workbench.runs.run_folder import RunFolder
from workbench.ui import terminal

OpenScreen = Callable[..., "Pty"]

ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
SECONDS_TO_DIE = 3.0


IGNORE_HANG_UP = 'trap "" HUP; exec "$0" -c "$1"'
"""As `nohup` and some multiplexers leave it: only the descriptor tells that the terminal is gone."""


SCREEN = """
import sys
from workbench.ui.app import WorkbenchApp, run
{change}
sys.exit(run())
"""


class Pty:
    """The screen on a terminal that can be taken away; `change` is done to it first."""

    def __init__(self, change: str = "", **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["sh", "-c", IGNORE_HANG_UP, sys.executable, SCREEN.format(change=change)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, **ENVIRONMENT, **environment},
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.received = b""

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            self.hang_up()

    def wait_for(self, words: bytes, seconds: float = 15) -> None:
        ends = time.monotonic() + seconds
        while words not in self.received:
            assert time.monotonic() < ends, self.received[-2000:]
            try:
                self.received += os.read(self.master, 1 << 16)
            except BlockingIOError:
                time.sleep(0.02)


@pytest.fixture
def open_screen() -> Iterator[Callable[..., Pty]]:
    """Opens screens, and ends them with the test."""
    opened: list[Pty] = []

    def start(change: str = "", **environment: str) -> Pty:
        opened.append(Pty(change, **environment))
        return opened[-1]

    yield start
    for screen in opened:
        screen.close()


def test_no_screen_is_left_three_seconds_after_a_hang_up(
    open_screen: OpenScreen, make_run: Callable[..., RunFolder], home: Path
) -> None:
    make_run("one")
    opened = open_screen()
    opened.wait_for(b"finished")
    children = psutil.Process(opened.process.pid).children(recursive=True)
    opened.hang_up()
    opened.process.wait(SECONDS_TO_DIE)
    _, left = psutil.wait_procs(children, SECONDS_TO_DIE)
    assert left == []
    assert (home / "screen.json").exists()


def test_a_hang_up_in_the_middle_of_starting(open_screen: OpenScreen) -> None:
    opened = open_screen()
    opened.hang_up()
    opened.process.wait(SECONDS_TO_DIE + 3)  # the interpreter's own start


def test_sigterm_gives_the_terminal_back(open_screen: OpenScreen) -> None:
    opened = open_screen()
    opened.wait_for(b"digits-mlp")
    opened.process.send_signal(signal.SIGTERM)
    opened.wait_for(b"\x1b[?1049l")
    assert opened.process.wait(5) == 0


def test_an_error_of_our_own_is_one_line_and_kept_for_whoever_mends_it(
    open_screen: OpenScreen, home: Path
) -> None:
    opened = open_screen("WorkbenchApp.action_keys = lambda self: 1 / 0")
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"runs go on without it")
    assert opened.process.wait(5) == 1
    assert b"Traceback" not in opened.received and b"ZeroDivisionError" not in opened.received
    assert "ZeroDivisionError" in (home / "screen.log").read_text()


def test_what_fails_while_the_screen_closes_is_no_error(open_screen: OpenScreen) -> None:
    """Widgets go, and others that were being loaded still ask for them."""
    opened = open_screen("WorkbenchApp.action_keys = lambda self: (self.exit(), self.query_one('#gone'))")
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"\x1b[?1049l")
    assert opened.process.wait(5) == 0
    assert b"#gone" not in opened.received


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_be_drawn_on_is_told_the_headless_way(
    environment: dict[str, str], open_screen: OpenScreen
) -> None:
    found = open_screen(**environment)
    found.wait_for(b"workbench train digits-mlp\r\n")
    assert found.process.wait(10) == 2
    assert b"\x1b" not in found.received and found.received.count(b"\n") == 1


def test_no_terminal_is_told_the_headless_way() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "workbench train digits-mlp" in done.stderr


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}]
)
def test_it_draws_without_colour_and_in_any_locale(
    environment: dict[str, str], open_screen: OpenScreen
) -> None:
    found = open_screen(**environment)
    found.wait_for("─".encode())
    found.wait_for(b"digits-mlp")
    os.write(found.master, b"q")
    assert found.process.wait(10) == 0
    if "NO_COLOR" in environment:
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", found.received)


def test_a_stream_that_is_no_terminal_is_complained_about() -> None:
    assert terminal.complaint([io.StringIO()], ENVIRONMENT) is not None
    assert terminal.complaint([None], ENVIRONMENT) is not None
    assert terminal.complaint([], ENVIRONMENT) is None


def test_importing_the_screen_brings_in_nothing_heavy() -> None:
    code = "import sys, workbench.ui.app; print([m for m in ('torch', 'numpy', 'plotext', 'PIL') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
