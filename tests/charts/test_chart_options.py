from __future__ import annotations

import time

import pytest

from workbench.charts.axes import Axis
from workbench.charts.chart_options import SMOOTHING, ChartOptions, Extent, format_limits, parse_limits
from workbench.charts.run_metrics import XKind
from workbench.core.errors import UserError

EXTENT = Extent(0.0, 100.0, 1.0)


def test_the_cursor_moves_by_cells_and_is_removed_past_the_end():
    options = ChartOptions().stepped(-1, 50, EXTENT)
    assert options.cursor == pytest.approx(98) and options.cursor_label == "step 98"
    assert options.stepped(-1, 50, EXTENT).cursor == pytest.approx(96)
    assert options.stepped(2, 50, EXTENT).cursor is None
    assert ChartOptions().stepped(1, 50, EXTENT).cursor is None
    assert ChartOptions(cursor=1.0).stepped(-5, 50, EXTENT).cursor == 0.0


def test_a_zoom_keeps_the_cursor_in_its_place_and_ends_with_the_whole_range():
    zoomed = ChartOptions(cursor=40.0).zoomed(0.5, EXTENT)
    assert zoomed.window == (20.0, 70.0)
    assert ChartOptions().zoomed(0.5, EXTENT).window == (50.0, 100.0)
    assert zoomed.zoomed(2, EXTENT).window is None
    for _ in range(40):
        zoomed = zoomed.zoomed(0.5, EXTENT)
    assert zoomed.window is not None and zoomed.window[1] > zoomed.window[0]


def test_the_visible_part_moves_with_keys_and_with_the_cursor():
    options = ChartOptions(window=(50.0, 100.0))
    assert options.panned(-0.5, EXTENT).window == (25.0, 75.0)
    assert options.panned(0.5, EXTENT).window == (50.0, 100.0)
    assert ChartOptions().panned(0.5, EXTENT).window is None
    assert ChartOptions(window=(50.0, 60.0), cursor=50.0).stepped(-1, 10, EXTENT).window == (44.0, 54.0)


def test_the_keys_step_through_all_choices():
    options = ChartOptions()
    kinds, logs = [], []
    for _ in range(20):
        options = options.with_next_x().with_next_log().smoothed(1)
        kinds.append(options.x)
        logs.append(options.log)
    assert kinds[:4] == [XKind.EPOCH, XKind.RELATIVE, XKind.WALL, XKind.STEP]
    assert logs[:3] == ["y", "xy", "off"]
    options = ChartOptions(smoothing=options.smoothing)
    assert options.smoothing == SMOOTHING[-1] and options.labels == ["smooth .999"]
    assert ChartOptions(smoothing=0.7).smoothed(-1).smoothing == 0.6


def test_a_log_axis_begins_with_the_first_value_above_zero():
    assert ChartOptions(log="xy").x_axis(EXTENT) == Axis(1.0, 100.0, "log")
    assert ChartOptions(x=XKind.WALL, log="xy").x_axis(EXTENT).scale == "linear"


def test_times_have_round_ticks_and_readable_labels(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        day = Axis(1795891500.0, 1795891500.0 + 86400, unit="time of day")  # 00:15 to 00:15
        assert day.labels(day.ticks(4)) == ["06:00", "12:00", "18:00", "11-30"]
        minutes = Axis(0, 3700, unit="duration")
        assert minutes.labels(minutes.ticks(5)) == ["0s", "15m00", "30m00", "45m00", "1h00"]
        assert Axis(0, 0.9, unit="duration").labels(Axis(0, 0.9, unit="duration").ticks(3)) == ["0s", "0.5s"]
        assert ChartOptions(x=XKind.WALL, cursor=1795891500.0).cursor_label == "00:15"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert ChartOptions(x=XKind.RELATIVE, cursor=3700.0).cursor_label == "1h01"
    assert ChartOptions(x=XKind.EPOCH, cursor=1.25).cursor_label == "epoch 1.25"


def test_a_range_is_typed_as_two_numbers():
    assert parse_limits("0..1") == (0.0, 1.0) and parse_limits("-2.5 .. 1e3") == (-2.5, 1000.0)
    assert parse_limits(format_limits((0.25, 3.0))) == (0.25, 3.0)
    for wrong in ("", "1", "1..1", "2..1", "a..b", "0..inf", "nan..1", "1.."):
        with pytest.raises(UserError, match=r"LOW\.\.HIGH"):
            parse_limits(wrong)


def test_the_span_of_the_y_axis_is_cycled():
    options = ChartOptions()
    labels = []
    for _ in range(3):
        options = options.with_next_span()
        labels.append(options.labels)
    assert labels == [["with outliers"], ["without outliers"], []]
