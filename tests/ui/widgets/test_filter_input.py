"""The input for a filter, and its completion."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import App, ComposeResult
from textual.events import Paste

from tests.ui.screen_steps import Until
from workbench.core.text import sanitize
from workbench.ui.widgets.filter_input import FilterInput

HOSTILE = "\x1b]52;c;aGk=\x07\x9b31m"
REPLACED = sanitize(HOSTILE)
WORDS = ["model=resnet18", "model=resnet50", "tag:baseline", f"name={HOSTILE}"]


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


async def test_control_characters_of_completions_and_of_pasted_text_are_replaced(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(40, 5)) as pilot:
        line = app.query_one(FilterInput)
        line.focus()
        await pilot.press("n")
        await until(pilot, f"name={REPLACED}")
        await pilot.press("tab")
        assert line.value == f"name={REPLACED}"
        line.value = ""
        line.post_message(Paste(HOSTILE))
        await until(pilot, lambda: line.value == REPLACED)
