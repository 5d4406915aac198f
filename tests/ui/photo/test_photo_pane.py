"""The photo pane: pictures and samples, shown at once and classified by what was chosen."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image
from textual.app import App, ComposeResult

from workbench.compute.client import SessionClient, SessionError
from workbench.compute.handlers import images
from workbench.compute.protocol import (
    Classification,
    Classify,
    Explain,
    Explanation,
    ImagePage,
    ListSamples,
    NumericPrediction,
    OpenedImage,
    OpenImage,
    Pipeline,
    PredictValues,
    Request,
    TracePipeline,
)
from workbench.compute.protocol_records import (
    ClassCount,
    ClassReliability,
    ImageData,
    ImageFacts,
    ImageItem,
    ImagePath,
    PublishedClassifier,
    RecipeClassifier,
    RunClassifier,
)
from workbench.compute.task import Task
from workbench.core.errors import BadInput
from workbench.core.progress import Progress
from workbench.core.text import cell_width
from workbench.inference.published_comparison import ComparedClass, PublishedComparison
from workbench.inference.results import PipelineStep, Prediction
from workbench.io.record_codec import write_record
from workbench.runs.reader import RunReader
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.ui.photo.explanation import reason_lines
from workbench.ui.photo.pane import PhotoPane
from workbench.ui.photo.prediction_view import Answer, comparison_text, prediction
from workbench.ui.widgets.chooser import Chooser
from workbench.ui.widgets.image_view import Picture
from workbench.ui.widgets.pipeline_steps_screen import StepsScreen
from workbench.ui.widgets.text_screen import Reading

Until = Callable[..., Any]
MakeRun = Callable[..., RunFolder]
TOP = (Prediction(258, "Samoyed", 0.952), Prediction(9, "[b]\x1b[0m", 0.01))
EXPLANATION = Explanation(
    model="first",
    first=Prediction(0, "cat", 0.9, 3.25),
    second=Prediction(1, "dog", 0.048, 0.5),
    steps=("resized 8×8 RGB", "batched [1, 3, 8, 8] 0…1"),
    reliability=ClassReliability(
        split="test", epoch=3, recall=0.9, precision=0.8, support=10, predicted_as=(),
        confused_with=(ClassCount("dog", 2),),
    ),
    published_accuracy=None,
)  # fmt: skip


def png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def opened(request: OpenImage) -> OpenedImage:
    try:
        return images.open_image(request, Task(0, request, lambda _: None))
    except BadInput as error:
        raise SessionError(str(error)) from None


def samples() -> ImagePage:
    named = (("cat", "red"), ("dog", "blue"))
    items = [
        ImageItem(index=i, label=i, class_name=name, name="", png=png(colour))
        for i, (name, colour) in enumerate(named)
    ]
    return ImagePage(items=tuple(items), first=0, total=2)


def classification(request: Classify) -> Classification:
    return Classification(
        model="m",
        top=TOP,
        reference=COMPARISON if isinstance(request.classifier, RecipeClassifier) else None,
        milliseconds=12.3,
        device="cpu",
        source=ImageFacts(8, 8, "RGB"),
        notices=(),
    )


class Said(SessionClient):
    """A session that answers as it is told, when it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.error = ""
        self.go = asyncio.Event()
        self.go.set()

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.asked.append(request)
        if progress:
            progress(Progress("downloading weights", 1_000_000, 5_000_000, "bytes"))
        if isinstance(request, OpenImage):
            return opened(request)
        await self.go.wait()
        if self.error:
            raise SessionError(self.error)
        if isinstance(request, PredictValues):
            return NumericPrediction(top=(), values=(0.5,))
        if isinstance(request, ListSamples):
            return samples()
        if isinstance(request, Explain):
            return EXPLANATION
        if isinstance(request, TracePipeline):
            return Pipeline(model="m" if request.classifier else None, steps=STEPS)
        assert isinstance(request, Classify)
        return classification(request)


class Shown(App[None]):
    def __init__(self, session: SessionClient) -> None:
        super().__init__()
        self.session, self.store = session, Store.default()

    def compose(self) -> ComposeResult:
        yield PhotoPane(session=self.session)

    @property
    def pane(self) -> PhotoPane:
        return self.screen_stack[0].query_one(PhotoPane)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "dog.png"
    path.write_bytes(png())
    return path


