from __future__ import annotations

import math
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.charts.axes import Axis
from workbench.charts.chart_files import to_csv
from workbench.charts.chart_options import ALL_METRICS, ChartOptions
from workbench.charts.chart_set import ChartSet
from workbench.charts.point_index import POINTS_AT_ONCE
from workbench.charts.run_metrics import RunMetrics, XKind
from workbench.logs.series import Series
from workbench.runs.journal import Attempt, GpuSample, Notice, RefusedResume, SettingChange, SystemSample
from workbench.runs.metrics import EvaluationRow, StepRow, Wall
from workbench.runs.reader import MetricColumns, RunView
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status


def script(name="a", status=Status.FINISHED, start=1000.0, **metrics):
    view = RunView(RunFolder(Path("/nowhere") / name), version=1, status=status)
    for metric, values in metrics.items():
        series = view.logged[metric.replace("__", "/")] = Series()
        series.extend(
            array("q", range(len(values))),
            array("d", values),
            array("d", (start + k for k in range(len(values)))),
        )
    return view


def training():
    view = RunView(RunFolder(Path("/nowhere/t")), version=1, status=Status.FINISHED)
    view.setup = Setup(steps_per_epoch=10)
    for step in range(1, 31):
        wall = Wall(time=1000.0 + step, samples_per_second=50.0)
        view.steps.add(StepRow(step=step, epoch=step / 10, loss=1 / step, lr=0.1, wall=wall))
    for epoch in (1, 2, 3):
        row = EvaluationRow(
            step=10 * epoch,
            epoch=epoch,
            split="validation",
            loss=2 / epoch,
            wall=Wall(time=1000.0 + 10 * epoch),
        )
        view.evaluations.append(row)
    gpu = GpuSample(index=0, load=0.5, temperature=61.0)
    view.journal.append(SystemSample(time=1015.0, step=15, machine_cpu=0.25, gpus=(gpu,)))
    return view


def charts_of(*views):
    charts = ChartSet()
    charts.update(views)
    return charts


def test_the_metrics_of_a_training_are_those_of_steps_evaluations_and_the_machine():
    charts = charts_of(training())
    assert list(charts.names) == [
        "machine/cpu", "machine/gpu0/load", "machine/gpu0/temperature",
        "train/loss", "train/lr", "train/samples_per_second", "validation/loss",
    ]  # fmt: skip
    line = charts.chart("validation/loss", ChartOptions(), 100).lines[0]
    assert list(line.curve.values.xs) == [10, 20, 30] and line.at_cursor == pytest.approx(2 / 3)
    assert line.curve.best == (30, pytest.approx(2 / 3))
    assert charts.chart("machine/gpu0/temperature", ChartOptions(), 10).lines[0].at_cursor == 61.0


@pytest.mark.parametrize(
    ("kind", "last"), [(XKind.STEP, 30), (XKind.EPOCH, 3.0), (XKind.RELATIVE, 29.0), (XKind.WALL, 1030.0)]
)
def test_the_x_axis_counts_steps_epochs_or_time(kind, last):
    charts = charts_of(training())
    options = ChartOptions(x=kind)
    assert charts.extent(kind).high == pytest.approx(last)
    assert charts.chart("train/loss", options, 200).lines[0].curve.values.xs[-1] == pytest.approx(last)
    assert charts.chart("validation/loss", options, 200).lines[0].curve.values.xs[-1] == pytest.approx(last)


def test_what_is_unknown_of_a_metric_has_no_line():
    view = script(loss=[1.0, 2.0], start=math.nan)
    charts = charts_of(view)
    for kind in (XKind.EPOCH, XKind.RELATIVE, XKind.WALL):
        chart = charts.chart("loss", ChartOptions(x=kind), 50)
        assert chart.lines == [] and chart.by_value() == []
    assert charts_of().chart("loss", ChartOptions(), 50).lines == []


