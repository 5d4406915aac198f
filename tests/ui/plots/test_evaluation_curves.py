"""Curves of evaluations: incremental updates give the same curves as reading everything at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from workbench.runs.metrics import EvaluationRow
from workbench.runs.reader import MetricColumns, RunView
from workbench.runs.run_folder import RunFolder
from workbench.ui.plots.evaluation_curves import EvaluationCurves


def row(step: int, split: str = "validation", **values: Any) -> EvaluationRow:
    return EvaluationRow(step=step, epoch=step / 10, split=split, **{"loss": 1 / step, **values})


def view_of(rows: list[EvaluationRow]) -> RunView:
    return RunView(RunFolder(Path("run")), evaluations=rows)


def test_incremental_updates_equal_one_update() -> None:
    rows = [row(step, best=step == 30) for step in range(10, 110, 10)]
    rows[4] = msgspec.structs.replace(rows[4], loss=math.nan)
    view = view_of(rows[:3])
    incremental = EvaluationCurves().updated(view, 10.0)
    assert list(incremental.curve("loss").xs) == [1, 2, 3]
    view.evaluations = rows  # the monitor gives a new list each time
    assert incremental.updated(view, 10.0) is incremental
    at_once = EvaluationCurves().updated(view_of(rows), 10.0)
    for curves in (incremental, at_once):
        curve = curves.curve("loss")
        assert list(curve.xs) == [1, 2, 3, 4, 6, 7, 8, 9, 10]
        assert list(curve.ys) == [1 / step for step in range(10, 110, 10) if step != 50]
        assert (curves.last_x, curves.best) == (10, rows[2])


def test_validation_is_preferred_and_the_final_result_is_known() -> None:
    rows = [row(10, "test")]
    view = view_of(rows)
    curves = EvaluationCurves().updated(view, 10.0)
    assert curves.split == "test" and len(curves.curve("loss")) == 1
    rows += [row(10), row(20, "test", final=True)]
    curves = curves.updated(view, 10.0)
    assert curves.split == "validation" and list(curves.curve("loss").xs) == [1]
    assert curves.final is rows[2]
    assert len(curves.curve("macro_f1")) == 0


def test_a_replaced_record_is_read_from_the_start() -> None:
    view = view_of([row(10), row(20)])
    curves = EvaluationCurves().updated(view, 10.0)
    view.steps, view.evaluations = MetricColumns(), [row(10), row(20, loss=5.0)]
    assert list(curves.updated(view, 10.0).curve("loss").ys) == [0.1, 5.0]
    shorter = view_of([row(10)])
    shorter.steps = view.steps
    assert len(curves.updated(shorter, 10.0).curve("loss")) == 1


def test_without_epochs_the_axis_counts_steps() -> None:
    curves = EvaluationCurves().updated(view_of([row(30)]), None)
    assert curves.last_x == 30
    assert math.isclose(EvaluationCurves(None, 15.0).position(EvaluationRow(step=30, epoch=math.nan)), 2.0)
