"""What happens to copied text, in the terminal and in a real tmux."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from workbench.ui.services.clipboard import copy_text

TEXT = "/home/me/rüns/1"
OSC = f"\x1b]52;c;{base64.b64encode(TEXT.encode()).decode()}\x07"


def copy(environment: Mapping[str, str]) -> tuple[str, str]:
    """What was written to the terminal, and the message."""
    written: list[str] = []
    message = copy_text(TEXT, written.append, environment)
    return "".join(written), message


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A tmux server of its own, which `TMUX` names."""
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    socket = f"/tmp/workbench-tmux-{os.getpid()}"
    monkeypatch.delenv("TMUX", raising=False)

    def command(*arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", socket, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    command("-f", "/dev/null", "new-session", "-d", "sleep 60")
    monkeypatch.setenv("TMUX", f"{socket},1,0")
    yield command
    command("kill-server")


def test_a_terminal_gets_osc_52() -> None:
    assert copy({"TERM": "xterm-256color"}) == (OSC, f"copied {TEXT}")
    assert copy({"TERM": "linux"}) == ("", f"this terminal has no clipboard: {TEXT}")


def test_screen_passes_it_on_in_blocks() -> None:
    written, message = copy({"TERM": "screen", "STY": "1.pts"})
    assert written == f"\x1bP{OSC}\x1b\\" and "through screen" in message


def test_in_tmux_the_notice_names_the_buffer(tmux: Callable[..., str]) -> None:
    tmux("set", "-g", "set-clipboard", "on")
    assert copy(os.environ) == (OSC, f"copied {TEXT}")
    tmux("set", "-g", "set-clipboard", "external")
    tmux("set", "-g", "allow-passthrough", "off")
    _, message = copy(os.environ)
    assert message.startswith(f"copied to tmux's buffer only (prefix ] pastes): {TEXT}")
    assert tmux("show-buffer") == TEXT
    tmux("set", "-g", "allow-passthrough", "on")
    escaped = OSC.replace("\x1b", "\x1b\x1b")
    assert copy(os.environ) == (f"\x1bPtmux;{escaped}\x1b\\", f"copied {TEXT} (through tmux)")


def test_a_tmux_that_is_gone_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMUX", "/nonexistent,1,0")
    _, message = copy(os.environ)
    assert message.startswith("not copied: tmux does not respond")