def view_of(folder: RunFolder) -> Any:
    reader = RunReader(folder)
    view = reader.read_all()
    reader.close()
    return view


async def test_a_path_is_typed_and_the_top_classes_come_with_bars(
    photo: Path, make_run: MakeRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    app = Shown(session := Said())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.enter()
        await until(pilot, "by first, best of epoch 3")
        await pilot.press("enter")
        await until(pilot, "tab completes")
        await pilot.press(*"./d")
        await until(pilot, "dog.png")
        await pilot.press("tab", "enter")
        for said in ("dog.png 8×8 RGB", "258 Samoyed", ".952", "12 ms on cpu", "[b]\ufffd[0m"):
            await until(pilot, said)
        assert app.query_one(Picture).image is not None
        by = RunClassifier(str(folder.path))
        assert session.asked[0] == OpenImage(path="./dog.png")
        assert session.asked[1:] == [Classify(image=ImagePath(str(photo)), classifier=by, top=5)]
        assert app.pane.answer.has_focus


async def test_the_picture_is_there_before_the_answer_and_the_last_answer_stays(
    photo: Path, until: Until
) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.chosen = PublishedClassifier("squeezenet1_0")
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        session.go.clear()
        photo.write_bytes(png("blue"))
        app.pane.classify(str(photo))
        await until(pilot, "… downloading weights 1.0 MB of 5.0 MB")
        image = app.query_one(Picture).image
        assert image is not None and image.getpixel((0, 0)) == (0, 0, 255)
        await until(pilot, "Samoyed")
        session.go.set()
        await until(pilot, lambda: not app.pane.answer.busy)


async def test_errors_are_one_line_in_the_pane(photo: Path, tmp_path: Path, until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.classify(str(tmp_path / "gone.png"))
        await until(pilot, "gone.png can't be read")
        (tmp_path / "text.png").write_text("no picture")
        app.pane.classify(str(tmp_path / "text.png"))
        await until(pilot, lambda: "is no picture" in app.pane.answer.error)
        app.pane.classify(str(photo))
        await until(pilot, "m chooses a model")
        assert {type(asked) for asked in session.asked} == {OpenImage}
        session.error = "the weights are not here: put x.pth into y"
        app.pane.chosen = PublishedClassifier("resnet18")
        app.pane.classify(str(photo))
        await until(pilot, "✗ the weights are not here")
        app.pane.classify("file:///etc/passwd")
        await until(pilot, lambda: "http" in app.pane.answer.error)


async def test_a_test_sample_is_shown_under_the_cursor_and_classified(
    make_run: MakeRun, until: Until
) -> None:
    app = Shown(session := Said())
    folder = make_run()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.enter()
        await pilot.press("f")
        await until(pilot, "there is no run")
        app.pane.view = view_of(folder)
        await pilot.press("f")
        await until(pilot, "2 of 2 test samples")
        await pilot.press("down")
        await until(pilot, lambda: _colour(app) == (0, 0, 255))
        await pilot.press("enter")
        await until(pilot, "test sample 1: dog")
        await until(pilot, "Samoyed")
        assert session.asked[-1].image == ImageData(png("blue"))


def _colour(app: Shown) -> Any:
    image = app.query_one(Picture).image
    return None if image is None else image.getpixel((0, 0))


async def test_another_run_or_a_published_model_is_chosen(
    photo: Path, make_run: MakeRun, until: Until
) -> None:
    app = Shown(session := Said())
    first, second = make_run("first"), make_run("second")
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.view = view_of(first)
        app.pane.enter()
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"second")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, "by second, best")
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        assert session.asked[-1].classifier == RunClassifier(str(second.path))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"squeezenet1_0")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, "download 5.0 MB")
        await pilot.press(*"./w.pth", "enter")
        chosen = PublishedClassifier("squeezenet1_0", "./w.pth")
        await until(pilot, lambda: getattr(session.asked[-1], "classifier", None) == chosen)


async def test_the_real_session_gives_samples_and_says_what_is_missing(
    make_run: MakeRun, until: Until
) -> None:
    client = SessionClient()
    app = Shown(client)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.view = view_of(make_run())
            app.pane.enter()
            await pilot.press("f")
            await until(pilot, "200 of 359 test samples", seconds=60)
            await pilot.press("enter")
            await until(pilot, lambda: "checkpoint" in app.pane.answer.error, seconds=60)
    finally:
        client.close()


