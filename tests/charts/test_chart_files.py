from __future__ import annotations

import csv
import io
import math
from array import array
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageColor

from workbench.charts.chart_files import COLORS, HEIGHT, LEGEND_HEIGHT, WIDTH
from workbench.charts.chart_options import ChartOptions
from workbench.charts.chart_png import BACKGROUND, DENSITY, FRAME, _dashes
from workbench.charts.chart_set import ChartSet
from workbench.logs.series import Series
from workbench.runs.journal import Notice
from workbench.runs.reader import RunView
from workbench.runs.run_folder import RunFolder
from workbench.ui.charts.export import FORMATS, export_charts, unused_path

SVG = "{http://www.w3.org/2000/svg}"
NAMES = {"a": "first", "b": "a <b> & \x1bc"}


def chart_set(values=(1.0, 3.0, 2.0)):
    views = []
    for name in NAMES:
        view = RunView(RunFolder(Path("/nowhere") / name), version=1)
        series = view.logged["loss"] = Series()
        series.extend(array("q", range(len(values))), array("d", values), array("d", range(len(values))))
        views.append(view)
    charts = ChartSet()
    charts.update(views)
    return charts


def content_of(*arguments):
    return export_charts(*arguments)().decode()


def test_the_points_are_a_table():
    content = content_of(chart_set(), ["loss"], NAMES, ChartOptions(smoothing=0.5), "csv")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [(row["run"], row["step"], row["low"], row["high"]) for row in rows[:3]] == [
        ("a", "0.0", "1.0", "1.0"), ("a", "1.0", "3.0", "3.0"), ("a", "2.0", "2.0", "2.0"),
    ]  # fmt: skip
    assert [float(row["smoothed"]) for row in rows[:3]] == pytest.approx([1.0, 7 / 3, 15 / 7])
    assert len(rows) == 6 and rows[3]["name"] == NAMES["b"]


def test_no_extreme_value_is_lost_in_a_file():
    values = [0.0] * 20_000
    values[777], values[15_000] = 9.0, -9.0
    rows = list(
        csv.DictReader(io.StringIO(content_of(chart_set(values), ["loss"], NAMES, ChartOptions(), "csv")))
    )
    assert max(float(row["high"]) for row in rows) == 9.0 and min(float(row["low"]) for row in rows) == -9.0


@pytest.mark.parametrize("log", ["off", "y", "xy"])
def test_a_picture_has_a_line_for_each_run_that_differs_without_colors_too(log):
    content = content_of(chart_set(), ["loss"], NAMES, ChartOptions(log=log, cursor=1.0), "svg")
    root = ElementTree.fromstring(content)
    lines = root.findall(f".//{SVG}polyline")
    assert len(lines) == 2 and len({line.get("stroke-dasharray") for line in lines}) == 2
    points = [tuple(map(float, pair.split(","))) for pair in lines[0].get("points").split()]
    assert points == sorted(points) and len(points) == (3 if log != "xy" else 2)
    assert (
        min(points, key=lambda point: point[1])[0] == points[-2][0]
    )  # the highest value is the one in the middle
    texts = [text.text for text in root.findall(f".//{SVG}text")]
    assert (
        "first" in texts
        and any("loss" in text for text in texts)
        and not any("\x1b" in text for text in texts)
    )


def test_text_is_what_the_screen_draws():
    content = content_of(chart_set(), ["loss"], NAMES, ChartOptions(), "txt")
    assert "1 first" in content and "loss 1 2.00 2 2.00" in content and "\x1b" not in content
    assert any("\u2801" <= character <= "\u28ff" for character in content)


def test_files_are_never_overwritten(tmp_path):
    assert set(FORMATS) == {"png", "svg", "csv", "txt"}
    assert unused_path(tmp_path, ["a"], "svg").name == "charts-a.svg"
    (tmp_path / "charts-a.svg").touch()
    assert unused_path(tmp_path, ["a"], "svg").name == "charts-a-2.svg"
    assert unused_path(tmp_path, ["a", "b"], "csv").name == "charts-2-runs.csv"


def test_a_png_has_a_line_for_each_run_and_room_for_every_chart():
    charts = chart_set()
    make = export_charts(charts, ["loss"], NAMES, ChartOptions(cursor=1.0), "png")
    with Image.open(io.BytesIO(make())) as picture:
        assert picture.format == "PNG"
        assert picture.size == (WIDTH * DENSITY, (HEIGHT + LEGEND_HEIGHT) * DENSITY)
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20)}
    assert {ImageColor.getrgb(color) for color in (*COLORS[:2], BACKGROUND, FRAME)} <= colors
    one = {"a": "first"}
    views = [RunView(RunFolder(Path("/nowhere/a")), version=1)]
    for name in ("x", "y", "z"):
        series = views[0].logged[name] = Series()
        series.extend(array("q", range(3)), array("d", [1.0, math.nan, 3.0]), array("d", range(3)))
    charts = ChartSet()
    charts.update(views)
    make = export_charts(charts, ["x", "y", "z"], one, ChartOptions(log="xy"), "png")
    with Image.open(io.BytesIO(make())) as picture:
        assert picture.size == (2 * WIDTH * DENSITY, 2 * HEIGHT * DENSITY), "without a legend"


def test_dashes_are_drawn_and_left_out_in_turn():
    parts = list(_dashes([(0.0, 0.0), (10.0, 0.0), (10.0, 20.0)], (8.0, 3.0)))
    lengths = [sum(math.dist(*pair) for pair in pairwise(part)) for part in parts]
    assert lengths == pytest.approx([8, 8, 8])
    assert parts[1][0] == (10.0, 1.0) and parts[-1][-1] == (10.0, 20.0)


@pytest.mark.parametrize("format", ["svg", "png"])
def test_events_are_marked_in_pictures(format):
    plain, marked = chart_set(), chart_set()
    view = RunView(RunFolder(Path("/nowhere/a")), version=1, journal=[Notice(text="a <b> & c", time=1.0)])
    view.logged["loss"] = series = Series()
    series.extend(array("q", range(3)), array("d", range(3)), array("d", range(3)))
    marked.update([view])
    plain.update([RunView(view.folder, version=1, logged=view.logged)])
    with_event, without = (
        export_charts(one, ["loss"], {"a": "a"}, ChartOptions(), format)() for one in (marked, plain)
    )
    assert with_event != without
    if format == "svg":
        assert ElementTree.fromstring(with_event).find(f".//{SVG}polygon/{SVG}title").text == "a <b> & c"
