"""Keys from a terminal's bytes: `esc` and the key after it, which a slow line delivers together, are two keys.

Textual takes the two bytes for alt and a key, for the character that a Mac has on them, or drops the `esc`. No action
of this app needs alt.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._xterm_parser import XTermParser

ESCAPE = "\x1b"


class EscapeParser(XTermParser):
    """Textual's parser without alt."""

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if len(sequence) == 2 and sequence[0] == ESCAPE != sequence[1]:
            return  # no sequence: after a moment it arrives here again, as a character with alt
        if alt:
            yield events.Key("escape", ESCAPE)
        yield from super()._sequence_to_key_events(sequence)
