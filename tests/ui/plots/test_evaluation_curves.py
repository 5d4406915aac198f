"""Evaluations as curves: the same however they come, and only what is new is taken in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from workbench.runs.metrics import EvaluationRow
from workbench.runs.reader import MetricColumns, RunView
from workbench.runs.run_folder import RunFolder
from workbench.ui.plots.evaluation_curves import Measured


def row(step: int, split: str = "validation", **values: Any) -> EvaluationRow:
    return EvaluationRow(step=step, epoch=step / 10, split=split, **{"loss": 1 / step, **values})


def view_of(rows: list[EvaluationRow]) -> RunView:
    return RunView(RunFolder(Path("run")), evaluations=rows)


def test_what_comes_bit_by_bit_is_what_comes_at_once() -> None:
    rows = [row(step, best=step == 30) for step in range(10, 110, 10)]
    rows[4] = msgspec.structs.replace(rows[4], loss=math.nan)
    view = view_of(rows[:3])
    bit_by_bit = Measured().followed(view, 10.0)
    assert list(bit_by_bit.curve("loss").xs) == [1, 2, 3]
    view.evaluations = rows  # the monitor gives a new list each time
    assert bit_by_bit.followed(view, 10.0) is bit_by_bit
    at_once = Measured().followed(view_of(rows), 10.0)
    for measured in (bit_by_bit, at_once):
        curve = measured.curve("loss")
        assert list(curve.xs) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
        assert list(curve.ys) == [1 / step for step in range(10, 110, 10) if step != 50]
        assert (measured.reached, measured.best) == (10, rows[2])


def test_validation_is_drawn_where_there_is_any_and_the_result_is_known() -> None:
    rows = [row(10, "test")]
    view = view_of(rows)
    measured = Measured().followed(view, 10.0)
    assert measured.split == "test" and len(measured.curve("loss")) == 1
    rows += [row(10), row(20, "test", final=True)]
    measured = measured.followed(view, 10.0)
    assert measured.split == "validation" and list(measured.curve("loss").xs) == [1]
    assert measured.final is rows[2]
    assert len(measured.curve("macro_f1")) == 0


def test_a_record_that_begins_afresh_is_taken_in_anew() -> None:
    view = view_of([row(10), row(20)])
    measured = Measured().followed(view, 10.0)
    view.steps, view.evaluations = MetricColumns(), [row(10), row(20, loss=5.0)]
    assert list(measured.followed(view, 10.0).curve("loss").ys) == [0.1, 5.0]
    shorter = view_of([row(10)])
    shorter.steps = view.steps
    assert len(measured.followed(shorter, 10.0).curve("loss")) == 1


def test_without_epochs_the_axis_counts_steps() -> None:
    measured = Measured().followed(view_of([row(30)]), None)
    assert measured.reached == 30
    assert math.isclose(Measured(None, 15.0).position(EvaluationRow(step=30, epoch=math.nan)), 2.0)
