"""Copy to the clipboard of the terminal that the user looks at, through tmux or screen if need be."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Mapping

TMUX_SECONDS = 2.0
SCREEN_BLOCK = 700
"""GNU screen passes strings of up to 768 bytes on."""

WriteSequence = Callable[[str], object]


def copy_text(text: str, write: WriteSequence, environment: Mapping[str, str] = os.environ) -> str:
    """Copy `text` by the control sequences that the terminal may accept; returns what happened, in one line.

    May wait for tmux, `TMUX_SECONDS` at most.
    """
    sequence = f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode()}\x07"
    if environment.get("TERM", "").startswith(("linux", "vt1")):
        return f"this terminal has no clipboard: {text}"
    if environment.get("TMUX"):
        return _copy_in_tmux(text, sequence, write)
    if environment.get("STY"):
        blocks = [sequence[i : i + SCREEN_BLOCK] for i in range(0, len(sequence), SCREEN_BLOCK)]
        write("".join(f"\x1bP{block}\x1b\\" for block in blocks))
        return f"copied {text} (through screen, to a terminal that supports OSC 52)"
    write(sequence)
    return f"copied {text}"


def _copy_in_tmux(text: str, sequence: str, write: WriteSequence) -> str:
    if _ask_tmux("show-options", "-gv", "set-clipboard") == "on":
        write(sequence)
        return f"copied {text}"
    if _ask_tmux("show-options", "-gv", "allow-passthrough") in {"on", "all"}:
        write(f"\x1bPtmux;{sequence.replace(chr(27), 2 * chr(27))}\x1b\\")
        return f"copied {text} (through tmux)"
    write(sequence)  # in case tmux can't be asked
    if _ask_tmux("load-buffer", "-", text=text) is None:
        return f"not copied: tmux does not respond; {text}"
    return f"copied to tmux's buffer only (prefix ] pastes): {text}. For the clipboard: tmux set -g set-clipboard on"


def _ask_tmux(*arguments: str, text: str = "") -> str | None:
    """What a command of tmux prints; `None` if it fails."""
    try:
        done = subprocess.run(
            ["tmux", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
