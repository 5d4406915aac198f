"""The photo pane: images and samples are displayed at once and classified with the chosen classifier."""

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
from textual.widgets import Input

from tests.ui.screen_steps import MakeRun, Until, choose
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.handlers import images
from workbench.compute.protocol import (
    Classify,
    Explain,
    ListSamples,
    OpenImage,
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
from workbench.compute.protocol_responses import (
    Classification,
    Explanation,
    ImagePage,
    NumericPrediction,
    OpenedImage,
    Pipeline,
)
from workbench.compute.task import Task
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.text import cell_width
from workbench.inference.published_comparison import ComparedClass, PublishedComparison
from workbench.inference.results import PipelineStep, Prediction
from workbench.io.record_codec import write_record
from workbench.runs.reader import RunReader
from workbench.runs.records import Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.ui.base.pane import PaneServices
from workbench.ui.photo.explanation import explanation_lines
from workbench.ui.photo.pane import PhotoPane
from workbench.ui.photo.prediction_view import PredictionView, comparison_text, prediction_line
from workbench.ui.widgets.chooser import Finder
from workbench.ui.widgets.image_view import ImageView
from workbench.ui.widgets.pipeline_steps_screen import PipelineStepsScreen
from workbench.ui.widgets.text_screen import TextScreen

TOP = (Prediction(258, "Samoyed", 0.952), Prediction(9, "[b]\x1b[0m", 0.01))
EXPLANATION = Explanation(
    model="first",
    first=Prediction(0, "cat", 0.9, 3.25),
    second=Prediction(1, "dog", 0.048, 0.5),
    steps=("resized 8×8 RGB", "batched [1, 3, 8, 8] 0 to 1"),
    reliability=ClassReliability(
        split="test", epoch=3, recall=0.9, precision=0.8, support=10, predicted_as=(),
        confused_with=(ClassCount("dog", 2),),
    ),
    published_accuracy=None,
)  # fmt: skip


def png(color: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def opened(request: OpenImage) -> OpenedImage:
    try:
        return images.open_for_display(request, Task(0, request, lambda _: None))
    except UserError as error:
        raise ComputeError(str(error)) from None


def samples() -> ImagePage:
    named = (("cat", "red"), ("dog", "blue"))
    items = [
        ImageItem(index=i, label=i, class_name=name, name="", png=png(color))
        for i, (name, color) in enumerate(named)
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


class FakeCompute(ComputeClient):
    """A compute client with prepared responses, sent when `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.error = ""
        self.go = asyncio.Event()
        self.go.set()

    async def request(self, request: Request[Any], progress: Any = None) -> Any:
        self.requests.append(request)
        if progress:
            progress(Progress("downloading weights", 1_000_000, 5_000_000, "bytes"))
        if isinstance(request, OpenImage):
            return opened(request)
        await self.go.wait()
        if self.error:
            raise ComputeError(self.error)
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


class PhotoApp(App[None]):
    def __init__(self, session: ComputeClient) -> None:
        super().__init__()
        self.session, self.store = session, Store.default()

    def compose(self) -> ComposeResult:
        yield PhotoPane(PaneServices(lambda: self.session))

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
    app = PhotoApp(session := FakeCompute())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.focus_content()
        await until(pilot, "by first, best of epoch 3")
        await pilot.press("enter")
        await until(pilot, "tab completes")
        await pilot.press(*"./d")
        await until(pilot, "dog.png")
        await pilot.press("tab", "enter")
        for text in ("dog.png 8×8 RGB", "258 Samoyed", ".952", "12 ms on cpu", "[b]\ufffd[0m"):
            await until(pilot, text)
        assert app.query_one(ImageView).image is not None
        by = RunClassifier(str(folder.path))
        assert session.requests[0] == OpenImage(path="./dog.png")
        assert session.requests[1:] == [Classify(image=ImagePath(str(photo)), classifier=by, top=5)]
        assert app.pane.prediction.has_focus


async def test_the_image_is_displayed_before_the_prediction_without_the_last_prediction(
    photo: Path, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.selected_classifier = PublishedClassifier("squeezenet1_0")
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        session.go.clear()
        photo.write_bytes(png("blue"))
        app.pane.classify(str(photo))
        await until(pilot, "… downloading weights 1.0 MB of 5.0 MB")
        image = app.query_one(ImageView).image
        assert image is not None and image.getpixel((0, 0)) == (0, 0, 255)
        assert not app.pane.prediction.top, "that of another image"
        session.go.set()
        await until(pilot, lambda: not app.pane.prediction.busy)


async def test_errors_are_one_line_in_the_pane(photo: Path, tmp_path: Path, until: Until) -> None:
    app = PhotoApp(session := FakeCompute())
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.classify(str(tmp_path / "gone.png"))
        await until(pilot, "gone.png can't be read")
        (tmp_path / "text.png").write_text("not an image")
        app.pane.classify(str(tmp_path / "text.png"))
        await until(pilot, lambda: "is not an image" in app.pane.prediction.error)
        app.pane.classify(str(photo))
        await until(pilot, "No classifier is selected. Press m")
        assert {type(request) for request in session.requests} == {OpenImage}
        session.error = "the weights are not here: put x.pth into y"
        app.pane.selected_classifier = PublishedClassifier("resnet18")
        app.pane.classify(str(photo))
        await until(pilot, "✗ the weights are not here")
        app.pane.classify("file:///etc/passwd")
        await until(pilot, lambda: "http" in app.pane.prediction.error)


async def test_a_test_sample_is_shown_under_the_cursor_and_classified(
    make_run: MakeRun, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    folder = make_run()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.focus_content()
        await pilot.press("f")
        await until(pilot, "No run is selected")
        app.pane.view = view_of(folder)
        await pilot.press("f")
        await until(pilot, "2 of 2 test samples")
        await pilot.press("down")
        await until(pilot, lambda: _color(app) == (0, 0, 255))
        await pilot.press("enter")
        await until(pilot, "test sample 1: dog")
        await until(pilot, "Samoyed")
        assert session.requests[-1].image == ImageData(png("blue"), str(folder.path))


def _color(app: PhotoApp) -> Any:
    image = app.query_one(ImageView).image
    return None if image is None else image.getpixel((0, 0))


async def test_another_run_or_a_published_model_is_chosen(
    photo: Path, make_run: MakeRun, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    first, second = make_run("first"), make_run("second")
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.view = view_of(first)
        app.pane.focus_content()
        await pilot.press("m")
        await choose(pilot, until, "second")
        await until(pilot, "by second, best")
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        assert session.requests[-1].classifier == RunClassifier(str(second.path))
        await pilot.press("m")
        await choose(pilot, until, "squeezenet1_0")
        await until(pilot, "download 5.0 MB")
        await pilot.press(*"./w.pth", "enter")
        chosen = PublishedClassifier("squeezenet1_0", "./w.pth")
        await until(pilot, lambda: getattr(session.requests[-1], "classifier", None) == chosen)


async def test_the_real_compute_process_lists_samples_and_reports_a_missing_checkpoint(
    make_run: MakeRun, until: Until
) -> None:
    client = ComputeClient()
    app = PhotoApp(client)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.pane.view = view_of(make_run())
            app.pane.focus_content()
            await pilot.press("f")
            await until(pilot, "200 of 359 test samples")
            await pilot.press("enter")
            await until(pilot, lambda: "checkpoint" in app.pane.prediction.error)
    finally:
        client.close()


@pytest.mark.parametrize("size", [(38, 10), (20, 5), (3, 2), (200, 50)])
async def test_no_size_is_too_small(size: tuple[int, int], photo: Path, until: Until) -> None:
    app = PhotoApp(session := FakeCompute())
    async with app.run_test(size=size) as pilot:
        app.pane.selected_classifier = PublishedClassifier("resnet18")
        app.pane.focus_content()
        app.pane.classify(str(photo))
        await until(pilot, lambda: bool(app.pane.prediction.top))
        await pilot.press("enter", "escape")
        assert [type(request) for request in session.requests] == [OpenImage, Classify]


@pytest.mark.parametrize("width", [12, 23, 46, 120])
def test_a_prediction_keeps_to_its_width(width: int) -> None:
    line = prediction_line(Prediction(3, "日本語 " * 30, 0.5), width)
    assert cell_width(line.plain) <= max(width, 16)


STEPS = (
    PipelineStep(
        name="original", code="Image.open(…)", kind="image", shape=(1546, 1213), dtype="RGB", low=0, high=255,
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
async def test_the_steps_between_image_and_prediction(
    size: tuple[int, int], photo: Path, until: Until, text_of: Callable[..., str]
) -> None:
    app = PhotoApp(session := FakeCompute())
    async with app.run_test(size=size) as pilot:
        app.pane.focus_content()
        await pilot.press("v")
        assert session.requests == []  # there is no image yet
        app.pane.classify(str(photo))
        await until(pilot, lambda: app.query_one(ImageView).image is not None)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, PipelineStepsScreen))
        assert session.requests[-1] == TracePipeline(image=ImagePath(str(photo)), classifier=None)
        await until(pilot, "dog.png, up to a model's input")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, PipelineStepsScreen))
        app.pane.selected_classifier = PublishedClassifier("alexnet")
        app.pane.classify(str(photo))
        await until(pilot, lambda: bool(app.pane.prediction.top))
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, PipelineStepsScreen))
        assert session.requests[-1] == TracePipeline(
            image=ImagePath(str(photo)), classifier=PublishedClassifier("alexnet")
        )
        await until(pilot, "original      1546×1213")
        await until(pilot, "Image.open")
        await pilot.press("j")
        await until(pilot, ".unsqueeze(0)   on cpu")
        if size[0] >= 80:
            for text in ("[1, 3, 224, 224]", "float32", "-2.1 to 2.64", "a view", "dog.png by alexnet"):
                await until(pilot, text)
        await pilot.press("v")
        await until(pilot, lambda: not isinstance(app.screen, PipelineStepsScreen))
        session.error = "the weights are not here"
        await pilot.press("v")
        await until(pilot, lambda: app.pane.prediction.error == "the weights are not here")
        assert not app.pane.prediction.busy


async def test_a_recipe_is_chosen_and_compared_with_its_published_prediction(
    photo: Path, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.focus_content()
        await pilot.press("m")
        await choose(pilot, until, "photo-alex")
        await until(pilot, "download")  # the weights are not here
        await pilot.press("enter")
        await until(pilot, "tab completes")  # it asks for the image next
        assert app.pane.selected_classifier == RecipeClassifier("photo-alexnet")
        await pilot.press(*str(photo), "enter")
        await until(pilot, "by photo-alexnet")
        await until(pilot, "ours 73.01 %")
        assert session.requests[-1].classifier == RecipeClassifier("photo-alexnet")


def test_the_text_of_a_published_comparison() -> None:
    assert comparison_text(COMPARISON) == "published Samoyed 72.45 %, ours 73.01 %: within ±1 (a book)"
    assert "outside ±1" in comparison_text(replace(COMPARISON, within=False))
    another = replace(COMPARISON, ours=None)
    assert comparison_text(another) == "published Samoyed 72.45 % for another image (a book)"
    assert comparison_text(None) == ""


async def test_a_run_on_numbers_predicts_from_numbers(make_run: MakeRun, until: Until) -> None:
    app = PhotoApp(session := FakeCompute())
    folder = make_run("line")
    write_record(folder.setup, Setup(task="regression", shape=(1,)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.focus_content()
        await until(pilot, "enter a number, such as 0.25")
        await pilot.press("enter", *"0.25", "enter")
        await until(pilot, "x = 0.25")
        await until(pilot, "predicted 0.5")
        assert app.pane.text_to_copy() == "0.5"
        assert session.requests == [PredictValues(run=str(folder.path), text="0.25", top=5)]
        session.error = "'1,2' can't be answered: this run takes 1 number"
        await pilot.press("enter", *"1,2", "enter")
        await until(pilot, "✗ '1,2' can't be answered")


async def test_a_prediction_stays_labeled_with_its_classifier(
    photo: Path, make_run: MakeRun, until: Until, text_of: Callable[..., str]
) -> None:
    app = PhotoApp(session := FakeCompute())
    first, other = make_run("first", done=3), make_run("other", done=2)
    async with app.run_test(size=(100, 30)) as pilot:
        app.pane.view = view_of(first)
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        app.pane.view = view_of(other)
        await until(pilot, "next prediction by other, best of epoch 2")
        assert " by first, best of epoch 3" in text_of(app)
        session.go.clear()
        app.pane.classify(str(photo))
        by = RunClassifier(str(other.path))
        await until(pilot, lambda: getattr(session.requests[-1], "classifier", None) == by)
        app.pane.view = view_of(first)
        session.go.set()
        await until(pilot, "next prediction by first, best of epoch 3")
        assert " by other, best of epoch 2" in text_of(app)
        session.error = "there is no checkpoint"
        app.pane.classify(str(photo))
        await until(pilot, "✗ there is no checkpoint")
        app.pane.view = view_of(other)
        await until(pilot, "next prediction by other")
        assert "by first, best of epoch 3" in text_of(app)


async def test_a_regression_stays_labeled_with_its_run(make_run: MakeRun, until: Until) -> None:
    app = PhotoApp(FakeCompute())
    lines = [make_run(name) for name in ("line", "curve")]
    for folder in lines:
        write_record(folder.setup, Setup(task="regression", shape=(1,)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(lines[0])
        app.pane.predict_numbers("0.25")
        await until(pilot, "predicted 0.5")
        app.pane.view = view_of(lines[1])
        await until(pilot, "next prediction by curve")
        assert app.pane.prediction.predicted_by.startswith("by line")


async def test_a_prediction_is_explained(photo: Path, make_run: MakeRun, until: Until) -> None:
    app = PhotoApp(session := FakeCompute())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        await pilot.press("a")
        assert not session.requests  # there is no prediction yet
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, TextScreen))
        assert isinstance(session.requests[-1], Explain)
        for text in ("margin .852: clear", "batched [1, 3, 8, 8] 0 to 1", "recall of cat: .900 of 10 images",
                     "false positives for cat: dog ×2", "cat predicted as: none"):  # fmt: skip
            await until(pilot, text)


async def test_an_explanation_does_not_open_over_what_the_user_went_to(
    photo: Path, make_run: MakeRun, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.focus_content()
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        for key in ("a", "v"):
            session.go.clear()
            await pilot.press(key)
            await until(pilot, lambda: app.pane.prediction.busy)
            app.screen.set_focus(None)
            await until(pilot, lambda: not app.pane.prediction.busy)
            session.go.set()
            app.pane.focus_content()
            app.push_screen(covering := TextScreen("another screen", []))
            await until(pilot, lambda covering=covering: app.screen is covering)
            app.pane.open_screen(TextScreen("late", []))
            await pilot.pause()
            assert app.screen is covering
            await pilot.press("escape")


async def test_samples_do_not_take_the_focus_from_where_the_user_went(
    make_run: MakeRun, until: Until
) -> None:
    app = PhotoApp(session := FakeCompute())
    folder = make_run()
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.focus_content()
        session.go.clear()
        await pilot.press("f")
        await until(pilot, lambda: app.pane.prediction.busy)
        app.screen.set_focus(None)
        session.go.set()
        await until(pilot, lambda: not app.pane.prediction.busy)
        await pilot.pause()
        assert app.focused is None and not app.query(Finder)
        app.pane.focus_content()
        session.go.clear()
        await pilot.press("f", "enter", "x")  # a path is typed instead
        session.go.set()
        await until(pilot, lambda: not app.pane.prediction.busy)
        await pilot.pause()
        assert app.query_one(Finder).id == "paths" and app.query_one(Input).value == "x"
        assert app.pane.key_hints() == "enter accept  esc cancel"


async def test_a_sample_that_was_only_highlighted_does_not_stay_beside_another_name(
    photo: Path, make_run: MakeRun, until: Until
) -> None:
    app = PhotoApp(FakeCompute())
    folder = make_run("first", done=3)
    async with app.run_test(size=(80, 24)) as pilot:
        app.pane.view = view_of(folder)
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        image = app.query_one(ImageView)
        before = image.image
        assert before is not None
        await pilot.press("f")
        await until(pilot, "1  dog")
        await pilot.press("down")
        await until(pilot, lambda: image.image is not None and image.image.getpixel((0, 0)) == (0, 0, 255))
        await pilot.press("escape")
        await until(pilot, "dog.png 8×8")
        assert image.image is not None and image.image.tobytes() == before.tobytes()


def test_a_published_model_has_its_published_accuracy() -> None:
    found = replace(EXPLANATION, reliability=None, published_accuracy=0.565)
    assert any("on the ImageNet validation images: .565" in line.plain for line in explanation_lines(found))


async def test_two_models_classify_the_same_image(photo: Path, make_run: MakeRun, until: Until) -> None:
    app = PhotoApp(session := FakeCompute())
    first, other = make_run("first", done=3), make_run("other", done=3)
    async with app.run_test(size=(120, 24)) as pilot:
        app.pane.view = view_of(first)
        app.pane.classify(str(photo))
        await until(pilot, "Samoyed")
        await pilot.press("b")
        await choose(pilot, until, "other")
        await until(pilot, "by other, best")
        await until(pilot, lambda: app.pane.query_one("#second", PredictionView).top)
        asked = [one.classifier for one in session.requests if isinstance(one, Classify)]
        assert asked[-2:] == [RunClassifier(str(first.path)), RunClassifier(str(other.path))]
        assert session.requests[-1].image == ImagePath(str(photo))
        await pilot.press("b")  # and no longer
        await until(pilot, lambda: not app.pane.query_one("#second", PredictionView).display)