def test_no_minimum_or_maximum_is_lost_however_narrow_the_chart():
    values = [0.0] * 50_000
    values[12_345], values[40_001] = 9.0, -9.0
    curve = charts_of(script(x=values)).chart("x", ChartOptions(), 20).lines[0].curve.values
    assert len(curve.xs) == 20
    assert (max(curve.highs), min(curve.lows)) == (9.0, -9.0)
    assert curve.highs[12_345 * 20 // 49_999] == 9.0 and curve.lows[40_001 * 20 // 49_999] == -9.0


def test_the_values_at_the_cursor_are_the_last_ones_before_it_highest_first():
    charts = charts_of(script("a", loss=[1.0, 2.0, 3.0]), script("b", loss=[5.0, math.nan]))
    at = {x: [(line.run_id, line.at_cursor) for line in charts.chart("loss", ChartOptions(cursor=x), 50).by_value()]
          for x in (None, 0.0, 1.5)}  # fmt: skip
    assert at == {
        None: [("b", 5.0), ("a", 3.0)],
        0.0: [("b", 5.0), ("a", 1.0)],
        1.5: [("b", 5.0), ("a", 2.0)],
    }
    assert charts.chart("loss", ChartOptions(cursor=-1.0), 50).by_value() == []


def test_relative_time_begins_with_each_run():
    charts = charts_of(script("a", loss=[1.0] * 5, start=1000.0), script("b", loss=[1.0] * 9, start=9000.0))
    lines = charts.chart("loss", ChartOptions(x=XKind.RELATIVE), 50).lines
    assert [(line.curve.values.xs[0], line.curve.values.xs[-1]) for line in lines] == [(0, 4), (0, 8)]
    assert charts.extent(XKind.RELATIVE).high == 8


def test_smoothing_keeps_the_original_and_gives_the_smoothed_value_at_the_cursor():
    line = charts_of(script(x=[0.0, 1.0] * 50)).chart("x", ChartOptions(smoothing=0.9), 400).lines[0]
    assert line.curve.smoothed is not None and set(line.curve.values.lows) == {0.0, 1.0}
    assert line.at_cursor == pytest.approx(0.5, abs=0.05) and max(line.curve.smoothed.highs) < 0.7


def test_new_points_are_added_and_another_record_replaces_them():
    view = training()
    charts = charts_of(view)
    chart = charts.chart("train/loss", ChartOptions(), 100)
    view.steps.add(StepRow(step=31, epoch=3.1, loss=7.0))
    charts.update([view])
    assert (
        charts.chart("train/loss", ChartOptions(), 100).lines[0].at_cursor == 7.0 != chart.lines[0].at_cursor
    )
    view.steps = MetricColumns()
    view.steps.add(StepRow(step=1, epoch=0.1, loss=8.0))
    view.evaluations, view.journal = [], []
    charts.update([view])
    assert list(charts.names) == ["train/loss"]
    assert charts.chart("train/loss", ChartOptions(), 100).lines[0].at_cursor == 8.0


def test_the_axis_of_a_live_run_doubles_and_that_of_an_ended_one_ends_with_it():
    assert charts_of(script(x=[0.0] * 300, status=Status.RUNNING)).extent(XKind.STEP).high == 512
    assert charts_of(script(x=[0.0] * 300)).extent(XKind.STEP).high == 299


def test_a_long_series_is_indexed_in_parts(monkeypatch):
    monkeypatch.setattr("workbench.charts.chart_set.INDEX_SECONDS", 0.0)
    charts, lengths = charts_of(script(x=[0.0] * (2 * POINTS_AT_ONCE + 1))), []
    while charts.pending or not lengths:
        charts.begin_frame()
        lengths.append(len(charts.chart("x", ChartOptions(), 100).lines[0].curve.values.xs))
    assert lengths == [50, 100, 100]


def test_outliers_are_cut_off_unless_they_are_wanted():
    charts = charts_of(script(x=[1.0] * 100 + [500.0] + [1.0] * 100))
    assert charts.chart("x", ChartOptions(), 400).y_axis.high < 10
    assert charts.chart("x", ChartOptions(span="all"), 400).y_axis.high >= 500
    assert charts.chart("x", ChartOptions(log="y"), 400).y_axis.scale == "log"


def test_an_axis_without_outliers_spans_the_1st_to_the_99th_percentile_of_what_is_visible():
    values = [-400.0, *(10 + k / 100 for k in range(198)), 500.0]
    charts = charts_of(script(x=values))
    axis = charts.chart("x", ChartOptions(span="inner"), 400).y_axis
    assert 9 <= axis.low <= 10.1 and 11.8 <= axis.high < 13
    assert charts.chart("x", ChartOptions(span="inner", window=(50.0, 100.0)), 400).y_axis.low > 9


def test_a_fixed_axis_is_that_of_its_metric():
    charts = charts_of(script(x=[1.0, 2.0], y=[1.0, 2.0]))
    options = ChartOptions().with_limits("x", (-1.0, 7.0)).with_limits(ALL_METRICS, (0.5, 3.0))
    axes = {name: charts.chart(name, options, 100).y_axis for name in "xy"}
    assert {name: (axis.low, axis.high) for name, axis in axes.items()} == {"x": (-1.0, 7.0), "y": (0.5, 3.0)}
    assert charts.chart("y", replace(options, log="y"), 100).y_axis == Axis(0.5, 3.0, "log")
    follows = options.with_limits("x", None).with_limits(ALL_METRICS, None)
    assert follows.limits == {} and charts.chart("x", follows, 100).y_axis == Axis(1.0, 2.0)


def test_events_stand_where_they_happened_on_each_axis():
    view = training()
    view.journal = [
        Attempt(attempt=1, time=990.0),
        SettingChange(setting="train.lr", before=0.1, value=0.05, step=10, time=1010.0),
        SystemSample(step=14, time=1014.0),
        Notice(text="no progress for\n10 minutes", time=1014.5),
        Attempt(attempt=2, from_step=20, overrides={"train.epochs": 4}, time=1050.0),
        Attempt(attempt=3, from_step=25, time=1060.0),
        RefusedResume(attempt=3, reason="no", time=1061.0),
    ]
    charts = charts_of(view)
    found = {kind: charts.events(ChartOptions(kind)) for kind in XKind}
    texts = ["lr 0.1 → 0.05", "no progress for 10 minutes", "resumed, epochs 4"]
    assert all([event.text for event in events] == texts for events in found.values())
    xs = {kind: [event.x for event in events] for kind, events in found.items()}
    assert xs[XKind.STEP] == [10, 14, 20] and xs[XKind.EPOCH] == pytest.approx([1.0, 1.4, 2.0])
    assert xs[XKind.RELATIVE] == [9.0, 13.5, 49.0] and xs[XKind.WALL] == [1010.0, 1014.5, 1050.0]
    zoomed = ChartOptions(window=(12.0, 16.0))
    assert [event.x for event in charts.chart("train/loss", zoomed, 100).events] == [14]


def test_steps_of_a_series_with_epochs_of_its_own():
    view = script()
    series = view.logged["loss"] = Series()
    series.append(100, 1.0, epoch=0.5)
    series.append(200, 2.0, epoch=1.0)
    metrics = RunMetrics()
    metrics.update(view)
    assert list(metrics.points("loss", XKind.EPOCH).xs) == [0.5, 1.0]


def test_repeats_are_one_line_with_their_mean_and_deviation():
    charts = charts_of(
        script("a", loss=[1.0, 2.0, 3.0]), script("b", loss=[3.0, 4.0]), script("c", loss=[9.0])
    )
    charts.groups = [["a", "b"], ["c"]]
    mean, single = charts.chart("loss", ChartOptions(), 100).lines
    assert (mean.runs, single.runs) == (2, 1)
    assert mean.curve.smoothed.xs == [0.0, 1.0, 2.0]
    assert mean.curve.smoothed.lows == [2.0, 3.0, 3.0], "the last value is of the run that is further along"
    sd = math.sqrt(2)
    assert mean.curve.values.lows == pytest.approx([2 - sd, 3 - sd, 3])
    assert mean.curve.values.highs == pytest.approx([2 + sd, 3 + sd, 3])
    at_first = charts.chart("loss", ChartOptions(cursor=0.0), 100).lines[0]
    assert (at_first.at_cursor, at_first.deviation) == pytest.approx((2.0, sd))
    table = to_csv([charts.chart("loss", ChartOptions(), 100)], {"a": "base ×2"}, ChartOptions())
    assert table.splitlines()[0] == "metric,run,name,step,low,high,mean"
    assert table.splitlines()[3] == "loss,a,base ×2,2.0,3.0,3.0,3.0"
