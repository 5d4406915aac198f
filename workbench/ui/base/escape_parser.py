"""Keys and pasted text from a terminal's bytes.

`esc` and the key after it, which a slow line delivers together, are two keys: Textual takes the two bytes for alt and a
key, for the character that a Mac has on them, or drops the `esc`. No action of this app needs alt.

Pasted text stays text: Textual takes what follows an escape sequence in it for keys that were pressed, and not every
terminal removes escape characters from what it pastes.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

ESCAPE = "\x1b"
PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"
REPLACEMENT = "\ufffd"


class EscapeParser(XTermParser):
    """Textual's parser without alt, and without keys in pasted text."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._recent = ""
        """The last characters outside of pasted text, as many as its start has."""
        self._pasting = False
        self._held = ""
        """Characters of pasted text that may begin its end."""

    def feed(self, data: str) -> Iterable[Message]:
        """The events of some more characters; none mean the end of the input."""
        passed = "".join(map(self._pass, data))
        return super().feed(passed) if passed or not data else ()

    def _pass(self, character: str) -> str:
        """What the next character lets through: escape characters in pasted text are replaced."""
        if not self._pasting:
            self._recent = (self._recent + character)[-len(PASTE_START) :]
            self._pasting = self._recent == PASTE_START
            return character
        self._held += character
        if self._held == PASTE_END:
            self._pasting, self._recent, self._held = False, "", ""
            return PASTE_END
        if PASTE_END.startswith(self._held):
            return ""
        text, self._held = self._held, ESCAPE if character == ESCAPE else ""
        return text.removesuffix(self._held).replace(ESCAPE, REPLACEMENT)

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if len(sequence) == 2 and sequence[0] == ESCAPE != sequence[1]:
            return  # no sequence: after a moment it arrives here again, as a character with alt
        if alt:
            yield events.Key("escape", ESCAPE)
        yield from super()._sequence_to_key_events(sequence)
