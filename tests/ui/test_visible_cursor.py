"""The row under the cursor is on the screen: in every list, at every size, and after every resize."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import OptionList

from tests.ui.screen_steps import MakeRun, Until, ready
from workbench.io.record_codec import write_record
from workbench.runs.jsonl import LineWriter
from workbench.runs.metrics import ClassMetrics, EvaluationFile, EvaluationRow
from workbench.runs.run_folder import RunFolder
from workbench.ui.app import WorkbenchApp
from workbench.ui.widgets.chooser import Finder
from workbench.ui.widgets.list_screen import ListScreen
from workbench.ui.widgets.virtual_list import VirtualList

SMALL = (60, 14)
ROWS = 60
"""More than any of these terminals shows."""
RUNS = 30
"""More than beside other panes or in a low terminal are shown."""


def write_classes(folder: RunFolder, count: int) -> None:
    """An evaluation with `count` classes, each confused with the next one."""
    row = EvaluationRow(step=40, epoch=4, split="validation", loss=0.5, accuracy=0.9, best=True)
    metrics = LineWriter(folder.metrics)
    metrics.write(row)
    metrics.close()
    names = [f"class{number:03d}" for number in range(count)]
    record = EvaluationFile(
        step=40, epoch=4, split="validation", count=10 * count, loss=0.5, accuracy=0.9,
        per_class=tuple(
            ClassMetrics(name=name, accuracy=0.9, recall=0.9, precision=0.9, f1=0.9, support=10) for name in names
        ),
        confusion=tuple(
            cell for k in range(count) for cell in ((k, k, 9), (k, (k + 1) % count, 1))
        ),
    )  # fmt: skip
    write_record(folder.evaluation(40, "validation"), record)


def cursor_lines(widget: Widget) -> range:
    """The lines of the screen on which the row under the cursor would be, if nothing cut it."""
    if isinstance(widget, OptionList):
        assert widget.highlighted is not None
        start, height = widget._index_to_line[widget.highlighted], widget._heights[widget.highlighted]
        top = widget.content_region.y + start - round(widget.scroll_y)
        return range(top, top + height)
    assert isinstance(widget, VirtualList)
    top = widget.region.y + 1 + widget.cursor - widget.top
    return range(top, top + 1)


def cursor_is_visible(widget: Widget) -> bool:
    """Whether all of the row under the cursor is on the screen."""
    visible = widget.screen.find_widget(widget).visible_region
    header = isinstance(widget, VirtualList)
    shown, lines = range(visible.y + header, visible.bottom), cursor_lines(widget)
    return lines[0] in shown and lines[-1] in shown


def current_list(app: WorkbenchApp) -> Widget:
    """The list whose cursor the keys move."""
    if isinstance(app.focused, VirtualList | OptionList):
        return app.focused
    return app.screen.query_one(OptionList)


MOVES = ("down", "down", "pagedown", "down", "down", "pagedown", "pagedown", "pagedown", "up", "up", "up",
         "pageup", "up", "up", "pageup", "pageup", "pageup", "pagedown")  # fmt: skip
"""Over the edges of the list in both directions, to its ends, and then to the last row that is shown."""

LISTS = {
    "runs": ("1",),
    "classes": ("4",),
    "class details": ("4", "a"),
    "models": ("2", "m"),
    "commands": ("colon",),
    "comparison": ("1", "equals_sign"),
    "any list": (),
}
"""The keys that lead to each list."""


async def check_list(pilot: Pilot[None], until: Until, name: str, size: tuple[int, int]) -> None:
    """Move through a list, then take rows from it, and give them back."""
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    if not LISTS[name]:
        app.push_screen(ListScreen("lines", "heading", [f"line {number}" for number in range(ROWS)]))
    await pilot.press(*LISTS[name])
    await until(pilot, lambda: bool(app.screen.query("VirtualList, OptionList")))
    visited = set[int]()
    for key in MOVES:
        await pilot.press(key)
        assert cursor_is_visible(current_list(app)), f"{name}, {key}: line {cursor_lines(current_list(app))}"
        visited.add(cursor_lines(current_list(app))[0])
    if name != "comparison":  # which has one row here
        assert len(visited) > 1, f"{name}: arrow and page keys move nothing"
    for each in (SMALL, size):
        await pilot.resize_terminal(*each)
        await until(pilot, lambda: cursor_is_visible(current_list(app)))
    for finder in app.screen.query(Finder):
        finder.show_message("an error that takes three lines " * 20, error=True)
        await until(pilot, "an error that")
        await until(pilot, lambda: cursor_is_visible(current_list(app)))
    await pilot.press("escape")


@pytest.mark.parametrize(
    ("size", "names"), [((80, 24), tuple(LISTS)), ((200, 50), ("class details", "models"))], ids=str
)
async def test_the_cursor_of_a_list_is_always_visible(
    size: tuple[int, int], names: tuple[str, ...], make_run: MakeRun, until: Until
) -> None:
    for number in range(RUNS):
        make_run(f"run{number:03d}", done=1)
    write_classes(make_run("last"), ROWS)
    app = WorkbenchApp()
    async with app.run_test(size=size) as pilot:
        await ready(pilot, until)
        for name in names:
            await check_list(pilot, until, name, size)
