from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from textual.app import App

from workbench.config.experiment import Reference, build_experiment
from workbench.runs.enums import ChangeCause, Phase
from workbench.runs.journal import Attempt, Notice, PhaseChange, SettingChange
from workbench.runs.metrics import ClassMetrics, EpochRow, EvaluationFile, EvaluationRow, StepRow, Wall
from workbench.runs.reader import MetricColumns, RunView
from workbench.runs.records import Heartbeat, Seconds, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status
from workbench.ui.plots.curves import ACCURACY, LOSS, Curves, PlotOptions, change_label
from workbench.ui.plots.insights import at_chance, insights, never_predicted, stalled, top_confusion
from workbench.ui.plots.pane import PlotsPane, facts

ROWS, STEPS = 100, 300
"""Step rows and steps an epoch."""


def add_rows(view, epochs, start=0.0):
    for k in range(round(start * ROWS) + 1, round(epochs * ROWS) + 1):
        epoch = k / ROWS
        view.steps.add(
            StepRow(
                step=round(epoch * STEPS),
                epoch=epoch,
                loss=2.3 * math.exp(-epoch / 4) + 0.1,
                accuracy=1 - 0.9 * math.exp(-epoch / 4),
                lr=0.03,
                wall=Wall(samples_per_second=183.0),
            )
        )


def make_view(epochs=6.0, planned=20, split="validation", name="lr3e-2"):
    view = RunView(RunFolder(Path("/nowhere") / f"{name}-1"), status=Status.RUNNING, version=1)
    sets = [f"train.epochs={planned}", "train.lr=0.03"]
    view.experiment = build_experiment(dataset="digits", model="mlp", name=name, sets=sets)
    view.setup = Setup(classes=tuple("abcdefghij"), shape=(3, 32, 32), steps_per_epoch=STEPS)
    add_rows(view, epochs)
    for epoch in range(1, int(epochs) + 1):
        value = 1 - 0.9 * math.exp(-epoch / 4) - 0.02
        loss = 2.4 * math.exp(-epoch / 4) + 0.1
        row = EvaluationRow(step=epoch * STEPS, epoch=epoch, split=split, loss=loss, accuracy=value,
                            balanced_accuracy=value - 0.1, best=epoch == 4)  # fmt: skip
        view.evaluations.append(row)
    view.heartbeat = Heartbeat(
        attempt=1,
        phase=Phase.TRAINING,
        step=int(epochs * STEPS),
        epochs_total=planned,
        eta=3600.0,
        device="cpu",
    )
    view.last_wall = Wall(samples_per_second=183.0)
    return view


def followed(view):
    curves = Curves()
    curves.update(view)
    return curves


class Shown(App):
    def compose(self):
        yield PlotsPane()

    @property
    def pane(self):
        return self.query_one(PlotsPane)

    def lines(self, which="first"):
        return self.query_one(f"#{which}").lines

    def text(self):
        return "\n".join([*self.lines(), *self.lines("second")])


async def show(pilot, view, evaluation=None):
    pilot.app.pane.view = view
    pilot.app.pane.evaluations = [evaluation] if evaluation else []
    pilot.app.pane.focus_content()
    await pilot.pause()
    await pilot.pause()


async def test_a_wide_pane_shows_two_plots_side_by_side():
    async with Shown().run_test(size=(120, 20)) as pilot:
        await show(pilot, make_view())
        assert pilot.app.lines()[0].startswith("loss ─train .")
        assert pilot.app.lines("second")[0].startswith("accuracy ─train .")
        assert "╌val ." in pilot.app.lines()[0]
        assert "▲" in pilot.app.text() and "chance" in pilot.app.text()


async def test_a_narrow_pane_shows_one_plot_and_m_cycles_through_the_metrics():
    async with Shown().run_test(size=(80, 16)) as pilot:
        await show(pilot, make_view())
        titles = []
        for _ in range(7):
            titles.append(pilot.app.lines()[0].split(" ─")[0].split(" ╌")[0].split(":")[0].strip())
            await pilot.press("m")
            await pilot.pause()
        assert titles[:4] == ["loss", "accuracy", "balanced accuracy", "macro-F1"]
        assert titles[4] == "learning rate" and titles[5] == "samples/s" and titles[6] == "loss"
        await pilot.resize_terminal(80, 40)
        await pilot.pause()
        assert pilot.app.query_one("#charts").has_class("stacked")


async def test_only_changed_cells_are_redrawn():
    async with Shown().run_test(size=(120, 20)) as pilot:
        view = make_view(epochs=6.0)
        await show(pilot, view)
        regions = []
        for which in ("first", "second"):
            plot = pilot.app.query_one(f"#{which}")
            plot.refresh = lambda *changed, **_: regions.extend(changed)
        add_rows(view, 6.1, start=6.0)
        pilot.app.pane.view = view
        await pilot.pause()
        cells = sum(region.width for region in regions)
        assert 0 < cells < 60
        regions.clear()
        pilot.app.pane.view = view
        await pilot.pause()
        assert regions == []


