"""The evaluated images of the classes pane, with a real finished run and the real compute process."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tests.ui.screen_steps import Until
from workbench.compute.client import ComputeClient
from workbench.compute.protocol_records import EvaluatedSample
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import final_evaluation, read_evaluation
from workbench.ui.base.pane import PaneServices
from workbench.ui.classes.evaluated_samples_screen import EvaluatedSamplesScreen
from workbench.ui.classes.matrix_view import MatrixView
from workbench.ui.classes.pane import ClassesPane
from workbench.ui.data.sample_grid import SampleGrid
from workbench.ui.widgets.table import Table
from workbench.ui.widgets.text_line import TextLine


class Shown(App[None]):
    def __init__(self, session: ComputeClient) -> None:
        super().__init__()
        self.session = session

    def compose(self) -> ComposeResult:
        yield ClassesPane(PaneServices(lambda: self.session))


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
            await until(pilot, lambda: grid.total == 359)
            assert {sample.caption for sample in grid.samples} <= {f"✓{k}" for k in range(10)} | {
                f"{k}→{j}" for k in range(10) for j in range(10)
            }
            await until(pilot, "test sample 0: true ")
            await pilot.press("right", "enter")
            await until(pilot, lambda: [sample.index for sample in grid.samples] == [1])
            assert grid.tiles.height == grid.size.height, "it is as large as the screen"
            await pilot.press("right")
            await until(pilot, "test sample 2: true ")
            await pilot.press("escape")
            await until(pilot, lambda: len(grid.samples) == grid.tiles.count > 1 and grid.cursor == 2)
            await pilot.press("f")
            await until(pilot, lambda: grid.total == errors)
            assert all("→" in sample.caption for sample in grid.samples)
            await until(pilot, lambda: app.screen.query_one("#sample-text", TextLine).text.endswith("wrong"))
            await pilot.press("f", "a")
            await until(pilot, lambda: 0 < grid.total < 359 and grid.total != errors)
            assert len({sample.label for sample in grid.samples}) == 1
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, EvaluatedSamplesScreen))
            await _open_mistakes(app, pane, pilot, until)
    finally:
        client.close()


async def _open_mistakes(app: App[None], pane: ClassesPane, pilot: Pilot[None], until: Until) -> None:
    """`enter` on a class, on a cell of the matrix and on a pair shows their images, confident mistakes first."""

    async def opened() -> list[EvaluatedSample]:
        await until(pilot, lambda: isinstance(app.screen, EvaluatedSamplesScreen))
        screen = app.screen
        assert isinstance(screen, EvaluatedSamplesScreen)
        await until(pilot, lambda: screen.query_one(SampleGrid).samples)
        shown = [screen._samples[sample.index] for sample in screen.query_one(SampleGrid).samples]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen)
        return shown

    pane.focus_content()
    await pilot.press("enter")
    of_class = await opened()
    worst = pane.class_rows[[row.name for row in pane.class_rows].index(of_class[0].class_name)]
    assert {sample.label for sample in of_class} == {worst.index}
    mistakes = [sample for sample in of_class if sample.predicted != sample.class_name]
    assert mistakes and of_class[: len(mistakes)] == mistakes
    shares = [sample.confidence or 0.0 for sample in mistakes]
    assert shares == sorted(shares, reverse=True)
    assert all(share >= sample.probability for share, sample in zip(shares, mistakes, strict=True))
    await pilot.press("m")
    await until(pilot, lambda: pane.query_one(MatrixView).has_focus and pane._matrix_classes)
    await pilot.press("down", "right", "enter")  # correct predictions of the second class
    cell = await opened()
    second = pane._matrix_classes[1].index
    assert {(sample.label, sample.predicted) for sample in cell} == {(second, pane._matrix_classes[1].name)}
    await pilot.press("m")
    await until(pilot, lambda: pane.query_one(Table).has_focus and pane.query_one(Table).key)
    pair = str(pane.query_one(Table).key).split("\0")
    await pilot.press("enter")
    assert {(sample.class_name, sample.predicted) for sample in await opened()} == {tuple(pair)}
