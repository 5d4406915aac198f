"""The charts pane with very many metrics and points: the time from a key to its frame, and the memory."""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from array import array
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.benchmarks.measure import Row, Scale, median, say
from tests.benchmarks.screen import COLUMNS, ROWS, environment
from workbench.logs.series import Series
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.ui.widgets.cell_grid import Grid

KEYS = (
    "comma",
    "right",
    "pagedown",
    "greater_than_sign",
    "comma",
    "less_than_sign",
    "left",
    "pageup",
    "m",
    "v",
)
"""What somebody presses who looks around: each of them draws all visible charts again."""


def many_points(metrics: int, points: int) -> RunView:
    """A run with this number of metrics, and of points of all of them together."""
    view = RunView(RunFolder(Path("/nowhere/many")), version=1, status=Status.FINISHED)
    draws, each = random.Random(0), points // metrics
    steps, times = array("q", range(each)), array("d", map(float, range(each)))
    noise = array("d", (draws.random() for _ in range(each)))
    for number in range(metrics):
        series = view.logged[f"group{number // 50}/metric{number}"] = Series()
        series.extend(steps, noise, times)
    return view


class Opened(NamedTuple):
    """Processor time, so that other processes do not count."""

    first: float
    """Seconds to the first charts."""
    complete: float
    """Seconds until they have all points."""
    waits: list[float]
    """Milliseconds from each key to its first frame."""


async def _press(view: RunView, presses: int) -> Opened:
    """Open the charts of a run, and press keys."""
    from textual.app import App, ComposeResult

    from workbench.ui.charts.pane import ChartsPane

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield ChartsPane()

    async with Shown().run_test(size=(COLUMNS, ROWS)) as pilot:
        pane, painted = pilot.app.query_one(ChartsPane), list[float]()
        paint = pane.grid.paint

        def timed(grid: Grid) -> None:
            paint(grid)
            painted.append(time.process_time())

        pane.grid.paint = timed  # type: ignore[method-assign]
        pane.focus_content()
        await pilot.pause()
        painted.clear()
        began = time.process_time()
        pane.view = view
        await pilot.pause()
        first = painted[0] - began
        while pane.is_indexing:
            await pilot.pause()
        complete, waits = time.process_time() - began, []
        for key in islice(cycle(KEYS), presses):
            painted.clear()
            began = time.process_time()
            await pilot.press(key)
            if painted:  # there may be no further page
                composing = time.process_time()
                pilot.app.screen._compositor.render_strips()
                waits.append(1000 * (painted[0] - began + time.process_time() - composing))
        assert any("▸" in line for line in pane.grid.lines)
    return Opened(first, complete, waits)


def open_and_press(view: RunView, presses: int) -> Opened:
    """Open the charts of a run as on the first day, in a home where no layout is remembered, and press keys."""
    gc.collect()
    gc.freeze()  # what this process has imported and the screen has not, as PyTorch, would be looked through
    try:
        with tempfile.TemporaryDirectory() as home, environment(WORKBENCH_HOME=Path(home)):
            return asyncio.run(_press(view, presses))
    finally:
        gc.unfreeze()


def keys_row(what: str, waits: list[float], goal: str) -> Row:
    """The time from a key to its frame."""
    at_99 = sorted(waits)[min(len(waits) - 1, int(0.99 * len(waits)))]
    key = "key to frame, 99th percentile"
    return Row(f"{what}: {key}", f"{at_99:.0f} ms", "-", f"median {median(waits):.0f}", goal)


def measure(metrics: int, points: int, presses: int) -> list[Row]:
    """The rows for a run with this number of metrics and points."""
    say(f"  {metrics:,} metrics with {points:,} points")
    view = many_points(metrics, points)
    process = psutil.Process()
    before = process.memory_info().rss
    opened = open_and_press(view, presses)
    added = (process.memory_info().rss - before) / 1e6
    what = f"charts of {metrics:,} metrics with {points:,} points"
    return [
        Row(
            f"{what}: first frame",
            f"{opened.first:.2f} s",
            "-",
            f"complete {opened.complete:.1f} s",
            "≤ 0.5 s",
        ),
        keys_row(what, opened.waits, "≤ 33 ms"),
        Row(f"{what}: memory beside the points", f"{added:.0f} MB", "-", "-", "≤ 100 MB"),
    ]


def rows(place: Path, scale: Scale) -> list[Row]:
    """Many metrics of usual length, and one that has all points."""
    points = 10 * scale.rows
    return [*measure(1_000, points, scale.keys), *measure(1, points, scale.keys)]
