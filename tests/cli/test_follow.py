"""Errors while a run is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli import follow
from workbench.cli.signals import SignalRecorder
from workbench.cli.waiting import RunWaiter
from workbench.runs.run_folder import RunFolder


def test_an_error_while_following_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_follower: follow.Follower) -> None:
        raise ValueError("a defect")

    monkeypatch.setattr(follow.Follower, "poll", fail)
    with SignalRecorder() as signals, pytest.raises(ValueError, match="a defect"):
        RunWaiter(RunFolder(tmp_path), signals, owner=True).wait()
