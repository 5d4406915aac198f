"""What the experiment pane shows before a run: the schedule, and a learning rate that real steps suggest."""

from __future__ import annotations

from pathlib import Path

from tests.ui.experiment.test_experiment_pane import Shown
from tests.ui.screen_steps import Until
from workbench.config.training_settings import TrainingSettings
from workbench.ui.experiment.draft import Draft, steps_per_epoch
from workbench.ui.experiment.lr_screen import LrScreen
from workbench.ui.experiment.schedule_screen import SPARK_COUNT, ScheduleScreen, sampled_rates, schedule_line


def test_the_line_of_a_schedule_is_its_course() -> None:
    assert schedule_line(TrainingSettings(epochs=5), 10) == ""
    line = schedule_line(TrainingSettings(epochs=5, schedule="cosine"), 10)
    assert len(line) == SPARK_COUNT and (line[0], line[-1]) == ("█", "▁")
    assert list(line) == sorted(line, reverse=True)
    triangle = schedule_line(TrainingSettings(epochs=5, schedule="triangular"), 10)
    assert triangle.index("█") == int(0.23 * SPARK_COUNT) and triangle[-1] == "▁"
    assert len(schedule_line(TrainingSettings(epochs=2, schedule="cosine"), 1)) == 2
    epochs, rates = sampled_rates(TrainingSettings(epochs=5, schedule="step", step_every=1), None)
    assert (epochs[0], rates[0], len(epochs)) == (0.0, 1e-3, 500)


def test_the_form_has_a_row_for_a_schedule_that_changes() -> None:
    draft = Draft()
    assert steps_per_epoch(draft) == 41
    rows = [field.key for field in draft.fields()]
    assert rows[rows.index("train.schedule") + 1] == "schedule"
    draft.set("train.schedule", "constant")
    assert "schedule" not in [field.key for field in draft.fields()]


async def test_the_schedule_is_drawn_by_a_key(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(100, 40)) as pilot:
        app.pane.draft.set("train.head_lr", "0.002")
        app.pane.focus_content()
        await pilot.press("o")
        await until(pilot, "cosine  up to 0.001  head up to 0.002")
        assert isinstance(app.screen, ScheduleScreen)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        app.pane.draft.set("train.optimizer", "sgd")
        app.pane.draft.set("train.momentum", "0.9")
        await pilot.press("o")
        await until(pilot, "momentum 0.9 throughout")


async def test_a_learning_rate_is_found_and_used_by_a_key(until: Until, home: Path) -> None:
    app = Shown()
    async with app.run_test(size=(100, 40)) as pilot:
        app.pane.draft.set("train.threads", "1")
        app.pane.focus_content()
        await pilot.press("L")
        await until(pilot, "loss of a step", 60.0)
        screen = app.screen
        assert isinstance(screen, LrScreen) and screen.curve is not None
        await until(pilot, f"enter {screen.curve.steepest:g} (steepest)")
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.draft.value("train.lr") == screen.curve.steepest)
        await pilot.press("L")
        await until(pilot, "esc back")
        await pilot.press("escape")  # which ends the process
        await until(pilot, lambda: len(app.screen_stack) == 1)
    assert not (home / "runs").exists()


async def test_an_error_of_the_search_is_shown(until: Until) -> None:
    app = Shown()
    async with app.run_test(size=(120, 40)) as pilot:
        app.pane.draft.load_recipe("mnist-mlp")
        app.pane.focus_content()
        await pilot.press("L")
        await until(pilot, "is not downloaded")
