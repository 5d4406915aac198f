"""The photo: a picture, or a sample of the test data, and what a model says is on it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import reactive

from workbench.errors import BadInput
from workbench.experiment import load_recipe
from workbench.io.fetch import fetch_picture
from workbench.io.pictures import ENDINGS, open_picture
from workbench.models import catalogue as models
from workbench.paths import given
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.session.client import SessionClient, SessionError
from workbench.text import size
from workbench.ui.choices import of_classifiers, of_weights
from workbench.ui.messages import Noticed
from workbench.ui.panes.base import Pane
from workbench.ui.session import close_session, session_of
from workbench.ui.widgets.answer import Answer, beside
from workbench.ui.widgets.chooser import Chooser, Finder, Row, files, filtering
from workbench.ui.widgets.picture import Picture
from workbench.ui.widgets.steps import StepsScreen

TOP = 5
SAMPLES = 200
"""Samples that are fetched at once, as many as the session gives."""

NARROW = 60
"""Under so many cells the picture makes way for a path that is typed."""


class PhotoPane(Pane):
    """Classifies pictures by the selected run's best checkpoint, or by a model that was chosen."""

    NUMBER = "6"
    NAME = "Photo"
    SHORT = "Photo"

    DEFAULT_CSS = """
    PhotoPane > Horizontal { height: 1fr; }
    PhotoPane Picture { width: 38%; height: 1fr; }
    PhotoPane Finder { width: 1fr; padding-left: 1; }
    PhotoPane.-finding Answer { display: none; }
    PhotoPane.-alone Picture { display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "samples", "test samples"),
        Binding("m", "model", "model"),
        Binding("v", "steps", "steps"),
    ]

    chosen: reactive[Mapping[str, Any] | None] = reactive(None)
    """What classifies, as the session takes it; `None`: the selected run."""

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given = session
        self._samples: dict[str, Mapping[str, Any]] = {}
        self._path = ""
        self._last: Mapping[str, Any] | None = None
        self._caption = ""

    def compose(self) -> ComposeResult:
        """The picture, and what is on it."""
        with Horizontal():
            yield Picture()
            yield Answer()

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
        return self.query_one(Answer)

    @property
    def by(self) -> Mapping[str, Any] | None:
        """What will classify, as the session takes it; `None` where nothing is chosen and there is no run."""
        if self.chosen is not None:
            return self.chosen
        return None if self.view is None else {"run": str(self.view.folder.path)}

    def watch_view(self) -> None:
        """Say by which run."""
        self._say_by()

    def watch_chosen(self) -> None:
        """Say by what."""
        self._say_by()

    def on_mount(self) -> None:
        """Say by what, from the start."""
        super().on_mount()
        self._say_by()

    def _say_by(self) -> None:
        for answer in self.query(Answer):  # there is none before it is composed, nor while the screen closes
            answer.by = self._by_words()

    def _by_words(self) -> str:
        by = self.by
        if by is None:
            return "by nothing yet: m chooses a model"
        if "run" not in by:
            return f"by {by.get('recipe') or by['model']}"
        if self.chosen is not None or self.view is None:
            return f"by {by.get('name', Path(by['run']).name)}, best"
        if self.view.status is Status.QUEUED or not (
            self.view.heartbeat.get("best") or self.view.evaluations
        ):
            return f"by {self.view.name}"
        best = self.view.heartbeat.get("best") or {}
        epoch = best.get("epoch")
        return f"by {self.view.name}, best" + (f" of epoch {epoch}" if epoch is not None else "")

    @on(Answer.Opened)
    async def action_type_path(self) -> None:
        """Open the line for a path or a URL."""
        finder = Finder(
            files(ENDINGS), hint="a picture's path or URL; tab completes", point_first=False,
            typed=True, id="paths",
        )  # fmt: skip
        await self._put(finder)

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
            found = await self.session.request(
                "samples", self._progress, run=run, split="test", per_page=SAMPLES
            )
        except SessionError as error:
            self.answer.busy, self.answer.error = "", str(error)
            return
        self.answer.busy = ""
        self._samples = {str(sample["index"]): sample for sample in found["samples"]}
        rows = [_sample_row(sample) for sample in found["samples"]]
        hint = f"{len(rows)} of {found['total']} test samples; enter classifies"
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
            self.query_one(Picture).image = open_picture(base64.b64decode(sample["png"]))

    @on(Finder.Chosen)
    def _chosen(self, event: Finder.Chosen) -> None:
        event.stop()
        if self.query("#samples"):
            self.classify_sample(self._samples[event.key])
        else:
            self._path = event.key
            self.classify(event.key)
        self._close()

    def classify(self, source: str) -> None:
        """Show the picture at a path or URL, and say what is on it."""
        self._last, self._caption = {"path": source}, source.rpartition("/")[2] or source
        self._show_and_ask(source)

    def classify_sample(self, sample: Mapping[str, Any]) -> None:
        """Say what is on one of the session's samples."""
        name = f"test sample {sample['index']}: {sample['class']}"
        self._last, self._caption = {"png": sample["png"]}, name
        self.query_one(Picture).image = open_picture(base64.b64decode(sample["png"]))
        self._ask_about(self._last, name)

    @work(group="classify", exclusive=True)
    async def _show_and_ask(self, source: str) -> None:
        self.answer.error, self.answer.busy = "", f"opening {source}"
        name = source.rpartition("/")[2] or source
        try:
            path, image = await asyncio.to_thread(_open, source)
        except (BadInput, OSError) as error:
            self.query_one(Picture).image = None
            self._fail(name, str(error))
            return
        self.query_one(Picture).image = image
        await self._ask({"path": str(path)}, f"{name} {image.width}×{image.height} {image.mode}")

    @work(group="classify", exclusive=True)
    async def _ask_about(self, what: Mapping[str, Any], caption: str) -> None:
        await self._ask(what, caption)

    async def _ask(self, what: Mapping[str, Any], caption: str) -> None:
        answer, by = self.answer, self.by
        if by is None:
            answer.busy, answer.caption, answer.error = (
                "",
                caption,
                "nothing classifies yet: m chooses a model",
            )
            answer.top = ()
            return
        answer.error, answer.busy = "", f"classifying {caption}"
        try:
            found = await self.session.request("classify", self._progress, by=_asked(by), top=TOP, **what)
        except SessionError as error:
            self._fail(caption, str(error))
            return
        answer.busy = ""
        answer.caption, answer.top = caption, tuple(found["top"])
        answer.published = beside(found.get("reference"))
        answer.note = "; ".join([f"{found['ms']:.0f} ms on {found['device']}", *found.get("notices", ())])

    def _fail(self, caption: str, why: str) -> None:
        """Say why there is no answer; an older one would stand under a name that never gave it."""
        answer = self.answer
        answer.caption, answer.top, answer.note, answer.busy, answer.error = caption, (), "", "", why

    def _progress(self, progress: Mapping[str, Any]) -> None:
        shown = size if progress.get("unit") == "bytes" else str
        total = f" of {shown(progress['total'])}" if progress.get("total") else ""
        self.answer.busy = f"{progress.get('what', '')} {shown(progress.get('done', 0))}{total}"

    def action_steps(self) -> None:
        """Show what becomes of the picture on its way to the answer, step by step."""
        if self._last is None:
            self.post_message(Noticed("the steps need a picture first: enter names one"))
        else:
            self._show_steps(self._last, self.by or {})

    @work(group="steps", exclusive=True)
    async def _show_steps(self, what: Mapping[str, Any], by: Mapping[str, Any]) -> None:
        self.answer.busy = "taking the steps apart"
        try:
            found = await self.session.request("steps", self._progress, by=_asked(by), **_absolute(what))
        except SessionError as error:
            self.answer.error = str(error)
        else:
            self.app.push_screen(StepsScreen(_title(self._caption, found["model"]), found["steps"]))
        finally:
            self.answer.busy = ""

    def action_model(self) -> None:
        """Choose what classifies: a run's best checkpoint, or a model of torchvision."""
        self._choose_model()

    @work(group="model", exclusive=True)
    async def _choose_model(self) -> None:
        try:
            runs = await asyncio.to_thread(Store.default().rows)
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
            runs = []
        self.app.push_screen(
            Chooser("Classify by", of_classifiers(runs)), lambda key: self._take_model(key, runs)
        )

    def _take_model(self, key: str | None, runs: Sequence[RunSummary]) -> None:
        if key is None:
            return
        kind, _, name = key.partition(":")
        if kind == "run":
            found = next(run for run in runs if run.id == name)
            self.chosen = {"run": str(Store.default().root / name), "name": found.name}
        elif kind == "selected":
            self.chosen = None
        elif kind == "recipe":
            self.take_recipe(name)
            return
        else:
            self._take_published(name, {"model": name})
            return
        self._again()

    def take_recipe(self, name: str) -> None:
        """Classify by a recipe: what is shown, or the picture that is named next."""
        try:
            section = load_recipe(name).get("model")
            model = dict(section) if isinstance(section, Mapping) else {}
            known = models.find(str(model.get("name", "")))
        except BadInput as error:
            self.post_message(Noticed(str(error), "error"))
            return
        if model.get("weights"):
            self.chosen = {"recipe": name}
            self._again()
        else:
            self._take_published(known.name, {"recipe": name})

    def _take_published(self, model: str, by: Mapping[str, Any]) -> None:
        """Take it once it is known where the weights come from."""
        if models.find(model).weights_here():
            self.chosen = by
            self._again()
            return

        def taken(file: str | None) -> None:
            if file is not None:
                self.chosen = {**by, "weights": file} if file else by
                self._again()

        self.app.push_screen(Chooser(f"Weights of {model}", of_weights(model)), taken)

    def _again(self) -> None:
        """What is shown is classified by the new choice; a recipe without a picture asks for one."""
        if self._last is None:
            if self.chosen and "recipe" in self.chosen:
                self.call_after_refresh(self.action_type_path)
            return
        if "path" in self._last:
            self.classify(str(self._last["path"]))
        else:
            self._ask_about(self._last, self.answer.caption)


def _open(source: str) -> tuple[Path, Image.Image]:
    path = fetch_picture(source) if "://" in source else given(source).absolute()
    return path, open_picture(path)


def _title(name: str, model: str | None) -> str:
    return f"{name} by {model}" if model else f"{name}, up to a model"


def _asked(by: Mapping[str, Any]) -> dict[str, Any]:
    """What classifies, as the session takes it."""
    return {key: value for key, value in by.items() if key != "name"}


def _absolute(what: Mapping[str, Any]) -> dict[str, Any]:
    """A picture as the session takes it."""
    path = what.get("path")
    return dict(what) if path is None or "://" in path else {"path": str(given(path).absolute())}


def _sample_row(sample: Mapping[str, Any]) -> Row:
    return Row(str(sample["index"]), (f"{sample['index']:>5}", str(sample["class"]), str(sample["name"])))
