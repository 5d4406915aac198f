"""`esc` and a key in one packet are both keys; real sequences stay what they are."""

from __future__ import annotations

import os
import time

import pytest
from textual import constants, events
from textual._xterm_parser import XTermParser

from tests.ui.test_terminal import OpenScreen, open_screen  # noqa: F401
from workbench.ui.base.escape_parser import EscapeParser


def keys(parser: XTermParser, data: str) -> list[tuple[str, str | None]]:
    received = list(parser.feed(data))
    time.sleep(constants.ESCAPE_DELAY)
    received += parser.tick()
    return [(event.key, event.character) for event in received if isinstance(event, events.Key)]


@pytest.mark.parametrize("typed", [*"jJ5fb-=[O?:/q", "\t", "\r", "\x7f", "jk", "3q", "é"])
def test_esc_and_what_is_typed_after_it(typed: str) -> None:
    assert keys(EscapeParser(), "\x1b" + typed) == [("escape", "\x1b"), *keys(XTermParser(), typed)]


@pytest.mark.parametrize(
    "data", ["\x1b", "\x1b[A", "\x1b[Z", "\x1bOP", "\x1b[1;5D", "\x1b\x1b[A", "\x1b[27u", "x\x1b[3~y"]
)
def test_sequences_of_keys(data: str) -> None:
    assert keys(EscapeParser(), data) == keys(XTermParser(), data) != []


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "text", ["plain", "a\x1b[31mb\rq", "\x1b", "\x1b\x1b[A", "\x1b[20", "x\x1b]52;c;aGk=\x07y", "\x1b[200~z"]
)
def test_pasted_text_is_no_keys(text: str, size: int) -> None:
    """However it is split into packets, and whatever is typed after it."""
    parser, data = EscapeParser(), f"\x1b[200~{text}\x1b[201~x"
    received = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    pasted, typed = received
    assert isinstance(pasted, events.Paste) and pasted.text == text.replace("\x1b", "\ufffd")
    assert isinstance(typed, events.Key) and typed.key == "x"


def test_the_screen_gets_both_keys(open_screen: OpenScreen) -> None:  # noqa: F811
    opened = open_screen()
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"esc back")
    os.write(opened.master, b"\x1bq")
    assert opened.process.wait(10) == 0
