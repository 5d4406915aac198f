from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.actions.fakes import FakeHost, FakeSelection
from tests.ui.screen_steps import Hold, MakeRun
from workbench.runs import requests
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import Answer
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


def answer(folder: RunFolder, outcome: Outcome, text: str = "lr 0.1 → 0.05") -> None:
    """Reply to all pending requests, as the worker does."""
    for request in requests.pending_requests(folder):
        requests.write_answer(folder, request, Answer(outcome, text))


def halve_lr(tuning: Tuning) -> tuple[UndoStack, RunFolder]:
    actions, stack, folder = tuning
    actions.multiply_lr(0.5)
    actions.send_pending()
    return stack, folder


def test_a_change_that_the_run_has_not_read_is_withdrawn(tuning: Tuning, host: FakeHost) -> None:
    stack, folder = halve_lr(tuning)
    stack.undo()
    assert pending(folder) == [] and host.texts[-1] == "undone: live: learning rate ÷2"


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.REJECTED])
def test_a_change_is_undone_if_the_run_agrees(outcome: Outcome, tuning: Tuning, host: FakeHost) -> None:
    stack, folder = halve_lr(tuning)
    answer(folder, Outcome.DONE)
    sent: list[tuple[RequestKind, RequestValues]] = []

    def reply(run: RunFolder, request: str, *_: Any) -> Answer | None:
        sent.extend(pending(run))
        answer(run, outcome, "lr can't be that small")
        return requests.read_answer(run, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "wait_for_answer", reply)
        stack.undo()
    assert sent == [(RequestKind.LR, RequestValues(times=2.0))]
    change = "live: learning rate ÷2"
    expected = (f"undone: {change}", "information") if outcome is Outcome.DONE else (
        f"not undone: {change}: the run has not agreed: lr can't be that small", "error"
    )  # fmt: skip
    assert host.notices[-1] == expected


def test_a_change_that_was_refused_is_not_undone(tuning: Tuning, host: FakeHost) -> None:
    stack, folder = halve_lr(tuning)
    answer(folder, Outcome.REJECTED, "lr can't be that small")
    stack.undo()
    assert pending(folder) == []
    text = "not undone: live: learning rate ÷2: it did not take effect: lr can't be that small"
    assert host.notices[-1] == (text, "error")


def test_a_change_of_a_run_that_ended_is_not_undone(
    host: FakeHost, make_run: MakeRun, hold: Hold, selection: Select
) -> None:
    folder = make_run("live", status=None)
    holder, stack = hold(folder), UndoStack(host)
    halve_lr((LiveTuning(host, RunTargets(selection()), stack), stack, folder))
    answer(folder, Outcome.DONE)
    holder.kill()
    holder.wait()
    stack.undo()
    assert host.texts[-1] == "not undone: live: learning rate ÷2: live is crashed; r resumes it"
    assert folder.id not in host.texts[-1], "no raw ids"


def test_the_completed_epochs_can_not_be_taken_away(
    host: FakeHost, make_run: MakeRun, hold: Hold, selection: Select
) -> None:
    folder = make_run("live", status=None, epochs=5, done=3)
    hold(folder)
    actions = LiveTuning(host, RunTargets(selection()), UndoStack(host))
    for _ in range(4):
        actions.add_epochs(-1)
    assert (
        host.texts
        == ["live: epochs can't be 3: 3 epochs are completed, so the smallest useful number is 4"] * 3
    )
    actions.send_pending()
    assert pending(folder) == [(RequestKind.EPOCHS, RequestValues(add=-1))]


def test_a_second_p_takes_a_pause_back_that_has_not_begun(tuning: Tuning, host: FakeHost) -> None:
    """A run that loads or chooses its CPU threads reads no requests."""
    actions, _, folder = tuning
    assert actions.pause_label == "pause"
    actions.pause()
    assert actions.pause_label == "continue"
    assert pending(folder) == [(RequestKind.PAUSE, RequestValues())]
    actions.pause()
    assert pending(folder) == [] and host.texts[-1] == "live: pause withdrawn"
    assert actions.pause_label == "pause"


def test_a_second_p_continues_a_run_that_has_just_paused(tuning: Tuning, host: FakeHost) -> None:
    """Its reply is there, and the list of runs does not show it as paused yet."""
    actions, _, folder = tuning
    actions.pause()
    answer(folder, Outcome.DONE, "paused at step 20")
    actions.pause()
    assert pending(folder) == [(RequestKind.CONTINUE, RequestValues())]
    assert host.texts[-1] == "live: continue requested"


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
