"""The data pane: what a dataset holds, its samples, and transforms side by side."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace
from PIL import Image
from textual.app import App, ComposeResult
from textual.widgets import Static

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DatasetOverview,
    DescribeDataset,
    ImageDetail,
    ImagePage,
    Pipeline,
    Request,
    TraceDatasetImage,
    TransformImage,
    ValuePage,
)
from workbench.compute.protocol_records import ImageItem, Scatter, ValueRow
from workbench.config.experiment import build
from workbench.datasets.dataset_facts import DatasetFacts, ElementFacts, SplitFacts, TensorFacts
from workbench.inference.results import PipelineStep
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.ui.app import WorkbenchApp
from workbench.ui.base.layout import MODULES
from workbench.ui.data.dataset_text import Source, fact_lines
from workbench.ui.data.pane import DataPane
from workbench.ui.data.sample_detail import Large
from workbench.ui.data.sample_grid import SampleGrid, tiles
from workbench.ui.data.transform_list import TransformList
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.image_view import Picture
from workbench.ui.widgets.table import Table

Until = Callable[..., Any]
MakeRun = Callable[..., RunFolder]

CLASSES = ["cat", "[b]\x1b[0mdog"]
TOTAL = 101
TENSOR = TensorFacts((3, 8, 8), "uint8", 0.0, 255.0, 99.5)
FACTS = DatasetFacts(
    task="classification", classes=tuple(CLASSES), has_images=True, input=ElementFacts((3, 8, 8), "uint8"),
    splits={"train": SplitFacts(100, (60, 40)), "test": SplitFacts(10, (5, 5))},
    target=ElementFacts((), "int64"), batch=(32, 3, 8, 8), mean=(0.5, 0.25, 0.1), std=(0.2, 0.2, 0.2),
    source="somewhere", skipped=0,
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
    label = None if place == 0 else place % 2
    name = "noise" if label is None else CLASSES[label]
    return ImageItem(index=place - 1, label=label, class_name=name, name="", png=png(place))


def values() -> ValuePage:
    rows = tuple(ValueRow(index=i, input=(f"{i / 10}",), target="0.5") for i in range(5))
    scatter = Scatter(
        xs=(0.0, 0.5, 1.0), ys=(0.0, 1.0, 2.0), labels=(), x_title="first value", y_title="target"
    )
    return ValuePage(rows=rows, total=5, scatter=scatter)


def detail(request: TransformImage) -> ImageDetail:
    before = ImageDetail(item=item(request.index + 1), stored=TENSOR, transformed=None, result=None)
    if not request.chain and not request.augment:
        return before
    return replace(before, transformed=png(200 + request.draw), result=replace(TENSOR, dtype="float32"))


class Said(SessionClient):
    """A session that knows one dataset of 100 pictures whose red is their place."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.error = ""
        self.overview = OVERVIEW

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.asked.append(request)
        if self.error:
            raise SessionError(self.error)
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
        return self.asked[-1]


class Shown(App[None]):
    def __init__(self, session: SessionClient, data: str = "digits") -> None:
        super().__init__()
        self.session = session
        self.experiment_pane = self
        self.data = data

    def experiment(self) -> Any:
        return build(None, dataset=self.data, model="mlp", sets=["train.batch_size=32"])

    def compose(self) -> ComposeResult:
        yield DataPane(session=self.session)

    @property
    def pane(self) -> DataPane:
        return self.screen_stack[0].query_one(DataPane)

    @property
    def grid(self) -> SampleGrid:
        return self.pane.query_one(SampleGrid)


def red(app: Shown, picture: str) -> int:
    image = app.pane.query_one(picture, Picture).image
    assert image is not None
    return int(image.getpixel((0, 0))[0])  # type: ignore[index]


async def ready(app: Shown, pilot: Any, until: Until) -> None:
    app.pane.enter()
    await until(pilot, lambda: bool(app.grid.samples))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_facts_counts_and_samples(size: tuple[int, int], until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=size) as pilot:
        await ready(app, pilot, until)
        for words in ("train 100  test 10 pictures", "2 classes", "batch [32, 3, 8, 8] uint8 ─▸ [32, 2]",
                      "mean .500 .250 .100", "▸noise", "cat", "[b]\ufffd[0mdog"):  # fmt: skip
            await until(pilot, words)
        table = app.pane.query_one("#classes", Table)
        assert [row.cells["train"] for row in table.rows] == ["60", "40"]
        assert session.asked[0].batch == 32 and session.asked[0].dataset.data.name == "digits"
        assert session.last.count == app.grid.tiles.count >= 8
        await pilot.press("right", "right")
        assert table.key == "0"


