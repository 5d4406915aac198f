from __future__ import annotations

import pytest

from tests.ui.actions.fakes import FakeSelection
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.actions.targets import RunTargets, action_label

LIVE = RunSummary("2", "live", Status.RUNNING)
ENDED = RunSummary("1", "ended", Status.FINISHED)


def targets(selected: RunSummary | None, *marked: RunSummary) -> RunTargets:
    return RunTargets(FakeSelection([LIVE, ENDED], selected, list(marked)))


def test_marked_runs_are_the_targets_else_the_selected_one() -> None:
    assert targets(LIVE).target_runs == [LIVE]
    assert targets(LIVE, ENDED).target_runs == [ENDED]
    assert targets(None).target_runs == []


def test_an_action_applies_to_the_runs_whose_status_allows_it() -> None:
    both = targets(None, LIVE, ENDED)
    assert both.eligible_runs("stop") == [LIVE]
    assert both.eligible_runs("trash") == [ENDED]
    assert both.eligible_runs("notes") == [LIVE, ENDED]


def test_why_an_action_is_unavailable() -> None:
    assert targets(LIVE).unavailable_reason("stop") == ""
    assert targets(LIVE).unavailable_reason("zoom") == ""
    assert targets(None).unavailable_reason("stop") == "no runs yet: t trains the experiment"
    assert targets(ENDED).unavailable_reason("pause") == "pause: ended is finished, not running; r resumes it"
    assert targets(LIVE).unavailable_reason("trash") == "move to trash: live is running; s stops it first"


def test_runs_are_named_or_counted() -> None:
    twin = RunSummary("20260101-aaaa", "live", Status.RUNNING)
    same = RunTargets(FakeSelection([LIVE, twin], LIVE))
    assert same.display_names([twin]) == "live …aaaa"
    assert same.display_names([LIVE, twin]) == "2 runs"


@pytest.mark.parametrize(
    ("action", "parameters", "label"),
    [
        ("multiply_lr", (2,), "lr ×2"),
        ("multiply_lr", (0.5,), "lr ÷2"),
        ("add_epochs", (-1,), "epochs -1"),
        ("suspend", (), "suspend"),
        ("trash", (), "move to trash"),
        ("stop", (), "stop"),
    ],
)
def test_the_label_of_an_action(action: str, parameters: tuple[object, ...], label: str) -> None:
    assert action_label(action, *parameters) == label
