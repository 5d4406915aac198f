"""The input for a filter, and its completion."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult

from tests.ui.screen_steps import Until
from workbench.ui.widgets.filter_input import FilterInput

WORDS = ["model=resnet18", "model=resnet50", "tag:baseline"]


def complete(text: str) -> Sequence[str]:
    return [word for word in WORDS if text and word.startswith(text) and word != text]


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield FilterInput(complete, "filter")


async def test_tab_completes_as_far_as_all_completions_agree(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(40, 5)) as pilot:
        line = app.query_one(FilterInput)
        line.focus()
        await pilot.press("m", "tab")
        assert line.value == "model=resnet"
        await pilot.press("tab")
        assert line.value == "model=resnet18"
        await pilot.press("tab")
        assert line.value == "model=resnet18", "nothing is left to complete, and the focus stays"
        assert line.has_focus
        line.value = ""
        await pilot.press("t")
        await until(pilot, "tag:baseline")
        await pilot.press("right")
        assert line.value == "tag:baseline"
