from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from workbench.cli.progress_line import progress_line
from workbench.config.experiment import build_experiment
from workbench.core.progress import Progress
from workbench.io.record_codec import convert, to_json
from workbench.runs.enums import Ending, Phase
from workbench.runs.journal import Attempt, Journal, PhaseChange
from workbench.runs.metrics import ClassMetrics, EvaluationFile
from workbench.runs.reader import RunReader, RunView
from workbench.runs.records import Exit, Seconds
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.runs.store import RunSummary
from workbench.ui.base.bars import BarStyle, bar
from workbench.ui.key_bar import Hint, fit_hints
from workbench.ui.plots.pane import facts
from workbench.ui.runs.compact_status import (
    other_runs_line,
    speed_line,
    top_confusion_line,
    worst_classes_line,
)
from workbench.ui.runs.status_line import fit_summary, status_text

NOW = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))
NIGHT = time.mktime((2026, 11, 30, 22, 0, 0, 0, 0, -1))


@pytest.fixture
def view(make_run: Callable[..., RunFolder]) -> RunView:
    """A run in the middle of its training."""
    found = RunReader(make_run("lr3e-2", done=14, epochs=60, status=None, accuracy=0.913)).read_all()
    found.status = Status.RUNNING
    found.heartbeat = msgspec.structs.replace(found.heartbeat, eta=11280.0)
    return found


def test_at_120_columns_everything_is_visible(view: RunView) -> None:
    shown = status_text(view, "away 6h: +9 epochs", 120, NOW).plain
    expected = "23%  best val .913@14  ETA 3h08 → 15:08 │ away 6h: +9 epochs"
    assert shown.startswith(" lr3e-2 ● 14/60 ━━━") and shown.endswith(expected)


def test_an_end_on_another_day_has_a_date(view: RunView) -> None:
    assert status_text(view, "", 120, NIGHT).plain.endswith("ETA 3h08 → 12-01 01:08")


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_the_text_fits_into_the_line(view: RunView, width: int) -> None:
    shown = status_text(view, "away 6h: " + "lr1 failed, " * 30, width, NOW)
    assert shown.cell_length <= max(width, 68)
    if width >= 100:
        assert shown.plain.rstrip().endswith("…")


@pytest.mark.parametrize(
    ("heartbeat", "expected"),
    [({"phase": Phase.LOADING, "progress": Progress("MNIST", 30, 60, "bytes")}, "loading MNIST 50%"),
     ({"phase": Phase.LOADING, "progress": Progress("MNIST", 30, None, "bytes")}, "loading MNIST 30"),
     ({"phase": Phase.LOADING}, "loading"), ({"phase": Phase.PAUSED}, "‖"), ({"phase": None}, "starting"),
     ({"phase": Phase.EVALUATING}, "evaluating"), ({"eta": None, "steps_total": None}, "training"),
     ({"eta": math.nan}, "training"), ({"eta": math.inf}, "training"), ({"eta": -1.0}, "training"),
     ({"steps_total": -1}, "0%")],
)  # fmt: skip
def test_the_phase_replaces_the_eta(view: RunView, heartbeat: dict[str, Any], expected: str) -> None:
    view.heartbeat = msgspec.structs.replace(view.heartbeat, **heartbeat)
    assert expected in status_text(view, "", 120, NOW).plain


def test_a_failed_run_shows_its_reason(view: RunView) -> None:
    view.status, view.exit = Status.FAILED, Exit(status=Ending.FAILED, reason="NaN at step 812")
    shown = status_text(view, "", 120, NOW).plain
    assert "✗ 14/60  failed: NaN at step 812" in shown and "━" not in shown  # the reason comes first
    view.exit = Exit(status=Ending.FAILED, reason="the worker was killed by SIGKILL " * 9)
    shown = status_text(view, "away 6h: lr1 failed", 120, NOW).plain
    assert "SIGKILL" in shown and "… │ away 6h: lr1 failed" in shown