async def test_pages_go_on_and_back_and_the_cursor_with_them(until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        count = app.grid.tiles.count
        await pilot.press("pagedown")
        await until(pilot, lambda: app.grid.first == count and app.grid.sample is not None)
        await pilot.press("left")
        await until(pilot, lambda: app.grid.first == 0)
        assert app.grid.sample is not None and app.grid.sample.index == count - 2
        await pilot.press("end")
        await until(pilot, lambda: app.grid.sample is not None and app.grid.sample.index == 99)
        asked = len(session.asked)
        await pilot.press("right", "down", "pagedown")
        assert len(session.asked) == asked
        await pilot.resize_terminal(120, 36)
        await until(
            pilot, lambda: len(app.grid.samples) + app.grid.first == TOTAL and app.grid.tiles.width > 11
        )
        assert app.grid.sample is not None and app.grid.sample.index == 99


async def test_one_class_only(until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("f")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"dog")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: getattr(session.last, "label", None) == 1)
        await until(pilot, "▸ train, only [b]\ufffd[0mdog")
        await pilot.press("f", "enter")
        await until(pilot, lambda: isinstance(session.last, BrowseImages) and session.last.label is None)


async def test_another_split_and_the_selected_runs_data(make_run: MakeRun, until: Until) -> None:
    app = Shown(session := Said(), data="shapes")
    reader = RunReader(make_run("mine"))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = reader.read_all()
        await ready(app, pilot, until)
        await pilot.press("m")
        await until(pilot, "the data of mine")
        await pilot.press(*"test", "enter")
        await until(pilot, lambda: getattr(session.last, "split", None) == "test")
        await until(pilot, "▸ test")
        await pilot.press("m")
        await until(pilot, "the data of mine")
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


async def test_one_picture_large_and_the_next_even_over_the_page(until: Until) -> None:
    app = Shown(Said())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        count = app.grid.tiles.count
        await pilot.press("right", "enter")
        await until(pilot, "train example 0")
        await until(pilot, "as a batch of one [1, 3, 8, 8]")
        await until(pilot, "flattened [192]")
        assert app.pane.query_one(Large).has_focus and red(app, "#before") == 1
        for _ in range(count):
            await pilot.press("right")
        await until(pilot, f"train example {count}")
        assert red(app, "#before") == count + 1
        await pilot.press("escape")
        await until(pilot, lambda: app.grid.has_focus)
        assert app.grid.sample is not None and app.grid.sample.index == count


