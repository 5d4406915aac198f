from __future__ import annotations

import pytest

from tests.ui.actions.fakes import FakeHost
from workbench.core.errors import UserError
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


@pytest.mark.parametrize("in_background", [False, True])
def test_a_change_that_could_not_be_undone_is_not_called_undone(host: FakeHost, in_background: bool) -> None:
    def refuse() -> None:
        raise UserError("the run refused")

    stack = UndoStack(host)
    stack.push("more epochs", refuse, in_background=in_background)
    stack.undo()
    assert host.notices == [("not undone: more epochs: the run refused", "error")]