@pytest.mark.parametrize("size", [(38, 10), (20, 5), (3, 2), (200, 50)])
async def test_no_size_is_too_small(size: tuple[int, int], photo: Path, until: Until) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=size) as pilot:
        app.pane.chosen = PublishedClassifier("resnet18")
        app.pane.enter()
        app.pane.classify(str(photo))
        await until(pilot, lambda: bool(app.pane.answer.top))
        await pilot.press("enter", "escape")
        assert [type(asked) for asked in session.asked] == [OpenImage, Classify]


@pytest.mark.parametrize("width", [12, 23, 46, 120])
def test_a_prediction_keeps_to_its_width(width: int) -> None:
    line = prediction(Prediction(3, "日本語 " * 30, 0.5), width)
    assert cell_width(line.plain) <= max(width, 16)


STEPS = (
    PipelineStep(
        name="original", code="Image.open(…)", kind="picture", shape=(1546, 1213), dtype="RGB", low=0, high=255,
        device="cpu", memory="Pillow's", shares_numpy=False,
    ),
    PipelineStep(
        name="batched", code=".unsqueeze(0)", kind="tensor", shape=(1, 3, 224, 224), dtype="float32", low=-2.1,
        high=2.64, device="cpu", memory="a view", shares_numpy=False,
    ),
)  # fmt: skip
COMPARISON = PublishedComparison(
    metric="probability", published=0.7245, ours=0.7301, tolerance=0.01, within=True, source="a book", formula="",
    top=(
        ComparedClass(
            index=258, label="Samoyed", published=0.7245, ours=0.7301, published_logit=None, logit=None
        ),
    ),
)  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (40, 10)])
async def test_the_steps_between_picture_and_answer(
    size: tuple[int, int], photo: Path, until: Until, text_of: Callable[..., str]
) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=size) as pilot:
        app.pane.enter()
        await pilot.press("v")
        assert session.asked == []  # there is no picture yet
        app.pane.classify(str(photo))
        await until(pilot, lambda: app.query_one(Picture).image is not None)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, StepsScreen))
        assert session.asked[-1] == TracePipeline(image=ImagePath(str(photo)), classifier=None)
        await until(pilot, "dog.png, up to a model")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, StepsScreen))
        app.pane.chosen = PublishedClassifier("alexnet")
        app.pane.classify(str(photo))
        await until(pilot, lambda: bool(app.pane.answer.top))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, StepsScreen))
        assert session.asked[-1] == TracePipeline(
            image=ImagePath(str(photo)), classifier=PublishedClassifier("alexnet")
        )
        await until(pilot, "original      1546×1213")
        await until(pilot, "Image.open")
        await pilot.press("j")
        await until(pilot, ".unsqueeze(0)   on cpu")
        if size[0] >= 80:
            for said in ("[1, 3, 224, 224]", "float32", "-2.1…2.64", "a view", "dog.png by alexnet"):
                await until(pilot, said)
        await pilot.press("v")
        await until(pilot, lambda: not isinstance(app.screen, StepsScreen))
        session.error = "the weights are not here"
        await pilot.press("v")
        await until(pilot, lambda: app.pane.answer.error == "the weights are not here")
        assert not app.pane.answer.busy


async def test_a_recipe_is_chosen_and_its_published_figure_stands_beside_ours(
    photo: Path, until: Until
) -> None:
    app = Shown(session := Said())
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.enter()
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"photo-alex")
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, "download")  # the weights are not here
        await pilot.press("enter")
        await until(pilot, "tab completes")  # the picture is asked for next
        assert app.pane.chosen == RecipeClassifier("photo-alexnet")
        await pilot.press(*str(photo), "enter")
        await until(pilot, "by photo-alexnet")
        await until(pilot, "ours 73.01 %")
        assert session.asked[-1].classifier == RecipeClassifier("photo-alexnet")


