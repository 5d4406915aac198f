from __future__ import annotations

import math
import random
from array import array

import pytest

from workbench.charts.axes import (
    Axis,
    Curve,
    doubling_end,
    fit_axis,
    fraction_axis,
    nice_step,
    smooth,
    tick_labels,
)
from workbench.core.text import format_compact


def curve(xs, ys):
    made = Curve()
    made.extend(xs, ys)
    return made


def test_a_reduced_curve_has_the_mean_of_every_part_of_the_axis():
    rng = random.Random(1)
    xs = [k / 100 for k in range(1000)]
    ys = [rng.random() for _ in xs]
    points = curve(xs, ys).reduce(Axis(0, 10), 20, with_range=True)
    for part in range(20):
        inside = [y for x, y in zip(xs, ys, strict=True) if part / 2 <= x < (part + 1) / 2]
        assert points.ys[part] == pytest.approx(sum(inside) / len(inside))
        assert (points.lows[part], points.highs[part]) == (min(inside), max(inside))


def test_new_values_do_not_change_complete_parts():
    rng = random.Random(2)
    growing, axis = Curve(), Axis(0, 16)
    xs, ys = array("d"), array("d")
    before = None
    for k in range(900):
        xs.append(k / 100)
        ys.append(rng.random())
        growing.update(xs, ys, source=xs)
        points = growing.reduce(axis, 60)
        if before is not None:
            finished = len(before.xs) - 1
            assert points.xs[:finished] == before.xs[:finished]
            assert points.ys[:finished] == before.ys[:finished]
        before = points


def test_only_new_points_are_appended_and_another_source_starts_over():
    xs, ys, growing = array("d", [1, 2]), array("d", [5, 6]), Curve()
    growing.update(xs, ys, source=xs)
    xs.append(3)
    ys.append(7)
    growing.update(xs, ys, source=xs)
    assert list(growing.xs) == [1, 2, 3]
    growing.update(array("d", [1]), array("d", [9]), source=ys)
    assert list(growing.ys) == [9]


def test_values_that_are_not_finite_or_go_back_are_left_out():
    made = curve([1, 2, 3, 4, 3.5, 5], [1.0, math.nan, math.inf, 1e30, 2.0, 3.0])
    assert list(made.ys) == [1.0, 2.0, 3.0]
    assert made.reduce(Axis(0, 8), 1).ys == [2.0]


def test_an_incomplete_part_is_merged_into_the_one_before():
    xs = [k / 10 for k in range(1, 42)]
    ys = [1.0] * 40 + [9.0]
    points = curve(xs, ys).reduce(Axis(0, 8), 8, with_range=True)
    assert len(points.ys) == 4
    assert points.ys[-1] == pytest.approx((11 * 1.0 + 9.0) / 12)
    assert points.highs[-1] == 9.0


def test_a_logarithmic_axis_reduces_by_its_own_parts():
    points = curve([1, 2, 3, 50, 60, 99], [1, 1, 1, 5, 5, 5]).reduce(Axis(1, 100, "log"), 2)
    assert points.ys == [1, 5]


def test_the_x_axis_doubles_up_to_the_plan():
    assert [doubling_end(x, 60) for x in (0.1, 1, 1.5, 3, 20, 33, 60)] == [1, 1, 2, 4, 32, 60, 60]
    assert doubling_end(70, 60) == 128
    assert doubling_end(3, None) == 4
    assert doubling_end(0.2, 0.5) == 0.5


def test_the_y_axis_is_kept_while_it_fits():
    axis = fit_axis([2.31, 1.0])
    assert axis.low == 0 and 2.31 <= axis.high <= 3
    assert fit_axis([2.31, 1.0, 0.2], axis) is axis
    assert fit_axis([3.5], axis).high >= 3.5
    assert fit_axis([0.2, 0.1], axis).high < 0.5


def test_a_spike_does_not_flatten_the_rest():
    assert fit_axis([0.5] * 50 + [900.0]).high < 3


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0], [-3.0, -1.0], [1e-7], [5e8], [1.0, 1.0, 1.0]])
def test_every_axis_has_a_length_and_contains_its_values(values):
    for scale in ("linear", "log"):
        axis = fit_axis(values, scale=scale)
        assert axis.high > axis.low
        assert all(axis.contains(v) for v in values if scale == "linear" or v > 0)
        assert 0 < len(axis.ticks(4)) < 12


def test_a_fraction_axis_starts_higher_once_nearly_all_values_are_high():
    assert fraction_axis([0.1, 0.5, 0.9]).low == 0
    assert fraction_axis([0.1] + [0.93] * 30).low == 0.9
    assert fraction_axis([0.99] * 10, Axis(0.9, 1)).low == 0.98


def test_positions_and_values_are_inverse():
    for axis, value in ((Axis(-2, 5), 3.0), (Axis(0.01, 100, "log"), 4.0), (Axis(0, 0.9999, "nines"), 0.97)):
        assert axis.value_at(axis.position(value)) == pytest.approx(value)
    nines = Axis(0, 0.9999, "nines")
    assert nines.position(0.99) - nines.position(0.9) == pytest.approx(
        nines.position(0.999) - nines.position(0.99)
    )


def test_steps_are_round():
    assert [nice_step(v) for v in (0.11, 0.2, 1.3, 2.2, 30, 0, math.nan)] == pytest.approx(
        [0.2, 0.2, 2, 2.5, 50, 1, 1]
    )


def test_smoothing_is_bias_corrected():
    assert smooth([1, 1, 1], 0.9) == pytest.approx([1, 1, 1])
    assert smooth([1, 2], 0) == [1, 2]
    assert smooth([0, 1], 0.5) == pytest.approx([0, 2 / 3])


def test_numbers_are_short():
    figures = [0.214, 0.015, 0.0003, 2.314, 18.34, 183.2, 4928, 1.2e6, 1.0, 0, -0.5, None, math.nan, math.inf]
    shown = [
        ".214",
        ".015",
        "3e-4",
        "2.31",
        "18.3",
        "183",
        "4928",
        "1.2e6",
        "1.00",
        "0",
        "-.500",
        "-",
        "-",
        "∞",
    ]
    assert [format_compact(f) for f in figures] == shown


def test_labels_of_an_axis_have_the_same_decimals():
    assert tick_labels([0, 0.5, 1]) == ["0.0", ".5", "1.0"]
    assert tick_labels([0.8, 0.85, 0.9]) == [".80", ".85", ".90"]
    assert tick_labels([0, 200, 400]) == ["0", "200", "400"]
    assert tick_labels([0, 0.0005, 0.001]) == ["0", "5e-4", "1e-3"]
    assert tick_labels([0.001, 0.002]) == [".001", ".002"]
    assert tick_labels([1e-4, 1.25e-4]) == ["1e-4", "125e-6"]
    assert tick_labels([0, 125_000, 250_000]) == ["0", "125e3", "25e4"]


def test_labels_of_other_scales_are_as_short_as_possible():
    nines, log = Axis(0, 0.9999, "nines"), Axis(0.001, 100, "log")
    assert nines.labels(nines.ticks(4)) == ["0", ".9", ".99", ".999"]
    assert log.labels(log.ticks(6)) == [".001", ".01", ".1", "1", "10", "100"]


def test_counts_have_no_ticks_between_them():
    assert [Axis(0, 1, unit="count").ticks(9), Axis(0, 12, unit="count").ticks(5)] == [[0, 1], [0, 5, 10]]
    for high in (3, 7, 19, 26, 99, 251, 1000):
        assert all(
            tick.is_integer() for count in range(2, 30) for tick in Axis(0, high, unit="count").ticks(count)
        )
