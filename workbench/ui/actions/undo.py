"""The undo stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from workbench.ui.actions.host import ActionHost

MAX_ENTRIES = 20


@dataclass(frozen=True)
class UndoEntry:
    """A change, in a few words, and the function that undoes it."""

    description: str
    undo: Callable[[], object]


class UndoStack:
    """The newest changes that can be undone: of the experiment, of runs moved to the trash, of live settings."""

    def __init__(self, host: ActionHost) -> None:
        self._host = host
        self._entries: deque[UndoEntry] = deque(maxlen=MAX_ENTRIES)

    def push(self, description: str, undo: Callable[[], object]) -> None:
        """Add a change that was just made."""
        self._entries.append(UndoEntry(description, undo))

    def undo(self) -> None:
        """Undo the newest change, and remove it."""
        if not self._entries:
            self._host.show_notice("nothing to undo", transient=True)
            return
        entry = self._entries.pop()
        self._host.show_notice(f"undone: {entry.description}")
        entry.undo()
