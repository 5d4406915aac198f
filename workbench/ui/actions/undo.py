"""The undo stack."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from workbench.core.errors import UserError
from workbench.ui.actions.host import ActionHost

MAX_ENTRIES = 20


@dataclass(frozen=True)
class UndoEntry:
    """A change, in a few words, and the function that undoes it, or raises `UserError` or `OSError`."""

    description: str
    undo: Callable[[], object]
    in_background: bool


class UndoStack:
    """The newest changes that can be undone: of the experiment, of runs moved to the trash, of live settings."""

    def __init__(self, host: ActionHost) -> None:
        self._host = host
        self._entries: deque[UndoEntry] = deque(maxlen=MAX_ENTRIES)

    def push(self, description: str, undo: Callable[[], object], *, in_background: bool = False) -> None:
        """Add a change that was just made; `in_background`: undoing it takes time, and is done in a thread."""
        self._entries.append(UndoEntry(description, undo, in_background))

    def undo(self) -> None:
        """Undo the newest change, remove it, and show what came of it."""
        if not self._entries:
            self._host.show_notice("nothing to undo", transient=True)
            return
        entry = self._entries.pop()
        if entry.in_background:
            self._host.run_in_background(lambda: _undo(entry))
            return
        try:
            self._host.show_notice(_undo(entry))
        except UserError as error:
            self._host.show_notice(str(error), "error")


def _undo(entry: UndoEntry) -> str:
    """Undo a change; returns the notification. Raises `UserError`."""
    try:
        entry.undo()
    except (UserError, OSError) as error:
        raise UserError(f"not undone: {entry.description}: {error}") from None
    return f"undone: {entry.description}"
