from __future__ import annotations

from typing import Any

from textual.app import App

from tests.ui.plots.test_plots_pane import make_view
from workbench.core.plain_text import to_plain
from workbench.io.record_codec import convert
from workbench.runs.metrics import EvaluationFile, LineDrawing, RegionsDrawing
from workbench.ui.data.dataset_text import GLYPHS
from workbench.ui.plots.decision_plot import POINT_GLYPHS, REGION_GLYPHS, decision_drawing, has_drawing
from workbench.ui.plots.pane import PlotsPane

LINE = LineDrawing(x=(0.0, 0.5, 1.0), y=(0.1, 0.9, 2.1), predicted=(0.0, 1.0, 2.0), before=(0.0,) * 3)
REGIONS = RegionsDrawing(
    x=(0.2, 0.8), y=(0.2, 0.8), label=(0, 1), x_range=(0, 1), y_range=(0, 1),
    columns=2, rows=2, cells=(0, 0, 0, 1), before=(1, 1, 1, 1),
)  # fmt: skip


def evaluation(draw: LineDrawing | RegionsDrawing | None) -> EvaluationFile:
    return EvaluationFile(step=9, epoch=3, split="test", draw=draw)


def title(drawing: Any) -> str:
    return "".join(text for text, _ in drawing.title)


def test_only_evaluations_of_points_are_drawn() -> None:
    assert has_drawing(evaluation(LINE))
    assert not has_drawing(evaluation(None))
    assert not has_drawing(
        convert({"step": 9, "epoch": 3, "split": "test", "draw": {"kind": "?"}}, EvaluationFile)
    )
    assert not has_drawing(None)


def test_the_fitted_line_is_drawn_before_and_after_training() -> None:
    drawing = decision_drawing(LINE, 3, (), (40, 10), before=False)
    assert {s.name: list(s.ys) for s in drawing.series} == {
        "points": list(LINE.y), "before": [0.0] * 3, "fit": list(LINE.predicted),
    }  # fmt: skip
    assert "epoch 3" in title(drawing)
    before = decision_drawing(LINE, 3, (), (40, 10), before=True)
    assert [s.name for s in before.series] == ["points", "before"]


def test_every_cell_shows_the_predicted_class() -> None:
    names = ("low\x1b[31m", "high")
    drawing = decision_drawing(REGIONS, 3, names, (4, 4), before=False)
    grounds = {s.name: len(s.xs) for s in drawing.series if s.kind == "cells"}
    assert grounds == {"region 0": 12, "region 1": 4}
    high = next(s for s in drawing.series if s.name == "region 1")
    assert min(high.xs) > 0.5
    assert min(high.ys) > 0.5
    assert "\x1b" not in title(drawing)
    before = decision_drawing(REGIONS, 3, names, (4, 4), before=True)
    assert [s.name for s in before.series if s.kind == "cells"] == ["region 1"]
    assert "before training" in title(before)


class Shown(App[None]):
    def compose(self) -> Any:
        yield PlotsPane()


def test_the_legend_distinguishes_names_with_the_same_start() -> None:
    drawing = decision_drawing(REGIONS, 3, ("points of class a", "points of class b"), (80, 20), before=False)
    assert len({text.split(" ", 2)[2] for text, _ in drawing.title[1:3]}) == 2
    assert "point…lass a" in title(drawing) and "point…lass b" in title(drawing)


def test_classes_are_distinguished_in_ascii() -> None:
    for glyphs in (POINT_GLYPHS, REGION_GLYPHS, GLYPHS):
        assert len(set(to_plain(glyphs))) == len(glyphs)


async def test_the_pane_shows_the_decision_plot() -> None:
    app = Shown()
    async with app.run_test(size=(100, 20)) as pilot:
        pane = app.query_one(PlotsPane)
        pane.view, pane.evaluations = make_view(), [evaluation(REGIONS)]
        await pilot.pause()
        second = "\n".join(app.query_one("#second").lines)
        assert "regions ● a × b  epoch 3" in second
        assert "░" in second and "·" in second
        pane.action_first()
        await pilot.pause()
        assert "before training" in "\n".join(app.query_one("#second").lines)
        pane.evaluations = []
        await pilot.pause()
        assert "accuracy" in "\n".join(app.query_one("#second").lines)
