"""The app's one session process, started by the first request and ended with the app."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App

from workbench.compute.client import SessionClient
from workbench.core import paths
from workbench.core.progress import Progress
from workbench.core.text import amount

_clients: WeakKeyDictionary[App[Any], SessionClient] = WeakKeyDictionary()


def session_of(app: App[Any]) -> SessionClient:
    """The client that all panes of `app` share; its process logs to `$WORKBENCH_HOME/session.log`."""
    if app not in _clients:
        _clients[app] = SessionClient(paths.home() / "session.log")
    return _clients[app]


def progress_text(progress: Progress) -> str:
    """`decoding 300 of 5k`; without numbers where there is nothing to count."""
    done, total = progress.done, progress.total
    counted = f" {amount(done, total, progress.unit)}" if done or total else ""
    return f"{progress.what}{counted}"


def close_session(app: App[Any]) -> None:
    """End the process, if there is one; a later request would start another."""
    client = _clients.pop(app, None)
    if client is not None:
        client.close()
