"""What the terminal of this process can show, according to its environment."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Mapping

ASCII_VARIABLE = "WORKBENCH_ASCII"
"""`1` asks for ASCII characters, `0` for all characters; unset, the terminal decides."""
TRUE_COLOR = 1 << 24

_IUTF8 = 0o40000
"""Flag of Linux and macOS terminals whose input is UTF-8; ssh passes it on."""
_FEW_CHARACTERS = ("linux", "vt", "ansi", "cons25", "sun", "pcansi", "wsvt")
"""The beginnings of `TERM` of consoles whose fonts have 256 or 512 characters, braille not among them."""


def plain_reason(environment: Mapping[str, str] = os.environ, *, utf8_input: bool | None = None) -> str:
    """Why this terminal gets ASCII characters only; empty if it can show all of them.

    `utf8_input`: whether its input is UTF-8 (default: asked of the terminal at stdin).
    """
    asked = environment.get(ASCII_VARIABLE, "").strip().lower()
    if asked:
        return "" if asked in {"0", "no", "off", "false"} else f"{ASCII_VARIABLE}={asked}"
    kind = environment.get("TERM", "")
    if kind.startswith(_FEW_CHARACTERS):
        return f"TERM={kind}"
    name, locale = _locale(environment)
    if not locale or "utf-8" in locale.lower() or "utf8" in locale.lower():
        return ""
    # tmux and screen replace what their own locale lacks, whatever the terminal around them can show.
    multiplexed = bool(environment.get("TMUX") or environment.get("STY"))
    if not multiplexed and (input_is_utf8() if utf8_input is None else utf8_input):
        return ""
    return f"{name}={locale}"


def _locale(environment: Mapping[str, str]) -> tuple[str, str]:
    """The variable that sets the character encoding, and its value."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        value = environment.get(name, "")
        # Python itself sets LC_CTYPE=C.UTF-8 in the C locale (PEP 538), which says nothing about the terminal.
        if value and not (name == "LC_CTYPE" and value == "C.UTF-8" and environment.get("LANG")):
            return name, value
    return "", ""


def input_is_utf8() -> bool:
    """Whether the terminal at stdin says that its input is UTF-8."""
    try:
        flags: int = termios.tcgetattr(sys.stdin.fileno())[0]
    except (termios.error, OSError, ValueError):
        return False
    return bool(flags & _IUTF8)


def color_count(environment: Mapping[str, str]) -> int:
    """The number of colors: 16 million by `COLORTERM`, 256 or 16 by `TERM`, none with `NO_COLOR`."""
    kind = environment.get("TERM", "")
    if environment.get("NO_COLOR") or kind in {"", "dumb", "unknown"} or kind.startswith("vt1"):
        return 0
    if environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"} or kind.endswith(
        ("-direct", "kitty")
    ):
        return TRUE_COLOR
    return 256 if "256" in kind else 16


def limitations(environment: Mapping[str, str] = os.environ, *, utf8_input: bool | None = None) -> list[str]:
    """What the screen lacks in this terminal, and how to change it, in one line each."""
    lines = []
    if reason := plain_reason(environment, utf8_input=utf8_input):
        lines.append(
            f"ASCII characters only ({reason}): curves, borders, marks and images are drawn coarsely; "
            f"a UTF-8 locale (LANG=C.UTF-8) or {ASCII_VARIABLE}=0 gives all characters"
        )
    if 0 < color_count(environment) < TRUE_COLOR:
        lines.append(f"images are dithered to few colors; {_true_color_hint(environment)}")
    return lines


def _true_color_hint(environment: Mapping[str, str]) -> str:
    if environment.get("TMUX"):
        return (
            "for 16 million: in tmux.conf `set -as terminal-features ',*:RGB'` (tmux before 3.2: "
            "`set -as terminal-overrides ',*:Tc'`), then COLORTERM=truecolor"
        )
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return (
            "ssh does not pass COLORTERM on: if your terminal shows 16 million colors, "
            "set COLORTERM=truecolor on this host"
        )
    return "if the terminal shows 16 million, set COLORTERM=truecolor"