async def test_transforms_are_tried_adjusted_chained_and_drawn_anew(until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("v")
        await until(pilot, lambda: getattr(session.last, "chain", None) == (("rotation", 45),))
        await until(pilot, "[3, 8, 8] float32 0…255")
        await until(pilot, "space keeps it, b draws anew, esc")
        assert (red(app, "#before"), red(app, "#after")) == (0, 200)
        await until(pilot, lambda: app.pane.query_one(TransformList).has_focus)
        await pilot.press("left", "space", "down", "down")
        await until(pilot, lambda: session.last.chain == (("rotation", 40), ("vflip", 1)))
        await until(pilot, "rotation 40, vflip 1")
        await pilot.press("b")
        await until(pilot, lambda: session.last.draw == 1 and red(app, "#after") == 201)
        await pilot.press("home", "space", "end")
        await until(pilot, lambda: session.last.chain == () and session.last.augment == ())
        await until(pilot, "train.augment is empty")
        await pilot.press("v")
        await until(pilot, lambda: app.grid.has_focus)


async def test_the_experiments_own_augmentation(until: Until) -> None:
    app = Shown(session := Said(), data="shapes")
    app.experiment = lambda: build(  # type: ignore[method-assign]
        None, dataset="shapes", model="mlp", sets=["train.augment=crop,flip"]
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("right", "a")
        await until(pilot, lambda: getattr(session.last, "augment", None) == ("crop", "flip"))
        await until(pilot, "crop flip")
        assert session.last.index == 0 and session.last.chain == ()


async def test_values_and_a_scatter_where_there_are_no_pictures(until: Until) -> None:
    app = Shown(session := Said(), data="line")
    facts = replace(
        FACTS, task="regression", classes=(), has_images=False, input=ElementFacts((1,), "float32"),
        splits={"train": SplitFacts(5, ())}, batch=(5, 1),
    )  # fmt: skip
    session.overview = DatasetOverview(facts=facts, output=(5, 1))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await until(pilot, "target · first value")
        await until(pilot, "batch [5, 1] float32 ─▸ [5, 1]")
        assert app.pane.query_one("#values", Table).rows[3].cells["input"] == "0.3"
        asked = len(session.asked)
        await pilot.press("v", "a", "b", "f", "escape")
        assert len(session.asked) == asked and app.pane.mode == "-values"
        assert "v transforms" not in app.pane.own_keys()


async def test_what_goes_wrong_is_said_in_the_pane_and_tried_again(until: Until) -> None:
    app = Shown(session := Said())
    session.error = "mnist is not here: t trains and downloads it"
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await until(pilot, "✗ mnist is not here: t trains and downloads it")
        session.error = ""
        app.pane.look()
        await until(pilot, "▸noise")


async def test_somebodys_own_code_runs_when_it_is_asked_for(tmp_path: Path, until: Until) -> None:
    (tmp_path / "data.py").write_text("def make(): ...")
    app = Shown(session := Said(), data=f"{tmp_path / 'data.py'}:make")
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await until(pilot, "is your own code")
        assert session.asked == []
        await pilot.press("enter")
        await until(pilot, "▸noise")


async def test_slow_code_says_how_long_it_takes_and_can_be_stopped(
    tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.ui.data.dataset_pane.SLOW", 0.0)
    code = tmp_path / "data.py"
    code.write_text(
        "import time\ndef make():\n    open(__file__ + '.ran', 'w').close()\n    time.sleep(600)\n"
    )
    client = SessionClient()
    app = Shown(client, data=f"{code}:make")
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.enter()
            await until(pilot, "is your own code")
            await pilot.press("enter")
            await until(pilot, "running your code", seconds=60)
            await until(pilot, lambda: Path(f"{code}.ran").exists(), seconds=60)
            await until(pilot, "esc stops it")
            children = psutil.Process(client._process._popen.pid).children()  # type: ignore[union-attr]
            await pilot.press("escape")
            await until(pilot, "stopped: enter begins again")
            await until(pilot, lambda: not any(child.is_running() for child in children), seconds=20)
    finally:
        client.close()
    assert len(children) == 1


async def test_the_steps_of_a_picture_of_the_dataset(until: Until) -> None:
    app = Shown(session := Said(), data="shapes")
    async with app.run_test(size=(100, 30)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("right", "enter")
        await until(pilot, lambda: app.pane.query_one(Large).has_focus)
        await pilot.press("enter")
        await until(pilot, "dog, up to a model")
        assert isinstance(session.last, TraceDatasetImage) and session.last.index == 0


async def test_nothing_is_asked_before_the_pane_is_in_sight(home: Path, until: Until) -> None:
    app = WorkbenchApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: set(app.panes) == set(MODULES))
        pane = app.panes["5"]
        assert isinstance(pane, DataPane)
        pane._given = session = Said()
        await pilot.press("2", "1")
        assert session.asked == []
        await pilot.press("5")
        await until(pilot, "▸noise")
        assert session.asked[0].dataset.data.name == "digits"
        asked = len(session.asked)
        await pilot.press("escape")
        await until(pilot, "3 Plots")
        await pilot.press("5")
        await until(pilot, "▸noise")
        assert [type(one) for one in session.asked[asked:]] in ([], [BrowseImages])


async def test_the_real_session_shows_real_digits(until: Until) -> None:
    client = SessionClient()
    app = Shown(client)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.enter()
            await until(pilot, "test 359 pictures", seconds=60)
            await until(pilot, "▸noise", seconds=60)
            await pilot.press("right", "v")
            await until(pilot, "rotation 45", seconds=60)
            said = app.pane.query_one("#after-said", Static)
            assert "[1, 8, 8] uint8" in str(said.render())
    finally:
        client.close()


@pytest.mark.parametrize("size", [(38, 10), (20, 5), (3, 2), (200, 50)])
async def test_no_size_is_too_small(size: tuple[int, int], until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=size) as pilot:
        app.pane.enter()
        await until(pilot, lambda: isinstance(session.last, BrowseImages))
        await pilot.press("v", "down", "escape", "enter", "escape", "pagedown")


@pytest.mark.parametrize(
    ("width", "height", "least"), [(48, 13, 8), (85, 29, 12), (150, 44, 12), (20, 8, 2), (1, 1, 1)]
)
def test_tiles_fill_the_room(width: int, height: int, least: int) -> None:
    found = tiles(width, height)
    assert found.count >= least
    assert found.across * found.width <= max(width, 3) and found.down * found.height <= max(height, 2)


def test_a_source_is_what_an_experiment_has() -> None:
    experiment = build("digits-mlp", sets=["train.validation=0.2"]).to_dict()
    source = Source.of(experiment, "of the experiment")
    assert source.dataset.validation == 0.2 and source.dataset.model.name == "mlp" and not source.own


@pytest.mark.parametrize("width", [38, 60, 120])
def test_facts_keep_to_the_width(width: int) -> None:
    for line in fact_lines(OVERVIEW, "train", None, width)[1:]:
        assert len(line) <= max(width, 45)


async def test_without_colours(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Shown(Said())
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(app, pilot, until)
        await pilot.press("v")
        await until(pilot, "rotation 45")
