from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from workbench.runs.layout import RunFolder
from workbench.runs.reader import RunReader, RunView
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.text import clock
from workbench.ui.keys import Hint, fit
from workbench.ui.widgets.statusline import bar, eta, line
from workbench.ui.widgets.strip import biggest_confusion, others, speed, worst

NOW = time.time()


@pytest.fixture
def view(make_run: Callable[..., RunFolder]) -> RunView:
    """A run in the middle of its training."""
    found = RunReader(make_run("lr3e-2", done=14, epochs=60, status=None, accuracy=0.913)).read_all()
    found.status = Status.RUNNING
    found.heartbeat = {**found.heartbeat, "eta": 11280.0}
    return found


def test_everything_is_there_at_120(view: RunView) -> None:
    shown = line(view, "away 6h: +9 epochs", 120, NOW).plain
    expected = f"23%  best .913@14  ETA 3h08 → {clock(NOW + 11280)} │ away 6h: +9 epochs"
    assert shown.startswith(" lr3e-2 ● 14/60 ━━━") and shown.endswith(expected)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_it_stays_within_the_line(view: RunView, width: int) -> None:
    shown = line(view, "away 6h: " + "lr1 failed, " * 30, width, NOW)
    assert shown.cell_length <= max(width, 68)
    if width >= 100:
        assert shown.plain.rstrip().endswith("…")


@pytest.mark.parametrize(
    ("beat", "said"),
    [({"phase": "loading", "progress": {"what": "MNIST", "done": 30, "total": 60}}, "loading MNIST 50%"),
     ({"phase": "loading", "progress": None}, "loading"), ({"phase": "paused"}, "‖"),
     ({"phase": "evaluating"}, "evaluating"), ({"phase": "training", "eta": None, "steps_total": None}, "training"),
     ({"eta": "NaN"}, "training"), ({"eta": "Infinity"}, "training"), ({"step": "NaN"}, "0%"),
     ({"steps_total": "Infinity"}, "0%"), ({"steps_total": -1}, "0%")],
)  # fmt: skip
def test_what_it_does_instead_of_training(view: RunView, beat: dict[str, Any], said: str) -> None:
    view.heartbeat = {**view.heartbeat, **beat}
    assert said in line(view, "", 120, NOW).plain


def test_how_it_ended(view: RunView) -> None:
    view.status, view.exit = Status.FAILED, {"status": "failed", "reason": "NaN at step 812"}
    shown = line(view, "", 120, NOW).plain
    assert "✗ 14/60  failed: NaN at step 812" in shown and "━" not in shown  # why stands before all else
    view.exit["reason"] = "the worker was ended by SIGKILL " * 9
    shown = line(view, "away 6h: lr1 failed", 120, NOW).plain
    assert "SIGKILL" in shown and "… │ away 6h: lr1 failed" in shown


def test_the_time_left_goes_by_the_pace_where_nothing_is_said(view: RunView) -> None:
    view.heartbeat = {**view.heartbeat, "eta": None}
    assert eta(view) == pytest.approx((600 - 140) * 2.5 / 140)
    view.journal = []
    assert eta(view) is None


def test_a_view_without_anything_is_shown(view: RunView) -> None:
    empty = RunView(view.folder)
    assert line(empty, "", 80, NOW).plain == " …"
    assert "press t to train digits-mlp" in line(None, "", 80, NOW, empty=True).plain
    empty.experiment = {"name": "x"}
    assert "0/?" in line(empty, "", 80, NOW).plain
    assert speed(empty).plain == "" and speed(None).plain == ""


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "────"), (0.5, "━━──"), (0.65, "━━╸─"), (1, "━━━━"), (7, "━━━━"), (-1, "────")]
)
def test_a_bar_is_half_a_cell_fine(share: float, shown: str) -> None:
    assert bar(share, 4, "").plain == shown


def test_worst_classes_and_what_they_are_taken_for() -> None:
    rows = [
        {"class": name, "accuracy": accuracy}
        for name, accuracy in (("cat", 0.6), ("\x1bdog", 0.9), ("eel", None))
    ]
    evaluation = {"per_class": rows, "confusion": [[0, 0, 6], [0, 1, 8], [1, 1, 9], [1, 0, 2]]}
    assert (
        worst(evaluation).plain
        == " worst  cat .600→\N{REPLACEMENT CHARACTER}dog  \N{REPLACEMENT CHARACTER}dog .900→cat  "
    )
    assert biggest_confusion(evaluation).plain == " ⚠ cat→\N{REPLACEMENT CHARACTER}dog: 80% of all errors"
    for nothing in (None, {}, {"per_class": None, "confusion": []}):
        assert worst(nothing).plain == "" and biggest_confusion(nothing).plain == ""


def test_other_runs_those_that_go_on_first() -> None:
    rows = [
        RunSummary("3", "c", Status.FINISHED, best=0.9),
        RunSummary("2", "b", Status.RUNNING),
        RunSummary("1", "a", Status.LOST),
    ]
    assert others(rows, "1").plain == " other  ● b  ✓ c .900  "
    assert others(rows[:1], "3").plain == ""


def test_a_narrow_line_of_keys_keeps_the_way_out() -> None:
    hints = [Hint(key, "word", key) for key in "abcdef"] + [
        Hint("?", "keys", "keys"),
        Hint("q", "quit", "quit"),
    ]
    shown, gap = fit(hints, 30)
    assert [hint.key for hint in shown] == ["a", "b", "?", "q"] and gap == 2
    assert fit(hints, 5)[0] == [] or fit(hints, 5)[0][-1].width <= 5
