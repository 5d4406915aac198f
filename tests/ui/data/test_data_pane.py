"""The data pane: the facts of a dataset, its samples, and previews of transforms."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from PIL import Image
from textual.app import ComposeResult
from textual.widgets import Static

from tests.ui.screen_steps import MakeRun, Until, choose
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DescribeDataset,
    Request,
    TraceDatasetImage,
    TransformImage,
)
from workbench.compute.protocol_records import ImageItem, Scatter, ValueRow
from workbench.compute.protocol_responses import DatasetOverview, ImageDetail, ImagePage, Pipeline, ValuePage
from workbench.compute.user_process import USER_CODE
from workbench.config.experiment import build_experiment
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, SkippedFiles, SplitFacts, TensorFacts
from workbench.inference.results import PipelineStep
from workbench.runs.reader import RunReader
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import PANES, PaneId
from workbench.ui.base.pane import PaneServices
from workbench.ui.base.terminal_app import TerminalApp
from workbench.ui.data.dataset_text import DatasetSource, fact_lines
from workbench.ui.data.pane import DataPane, Mode
from workbench.ui.data.sample_detail import SampleDetail
from workbench.ui.data.sample_grid import FEW, SampleGrid, fit_few_tiles, fit_tiles
from workbench.ui.data.transform_list import TransformList
from workbench.ui.widgets.image_view import ImageView
from workbench.ui.widgets.table import Table

CLASSES = ["cat", "[b]\x1b[0mdog"]
TOTAL = 100
TENSOR = TensorFacts((3, 8, 8), "uint8", 0.0, 255.0, 99.5)
FACTS = DatasetFacts(
    task="classification", classes=tuple(CLASSES), has_images=True, input=ElementFacts((3, 8, 8), "uint8"),
    splits={"train": SplitFacts(100, (60, 40)), "test": SplitFacts(10, (5, 5))},
    target=ElementFacts((), "int64"), batch=(32, 3, 8, 8), mean=(0.5, 0.25, 0.1), std=(0.2, 0.2, 0.2),
    source="somewhere", skipped=SkippedFiles(),
)  # fmt: skip
OVERVIEW = DatasetOverview(facts=FACTS, output=(32, 2))
STEP = PipelineStep(
    name="flattened", code=".view(1, -1)", kind="tensor", shape=(1, 192), dtype="uint8", low=0.0, high=255.0,
    device="cpu", memory="a view", shares_numpy=False,
)  # fmt: skip


def png(red: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def item(place: int) -> ImageItem:
    label = None if place < 0 else place % 2
    name = "noise" if label is None else CLASSES[label]
    return ImageItem(index=place, label=label, class_name=name, name="", png=png(place + 1))


def values() -> ValuePage:
    rows = tuple(ValueRow(index=i, input=(f"{i / 10}",), target="0.5") for i in range(5))
    scatter = Scatter(
        xs=(0.0, 0.5, 1.0), ys=(0.0, 1.0, 2.0), labels=(), x_title="first value", y_title="target"
    )
    return ValuePage(rows=rows, total=5, scatter=scatter)


def detail(request: TransformImage) -> ImageDetail:
    before = ImageDetail(item=item(request.index), stored=TENSOR, transformed=None, result=None)
    if not request.chain and not request.augment:
        return before
    return replace(before, transformed=png(200 + request.draw), result=replace(TENSOR, dtype="float32"))


class FakeCompute(ComputeClient):
    """A compute client with one dataset of 100 images whose red value is their index."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.error = ""
        self.overview = OVERVIEW

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.requests.append(request)
        if self.error:
            raise ComputeError(self.error)
        if isinstance(request, DescribeDataset):
            return self.overview
        if isinstance(request, BrowseImages):
            places = range(request.first, min(request.first + request.count, TOTAL))
            return ImagePage(items=tuple(item(place) for place in places), first=request.first, total=TOTAL)
        if isinstance(request, BrowseValues):
            return values()
        if isinstance(request, TraceDatasetImage):
            return Pipeline(model=None, steps=(STEP,))
        assert isinstance(request, TransformImage)
        return detail(request)

    @property
    def last(self) -> Any:
        return self.requests[-1]


class DataApp(TerminalApp):
    def __init__(self, session: ComputeClient, data: str = "digits") -> None:
        super().__init__()
        self.session = session
        self.data = data

    def experiment(self) -> Any:
        return build_experiment(None, dataset=self.data, model="mlp", sets=["train.batch_size=32"])

    def compose(self) -> ComposeResult:
        yield DataPane(PaneServices(lambda: self.session, current_experiment=self.experiment))

    @property
    def pane(self) -> DataPane:
        return self.screen_stack[0].query_one(DataPane)

    @property
    def grid(self) -> SampleGrid:
        return self.pane.query_one(SampleGrid)


