"""The sweeps pane: what it shows of a sweep, and its keys."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.test_control import until as wait_until
from tests.idle_model import IDLE_MODEL
from tests.sweep_folders import SHARES, write_sweep
from tests.ui.screen_steps import MakeRun, TextOf, Until, notified, ready
from workbench.cli.main import run as command
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record, write_record
from workbench.sweeps.records import SweepStatus, SweepSummary, TrialState
from workbench.sweeps.sweep_folder import SweepFolder, SweepStore, SweepView, read_sweep
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PaneId
from workbench.ui.sweeps.pane import SweepsPane
from workbench.ui.sweeps.sweep_plots import choice_lines, draw_history, draw_marginal, importance_lines
from workbench.ui.sweeps.trial_table import order_trials


def pane_of(app: WorkbenchApp) -> SweepsPane:
    pane = app.main_view.panes[PaneId.SWEEPS]
    assert isinstance(pane, SweepsPane)
    return pane


@pytest.fixture
def view(home: Path) -> SweepView:
    return read_sweep(write_sweep(home, ["run"]))


def test_the_best_line_never_gets_worse(view: SweepView) -> None:
    drawing = draw_history(view)
    assert drawing is not None
    _, best, points = drawing.series
    assert list(best.ys) == sorted(best.ys) and best.ys[-1] == max(points.ys)
    assert len(points.xs) == sum(t.state is TrialState.FINISHED for t in view.summary.trials)

    lower = SweepView(view.folder, msgspec.structs.replace(view.definition, minimize=True), view.summary,
                      view.status, 0)  # fmt: skip
    drawing = draw_history(lower)
    assert drawing is not None
    assert list(drawing.series[1].ys) == sorted(drawing.series[1].ys, reverse=True)


def test_results_over_a_range_are_points_and_over_choices_lines(view: SweepView) -> None:
    drawing = draw_marginal(view, "train.lr")
    assert drawing is not None and drawing.x_axis.scale == "log"
    assert (drawing.x_axis.low, drawing.x_axis.high) == (1e-4, 1e-1)
    assert draw_marginal(view, "train.optimizer") is None
    lines = [line.plain for line in choice_lines(view, "train.optimizer", 60)]
    assert lines[1].startswith("adam") and "n 2" in lines[1]
    assert lines[2].startswith("sgd") and "best .963" in lines[2]


def test_importances_are_bars(view: SweepView) -> None:
    lines = [line.plain for line in importance_lines(view, 60, "train.lr")]
    assert [line.split()[-1] for line in lines[1:]] == ["71%", "20%", "8%"]
    assert lines[1].count("▇") > lines[2].count("▇") > lines[3].count("▇")


def test_trials_are_ordered_by_result_or_by_age(view: SweepView) -> None:
    best_first = order_trials(view, by_value=True)
    assert best_first[0].number == view.summary.best
    finished = [t.value for t in best_first if t.state is TrialState.FINISHED]
    assert finished == sorted(finished, key=lambda value: -(value or 0.0))
    assert [t.number for t in order_trials(view, by_value=False)] == list(range(14, -1, -1))


async def test_the_best_trial_becomes_a_new_experiment_by_one_key(
    home: Path, make_run: MakeRun, until: Until, text_of: TextOf
) -> None:
    best, other = make_run("best"), make_run("other")
    for folder, lr in ((best, 0.0123), (other, 0.5)):
        write_json(folder.experiment, build_experiment("digits-mlp", sets=[f"train.lr={lr}"]).to_dict())
    sweep = write_sweep(home, [other.id])
    summary = read_record(sweep.summary, SweepSummary)
    assert summary is not None and summary.best is not None
    trials = [
        msgspec.structs.replace(trial, run=best.id) if trial.number == summary.best else trial
        for trial in summary.trials
    ]
    write_record(sweep.summary, msgspec.structs.replace(summary, trials=tuple(trials)))
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        editor = app.main_view.experiment_editor
        assert editor is not None
        await pilot.press("9")
        await until(pilot, "digits-mlp-sweep──13 of 20 trials──best .963")
        assert all(f"{share:.0%}" in text_of(app) for share in SHARES.values())
        await pilot.press("b")
        await until(pilot, lambda: editor.experiment().train.lr == 0.0123)
        assert notified(app, "loaded the experiment of trial 12")
        await pilot.press("9", "enter", "down", "enter")
        await until(pilot, lambda: editor.experiment().train.lr == 0.5)
        await pilot.press("9", "a")
        await until(pilot, lambda: app.runs.run_id == other.id)
        assert app.navigation.front is PaneId.PLOTS


async def test_settings_order_and_views_have_keys(
    home: Path, make_run: MakeRun, until: Until, text_of: TextOf
) -> None:
    write_sweep(home, [make_run().id])
    write_sweep(home, [make_run().id], "older", trials=13, created=0.5)
    app = WorkbenchApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, until)
        await pilot.press("9")
        await until(pilot, "▸✓ 12")
        await pilot.press("v")
        await until(pilot, "validation/accuracy by trial")
        assert "✓ 12" not in text_of(app)
        await pilot.press("v")
        await until(pilot, "validation/accuracy by train.lr")
        await pilot.press("m", "m")
        await until(pilot, "validation/accuracy by train.optimizer")
        await until(pilot, "mean")
        await pilot.press("v", "o")
        await until(pilot, "▸■ 14")
        await pilot.press("9", "g", "down")
        await until(pilot, "9 Sweeps──older──13 of 13 trials")
        await pilot.press("s")
        await until(pilot, "stop the sweep: not in this view")


async def test_without_sweeps_the_pane_says_how_to_start_one(make_run: MakeRun, until: Until) -> None:
    make_run()
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(pilot, until)
        await pilot.press("9")
        await until(pilot, "No sweeps. S searches settings of the experiment in pane 2")
        await pilot.press("b", "m", "enter")  # nothing to act on
        assert pane_of(app).sweep is None


async def test_a_sweep_is_stopped_and_resumed_by_keys(home: Path, until: Until) -> None:
    options = ["--model", IDLE_MODEL, "--param", "train.lr=log:1e-4:1e-1", "--set", "train.epochs=100000",
               "--set", "train.threads=1", "--device", "cpu", "--trials", "1"]  # fmt: skip
    assert command(["sweep", "digits-mlp", *options, "--detach"]) == 0
    folder = SweepStore.default().find("last")
    app = WorkbenchApp()

    def status() -> SweepStatus:
        return read_sweep(folder).status

    try:
        async with app.run_test(size=(120, 36)) as pilot:
            await ready(pilot, until)
            await pilot.press("9")
            await until(pilot, "● 0")
            await pilot.press("s")
            await until(pilot, "Stop the sweep digits-mlp-sweep?")
            await pilot.press("y")
            await until(pilot, lambda: status() is SweepStatus.STOPPED)
            await until(pilot, "■ 0")
            await until(pilot, lambda: pane_of(app).check_action("resume_sweep", ()) is True)
            await pilot.press("r")
            await until(pilot, lambda: status() is SweepStatus.RUNNING)
            await until(pilot, "● 0")
    finally:
        _end(folder)


def _end(folder: SweepFolder) -> None:
    assert command(["sweep", "stop", folder.name]) == 0
    wait_until(lambda: not folder.live_workers(), "end of the workers")
