from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ui.actions.fakes import FakeHost, FakeSelection


@pytest.fixture
def host(home: Path) -> FakeHost:
    return FakeHost()


@pytest.fixture
def selection(host: FakeHost) -> Callable[[], FakeSelection]:
    """The runs of the store; the newest is selected."""

    def select() -> FakeSelection:
        rows = host.store.list_runs()
        return FakeSelection(rows, rows[0] if rows else None)

    return select