async def test_the_keys_change_how_the_curves_look():
    async with Shown().run_test(size=(120, 20)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane
        await pilot.press("a", "b", "v")
        assert (pane.options.smoothing, pane.options.band, pane.options.log) == (0.6, True, "y")
        await pilot.pause()
        assert "smooth .600" in pane.border_title and "░" in pilot.app.text()
        await pilot.press("v", "v", "a", "a", "b")
        assert (pane.options.smoothing, pane.options.band, pane.options.log) == (0.0, False, "off")


async def test_the_cursor_moves_along_the_curve_and_follow_removes_it():
    async with Shown().run_test(size=(120, 20)) as pilot:
        await show(pilot, make_view())
        pane = pilot.app.pane
        await pilot.press("comma", "comma")
        at = pane.options.cursor
        assert 5 < at < 6 and "│" in pilot.app.lines()[4]
        assert f"@{at:.4g}" in pilot.app.lines()[0]
        await pilot.press("g")
        assert pane.options.cursor == pytest.approx(0.01)
        assert "╌val" not in pilot.app.lines()[0]
        await pilot.press("comma")
        assert pane.options.cursor == pytest.approx(0.01)
        await pilot.press("full_stop")
        assert pane.options.cursor > 0.01
        await pilot.press("f")
        assert pane.options.cursor is None
        await pilot.press("full_stop")
        assert pane.options.cursor is None


async def test_a_zoomed_window_follows_the_newest_values():
    async with Shown().run_test(size=(120, 20)) as pilot:
        view = make_view(epochs=6.0)
        await show(pilot, view)
        pane = pilot.app.pane
        await pilot.press("greater_than_sign")
        assert pane.options.window == (2.0, 6.0)
        add_rows(view, 7.0, start=6.0)
        pane.view = view
        await pilot.pause()
        assert pane.options.window == (3.0, 7.0)
        await pilot.press("less_than_sign")
        assert pane.options.window is None
        for _ in range(40):
            await pilot.press("greater_than_sign")
        low, high = pane.options.window
        assert high > low


async def test_another_run_resets_the_view_and_no_run_shows_a_message():
    async with Shown().run_test(size=(120, 20)) as pilot:
        await show(pilot, make_view())
        await pilot.press("greater_than_sign", "comma")
        await show(pilot, make_view(name="other", epochs=1.5))
        assert pilot.app.pane.options.window is None and pilot.app.pane.options.cursor is None
        assert pilot.app.pane.curves.last_x == 1.5
        await show(pilot, None)
        assert "No run selected." in pilot.app.lines()[0]


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (60, 8), (80, 24), (200, 50)])
async def test_any_size_and_incomplete_records_are_drawn(size, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    bare = RunView(RunFolder(Path("/nowhere/bare")))
    async with Shown().run_test(size=size) as pilot:
        await show(pilot, bare)
        assert "┤" not in "".join(pilot.app.lines())  # nothing is loaded yet: no axes
        bare.version = 1
        await show(pilot, bare)
        assert pilot.app.lines()[0].strip() == "No steps recorded."
        odd = make_view()
        odd.setup = None
        odd.steps.add(StepRow(step=2000, epoch=6.5, loss=math.nan, lr=math.inf))
        odd.evaluations += [
            EvaluationRow(step=0, split="validation"),
            EvaluationRow(epoch=math.nan, step=1, split="test", loss=math.nan),
        ]
        odd.journal = [
            SettingChange(setting=""),
            SettingChange(setting="train.lr", value="x"),
            Attempt(attempt=2),
        ]
        odd.heartbeat, odd.experiment = Heartbeat(), None
        await show(
            pilot, odd, EvaluationFile(step=1, epoch=1, split="test", confusion=((0, 1, 9), (-1, 0, 9)))
        )
        await pilot.press("v", "b", "a", "m", "comma", "greater_than_sign", "v", "g", "G")
        await pilot.pause()


async def test_a_regression_has_its_own_metrics():
    view = make_view()
    view.setup = msgspec.structs.replace(view.setup, task="regression")
    view.evaluations = [msgspec.structs.replace(row, r2=0.5) for row in view.evaluations]
    async with Shown().run_test(size=(120, 20)) as pilot:
        await show(pilot, view)
        assert pilot.app.lines("second")[0].startswith("R² ╌val .500")


def test_test_metrics_are_labeled_as_for_display_only():
    title = followed(make_view(split="test")).drawing(ACCURACY, 40, PlotOptions()).title
    assert "(for display only)" in "".join(text for text, _ in title)
    narrow = followed(make_view(split="test")).drawing(ACCURACY, 40, PlotOptions(), width=34).title
    assert "display" not in "".join(text for text, _ in narrow)


def test_the_final_test_result_is_marked():
    view = make_view()
    view.evaluations.append(EvaluationRow(split="test", epoch=4, step=1200, final=True, accuracy=0.5))
    drawing = followed(view).drawing(ACCURACY, 40, PlotOptions())
    assert ("◆", 4, 0.5) in [(m.glyph, m.x, m.y) for m in drawing.marks]
    assert " ◆test .500" in [text for text, _ in drawing.title]


def test_changes_and_resumes_are_marked_where_they_took_effect():
    view = make_view()
    view.journal = [
        Attempt(attempt=1, from_step=0),
        SettingChange(setting="train.lr", before=0.03, value=0.015, step=600),
        SettingChange(setting="train.epochs", before=20, value=25, step=900),
        Attempt(attempt=2, from_step=1200),
    ]
    assert [(m.x, m.label) for m in followed(view).marks] == [(2, "lr÷2"), (3, "+5 ep"), (4, "resume")]


def test_pauses_and_rollbacks_are_marked():
    view = make_view()
    view.journal = [
        PhaseChange(phase=Phase.TRAINING, step=0),
        PhaseChange(phase=Phase.PAUSED, step=100),
        *(
            SettingChange(setting="train.lr", before=2 * lr, value=lr, step=200, cause=ChangeCause.ROLLBACK)
            for lr in (0.015, 0.0075)
        ),
    ]
    assert [m.label for m in followed(view).marks] == ["pause", "rollback, lr÷4"]


def test_changes_have_short_labels():
    assert change_label("lr", 0.03, 0.06) == "lr×2"
    assert change_label("lr", 0.03, 0.02) == "lr .020"
    assert change_label("lr", None, 0.02) == "lr .020"
    assert change_label("epochs", 20, 15) == "-5 ep"


def test_a_published_result_is_drawn_for_its_metric_only():
    view = make_view()
    reference = Reference(metric="test.accuracy", published=0.54, tolerance=0.01, source="a paper")
    view.experiment = msgspec.structs.replace(view.experiment, reference=reference)
    curves = followed(view)
    assert [
        m.y for m in curves.drawing(ACCURACY, 40, PlotOptions()).marks if m.label == "published test"
    ] == [0.54]
    assert not [m for m in curves.drawing(LOSS, 40, PlotOptions()).marks if m.label == "published test"]


def test_a_sampled_record_is_replaced_by_the_complete_one():
    view = make_view(epochs=2.0)
    whole, view.sampled = view.steps, MetricColumns()
    view.sampled.add(StepRow(step=300, epoch=1.0, loss=9.0))
    curves = followed(view)
    assert list(curves.train(LOSS).ys) == [9.0]
    view.sampled = None
    curves.update(view)
    assert len(curves.train(LOSS)) == len(whole)


def test_rows_without_epochs_are_placed_by_step():
    view = make_view(epochs=0)
    for step in (30, 60, 90):
        view.steps.add(StepRow(step=step, loss=1.0))
    assert followed(view).last_x == pytest.approx(0.3)
    view.setup = None
    curves = followed(view)
    assert curves.unit == "steps" and curves.last_x == 90


def test_the_facts_line_drops_what_does_not_fit():
    view = make_view()
    view.heartbeat = msgspec.structs.replace(
        view.heartbeat, checkpoint_saved_at=1000.0, seconds=Seconds(total=120.0)
    )
    view.journal = [Attempt(attempt=1), Attempt(attempt=2)]
    assert facts(view, 200, now=1044.0).plain == (
        "183 samples/s · step 1800 · lr .03 · saved 40s ago · 1 resume, exact · elapsed 2m00 · ETA 1h00 · cpu"
    )
    assert facts(view, 30, now=1044.0).plain == "183 samples/s · step 1800"
    view.journal.append(Notice(text="other threads", exact=False))
    assert "1 resume, not exact" in facts(view, 200, now=1044.0).plain


def test_insights_warn_about_problems_of_the_run():
    few = EvaluationFile(step=1, epoch=1, split="validation", confusion=((0, 1, 3),))
    evaluation = EvaluationFile(
        step=1, epoch=1, split="validation", confusion=((0, 0, 10), (0, 1, 40), (1, 0, 10)),
        per_class=(
            ClassMetrics(name="cat\x1b[31m", precision=0.5, support=50), ClassMetrics(name="dog", support=50),
        ),
    )  # fmt: skip
    assert top_confusion(evaluation) == "cat\ufffd[31m→dog: 80% of all val errors"
    assert never_predicted(evaluation) == "never predicted (val): dog"
    assert top_confusion(None) == top_confusion(few) == ""
    view = make_view(epochs=0)
    losses = [1.0, 0.5, 0.4, 0.4, 0.41, 0.4, 0.405]
    view.evaluations = [
        EvaluationRow(split="validation", step=k, epoch=k, loss=loss) for k, loss in enumerate(losses, 1)
    ]
    assert stalled(view) == "val loss flat since epoch 3"
    view.evaluations[-1] = msgspec.structs.replace(view.evaluations[-1], loss=0.9)
    assert stalled(view) == "val loss rises since epoch 3 (overfitting)"
    view.epochs = [EpochRow(step=k, epoch=k, accuracy=0.1) for k in (1, 2, 3)]
    assert "chance" in at_chance(view)
    assert len(insights(view, evaluation)) == 4
    assert insights(None) == []
