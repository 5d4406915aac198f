"""Steps that tests of the screen share, and the types of the fixtures in `conftest`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot

from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.form import Form
from workbench.ui.widgets.notice_bar import NotificationBar

MakeRun = Callable[..., RunFolder]
Hold = Callable[[RunFolder], subprocess.Popen[str]]
TextOf = Callable[[App[Any]], str]
Until = Callable[..., Any]


async def ready(pilot: Pilot[Any], until: Until) -> WorkbenchApp:
    """The app once all panes are mounted and, where there are runs, one is selected."""
    app = pilot.app
    assert isinstance(app, WorkbenchApp)
    runs = app.runs
    await until(pilot, lambda: set(app.main_view.panes) == set(PANES))
    await until(pilot, lambda: runs.rows is not None and (not runs.rows or runs.selected is not None))
    await pilot.pause()
    return app


async def choose(pilot: Pilot[Any], until: Until, text: str, shown: str = "") -> None:
    """Filter the chooser that opens by `text`, wait until `shown` is on the screen, and choose the first row."""
    await until(pilot, lambda: isinstance(pilot.app.screen, Chooser))
    await pilot.press(*text)
    await pilot.pause()
    if shown:
        await until(pilot, shown)
    await pilot.press("enter")


async def move_to_row(pilot: Pilot[Any], form: Form, key: str) -> None:
    """Move the cursor of a form down to the row with this key."""
    while form.highlighted is None or form.highlighted.key != key:
        await pilot.press("down")


def notification_texts(app: App[Any]) -> list[str]:
    """All notifications so far."""
    return [notice.text for notice in app.query_one(NotificationBar).notifications]


def notified(app: App[Any], text: str) -> bool:
    """Whether a notification contains `text`."""
    return any(text in notification for notification in notification_texts(app))


def requested(folder: RunFolder) -> list[tuple[RequestKind, RequestValues]]:
    """The pending requests of a run, oldest first."""
    return [(request.kind, request.values) for request in requests.pending_requests(folder)]
