from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ui.actions.fakes import FakeHost, FakeSelection
from tests.ui.screen_steps import Hold, MakeRun
from workbench.runs import requests
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.run_folder import RunFolder
from workbench.ui.actions.live_tuning import DELAY_SECONDS, LiveTuning
from workbench.ui.actions.targets import RunTargets
from workbench.ui.actions.undo import UndoStack

Select = Callable[[], FakeSelection]
Tuning = tuple[LiveTuning, UndoStack, RunFolder]


@pytest.fixture
def tuning(host: FakeHost, make_run: MakeRun, hold: Hold, selection: Select) -> Tuning:
    """The actions on a live run with 4 epochs."""
    folder = make_run("live", status=None, epochs=4)
    hold(folder)
    stack = UndoStack(host)
    return LiveTuning(host, RunTargets(selection()), stack), stack, folder


def pending(folder: RunFolder) -> list[tuple[RequestKind, RequestValues]]:
    return [(request.kind, request.values) for request in requests.pending_requests(folder)]


def test_key_presses_are_combined_until_the_countdown_ends(tuning: Tuning, host: FakeHost) -> None:
    actions, _, folder = tuning
    actions.add_epochs(1)
    actions.add_epochs(1)
    assert host.countdown is not None
    assert "live +2 epochs: 4 → 6 in 3 s" in host.countdown.plain
    for _ in range(DELAY_SECONDS):
        assert pending(folder) == []
        host.tick()
    assert pending(folder) == [(RequestKind.EPOCHS, RequestValues(add=2))]
    assert host.countdown is None and not any(timer.running for timer in host.timers)


def test_a_pending_change_can_be_cancelled(tuning: Tuning, host: FakeHost) -> None:
    actions, _, folder = tuning
    actions.multiply_lr(0.5)
    assert actions.cancel() and not actions.cancel()
    assert host.texts == ["cancelled: learning rate ÷2 of live"]
    host.tick()
    assert pending(folder) == []


def test_key_presses_that_cancel_each_other_request_nothing(tuning: Tuning) -> None:
    actions, _, folder = tuning
    actions.multiply_lr(2)
    actions.multiply_lr(0.5)
    actions.send_pending()
    assert pending(folder) == []


def test_another_setting_sends_the_pending_change_at_once(tuning: Tuning) -> None:
    actions, _, folder = tuning
    actions.multiply_lr(2)
    actions.add_epochs(1)
    assert pending(folder) == [(RequestKind.LR, RequestValues(times=2))]


def test_a_requested_change_can_be_undone(tuning: Tuning) -> None:
    actions, stack, folder = tuning
    actions.multiply_lr(0.5)
    actions.send_pending()
    stack.undo()
    actions.send_pending()
    assert [values.times for _, values in pending(folder)] == [0.5, 2.0]


def test_quitting_requests_the_pending_change(tuning: Tuning) -> None:
    actions, _, folder = tuning
    actions.multiply_lr(0.5)
    actions.flush()
    assert pending(folder) == [(RequestKind.LR, RequestValues(times=0.5))]


def test_pause_suspend_and_checkpoint_are_requested_at_once(tuning: Tuning, host: FakeHost) -> None:
    actions, _, folder = tuning
    actions.pause()
    actions.checkpoint()
    actions.suspend()
    expected = [
        (RequestKind.PAUSE, RequestValues()),
        (RequestKind.CHECKPOINT, RequestValues()),
        (RequestKind.PAUSE, RequestValues(suspend=True)),
    ]
    assert pending(folder) == expected
    assert host.texts[0] == "live: pause requested"


def test_a_paused_run_is_continued(host: FakeHost, make_run: MakeRun, hold: Hold, selection: Select) -> None:
    folder = make_run("paused", status=None, phase=Phase.PAUSED)
    hold(folder)
    LiveTuning(host, RunTargets(selection()), UndoStack(host)).pause()
    assert [kind for kind, _ in pending(folder)] == [RequestKind.CONTINUE]
