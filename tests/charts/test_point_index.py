from __future__ import annotations

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.charts.axes import smooth
from workbench.charts.point_index import BLOCK, MAX_SMOOTHED_POINTS, POINTS_AT_ONCE, PointIndex

VALUES = st.lists(st.sampled_from([0.0, 1.5, -2.0, 1e300, math.nan, math.inf, -math.inf]), max_size=40)


def index_of(ys, xs=None, pieces=1):
    xs = array("d", range(len(ys)) if xs is None else xs)
    index, source = PointIndex(), [array("d"), array("d")]
    for piece in range(pieces):
        part = slice(len(ys) * piece // pieces, len(ys) * (piece + 1) // pieces)
        source[0].extend(xs[part])
        source[1].extend(ys[part])
        assert not index.update(*source)
    return index


@given(VALUES, st.data())
def test_the_range_of_any_points_is_that_of_their_finite_values(few, data):
    ys = (few or [0.0]) * (3 * BLOCK * BLOCK // max(1, len(few)))
    index = index_of(ys, pieces=data.draw(st.integers(1, 5)))
    first = data.draw(st.integers(0, len(ys)))
    end = data.draw(st.integers(first, len(ys)))
    finite = [y for y in ys[first:end] if math.isfinite(y)]
    assert index.extremes(first, end) == (min(finite, default=math.inf), max(finite, default=-math.inf))


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30), st.integers(1, 4))
def test_points_that_go_back_in_x_are_left_out(xs, pieces):
    index = index_of(range(len(xs)), xs, pieces)
    kept, last = [], -math.inf
    for x in xs:
        if math.isfinite(x) and x >= last:
            last = x
            kept.append(x)
    assert [index.x(k) for k in range(len(index))] == kept


def test_a_growing_source_is_not_read_again_and_another_one_is():
    xs, ys = array("q", range(1000)), array("d", range(1000))
    index = PointIndex()
    assert not index.update(xs, ys)
    assert (len(index), index.extremes(0, 1000)) == (1000, (0, 999))
    xs.append(1000)
    ys.append(-5.0)
    index.update(xs, ys)
    assert index.extremes(0, 1001) == (-5.0, 999)
    del xs[1::2], ys[1::2]  # as a log does that has too many points
    index.update(xs, ys)
    assert len(index) == 501
    index.update(xs, array("d", [7.0] * 501))
    assert index.extremes(0, 501) == (7.0, 7.0)


def test_a_long_source_takes_several_updates():
    count = 2 * POINTS_AT_ONCE + 1
    xs, ys = array("q", range(count)), array("d", range(count))
    index = PointIndex()
    assert [index.update(xs, ys, deadline=0.0) for _ in range(3)] == [True, True, False]
    assert index.extremes(0, len(index)) == (0, count - 1)


def test_points_are_found_by_x_and_by_value():
    index = index_of([3, 1, math.nan, 5, 1], [0, 10, 20, 20, 30])
    assert index.range(10, 20) == (1, 4)
    assert index.finite_before(25) == 3 and index.finite_before(-1) is None
    assert index_of([math.nan]).finite_before(math.inf) is None
    assert index.position_of(1, "lows") == 1 and index.position_of(5, "highs") == 3
    long = index_of([0.0] * 1000 + [9.0] + [0.0] * 20)
    assert long.position_of(9.0, "highs") == 1000


@pytest.mark.parametrize("factor", [0.6, 0.99])
def test_smoothing_is_bias_corrected_and_new_points_do_not_move_old_ones(factor):
    ys = [math.sin(k / 5) for k in range(300)]
    xs, growing = array("d", range(300)), array("d", ys[:100])
    index = PointIndex()
    index.update(xs, growing)
    early = list(index.smoothed(factor)[1])
    growing.extend(ys[100:])
    index.update(xs, growing)
    positions, values = index.smoothed(factor)
    assert list(values) == pytest.approx(smooth(ys, factor))
    assert list(positions) == list(range(300)) and list(values[:100]) == early


def test_smoothing_leaves_out_what_is_not_finite():
    positions, values = index_of([1.0, math.nan, 3.0]).smoothed(0.5)
    assert list(positions) == [0, 2] and list(values) == pytest.approx(smooth([1.0, 3.0], 0.5))


def test_a_very_long_series_is_smoothed_over_its_blocks():
    count = MAX_SMOOTHED_POINTS + BLOCK
    index = index_of([1.0] * (count // 2) + [2.0] * (count - count // 2))
    positions, values = index.smoothed(0.9)
    assert len(values) == count // BLOCK and positions[0] == BLOCK - 1
    assert values[0] == pytest.approx(1.0) and values[-1] == pytest.approx(2.0)
    index_short = index_of([5.0] * 10)
    assert index_short.smoothed(0.9)[1][-1] == pytest.approx(5.0)
