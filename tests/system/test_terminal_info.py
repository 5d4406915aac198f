"""What the terminal's environment says about its characters and colors."""

from __future__ import annotations

import pytest

from workbench.system.terminal_info import limitations, plain_reason

XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (XTERM, ""),
        ({**XTERM, "LANG": "en_US.UTF-8"}, ""),
        ({**XTERM, "LC_ALL": "C"}, "LC_ALL=C"),
        ({**XTERM, "LC_ALL": "C", "LANG": "en_US.UTF-8"}, "LC_ALL=C"),
        ({**XTERM, "LANG": "de_DE.ISO-8859-1", "LC_CTYPE": "C.UTF-8"}, "LANG=de_DE.ISO-8859-1"),
        ({"TERM": "linux", "LANG": "C.UTF-8"}, "TERM=linux"),
        ({"TERM": "vt100"}, "TERM=vt100"),
        ({**XTERM, "WORKBENCH_ASCII": "1"}, "WORKBENCH_ASCII=1"),
        ({"TERM": "linux", "WORKBENCH_ASCII": "0"}, ""),
    ],
)
def test_the_terminals_that_get_ascii(environment: dict[str, str], reason: str) -> None:
    assert plain_reason(environment, utf8_input=False) == reason
    assert any(
        "ASCII" in line and reason in line for line in limitations(environment, utf8_input=False)
    ) == bool(reason)


def test_a_terminal_that_sends_utf8_shows_it_whatever_the_locale_is_but_not_through_a_multiplexer() -> None:
    environment = {**XTERM, "LC_ALL": "C"}
    assert plain_reason(environment, utf8_input=True) == ""
    assert plain_reason({**environment, "TMUX": "/tmp/tmux,1,0"}, utf8_input=True) == "LC_ALL=C"


@pytest.mark.parametrize(
    ("environment", "hint"),
    [
        ({"TMUX": "x"}, "terminal-features"),
        ({"SSH_CONNECTION": "x"}, "ssh does not pass COLORTERM on"),
        ({}, "set COLORTERM=truecolor"),
    ],
)
def test_hidden_true_color_is_explained(environment: dict[str, str], hint: str) -> None:
    (line,) = limitations({**XTERM, **environment})
    assert hint in line and "COLORTERM=truecolor" in line
    assert limitations({**XTERM, **environment, "COLORTERM": "truecolor"}) == []
