from __future__ import annotations

from typing import Any

import pytest
from textual.geometry import Size

from workbench.ui.actions.navigation import Navigation, move_cursor
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.base.pane import Pane


class FakePane(Pane):
    ID = PaneId.RUNS
    FILTERABLE = True
    focused = 0

    def focus_content(self) -> None:
        self.focused += 1


class FakeView:
    """A `PaneView` that records what is shown."""

    def __init__(self) -> None:
        self.panes: dict[PaneId, Pane] = {}
        self.layouts: list[tuple[PaneId, bool]] = []
        self.filter_is_open, self.marks_cleared = False, False
        self.visible = {PaneId.RUNS, PaneId.PLOTS}

    async def mount_pane(self, pane_id: PaneId) -> Pane | None:
        if pane_id in self.panes:
            return None
        self.panes[pane_id] = FakePane() if pane_id is PaneId.RUNS else Unfilterable()
        return self.panes[pane_id]

    def is_visible(self, pane_id: PaneId) -> bool:
        return pane_id in self.visible

    def show_layout(self, size_classes: set[str], front: PaneId, *, single: bool) -> None:
        self.layouts.append((front, single))

    def open_filter(self, text: str) -> None:
        self.filter_is_open = True

    def close_filter(self) -> None:
        self.filter_is_open = False

    def clear_marks(self) -> None:
        self.marks_cleared = True


class Unfilterable(FakePane):
    FILTERABLE = False


@pytest.fixture
def view() -> FakeView:
    return FakeView()


async def test_the_visible_panes_are_mounted_first(view: FakeView) -> None:
    navigation = Navigation(view)
    await navigation.mount_all()
    assert set(list(view.panes)[:2]) == view.visible and set(view.panes) == set(PANES)


async def test_going_to_a_pane_mounts_and_focuses_it(view: FakeView) -> None:
    navigation = Navigation(view)
    await navigation.go_to(PaneId.PLOTS)
    await navigation.go_to(PaneId.PLOTS)
    pane: Any = navigation.front_pane
    assert navigation.front is PaneId.PLOTS and pane.focused == 2


async def test_escape_leaves_filter_zoom_and_single_panes_in_this_order(view: FakeView) -> None:
    navigation = Navigation(view)
    navigation.resize(Size(120, 36))
    await navigation.mount_all()
    navigation.toggle_zoom()
    navigation.start_filter()
    navigation.apply_filter("words")
    pane = view.panes[PaneId.RUNS]
    assert pane.filter == "words"
    await navigation.go_back()
    assert pane.filter == "" and not view.filter_is_open and navigation.zoomed
    await navigation.go_back()
    assert not navigation.zoomed and view.layouts[-1] == (PaneId.RUNS, False)
    await navigation.go_to(PaneId.DATA)
    await navigation.go_back()
    assert navigation.front is PaneId.RUNS and not view.marks_cleared
    await navigation.go_back()
    assert view.marks_cleared


async def test_only_lists_are_filtered(view: FakeView) -> None:
    navigation = Navigation(view)
    assert navigation.unavailable_reason("filter") == "filter: Runs has no rows to filter"
    await navigation.mount_all()
    assert navigation.unavailable_reason("filter") == ""
    await navigation.go_to(PaneId.PLOTS)
    assert not navigation.can_filter
    navigation.start_filter()
    assert not view.filter_is_open


async def test_a_pane_that_fills_the_screen_is_not_zoomed(view: FakeView) -> None:
    navigation = Navigation(view)
    navigation.resize(Size(80, 24))
    assert navigation.unavailable_reason("zoom") == "zoom: Runs fills the screen already"
    navigation.resize(Size(120, 36))
    assert navigation.unavailable_reason("zoom") == ""
    await navigation.go_to(PaneId.DATA)
    assert navigation.unavailable_reason("zoom") == "zoom: Data fills the screen already"


def test_a_narrow_terminal_shows_one_pane(view: FakeView) -> None:
    navigation = Navigation(view)
    navigation.resize(Size(80, 24))
    assert navigation.single
    navigation.resize(Size(120, 36))
    assert not navigation.single and view.layouts == [(PaneId.RUNS, True), (PaneId.RUNS, False)]


def test_the_cursor_is_moved_else_the_widget_scrolled() -> None:
    moves: list[str] = []

    class List:
        def action_cursor_down(self) -> None:
            moves.append("cursor")

        def action_scroll_down(self) -> None:
            moves.append("scroll")

        def action_scroll_home(self) -> None:
            moves.append("home")

    widget: Any = List()
    for direction in ("down", "first", "left"):
        move_cursor(widget, direction)
    move_cursor(None, "down")
    assert moves == ["cursor", "home"]