def red(app: DataApp, selector: str) -> int:
    image = app.pane.query_one(selector, ImageView).image
    assert image is not None
    return int(image.getpixel((0, 0))[0])  # type: ignore[index]


async def ready(app: DataApp, pilot: Any, until: Until) -> None:
    app.pane.focus_content()
    await until(pilot, lambda: bool(app.grid.samples))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_facts_counts_and_samples(size: tuple[int, int], until: Until) -> None:
    app = DataApp(session := FakeCompute())
    async with app.run_test(size=size) as pilot:
        await ready(app, pilot, until)
        for words in ("train 100  test 10 images", "2 classes", "batch [32, 3, 8, 8] uint8 ─▸ [32, 2]",
                      "mean .500 .250 .100", "▸cat", "cat", "[b]\ufffd[0mdog"):  # fmt: skip
            await until(pilot, words)
        table = app.pane.query_one("#classes", Table)
        assert [row.cells["train"] for row in table.rows] == ["60", "40"]
        assert session.requests[0].batch == 32 and session.requests[0].dataset.data.name == "digits"
        assert session.last.count == app.grid.tiles.count >= 8
        await pilot.press("right", "right")
        assert table.key == "0"


async def test_the_cursor_moves_across_pages(until: Until) -> None:
    app = DataApp(session := FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        count = app.grid.tiles.count
        await pilot.press("pagedown")
        await until(pilot, lambda: app.grid.first == count and app.grid.sample is not None)
        await pilot.press("left")
        await until(pilot, lambda: app.grid.first == 0)
        assert app.grid.sample is not None and app.grid.sample.index == count - 1
        await pilot.press("end")
        await until(pilot, lambda: app.grid.sample is not None and app.grid.sample.index == 99)
        asked = len(session.requests)
        await pilot.press("right", "down", "pagedown")
        assert len(session.requests) == asked
        await pilot.resize_terminal(120, 36)
        await until(
            pilot, lambda: len(app.grid.samples) + app.grid.first == TOTAL and app.grid.tiles.width > 11
        )
        assert app.grid.sample is not None and app.grid.sample.index == 99


async def test_filter_by_class(until: Until) -> None:
    app = DataApp(session := FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("f")
        await choose(pilot, until, "dog")
        await until(pilot, lambda: getattr(session.last, "label", None) == 1)
        await until(pilot, "▸ train, only [b]\ufffd[0mdog")
        await pilot.press("f")
        await choose(pilot, until, "all")
        await until(pilot, lambda: isinstance(session.last, BrowseImages) and session.last.label is None)


async def test_another_split_and_the_selected_runs_data(make_run: MakeRun, until: Until) -> None:
    app = DataApp(session := FakeCompute(), data="shapes")
    reader = RunReader(make_run("mine"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = reader.read_all()
        await ready(app, pilot, until)
        await pilot.press("m")
        await until(pilot, "dataset of mine")
        await pilot.press(*"test", "enter")
        await until(pilot, lambda: getattr(session.last, "split", None) == "test")
        await until(pilot, "▸ test")
        await pilot.press("m")
        await until(pilot, "dataset of mine")
        await pilot.press(*"test")
        await pilot.pause()
        await pilot.press("down", "enter")
        await until(
            pilot,
            lambda: session.last.dataset.data.name == "digits" and isinstance(session.last, BrowseImages),
        )
        assert session.last.split == "test"
        assert app.pane.headline == "digits──of mine"
    reader.close()


async def test_the_detail_of_an_image_and_the_next_across_pages(until: Until) -> None:
    app = DataApp(FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        count = app.grid.tiles.count
        await pilot.press("enter")
        await until(pilot, "train sample 0")
        await until(pilot, "as a batch of one [1, 3, 8, 8]")
        await until(pilot, "flattened [192]")
        assert app.pane.query_one(SampleDetail).has_focus and red(app, "#before") == 1
        for _ in range(count):
            await pilot.press("right")
        await until(pilot, f"train sample {count}")
        assert red(app, "#before") == count + 1
        await pilot.press("escape")
        await until(pilot, lambda: app.grid.has_focus)
        assert app.grid.sample is not None and app.grid.sample.index == count


async def test_transforms_are_previewed_adjusted_chained_and_rerolled(until: Until) -> None:
    app = DataApp(session := FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("v")
        await until(pilot, lambda: getattr(session.last, "chain", None) == (("rotation", 45),))
        await until(pilot, "[3, 8, 8] float32 0 to 255")
        await until(pilot, "space keeps it, b re-rolls, esc")
        assert (red(app, "#before"), red(app, "#after")) == (1, 200)
        await until(pilot, lambda: app.pane.query_one(TransformList).has_focus)
        await pilot.press("left", "space", "down", "down")
        await until(pilot, lambda: session.last.chain == (("rotation", 40), ("vflip", 1)))
        await until(pilot, "rotation 40, vflip 1")
        await pilot.press("b")
        await until(pilot, lambda: session.last.draw == 1 and red(app, "#after") == 201)
        await pilot.press("home", "space", "end", "up")
        await until(pilot, lambda: session.last.chain == () and session.last.augment == ())
        await until(pilot, "train.augment is empty")
        await pilot.press("down", "space")
        await until(pilot, lambda: session.last.index == -1)
        await until(pilot, "transforms random noise; space switches")
        assert red(app, "#before") == 0
        await pilot.press("v")
        await until(pilot, lambda: app.grid.has_focus)


async def test_the_augmentation_of_the_experiment(until: Until) -> None:
    app = DataApp(session := FakeCompute(), data="shapes")
    app.experiment = lambda: build_experiment(  # type: ignore[method-assign]
        None, dataset="shapes", model="mlp", sets=["train.augment=crop,flip"]
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("a")
        await until(pilot, lambda: getattr(session.last, "augment", None) == ("crop", "flip"))
        await until(pilot, "crop flip")
        assert session.last.index == 0 and session.last.chain == ()


async def test_values_and_a_scatter_plot_of_a_dataset_without_images(until: Until) -> None:
    app = DataApp(session := FakeCompute(), data="line")
    facts = replace(
        FACTS, task="regression", classes=(), has_images=False, input=ElementFacts((1,), "float32"),
        splits={"train": SplitFacts(5, ())}, batch=(5, 1),
    )  # fmt: skip
    session.overview = DatasetOverview(facts=facts, output=(5, 1))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await until(pilot, "target · first value")
        await until(pilot, "batch [5, 1] float32 ─▸ [5, 1]")
        assert app.pane.query_one("#values", Table).rows[3].cells["input"] == "0.3"
        asked = len(session.requests)
        await pilot.press("v", "a", "b", "f", "escape")
        assert len(session.requests) == asked and app.pane.mode is Mode.VALUES
        assert "v transforms" not in app.pane.key_hints()


async def test_errors_are_shown_and_loading_can_be_retried(until: Until) -> None:
    app = DataApp(session := FakeCompute())
    session.error = "mnist is not here: t trains and downloads it"
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await until(pilot, "✗ mnist is not here: t trains and downloads it")
        session.error = ""
        app.pane.refresh_dataset()
        await until(pilot, "▸cat")


async def test_user_code_runs_only_on_request(tmp_path: Path, until: Until) -> None:
    (tmp_path / "data.py").write_text("def make(): ...")
    app = DataApp(session := FakeCompute(), data=f"{tmp_path / 'data.py'}:make")
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await until(pilot, "is user code")
        assert session.requests == []
        await pilot.press("enter")
        await until(pilot, "▸cat")


async def test_slow_user_code_shows_the_elapsed_time_and_can_be_cancelled(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.ui.data.dataset_pane.SLOW_SECONDS", 0.0)
    code = tmp_path / "data.py"
    code.write_text(
        "import time\ndef make():\n    open(__file__ + '.ran', 'w').close()\n    time.sleep(600)\n"
    )
    client = ComputeClient()
    app = DataApp(client, data=f"{code}:make")
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.focus_content()
            await until(pilot, "is user code")
            await pilot.press("enter")
            await until(pilot, "running user code")
            await until(pilot, lambda: Path(f"{code}.ran").exists())
            await until(pilot, "esc cancels")
            children = [
                child for child in psutil.Process().children(recursive=True) if USER_CODE in child.cmdline()
            ]
            await pilot.press("escape")
            await until(pilot, "Press enter to load the dataset again")
            await until(pilot, lambda: not any(child.is_running() for child in children))
    finally:
        client.close()
    assert len(children) == 1


async def test_user_code_runs_once_however_long_one_looks(tmp_path: Path, until: Until) -> None:
    code = tmp_path / "data.py"
    code.write_text(
        "import torch\n"
        "def make(n=200):\n"
        "    open(__file__ + '.calls', 'a').write('called\\n')\n"
        "    print('reading 200 images')\n"
        "    x = torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8)\n"
        "    return (x, torch.arange(n) % 2 + 1), (x, torch.arange(n) % 2 + 1)\n"
    )
    client = ComputeClient()
    app = DataApp(client, data=f"{code}:make")
    try:
        async with app.run_test(size=(100, 30)) as pilot:
            app.pane.focus_content()
            await until(pilot, "is user code")
            await pilot.press("enter")
            await until(pilot, "train 180  validation 20  test 200 images")
            await until(pilot, "o: 1 notice, 1 printed line  labels 1 to 2 are used")
            await until(pilot, lambda: app.pane.grid.samples)
            facts = app.pane.query_one("#facts").size
            app.pane.show_status("… reading")  # another height would ask for another page, without end
            await pilot.pause()
            assert app.pane.query_one("#facts").size == facts
            for _ in range(3):
                await pilot.press("pagedown")
            await pilot.press("enter")
            await until(pilot, "as a batch of one")
            await pilot.press("escape", "o")
            await until(pilot, "reading 200 images")
    finally:
        client.close()
    assert len(Path(f"{code}.calls").read_text().splitlines()) == 1


async def test_the_pipeline_of_a_sample(until: Until) -> None:
    app = DataApp(session := FakeCompute(), data="shapes")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("right", "enter")
        await until(pilot, lambda: app.pane.query_one(SampleDetail).has_focus)
        await pilot.press("enter")
        await until(pilot, "dog, up to a model's input")
        assert isinstance(session.last, TraceDatasetImage) and session.last.index == 1


async def test_nothing_is_requested_before_the_pane_is_visible(home: Path, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: set(app.main_view.panes) == set(PANES))
        pane = app.main_view.panes[PaneId.DATA]
        assert isinstance(pane, DataPane)
        session = FakeCompute()
        pane.services = dataclasses.replace(pane.services, open_compute=lambda: session)
        await pilot.press("2", "1")
        assert session.requests == []
        await pilot.press("5")
        await until(pilot, "▸cat")
        assert session.requests[0].dataset.data.name == "digits"
        asked = len(session.requests)
        await pilot.press("escape")
        await until(pilot, "3 Plots")
        await pilot.press("5")
        await until(pilot, "▸cat")
        assert [type(one) for one in session.requests[asked:]] in ([], [BrowseImages])


async def test_the_real_compute_process_shows_digits(until: Until) -> None:
    client = ComputeClient()
    app = DataApp(client)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.focus_content()
            await until(pilot, "test 359 images")
            await until(pilot, "▸3")
            await pilot.press("right", "v")
            await until(pilot, "rotation 45")
            caption = app.pane.query_one("#after-caption", Static)
            assert "[1, 8, 8] uint8" in str(caption.render())
    finally:
        client.close()


@pytest.mark.parametrize("size", [(38, 10), (20, 5), (3, 2), (200, 50)])
async def test_no_size_is_too_small(size: tuple[int, int], until: Until) -> None:
    app = DataApp(session := FakeCompute())
    async with app.run_test(size=size) as pilot:
        app.pane.focus_content()
        await until(pilot, lambda: isinstance(session.last, BrowseImages))
        await pilot.press("v", "down", "escape", "enter", "escape", "pagedown")


@pytest.mark.parametrize(
    ("width", "height", "least"), [(48, 13, 8), (85, 29, 12), (150, 44, 12), (20, 8, 2), (1, 1, 1)]
)
def test_tiles_fill_the_space(width: int, height: int, least: int) -> None:
    found = fit_tiles(width, height)
    assert found.count >= least
    assert found.across * found.width <= max(width, 3) and found.down * found.height <= max(height, 2)


@pytest.mark.parametrize(("width", "height"), [(48, 13), (85, 29), (150, 44), (20, 8), (1, 1)])
def test_few_tiles_on_a_slow_line(width: int, height: int) -> None:
    """No more than a slow line carries soon; where few fit anyway, these."""
    all_of_them, few = fit_tiles(width, height), fit_few_tiles(width, height)
    assert few.count <= FEW[0] * FEW[1] and few.width <= FEW[2]
    assert few == all_of_them or all_of_them.count > few.count or all_of_them.width > few.width


async def test_a_page_over_a_slow_line_holds_few_samples_and_keeps_its_layout(until: Until) -> None:
    app = DataApp(session := FakeCompute())
    app.has_slow_line = True
    async with app.run_test(size=(120, 36)) as pilot:
        await ready(app, pilot, until)
        assert session.last.count == app.grid.tiles.count == FEW[0] * FEW[1]
        app.has_slow_line = False
        await pilot.press("pagedown")
        await until(pilot, lambda: app.grid.first == FEW[0] * FEW[1] and app.grid.sample is not None)
        assert app.grid.tiles.count == FEW[0] * FEW[1]


def test_the_source_of_an_experiment() -> None:
    experiment = build_experiment("digits-mlp", sets=["train.validation=0.2"])
    source = DatasetSource.from_experiment(experiment, "of the experiment")
    assert source.dataset.validation == 0.2 and source.dataset.model.name == "mlp" and not source.is_user_code


@pytest.mark.parametrize("width", [38, 60, 120])
def test_facts_fit_the_width(width: int) -> None:
    for line in fact_lines(OVERVIEW, "train", None, width)[1:]:
        assert len(line) <= max(width, 45)


async def test_without_colors(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = DataApp(FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("v")
        await until(pilot, "rotation 45")
