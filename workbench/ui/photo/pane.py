"""The photo: a picture, or a sample of the test data, and what a model says is on it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal

from workbench.compute.client import SessionClient, SessionError
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
from workbench.core.paths import given
from workbench.core.progress import Progress
from workbench.core.text import decimals, values
from workbench.io.image_extensions import ENDINGS
from workbench.io.images import open_picture
from workbench.ui.base.messages import Noticed
from workbench.ui.photo.classifier_choice import ClassifyingPane
from workbench.ui.photo.explanation import reason_lines
from workbench.ui.photo.prediction_view import Answer, comparison_text
from workbench.ui.services.compute import close_session, progress_text, session_of
from workbench.ui.widgets.chooser import Finder, Row, files, filtering
from workbench.ui.widgets.image_view import Picture
from workbench.ui.widgets.pipeline_steps_screen import StepsScreen
from workbench.ui.widgets.text_screen import Reading

TOP = 5
SAMPLES = 200
"""Samples that are fetched at once, as many as the session gives."""

NUMBERS = re.compile(r"\s*[-+]?[\d.][\d.eE+-]*(\s*,\s*[-+]?[\d.][\d.eE+-]*)*\s*")
"""What is typed for a run that learned from numbers."""

PICTURE = 3
"""Dimensions of a picture: channels, height, width."""

WIDE = 90
"""Cells from which two answers stand beside each other."""
NARROW = 60
"""Under so many cells the picture makes way for a path that is typed."""


@dataclass(frozen=True)
class Numbers:
    """An input that is not an image: numbers with commas between them."""

    text: str


class PhotoPane(ClassifyingPane):
    """Classifies pictures by the selected run's best checkpoint, or by a model that was chosen."""

    NUMBER = "6"
    NAME = "Photo"
    SHORT = "Photo"

    DEFAULT_CSS = """
    PhotoPane > Horizontal { height: 1fr; }
    PhotoPane Picture { width: 38%; height: 1fr; }
    PhotoPane Finder { width: 1fr; padding-left: 1; }
    PhotoPane.-finding #answers, PhotoPane #second { display: none; }
    PhotoPane #answers { height: 1fr; width: 1fr; }
    PhotoPane.-two #second { display: block; }
    PhotoPane.-wide #answers { layout: horizontal; }
    PhotoPane.-alone Picture, PhotoPane.-bare Picture { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "reason", "why"),
        Binding("b", "second", "two models"),
        Binding("f", "samples", "test samples"),
        Binding("m", "model", "model"),
        Binding("v", "steps", "steps"),
    ]

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given = session
        self._samples: dict[str, ImageItem] = {}
        self._last: ImageSource | Numbers | None = None
        self._caption = ""
        self.add_class("-bare")

    def compose(self) -> ComposeResult:
        """The picture, and what is on it."""
        with Horizontal():
            yield Picture()
            with Container(id="answers"):
                yield Answer(id="first")
                yield Answer(id="second")

    def on_unmount(self) -> None:
        """The session ends with the screen."""
        if self._given is None:
            close_session(self.app)

    def enter(self) -> None:
        """Give the keys to the line that is typed in, else to the answer."""
        finder = next(iter(self.query(Finder)), None)
        (finder or self.answer).focus()

    @property
    def session(self) -> SessionClient:
        """What classifies."""
        return self._given or session_of(self.app)

    @property
    def answer(self) -> Answer:
        """What is on the picture."""
        return self.query_one("#first", Answer)

    def on_resize(self) -> None:
        """Two answers stand beside each other where there is room."""
        self.set_class(self.content_size.width >= WIDE, "-wide")

    def watch_second(self) -> None:
        """Make room for a second answer, or take it away."""
        self.set_class(self.second is not None, "-two")
        for answer in self.query("#second").results(Answer):
            _fail(answer, "", "")  # what another one said is no answer of this one
        self.say_by()

    def _show_picture(self, png: bytes | None) -> None:
        """Show an image; without one the words have all the width."""
        self.query_one(Picture).image = None if png is None else open_picture(png)
        self.set_class(png is None, "-bare")

    def copied(self) -> str:
        """What was said: the likeliest class with its probability, or the numbers."""
        answer = self.answer
        if answer.values:
            return values(answer.values)
        return f"{answer.top[0].label} {decimals(answer.top[0].probability)}" if answer.top else ""

    @on(Answer.Opened)
    async def action_type_path(self) -> None:
        """Open the line for a path or a URL; for a run that learned from numbers, for some of those."""
        hint = self._numbers_hint() or "a picture's path or URL; tab completes"
        finder = Finder(files(ENDINGS), hint=hint, point_first=False, typed=True, id="paths")
        await self._put(finder)

    def say_by(self) -> None:
        """And what can be named."""
        super().say_by()
        for answer in self.query("#first").results(Answer):
            answer.asks = self._numbers_hint() or "a picture's path or URL"

    def _numbers_hint(self) -> str:
        """What to type where the selected run learned from numbers; empty where it is pictures."""
        setup = self.view.setup if self.view is not None and self.chosen is None else None
        shape = setup.shape if setup is not None else ()
        if not shape or len(shape) == PICTURE:
            return ""
        count = math.prod(shape)
        return (
            f"{count} numbers, as in {','.join(['0.5'] * min(4, count))}"
            if count > 1
            else "a number, as in 0.25"
        )

    async def action_samples(self) -> None:
        """List samples of the selected run's test data, or go back to files."""
        if self.query("#samples"):
            await self.action_type_path()
            return
        if self.view is None:
            self.answer.error = "there is no run whose test samples could be shown: t trains one"
            return
        self._list_samples(str(self.view.folder.path))

    @work(group="samples", exclusive=True)
    async def _list_samples(self, run: str) -> None:
        self.answer.busy = "fetching test samples"
        try:
            request = ListSamples(dataset=RunDataset(run), split="test", per_page=SAMPLES)
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            self.answer.busy, self.answer.error = "", str(error)
            return
        self.answer.busy = ""
        self._samples = {str(sample.index): sample for sample in found.items}
        rows = [_sample_row(sample) for sample in found.items]
        hint = f"{len(rows)} of {found.total} test samples; enter classifies"
        await self._put(Finder(filtering(rows), hint=hint, id="samples"))

    async def _put(self, finder: Finder) -> None:
        await self.query(Finder).remove()
        self.add_class("-finding")
        self.set_class(self.content_size.width < NARROW and finder.id == "paths", "-alone")
        await self.query_one(Horizontal).mount(finder)

    @on(Finder.Left)
    def _left(self, event: Finder.Left) -> None:
        event.stop()
        self._close()

    def _close(self) -> None:
        self.query(Finder).remove()
        self.remove_class("-finding", "-alone")
        self.call_after_refresh(self.answer.focus)

    @on(Finder.Pointed)
    def _pointed(self, event: Finder.Pointed) -> None:
        """The sample under the cursor is shown at once."""
        event.stop()
        sample = self._samples.get(event.key)
        if sample is not None and self.query("#samples"):
            self._show_picture(sample.png)

    @on(Finder.Chosen)
    def _chosen(self, event: Finder.Chosen) -> None:
        event.stop()
        if self.query("#samples"):
            self.classify_sample(self._samples[event.key])
        elif isinstance(self.by, RunClassifier) and NUMBERS.fullmatch(event.key):
            self.answer_numbers(event.key)
        else:
            self.classify(event.key)
        self._close()

    def classify(self, source: str) -> None:
        """Show the picture at a path or URL, and say what is on it."""
        self._last, self._caption = ImagePath(source), source.rpartition("/")[2] or source
        self._show_and_ask(source)

    def classify_sample(self, sample: ImageItem) -> None:
        """Classify a sample of the run's dataset."""
        name = f"test sample {sample.index}: {sample.class_name}"
        self._last, self._caption = ImageData(sample.png), name
        self._show_picture(sample.png)
        self._ask_about(self._last, name)

    @work(group="classify", exclusive=True)
    async def _show_and_ask(self, source: str) -> None:
        name = source.rpartition("/")[2] or source
        self.answer.error, self.answer.busy = "", f"opening {name}"
        try:
            found = await self.session.request(OpenImage(path=source), self._progress)
        except SessionError as error:
            self._show_picture(None)
            _fail(self.answer, name, str(error).replace(str(given(source)), name))
            return
        self._show_picture(found.png)
        stored = found.source
        await self._ask(ImagePath(found.path), f"{name} {stored.width}×{stored.height} {stored.mode}")

    def answer_numbers(self, text: str) -> None:
        """Say what the run makes of new numbers."""
        self._last, self._caption = Numbers(text), text
        self._show_picture(None)
        self._ask_numbers(text)

    @work(group="classify", exclusive=True)
    async def _ask_numbers(self, text: str) -> None:
        if isinstance(self.by, RunClassifier):
            await self._ask_one_numbers(self.answer, self.by, text)
        if isinstance(self.second, RunClassifier):
            await self._ask_one_numbers(self.query_one("#second", Answer), self.second, text)

    async def _ask_one_numbers(self, answer: Answer, by: RunClassifier, text: str) -> None:
        answer.error, answer.busy, author = "", f"asking about {text}", answer.by
        try:
            request = PredictValues(run=by.run, text=text, top=TOP)
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            _fail(answer, text, str(error), author)
            return
        answer.busy, answer.published, answer.note, answer.said_by = "", "", "", author
        answer.caption, answer.top = f"x = {text}", found.top
        answer.values = found.values

    @work(group="classify", exclusive=True)
    async def _ask_about(self, image: ImageSource, caption: str) -> None:
        await self._ask(image, caption)

    async def _ask(self, image: ImageSource, caption: str) -> None:
        if self.by is None:
            _fail(self.answer, caption, "nothing classifies yet: m chooses a model")
        else:
            await self._ask_one(self.answer, self.by, image, caption)
        if self.second is not None:
            await self._ask_one(self.query_one("#second", Answer), self.second, image, "")

    async def _ask_one(self, answer: Answer, by: ClassifierRef, image: ImageSource, caption: str) -> None:
        answer.error, answer.busy, author = "", f"classifying {caption}".strip(), answer.by
        try:
            request = Classify(image=image, classifier=by, top=TOP)
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            _fail(answer, caption, str(error), author)
            return
        answer.busy, answer.values, answer.said_by = "", (), author
        answer.caption, answer.top = caption, found.top
        answer.published = comparison_text(found.reference)
        answer.note = "; ".join([f"{found.milliseconds:.0f} ms on {found.device}", *found.notices])

    def _progress(self, progress: Progress) -> None:
        self.answer.busy = progress_text(progress)

    def action_reason(self) -> None:
        """Show why the model says what it says of the picture."""
        if self._last is None or isinstance(self._last, Numbers) or self.by is None:
            self.post_message(Noticed("a reason needs an answer first: enter names a picture", passing=True))
        else:
            self._show_reason(self._last, self.by)

    @work(group="steps", exclusive=True)
    async def _show_reason(self, image: ImageSource, by: ClassifierRef) -> None:
        self.answer.busy, author = "looking for the reason", self.answer.by
        try:
            request = Explain(image=_absolute(image), classifier=by)
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            self.answer.error = str(error)
        else:
            self.app.push_screen(Reading(f"why: {self._caption} {author}", reason_lines(found)))
        finally:
            self.answer.busy = ""

    def action_steps(self) -> None:
        """Show what becomes of the picture on its way to the answer, step by step."""
        if self._last is None or isinstance(self._last, Numbers):
            self.post_message(Noticed("the steps need a picture first: enter names one", passing=True))
        else:
            self._show_steps(self._last, self.by)

    @work(group="steps", exclusive=True)
    async def _show_steps(self, image: ImageSource, by: ClassifierRef | None) -> None:
        self.answer.busy, author = "taking the steps apart", self.answer.by
        try:
            request = TracePipeline(image=_absolute(image), classifier=by)
            found = await self.session.request(request, self._progress)
        except SessionError as error:
            self.answer.error = str(error)
        else:
            author = f" {author}" if found.model else ", up to a model"
            self.app.push_screen(StepsScreen(f"{self._caption}{author}", found.steps))
        finally:
            self.answer.busy = ""

    def ask_again(self) -> None:
        """What is shown is classified by the new choice; a recipe without a picture asks for one."""
        if self._last is None:
            if isinstance(self.chosen, RecipeClassifier):
                self.call_after_refresh(self.action_type_path)
            return
        if isinstance(self._last, ImagePath):
            self.classify(self._last.path)
        elif isinstance(self._last, Numbers):
            self.answer_numbers(self._last.text)
        else:
            self._ask_about(self._last, self.answer.caption)


def _fail(answer: Answer, caption: str, why: str, author: str = "") -> None:
    """Say why there is no answer, if anything, and who gave none; an older one would stand under a wrong name."""
    answer.caption, answer.top, answer.values = caption, (), ()
    answer.note, answer.busy, answer.error, answer.said_by = "", "", why, author


def _absolute(image: ImageSource) -> ImageSource:
    """The image, with a path that holds in another process."""
    if isinstance(image, ImageData) or "://" in image.path:
        return image
    return ImagePath(str(given(image.path).absolute()))


def _sample_row(sample: ImageItem) -> Row:
    return Row(str(sample.index), (f"{sample.index:>5}", sample.class_name, sample.name))
