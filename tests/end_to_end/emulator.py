"""pyte, and what it lacks of real terminals: REP, which xterm, VTE, kitty, iTerm2 and most others know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import pyte

Repeats = Literal["all", "ascii", "none"]
"""What a terminal repeats: older versions of tmux only characters of one byte, Terminal.app nothing."""


class Screen(pyte.Screen):
    """A screen that can repeat characters and answer queries."""

    def __init__(
        self,
        columns: int,
        rows: int,
        *,
        repeats: Repeats = "all",
        answer: Callable[[str], object] | None = None,
    ) -> None:
        self._repeats, self._answer, self._last = repeats, answer, ""
        super().__init__(columns, rows)

    def draw(self, data: str) -> None:
        super().draw(data)
        self._last = data[-1:]

    def repeat(self, count: int = 1, **_: Any) -> None:
        """Draw the last character again."""
        if self._repeats == "all" or (self._repeats == "ascii" and self._last.isascii()):
            super().draw(self._last * (count or 1))

    def write_process_input(self, data: str) -> None:
        if self._answer:
            self._answer(data)


class Stream(pyte.Stream):
    """Text for a `Screen`."""

    csi: ClassVar = {**pyte.Stream.csi, "b": "repeat"}
    events = pyte.Stream.events | {"repeat"}


class ByteStream(Stream, pyte.ByteStream):
    """Bytes for a `Screen`."""
