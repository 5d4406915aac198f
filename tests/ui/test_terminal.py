from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workbench.runs.run_folder import RunFolder
from workbench.ui import terminal

OpenScreen = Callable[..., "Pty"]

ENVIRONMENT = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
SECONDS = 60.0
"""The longest wait. The app has seconds of its own to exit in, but a machine that runs tests is busy."""


IGNORE_HANGUP = 'trap "" HUP; exec "$0" -c "$1"'
"""As under `nohup` and some multiplexers: only the descriptor shows that the terminal is gone."""


SCREEN = """
import sys
from workbench.ui.app import WorkbenchApp
from workbench.ui.main import run
{change}
sys.exit(run())
"""


class Pty:
    """The app in a pseudo-terminal that can hang up; the statement `change` is executed first."""

    def __init__(self, change: str = "", **environment: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["sh", "-c", IGNORE_HANGUP, sys.executable, SCREEN.format(change=change)],
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
        """Close the terminal."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """Kill the app and close the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.master >= 0:
            self.hang_up()

    def drain(self) -> None:
        """Read what is left."""
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 1 << 16):
                self.received += data

    def wait_for(self, words: bytes, seconds: float = SECONDS) -> None:
        ends = time.monotonic() + seconds
        while words not in self.received:
            assert time.monotonic() < ends, self.received[-2000:]
            try:
                self.received += os.read(self.master, 1 << 16)
            except BlockingIOError:
                time.sleep(0.02)


@pytest.fixture
def open_screen() -> Iterator[Callable[..., Pty]]:
    """Starts apps in pseudo-terminals, and ends them with the test."""
    opened: list[Pty] = []

    def start(change: str = "", **environment: str) -> Pty:
        opened.append(Pty(change, **environment))
        return opened[-1]

    yield start
    for screen in opened:
        screen.close()


def test_no_process_is_left_after_a_hangup(
    open_screen: OpenScreen, make_run: Callable[..., RunFolder], home: Path
) -> None:
    make_run("one")
    opened = open_screen()
    opened.wait_for(b"finished")
    children = psutil.Process(opened.process.pid).children(recursive=True)
    opened.hang_up()
    opened.process.wait(SECONDS)
    _, left = psutil.wait_procs(children, SECONDS)
    assert left == []
    assert (home / "screen.json").exists()


def test_a_hangup_during_the_start(open_screen: OpenScreen) -> None:
    opened = open_screen()
    opened.hang_up()
    opened.process.wait(SECONDS)


SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
DEFAULT_SIGNALS = "import signal\n" + "\n".join(
    f"signal.signal({int(number)}, signal.SIG_DFL)" for number in SIGNALS
)
"""Tests started with `nohup` or with `&` in a script inherit ignored signals, which the app leaves ignored."""


def modes_left_on(received: bytes) -> set[bytes]:
    """The private modes that were switched and are not as they were."""
    last = dict(re.findall(rb"\x1b\[\?([0-9]+)([hl])", received))
    return {mode for mode, state in last.items() if (state == b"h") != (mode in {b"7", b"25"})}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_restores_the_terminal(number: signal.Signals, open_screen: OpenScreen) -> None:
    opened = open_screen(DEFAULT_SIGNALS)
    opened.wait_for(b"digits-mlp")
    opened.process.send_signal(number)
    opened.wait_for(b"\x1b[?1049l")
    assert opened.process.wait(SECONDS) == 0
    opened.drain()
    assert modes_left_on(opened.received) == set()
    assert opened.received.count(b"\x1b[<u") >= opened.received.count(b"\x1b[>25u") > 0


def test_a_hung_app_ends_at_a_signal_too(open_screen: OpenScreen) -> None:
    hang = "import os, time\nWorkbenchApp.action_keys = lambda self: (os.write(2, b'HANGS'), time.sleep(60))"
    opened = open_screen(f"{DEFAULT_SIGNALS}\n{hang}")
    opened.wait_for(b"digits-mlp")
    before = termios.tcgetattr(opened.master)[3]
    assert not before & termios.ECHO
    os.write(opened.master, b"?")
    opened.wait_for(b"HANGS")
    opened.process.send_signal(signal.SIGQUIT)
    opened.wait_for(b"\x1b[?1049l")
    assert opened.process.wait(SECONDS) == 128 + signal.SIGQUIT
    opened.drain()
    assert modes_left_on(opened.received) == set()
    assert termios.tcgetattr(opened.master)[3] & termios.ECHO


def test_an_internal_error_is_one_line_and_its_traceback_is_in_a_file(
    open_screen: OpenScreen, home: Path
) -> None:
    opened = open_screen("WorkbenchApp.action_keys = lambda self: 1 / 0")
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"runs keep running")
    assert opened.process.wait(SECONDS) == 1
    assert b"Traceback" not in opened.received and b"ZeroDivisionError" not in opened.received
    assert "ZeroDivisionError" in (home / "screen.log").read_text()


def test_an_exception_while_the_app_exits_is_ignored(open_screen: OpenScreen) -> None:
    """Widgets are removed that others, which were being mounted, still query."""
    opened = open_screen("WorkbenchApp.action_keys = lambda self: (self.exit(), self.query_one('#gone'))")
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"\x1b[?1049l")
    assert opened.process.wait(SECONDS) == 0
    assert b"#gone" not in opened.received


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_an_unusable_terminal_names_the_headless_command(
    environment: dict[str, str], open_screen: OpenScreen
) -> None:
    found = open_screen(**environment)
    found.wait_for(b"workbench train digits-mlp\r\n")
    assert found.process.wait(SECONDS) == 2
    assert b"\x1b" not in found.received and found.received.count(b"\n") == 1


def test_without_a_terminal_the_headless_command_is_named() -> None:
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
    ("environment", "border"),
    [
        ({"NO_COLOR": "1"}, "──"),
        ({"LC_ALL": "C"}, "--"),
        ({"TERM": "vt100"}, "--"),
        ({"PYTHONIOENCODING": "ascii"}, "──"),
    ],
)
def test_the_screen_is_drawn_without_color_and_in_any_locale(
    environment: dict[str, str], border: str, open_screen: OpenScreen
) -> None:
    found = open_screen(**environment)
    found.wait_for(border.encode())
    found.wait_for(b"digits-mlp")
    os.write(found.master, b"q")
    assert found.process.wait(SECONDS) == 0
    assert found.received.isascii() == (border == "--")
    if "NO_COLOR" in environment:
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", found.received)


def test_streams_that_are_not_terminals_are_unusable() -> None:
    assert terminal.unusable_reason([io.StringIO()], ENVIRONMENT) is not None
    assert terminal.unusable_reason([None], ENVIRONMENT) is not None
    assert terminal.unusable_reason([], ENVIRONMENT) is None


def test_importing_the_app_imports_nothing_heavy() -> None:
    code = "import sys, workbench.ui.main; print([m for m in ('torch', 'numpy', 'plotext', 'PIL') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
