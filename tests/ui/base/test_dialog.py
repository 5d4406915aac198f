"""A dialog closes once, whatever arrives while it opens or closes."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Static

from workbench.ui.base.dialog import Dialog
from workbench.ui.command_palette import Palette
from workbench.ui.widgets.chooser import Finder
from workbench.ui.widgets.list_screen import ListScreen


class Below(Dialog[str]):
    """What lies below another dialog, and must stay."""


async def test_a_second_click_closes_nothing_else() -> None:
    app, results = App[None](), list[str | None]()
    async with app.run_test() as pilot:
        below, above = Below(), Below()
        await app.push_screen(below)
        await app.push_screen(above, results.append)
        above.dismiss("first")
        await above.dismiss("second")
        await pilot.pause()
        assert app.screen is below
        assert results == ["first"]
        await below.dismiss()
        await below.dismiss()
        assert len(app.screen_stack) == 1


class Opening(Below):
    """A dialog that needs its content when it is mounted."""

    def compose(self) -> ComposeResult:
        yield Static("content")

    def on_mount(self) -> None:
        self.query_one(Static).update("more")


async def test_a_dialog_that_is_closed_while_it_opens_closes_once_it_is_there() -> None:
    app, results = App[None](), list[str | None]()
    async with app.run_test() as pilot:
        app.push_screen(opening := Opening(), results.append)
        assert not opening.is_mounted
        opening.dismiss("closed")
        await pilot.pause()
        assert results == ["closed"]
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize(
    "widget",
    [ListScreen("title", "heading", ["one", "two"]), Finder(lambda _: []), Palette(providers=[])],
    ids=lambda widget: type(widget).__name__,
)
async def test_a_size_before_anything_is_there(widget: ListScreen | Finder | Palette) -> None:
    """What is closed while it opens gets no list any more, but still its size."""
    async with App[None]().run_test():
        widget.on_resize()
