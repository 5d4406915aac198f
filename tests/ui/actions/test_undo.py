from __future__ import annotations

from tests.ui.actions.fakes import FakeHost
from workbench.ui.actions.undo import MAX_ENTRIES, UndoStack


def test_the_newest_change_is_undone_first(host: FakeHost) -> None:
    stack, undone = UndoStack(host), list[str]()
    stack.push("first", lambda: undone.append("first"))
    stack.push("second", lambda: undone.append("second"))
    for _ in range(3):
        stack.undo()
    assert undone == ["second", "first"]
    assert host.texts == ["undone: second", "undone: first", "nothing to undo"]


def test_the_oldest_changes_are_dropped(host: FakeHost) -> None:
    stack, undone = UndoStack(host), list[int]()
    for number in range(MAX_ENTRIES + 5):
        stack.push(str(number), lambda number=number: undone.append(number))
    for _ in range(MAX_ENTRIES + 5):
        stack.undo()
    assert undone == list(reversed(range(5, MAX_ENTRIES + 5)))
