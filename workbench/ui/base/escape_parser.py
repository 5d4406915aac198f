"""Keys from a terminal's bytes: `esc` and the key after it, which a slow line delivers together, are two keys.

Textual takes the two bytes for alt and a key, for the character that a Mac has on them, or drops the `esc`. No action
of this app needs alt. What Textual does not know is dropped here, because Textual would take it for typed text: an
unknown key or the answer to another program's query would press keys of the app.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from textual import constants, events
from textual.drivers.linux_driver import XTermParser  # type: ignore[attr-defined]  # its module is private
from textual.message import Message

ESCAPE = "\x1b"
PASTE_START = "\x1b[200~"
PROBE_ROW = 2
"""Where the cursor is when its position is asked for: in row 1, terminals report it like F3 with a modifier."""
POSITION = re.compile(rf"\x1b\[{PROBE_ROW};(\d+)R")
OPERATING = "\x1b[0n"
"""The answer to DSR, "are you operating?"."""
MAX_LENGTH = 32
"""Textual takes longer sequences for typed text."""

SEQUENCE = re.compile(
    r"""\x1b(?:
        \[200~ (?P<pasted> (?: [^\x1b]++ | \x1b(?!\[201~) )*+ ) \x1b\[201~
      | \[ (?: \[[A-E] | M[^\x1b]{3} | \d+\$ | (?!200~|M)[ -?]*[@-Z\\-~] )  # Linux console, mouse, rxvt, CSI
      | O[\d;]*[A-Za-z]                                                     # SS3
      | (?: \]\d | P[\d>!] | _G ) [^\x07\x1b]* (?: \x07 | \x1b\\ )          # answers: OSC, DCS, APC
    )""",
    re.VERBOSE | re.DOTALL,
)
UNFINISHED = re.compile(
    r"""\x1b(?:
        \[200~ .*
      | \[ (?: \[ | M[^\x1b]{0,2} | [ -?]* )
      | O[\d;]*
      | \] | P | _
      | (?: \]\d | P[\d>!] | _G ) [^\x07\x1b]* \x1b?
    )?""",
    re.VERBOSE | re.DOTALL,
)


@dataclass
class CursorReported(Message):
    """The terminal reported the column of its cursor, from 1."""

    column: int


class Operating(Message):
    """The terminal answered that it is operating, after it has shown everything before the question."""


class EscapeParser(XTermParser):
    """Textual's parser, which gets whole sequences and ordinary text only."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._unfinished = ""
        """What may be the beginning of a sequence: an `esc`, and what came after it."""
        self._wait_until = 0.0

    def feed(self, data: str) -> Iterable[Message]:
        """The events of `data`, which may begin or end within a sequence."""
        if not data:  # no more will come
            yield from super().feed(data)
        text, self._unfinished = self._unfinished + data, ""
        while text:
            plain, escape, rest = text.partition(ESCAPE)
            if plain:
                yield from super().feed(plain)
            text = escape + rest
            if found := SEQUENCE.match(text):
                yield from self._sequence_events(found)
                text = text[found.end() :]
            elif UNFINISHED.fullmatch(text):
                self._unfinished, self._wait_until = text, time.monotonic() + constants.ESCAPE_DELAY
                return
            elif text:
                yield events.Key("escape", ESCAPE)
                text = text[1:]

    def tick(self) -> Iterable[Message]:
        """After a moment in which nothing came, an unfinished sequence was typed: `esc`, and the keys after it."""
        typed = self._unfinished
        if typed and time.monotonic() >= self._wait_until and not typed.startswith(PASTE_START):
            self._unfinished = ""
            yield events.Key("escape", ESCAPE)
            if len(typed) > 1:
                yield from self.feed(typed[1:])

    def _sequence_events(self, found: re.Match[str]) -> Iterable[Message]:
        if found["pasted"] is not None:
            # Of an escape character in it, Textual would make keys.
            yield events.Paste(found["pasted"].replace(ESCAPE, "").replace("\0", ""))
        elif position := POSITION.fullmatch(found.group()):
            yield CursorReported(int(position[1]))
        elif found.group() == OPERATING:
            yield Operating()
        elif _is_known(found.group()):
            yield from super().feed(found.group())


@lru_cache(maxsize=1024)
def _is_known(sequence: str) -> bool:
    """Whether Textual knows a sequence: what it does not know, it returns as keys when nothing more comes."""
    parser = XTermParser()
    list(parser.feed(sequence))
    return len(sequence) <= MAX_LENGTH and not list(parser.feed(""))
