"""The app's one session process, started by the first request and ended with the app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from textual.app import App

from workbench import paths
from workbench.session.client import SessionClient
from workbench.text import size

_clients: WeakKeyDictionary[App[Any], SessionClient] = WeakKeyDictionary()


def session_of(app: App[Any]) -> SessionClient:
    """The client that all panes of `app` share; its process logs to `$WORKBENCH_HOME/session.log`."""
    if app not in _clients:
        _clients[app] = SessionClient(paths.home() / "session.log")
    return _clients[app]


def how_far(progress: Mapping[str, Any]) -> str:
    """What a request does at this moment: `decoding 300 of 5000`, or only what where there is nothing to count."""
    shown = size if progress.get("unit") == "bytes" else str
    done, total = progress.get("done") or 0, progress.get("total")
    counted = f" {shown(done)}" + (f" of {shown(total)}" if total else "") if done or total else ""
    return f"{progress.get('what', '')}{counted}"


def close_session(app: App[Any]) -> None:
    """End the process, if there is one; a later request would start another."""
    client = _clients.pop(app, None)
    if client is not None:
        client.close()