def test_what_is_said_of_a_published_figure() -> None:
    assert comparison_text(COMPARISON) == "published Samoyed 72.45 %, ours 73.01 %: within ±1 (a book)"
    assert "outside ±1" in comparison_text(replace(COMPARISON, within=False))
    another = replace(COMPARISON, ours=None)
    assert comparison_text(another) == "published Samoyed 72.45 % for another photo (a book)"
    assert comparison_text(None) == ""


async def test_a_run_on_numbers_is_asked_about_new_ones(make_run: MakeRun, until: Until) -> None:
    app = Shown(session := Said())
    folder = make_run("line")
    write_record(folder.setup, Setup(task="regression", shape=(1,)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.enter()
        await until(pilot, "enter a number, as in 0.25")
        await pilot.press("enter", *"0.25", "enter")
        await until(pilot, "x = 0.25")
        await until(pilot, "says 0.5")
        assert app.pane.copied() == "0.5"
        assert session.asked == [PredictValues(run=str(folder.path), text="0.25", top=5)]
        session.error = "'1,2' can't be answered: this run takes 1 number"
        await pilot.press("enter", *"1,2", "enter")
        await until(pilot, "✗ '1,2' can't be answered")


async def test_an_answer_stays_that_of_the_run_that_gave_it(
    photo: Path, make_run: MakeRun, until: Until, text_of: Callable[..., str]
) -> None:
    app = Shown(session := Said())
    first, other = make_run("first", done=3), make_run("other", done=2)
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.view = view_of(first)
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        app.pane.view = view_of(other)
        await until(pilot, "the next answer by other, best of epoch 2")
        assert " by first, best of epoch 3" in text_of(app)
        session.go.clear()
        app.pane.classify(str(photo))
        by = RunClassifier(str(other.path))
        await until(pilot, lambda: getattr(session.asked[-1], "classifier", None) == by)
        app.pane.view = view_of(first)
        session.go.set()
        await until(pilot, "the next answer by first, best of epoch 3")
        assert " by other, best of epoch 2" in text_of(app)
        session.error = "there is no checkpoint"
        app.pane.classify(str(photo))
        await until(pilot, "✗ there is no checkpoint")
        app.pane.view = view_of(other)
        await until(pilot, "the next answer by other")
        assert "by first, best of epoch 3" in text_of(app)


async def test_numbers_stay_with_the_run_that_said_them(make_run: MakeRun, until: Until) -> None:
    app = Shown(Said())
    lines = [make_run(name) for name in ("line", "curve")]
    for folder in lines:
        write_record(folder.setup, Setup(task="regression", shape=(1,)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(lines[0])
        app.pane.answer_numbers("0.25")
        await until(pilot, "says 0.5")
        app.pane.view = view_of(lines[1])
        await until(pilot, "the next answer by curve")
        assert app.pane.answer.said_by.startswith("by line")


async def test_a_reason_is_given(photo: Path, make_run: MakeRun, until: Until) -> None:
    app = Shown(session := Said())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        await pilot.press("a")
        assert not session.asked  # there is no answer yet
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Reading))
        assert isinstance(session.asked[-1], Explain)
        for said in ("margin .852: clear", "batched [1, 3, 8, 8] 0…1", "finds .900 (recall)",
                     "by mistake: dog ×2", "what it takes cat for: nothing"):  # fmt: skip
            await until(pilot, said)


def test_a_published_model_has_its_published_accuracy() -> None:
    found = replace(EXPLANATION, reliability=None, published_accuracy=0.565)
    assert any("right on .565 of ImageNet" in line.plain for line in reason_lines(found))


async def test_two_models_answer_to_the_same_picture(photo: Path, make_run: MakeRun, until: Until) -> None:
    app = Shown(session := Said())
    first, other = make_run("first", done=3), make_run("other", done=3)
    async with app.run_test(size=(120, 24)) as pilot:
        app.pane.view = view_of(first)
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, Chooser))
        await pilot.press(*"other", "enter")
        await until(pilot, "by other, best")
        await until(pilot, lambda: app.pane.query_one("#second", Answer).top)
        asked = [one.classifier for one in session.asked if isinstance(one, Classify)]
        assert asked[-2:] == [RunClassifier(str(first.path)), RunClassifier(str(other.path))]
        assert session.asked[-1].image == ImagePath(str(photo))
        await pilot.press("b")  # and no longer
        await until(pilot, lambda: not app.pane.query_one("#second", Answer).display)
