"""Ctrl-C while a run is followed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.cli import follow
from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status


@pytest.fixture
def ended_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends at Ctrl-C, before it can be stopped."""

    def stop_run(_folder: RunFolder) -> None:
        raise UserError("it is finished and accepts no requests")

    monkeypatch.setattr(launch, "stop_run", stop_run)


def following(monkeypatch: pytest.MonkeyPatch, *results: Status | BaseException) -> None:
    """Let each call of `Follower.follow` return or raise the next of `results`."""
    remaining: Iterator[Status | BaseException] = iter(results)

    def follow_once(_follower: follow.Follower) -> Status:
        result = next(remaining)
        if isinstance(result, BaseException):
            raise result
        return result

    monkeypatch.setattr(follow.Follower, "follow", follow_once)


@pytest.mark.usefixtures("ended_run")
def test_a_run_that_ends_at_ctrl_c_has_its_own_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following(monkeypatch, KeyboardInterrupt(), Status.FINISHED)
    assert follow.wait_or_stop(RunFolder(tmp_path)) == (Status.FINISHED, True)


@pytest.mark.usefixtures("ended_run")
def test_an_error_while_following_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    following(monkeypatch, KeyboardInterrupt(), ValueError("a defect"), Status.FINISHED)
    with pytest.raises(ValueError, match="a defect"):
        follow.wait_or_stop(RunFolder(tmp_path))
