from __future__ import annotations

import math

from textual.app import App

from workbench.charts.axes import Axis
from workbench.ui.widgets.braille_canvas import Canvas, braille
from workbench.ui.widgets.cell_grid import changed_spans, to_cells
from workbench.ui.widgets.plot import Drawing, Mark, Plot, Series, render_drawing

UNIT = Axis(0, 1)


def text(grid):
    return ["".join(character for character, _ in row) for row in grid]


def dots(rows):
    return {
        (x, y): ord(character) - 0x2800
        for y, row in enumerate(rows)
        for x, character in enumerate(row)
        if character != " "
    }


def test_a_dot_is_drawn_at_its_position():
    assert dots(braille((0.0,), (0.0,), 3, 2, joined=False)) == {(0, 1): 0x40}
    assert dots(braille((5.0,), (7.0,), 3, 2, joined=False)) == {(2, 0): 0x08}


def test_a_line_passes_through_every_column():
    rows = braille((0.0, 39.0), (0.0, 15.0), 20, 4, joined=True)
    assert {x for x, _ in dots(rows)} == set(range(20))


def test_curves_are_clipped_and_skip_non_finite_values():
    canvas = Canvas(10, 4)
    canvas.draw_curve([(0, 0.5), (0.5, math.nan), (0.6, math.inf), (1, 1e30)], "", joined=True, dashed=False)
    assert (" ", "") not in [canvas.rows[1][0]] or canvas.rows[2][0] != (" ", "")
    canvas.draw_curve([], "", joined=True, dashed=False)
    Canvas(1, 1).draw_curve([(0, 0), (1, 1)], "", joined=True, dashed=True)


def test_a_log_axis_reports_values_at_or_below_zero():
    log, xs = Axis(0.01, 1, "log"), [0, 0.5, 1]
    for kind in ("line", "points", "band"):
        for ys, missing in (([0.5, 0.5, 0.5], False), ([0.5, 0, 0.5], True), ([0.5, -1, 0.5], True)):
            series = Series("a", xs, ys, "red", kind, highs=[0.6] * 3)
            rows = text(render_drawing(Drawing([series], UNIT, log, title=[("loss", "")]), 60, 12))
            assert rows[0].startswith("loss  ≤ 0 not drawn" if missing else "loss   ")
            narrow = text(render_drawing(Drawing([series], UNIT, log, title=[("loss of a run", "")]), 20, 12))
            assert narrow[0] == ("loss…  ≤ 0 not drawn" if missing else "loss of a run").ljust(20)
            if kind != "band":
                assert not "".join(row[7:] for row in rows[4:-1]).strip(), "no plunge to the lower end"


def test_crossing_curves_share_a_cell():
    canvas = Canvas(1, 1)
    canvas.draw_curve([(0, 0)], "red", joined=False, dashed=False)
    canvas.draw_curve([(1, 1)], "blue", joined=False, dashed=False)
    assert canvas.rows[0][0] == (chr(0x2800 | 0x40 | 0x08), "blue")


def test_dashes_differ_from_a_line_without_color():
    for end in ((1, 0.5), (1, 1), (0, 1)):
        line, dashed = Canvas(30, 8), Canvas(30, 8)
        start = (0, 0.5) if end[1] == 0.5 else (0, 0)
        line.draw_curve([start, end], "", joined=True, dashed=False)
        dashed.draw_curve([start, end], "", joined=True, dashed=True)
        full = len(dots(text(line.rows)))
        assert 0.4 * full < len(dots(text(dashed.rows))) < 0.8 * full


def test_marks_labels_and_levels_are_drawn():
    marks = [Mark(x=0.5, label="lr÷2"), Mark(y=0.1, glyph="┈", label="chance"), Mark(0.75, 0.9, "▲")]
    shown = text(render_drawing(Drawing((), UNIT, UNIT, marks, [("loss", "bold")]), 45, 12))
    assert shown[0].startswith("loss")
    assert "┆lr÷2" in shown[1] and shown[-1].endswith("1.0"), "beside its line, and not over the numbers"
    assert sum("┆" in line for line in shown) >= 8
    assert any(line.endswith("chance") and "┈" in line for line in shown)
    assert "▲" in shown[2]
    assert shown[1].lstrip().startswith("1.0┤")
    assert all(len(line) == 45 for line in shown)


def test_a_scatter_and_regions_can_be_drawn():
    region = Series("left", [0.1, 0.2], [0.5, 0.5], "blue", "cells", "░")
    points = Series("points", [0.9], [0.9], "red", "points", "o")
    band = Series("spread", [0.5], [0.2], "", "band", "▒", [0.8])
    shown = "\n".join(text(render_drawing(Drawing([region, points, band], UNIT, UNIT), 30, 10)))
    assert shown.count("░") == 2 and shown.count("o") == 1 and shown.count("▒") >= 4


def test_no_size_is_too_small():
    drawing = Drawing(
        [Series("a", [0, 1], [0, 1], "")], UNIT, UNIT, [Mark(x=0.5, label="resume")], [("loss", "")]
    )
    for width in range(1, 14):
        for height in range(1, 6):
            grid = render_drawing(drawing, width, height)
            assert len(grid) <= height and all(len(row) == width for row in grid)


def test_changed_spans_are_found_and_close_ones_merged():
    before = [to_cells("aaaaaaaaaaaaaaaaaaaaaaaa", ""), to_cells("same", "")]
    after = [to_cells("baabaaaaaaaaaaaaaaaaaaab", ""), to_cells("same", "")]
    assert changed_spans(before, after) == [(0, 0, 4), (0, 23, 1)]
    assert changed_spans([], [to_cells("ab", "")]) == [(0, 0, 2)]
    assert changed_spans([to_cells("ab", "")], []) == [(0, 0, 2)]


def test_the_cells_of_wide_and_combining_characters():
    assert to_cells("猫x", "s") == [("猫", "s"), ("", "s"), ("x", "s")]
    assert to_cells("e\u0301", "") == [("e\u0301", "")]
    assert len(to_cells("猫猫猫", "", 4)) == 4


async def test_a_plot_redraws_at_its_size(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    class Shown(App):
        def compose(self):
            yield Plot()

    async with Shown().run_test(size=(40, 10)) as pilot:
        plot = pilot.app.query_one(Plot)
        plot.draw([Series("a", [0, 1], [0, 1], "$primary")], UNIT, UNIT, title=[("rising", "bold")])
        await pilot.pause()
        assert plot.lines[0].startswith("rising") and len(plot.lines) == 10
        await pilot.resize_terminal(60, 20)
        await pilot.pause()
        assert len(plot.lines) == 20 and len(plot.lines[0]) == 60


def test_a_label_keeps_its_spaces() -> None:
    drawing = Drawing((), Axis(0, 10), Axis(0, 1), [Mark(x=5, label="back, lr÷2")])
    assert "┆back, lr÷2 " in "".join(text for text, _ in render_drawing(drawing, 60, 8)[1])