def test_damaged_files_are_named(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run("lr3e-2", status="stopped")
    folder.experiment.write_bytes(b"garbage")
    shown = status_text(RunReader(folder).read_all(), "", 120, NOW).plain
    assert f" {folder.id} ■ 2/4 " in shown and shown.endswith("stopped  can't read experiment.json")
    folder.exit.write_bytes(b"garbage")
    shown = status_text(RunReader(folder).read_all(), "", 160, NOW).plain
    assert "? 2/4  unknown: exit.json is damaged, so how the run ended is unknown" in shown


def test_after_a_resume_all_views_agree(
    make_run: Callable[..., RunFolder], write_run: dict[str, Callable[..., None]]
) -> None:
    folder = make_run(status=None)
    journal = Journal(folder.journal)
    journal.append(PhaseChange(phase=Phase.ENDED, attempt=1, seconds=Seconds(total=100.0)))
    journal.append(Attempt(attempt=2, from_step=20))
    journal.close()
    write_run["heartbeat"](folder, epochs=4, done=3, attempt=2, eta=60.0)
    view = RunReader(folder).read_all()
    view.status = Status.RUNNING
    wide = facts(view, 200, NOW).plain
    for part in ("elapsed 1m44", "320 samples/s"):
        assert part in speed_line(view).plain and part in wide
    for shown in (wide, status_text(view, "", 120, NOW).plain, progress_line(view, 200, time.time())):
        assert "ETA 1m00" in shown
    view.heartbeat = msgspec.structs.replace(view.heartbeat, phase=Phase.PAUSED)
    assert not any("samples/s" in shown for shown in (speed_line(view).plain, facts(view, 200, NOW).plain))


def test_an_empty_view_is_displayed(view: RunView) -> None:
    empty = RunView(view.folder)
    assert status_text(empty, "", 80, NOW).plain == " …"
    assert "Press t to train digits-mlp" in status_text(None, "", 80, NOW, empty=True).plain
    empty.experiment = build_experiment("digits-mlp")
    assert "0/40" in status_text(empty, "", 80, NOW).plain
    assert speed_line(empty).plain == "" and speed_line(None).plain == ""


@pytest.mark.parametrize(
    ("share", "shown"), [(0, "────"), (0.5, "━━──"), (0.65, "━━╸─"), (1, "━━━━"), (7, "━━━━"), (-1, "────")]
)
def test_a_bar_is_half_a_cell_fine(share: float, shown: str) -> None:
    assert "".join(bar(share, 4, BarStyle.PROGRESS)) == shown


def test_worst_classes_and_their_wrong_predictions() -> None:
    rows = (("cat", 0.6), ("\x1bdog", 0.9), ("eel", None))
    nothing = EvaluationFile(step=1, epoch=1, split="test")
    evaluation = msgspec.structs.replace(
        nothing,
        per_class=tuple(ClassMetrics(name=name, accuracy=accuracy) for name, accuracy in rows),
        confusion=((0, 0, 6), (0, 1, 8), (1, 1, 9), (1, 0, 2)),
    )
    assert (
        worst_classes_line(evaluation).plain
        == " worst test  cat .600→\N{REPLACEMENT CHARACTER}dog  \N{REPLACEMENT CHARACTER}dog .900→cat  "
    )
    assert (
        top_confusion_line(evaluation).plain == " ⚠ cat→\N{REPLACEMENT CHARACTER}dog: 80% of all test errors"
    )
    for empty in (None, nothing):
        assert worst_classes_line(empty).plain == "" and top_confusion_line(empty).plain == ""


def test_damaged_classes_of_an_evaluation_are_left_out() -> None:
    sound = EvaluationFile(
        step=1, epoch=1, split="test",
        per_class=(ClassMetrics(name="cat", accuracy=0.6), ClassMetrics(name="dog", accuracy=0.9)),
        confusion=((0, 0, 6), (0, 1, 8), (1, 1, 9), (1, 0, 2)),
    )  # fmt: skip
    content = to_json(sound)
    content["confusion"] += [[0, 7, 9], [0, 1], None, ["a", 0, 9], [0, 1, 1.5], [-1, 0, 9]]
    content["per_class"] += [None, {"class": "fox", "accuracy": "NaN"}]
    damaged = convert(content, EvaluationFile)
    assert worst_classes_line(damaged).plain == worst_classes_line(sound).plain
    assert top_confusion_line(damaged).plain == top_confusion_line(sound).plain
    for lost in ({"per_class": None, "confusion": []}, {"per_class": 3, "confusion": 4}):
        damaged = convert(content | lost, EvaluationFile)
        assert worst_classes_line(damaged).plain == "" and top_confusion_line(damaged).plain == ""


def test_live_runs_come_first_among_the_other_runs() -> None:
    rows = [
        RunSummary("3", "c", Status.FINISHED, best=0.9),
        RunSummary("2", "b", Status.RUNNING),
        RunSummary("1", "a", Status.CRASHED),
    ]
    assert other_runs_line(rows, "1").plain == " other  ● b  ✓ c val .900  "
    assert other_runs_line(rows[:1], "3").plain == ""


def test_a_narrow_key_bar_keeps_help_and_quit() -> None:
    hints = [Hint(key, "word", key) for key in "abcdef"] + [
        Hint("?", "keys", "keys"),
        Hint("q", "quit", "quit"),
    ]
    shown, gap = fit_hints(hints, 30)
    assert [hint.key for hint in shown] == ["a", "b", "?", "q"] and gap == 2
    assert fit_hints(hints, 5)[0] == [] or fit_hints(hints, 5)[0][-1].width <= 5


def test_events_are_shown_whole_or_not_at_all() -> None:
    changes = "away 6h: +9 epochs, 1 resume, lr1 failed"
    assert fit_summary(changes, 60) == changes
    assert fit_summary(changes, 35) == "away 6h: +9 epochs, 1 resume, …"
    assert fit_summary(changes, 25) == "away 6h: +9 epochs, …"
    assert fit_summary(changes, 12) == "", "half a word says nothing"


def test_other_runs_are_shown_whole_and_equal_names_are_distinguished() -> None:
    rows = [
        RunSummary(f"2026-{end}", "digits", Status.FINISHED, monitor="accuracy", test={"accuracy": score})
        for end, score in (("aaaa", 0.9), ("bbbb", 0.8), ("cccc", 0.7))
    ]
    assert other_runs_line(rows, None, 200).plain.count("…") == 3
    shown = other_runs_line(rows, None, 50).plain
    assert shown == " other  ✓ digits …aaaa test .900  "
