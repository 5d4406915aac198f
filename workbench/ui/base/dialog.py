"""What lies over the panes, and closes once."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen, ScreenResultType


class Dialog(ModalScreen[ScreenResultType]):
    """A dialog, chooser or list that can be closed at any time, and once."""

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Close it, and hand a result to whoever opened it."""
        return super().dismiss(result) if closes_now(self, result) else AwaitComplete()


def closes_now(screen: Screen[ScreenResultType], result: ScreenResultType | None) -> bool:
    """Whether a screen can be closed now: not a second time, and not while it opens.

    Keys and clicks that arrive in one packet are handled after the first of them has closed it; Textual would close the
    screen below it, or end with an error at the last one. A screen that opens would miss its content when it is mounted
    or gets its size: it is closed as soon as it is there.
    """

    def close() -> None:
        screen.dismiss(result)

    if screen.is_active and not screen.is_mounted:
        screen.call_later(close)
    return screen.is_active and screen.is_mounted
