"""The evaluated images of the classes pane, with a real finished run and the real compute process."""

from __future__ import annotations

from textual.app import App, ComposeResult

from tests.ui.screen_steps import Until
from workbench.compute.client import ComputeClient
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import final_evaluation, read_evaluation
from workbench.ui.base.pane import PaneServices
from workbench.ui.classes.evaluated_samples_screen import EvaluatedSamplesScreen
from workbench.ui.classes.pane import ClassesPane
from workbench.ui.data.sample_grid import SampleGrid
from workbench.ui.widgets.text_line import TextLine


class Shown(App[None]):
    def __init__(self, session: ComputeClient) -> None:
        super().__init__()
        self.session = session

    def compose(self) -> ComposeResult:
        yield ClassesPane(PaneServices(compute=self.session))


async def test_truth_and_prediction_side_by_side(digits_run: RunFolder, until: Until) -> None:
    view = RunReader(digits_run).read_all()
    shown = read_evaluation(digits_run, final_evaluation(view))
    assert shown is not None
    errors = 359 - round((shown.accuracy or 0) * 359)
    client = ComputeClient()
    try:
        app = Shown(client)
        async with app.run_test(size=(80, 24)) as pilot:
            pane = app.query_one(ClassesPane)
            pane.view, pane.evaluations = view, [shown]
            pane.focus_content()
            await pilot.press("v")
            await until(pilot, lambda: isinstance(app.screen, EvaluatedSamplesScreen))
            grid = app.screen.query_one(SampleGrid)
            await until(pilot, lambda: grid.total == 359, seconds=60)
            assert {sample.caption for sample in grid.samples} <= {f"✓{k}" for k in range(10)} | {
                f"{k}→{j}" for k in range(10) for j in range(10)
            }
            await until(pilot, "test sample 0: true ")
            await pilot.press("f")
            await until(pilot, lambda: grid.total == errors, seconds=30)
            assert all("→" in sample.caption for sample in grid.samples)
            await until(pilot, lambda: app.screen.query_one("#sample-text", TextLine).text.endswith("wrong"))
            await pilot.press("f", "a")
            await until(pilot, lambda: 0 < grid.total < 359 and grid.total != errors, seconds=30)
            assert len({sample.label for sample in grid.samples}) == 1
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, EvaluatedSamplesScreen))
    finally:
        client.close()
