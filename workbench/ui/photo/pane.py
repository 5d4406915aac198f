"""Pane 6: the prediction for an image, a sample of the test split, or numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal

from workbench.compute.client import ComputeError
from workbench.compute.protocol import Classify, Explain, ListSamples, OpenImage, PredictValues, TracePipeline
from workbench.compute.protocol_records import (
    ClassifierRef,
    ImageData,
    ImageItem,
    ImagePath,
    ImageSource,
    RecipeClassifier,
    RunClassifier,
    RunDataset,
)
from workbench.core.paths import expand_user_path
from workbench.core.progress import Progress
from workbench.core.text import class_text, format_decimals, format_outputs, plural
from workbench.io.image_files import IMAGE_EXTENSIONS
from workbench.io.images import open_image
from workbench.ui.base.layout import PaneId
from workbench.ui.base.messages import Notify
from workbench.ui.base.pane import PaneServices
from workbench.ui.photo.classifier_choice import ClassifierChoice
from workbench.ui.photo.explanation import explanation_lines
from workbench.ui.photo.prediction_view import PredictionView, comparison_text
from workbench.ui.services.progress_text import progress_text
from workbench.ui.widgets.chooser import Finder, Option, filter_options, path_options
from workbench.ui.widgets.image_view import ImageView
from workbench.ui.widgets.pipeline_steps_screen import PipelineStepsScreen
from workbench.ui.widgets.text_screen import TextScreen

TOP_K = 5
SAMPLES_PER_PAGE = 200
"""Samples listed at once: as many as one response holds."""

NUMBERS_PATTERN = re.compile(r"\s*[-+]?[\d.][\d.eE+-]*(\s*,\s*[-+]?[\d.][\d.eE+-]*)*\s*")
"""The input of a run that was trained on numbers: numbers with commas between them."""

IMAGE_NDIM = 3
"""Dimensions of an image: channels, height, width."""

SIDE_BY_SIDE_WIDTH = 90
"""Width in cells from which two predictions are shown side by side."""
NARROW_WIDTH = 60
"""Width in cells below which the image is hidden while a path is typed."""


@dataclass(frozen=True)
class NumericInput:
    """An input that is not an image: numbers with commas between them."""

    text: str


class PhotoPane(ClassifierChoice):
    """Classifies images with the best checkpoint of the selected run, or with another classifier."""

    ID = PaneId.PHOTO

    DEFAULT_CSS = """
    PhotoPane > Horizontal { height: 1fr; }
    PhotoPane ImageView { width: 38%; height: 1fr; }
    PhotoPane Finder { width: 1fr; padding-left: 1; }
    PhotoPane.-finding #predictions, PhotoPane #second { display: none; }
    PhotoPane #predictions { height: 1fr; width: 1fr; }
    PhotoPane.-two #second { display: block; }
    PhotoPane.-wide #predictions { layout: horizontal; }
    PhotoPane.-hide-image ImageView, PhotoPane.-no-image ImageView { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "explain", "explain"),
        Binding("b", "second", "compare"),
        Binding("f", "samples", "test samples"),
        Binding("m", "model", "classifier"),
        Binding("v", "steps", "pipeline steps"),
    ]

    def __init__(self, services: PaneServices | None = None, *, id: str | None = None) -> None:
        super().__init__(services, id=id)
        self._samples: dict[str, ImageItem] = {}
        self._samples_run: str | None = None
        """The folder of the run whose test samples are listed."""
        self._input: ImageSource | NumericInput | None = None
        self._caption = ""
        self._png: bytes | None = None
        """The image of the prediction, or of the one that is being made."""
        self.add_class("-no-image")

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield ImageView()
            with Container(id="predictions"):
                yield PredictionView(id="first")
                yield PredictionView(id="second")

    def focus_content(self) -> None:
        """Focus the input line if it is open, else the prediction."""
        field = next(iter(self.query("Finder Input")), None)
        (field or self.prediction).focus()

    @property
    def prediction(self) -> PredictionView:
        """The first prediction."""
        return self.query_one("#first", PredictionView)

    @property
    def second_prediction(self) -> PredictionView:
        """The prediction of the second classifier."""
        return self.query_one("#second", PredictionView)

    def on_descendant_blur(self) -> None:
        """What was asked for here is not shown over another pane."""
        if not self.has_focus_within:
            self.workers.cancel_group(self, "steps")

    def on_resize(self) -> None:
        self.set_class(self.content_size.width >= SIDE_BY_SIDE_WIDTH, "-wide")

    def watch_second_classifier(self) -> None:
        self.set_class(self.second_classifier is not None, "-two")
        for view in self.query("#second").results(PredictionView):
            view.show_error("", "")  # the shown prediction is of another classifier
        self.update_labels()

    def _show_image(self, png: bytes | None) -> None:
        """Show an image; without one, the predictions have the whole width."""
        self.query_one(ImageView).image = None if png is None else open_image(png)
        self.set_class(png is None, "-no-image")

    def _show_input(self, png: bytes | None, caption: str) -> None:
        """Show the next input; predictions of the one before do not stay beside it."""
        self._png = png
        self._show_image(png)
        for view in (self.prediction, self.second_prediction):
            view.show_error(caption if view is self.prediction else "", "")

    def text_to_copy(self) -> str:
        """The most probable class with its probability, or the outputs of a regression."""
        view = self.prediction
        if view.values:
            return format_outputs(view.values)
        return f"{view.top[0].label} {format_decimals(view.top[0].probability)}" if view.top else ""

    @on(PredictionView.OpenRequested)
    async def action_type_path(self) -> None:
        """Ask for an image path or URL, or for numbers if the selected run was trained on numbers."""
        self.workers.cancel_group(self, "samples")  # they would replace what is being typed
        hint = self._numbers_hint() or "image path or URL; tab completes"
        find = path_options(IMAGE_EXTENSIONS)
        await self._open_finder(Finder(find, hint=hint, highlight_first=False, allow_text=True, id="paths"))

    def update_labels(self) -> None:
        """Show the names of the classifiers, and the input they take."""
        super().update_labels()
        for view in self.query("#first").results(PredictionView):
            view.prompt = self._numbers_hint() or "image path or URL"

    def _numbers_hint(self) -> str:
        """The input of a run that was trained on numbers; empty for images."""
        setup = self.view.setup if self.view is not None and self.selected_classifier is None else None
        shape = setup.shape if setup is not None else ()
        if not shape or len(shape) == IMAGE_NDIM:
            return ""
        count = math.prod(shape)
        if count == 1:
            return "a number, such as 0.25"
        return f"{plural(count, 'number')}, such as {','.join(['0.5'] * min(4, count))}"

    async def action_samples(self) -> None:
        """List samples of the selected run's test split, or go back to the input line."""
        if self.query("#samples"):
            await self.action_type_path()
            return
        if self.view is None:
            self.prediction.error = "No run is selected. Press t to train one and list its test samples."
            return
        self._list_samples(str(self.view.folder.path))

    @work(group="samples", exclusive=True)
    async def _list_samples(self, run: str) -> None:
        self.prediction.busy = "loading test samples"
        try:
            request = ListSamples(dataset=RunDataset(run), split="test", per_page=SAMPLES_PER_PAGE)
            page = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            self.prediction.error = str(error)
            return
        finally:
            self.prediction.busy = ""
        if not self.is_in_use:
            return
        self._samples, self._samples_run = {str(sample.index): sample for sample in page.items}, run
        options = [_sample_option(sample) for sample in page.items]
        hint = f"{len(options)} of {page.total} test samples; enter classifies"
        await self._open_finder(Finder(filter_options(options), hint=hint, id="samples"))

    async def _open_finder(self, finder: Finder) -> None:
        await self.query(Finder).remove()
        self._show_image(self._png)  # not that of a sample that was only highlighted
        self.add_class("-finding")
        self.set_class(self.content_size.width < NARROW_WIDTH and finder.id == "paths", "-hide-image")
        await self.query_one(Horizontal).mount(finder)

    @on(Finder.Cancelled)
    def _finder_cancelled(self, event: Finder.Cancelled) -> None:
        event.stop()
        self._show_image(self._png)
        self._close_finder()

    def _close_finder(self) -> None:
        self.query(Finder).remove()
        self.remove_class("-finding", "-hide-image")
        self.prediction.focus()

    @on(Finder.Highlighted)
    def _option_highlighted(self, event: Finder.Highlighted) -> None:
        """Show the image of the highlighted sample."""
        event.stop()
        sample = self._samples.get(event.key)
        if sample is not None and self.query("#samples"):
            self._show_image(sample.png)

    @on(Finder.Selected)
    def _option_selected(self, event: Finder.Selected) -> None:
        event.stop()
        if self.query("#samples"):
            self.classify_sample(self._samples[event.key])
        elif isinstance(self.active_classifier, RunClassifier) and NUMBERS_PATTERN.fullmatch(event.key):
            self.predict_numbers(event.key)
        else:
            self.classify(event.key)
        self._close_finder()

    def classify(self, source: str) -> None:
        """Open the image at a path or URL and classify it."""
        self._input, self._caption = ImagePath(source), source.rpartition("/")[2] or source
        self._open_and_classify(source)

    def classify_sample(self, sample: ImageItem) -> None:
        """Classify a sample of the run's dataset."""
        name = f"test sample {sample.index}: {class_text(sample.class_name)}"
        self._input, self._caption = ImageData(sample.png, self._samples_run or ""), name
        self._show_input(sample.png, name)
        self._classify_in_background(self._input, name)

    @work(group="classify", exclusive=True)
    async def _open_and_classify(self, source: str) -> None:
        name = source.rpartition("/")[2] or source
        self.prediction.error, self.prediction.busy = "", f"opening {name}"
        try:
            image = await self.services.compute.request(OpenImage(path=source), self._progress)
        except ComputeError as error:
            self._show_input(None, name)
            self.prediction.show_error(name, str(error).replace(str(expand_user_path(source)), name))
            return
        stored = image.source
        caption = f"{name} {stored.width}×{stored.height} {stored.mode}"
        self._show_input(image.png, caption)
        await self._classify(ImagePath(image.path), caption)

    def predict_numbers(self, text: str) -> None:
        """Predict from numbers."""
        self._input, self._caption = NumericInput(text), text
        self._show_input(None, f"x = {text}")
        self._predict_in_background(text)

    @work(group="classify", exclusive=True)
    async def _predict_in_background(self, text: str) -> None:
        if isinstance(self.active_classifier, RunClassifier):
            await self._show_numeric_prediction(self.prediction, self.active_classifier, text)
        if isinstance(self.second_classifier, RunClassifier):
            await self._show_numeric_prediction(self.second_prediction, self.second_classifier, text)

    async def _show_numeric_prediction(self, view: PredictionView, run: RunClassifier, text: str) -> None:
        view.error, view.busy, predicted_by = "", f"predicting from {text}", view.classifier
        try:
            request = PredictValues(run=run.run, text=text, top=TOP_K)
            prediction = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            view.show_error(text, str(error), predicted_by)
            return
        view.busy, view.published, view.note, view.predicted_by = "", "", "", predicted_by
        view.caption, view.top, view.values = f"x = {text}", prediction.top, prediction.values

    @work(group="classify", exclusive=True)
    async def _classify_in_background(self, image: ImageSource, caption: str) -> None:
        await self._classify(image, caption)

    async def _classify(self, image: ImageSource, caption: str) -> None:
        if self.active_classifier is None:
            self.prediction.show_error(caption, "No classifier is selected. Press m to choose a model.")
        else:
            await self._show_classification(self.prediction, self.active_classifier, image, caption)
        if self.second_classifier is not None:
            await self._show_classification(self.second_prediction, self.second_classifier, image, "")

    async def _show_classification(
        self, view: PredictionView, classifier: ClassifierRef, image: ImageSource, caption: str
    ) -> None:
        view.error, view.busy, predicted_by = "", f"classifying {caption}".strip(), view.classifier
        try:
            request = Classify(image=image, classifier=classifier, top=TOP_K)
            result = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            view.show_error(caption, str(error), predicted_by)
            return
        view.busy, view.values, view.predicted_by = "", (), predicted_by
        view.caption, view.top = caption, result.top
        view.published = comparison_text(result.reference)
        view.note = "; ".join([f"{result.milliseconds:.0f} ms on {result.device}", *result.notices])

    def _progress(self, progress: Progress) -> None:
        self.prediction.busy = progress_text(progress)

    def action_explain(self) -> None:
        """Explain the prediction: confidence, model input and reliability."""
        if self._input is None or isinstance(self._input, NumericInput) or self.active_classifier is None:
            self.post_message(
                Notify("There is no prediction to explain. Press enter to open an image.", transient=True)
            )
        else:
            self._show_explanation(self._input, self.active_classifier)

    @work(group="steps", exclusive=True)
    async def _show_explanation(self, image: ImageSource, classifier: ClassifierRef) -> None:
        self.prediction.busy, label = "explaining the prediction", self.prediction.classifier
        try:
            request = Explain(image=_absolute(image), classifier=classifier)
            explanation = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            self.prediction.error = str(error)
        else:
            title = f"explanation: {self._caption} {label}"
            self.open_screen(TextScreen(title, explanation_lines(explanation)))
        finally:
            self.prediction.busy = ""

    def action_steps(self) -> None:
        """Show the steps from the image to the prediction."""
        if self._input is None or isinstance(self._input, NumericInput):
            self.post_message(
                Notify("There is no image to process. Press enter to open one.", transient=True)
            )
        else:
            self._show_steps(self._input, self.active_classifier)

    @work(group="steps", exclusive=True)
    async def _show_steps(self, image: ImageSource, classifier: ClassifierRef | None) -> None:
        self.prediction.busy, label = "tracing the pipeline", self.prediction.classifier
        try:
            request = TracePipeline(image=_absolute(image), classifier=classifier)
            pipeline = await self.services.compute.request(request, self._progress)
        except ComputeError as error:
            self.prediction.error = str(error)
        else:
            suffix = f" {label}" if pipeline.model else ", up to a model's input"
            self.open_screen(PipelineStepsScreen(f"{self._caption}{suffix}", pipeline.steps))
        finally:
            self.prediction.busy = ""

    def classify_again(self) -> None:
        """Classify the current input with the new choice; for a recipe without an input, ask for an image."""
        if self._input is None:
            if isinstance(self.selected_classifier, RecipeClassifier):
                self.call_after_refresh(self.action_type_path)
            return
        if isinstance(self._input, ImagePath):
            self.classify(self._input.path)
        elif isinstance(self._input, NumericInput):
            self.predict_numbers(self._input.text)
        else:
            self._classify_in_background(self._input, self.prediction.caption)


def _absolute(image: ImageSource) -> ImageSource:
    """The image, with an absolute path: the compute process may have another working directory."""
    if isinstance(image, ImageData) or "://" in image.path:
        return image
    return ImagePath(str(expand_user_path(image.path).absolute()))


def _sample_option(sample: ImageItem) -> Option:
    return Option(str(sample.index), (f"{sample.index:>5}", class_text(sample.class_name), sample.name))
