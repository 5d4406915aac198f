"""The photo: a picture, or a sample of the test data, and what a model says is on it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.widget import Widget

from workbench.errors import BadInput
from workbench.io.fetch import fetch_picture
from workbench.io.pictures import ENDINGS, open_picture
from workbench.models import catalogue as models
from workbench.paths import given
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store
from workbench.session.client import SessionClient, SessionError
from workbench.text import cut, fraction, pad, safe, size
from workbench.ui.choices import of_classifiers, of_weights
from workbench.ui.messages import Noticed
from workbench.ui.panes.base import Pane
from workbench.ui.session import close_session, session_of
from workbench.ui.theme import THEME
from workbench.ui.widgets.chooser import Chooser, Finder, Row, files, filtering
from workbench.ui.widgets.picture import Picture

TOP = 5
SAMPLES = 200
"""Samples that are fetched at once, as many as the session gives."""

NARROW = 60
"""Under so many cells the picture makes way for a path that is typed."""


class Answer(Widget, can_focus=True):
    """What is on the picture, and how the pane stands."""

    DEFAULT_CSS = "Answer { height: 1fr; width: 1fr; padding-left: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,ctrl+j", "open", "open", show=False)]

    caption: reactive[str] = reactive("")
    busy: reactive[str] = reactive("")
    error: reactive[str] = reactive("")
    by: reactive[str] = reactive("")
    top: reactive[tuple[Mapping[str, Any], ...]] = reactive(())
    note: reactive[str] = reactive("")

    def render(self) -> Text:
        """Caption, the likeliest classes with bars, by what; what goes on or went wrong."""
        width = self.content_size.width
        lines = [Text(cut(safe(self.caption), width), "bold")] if self.caption else _hints(width)
        for at, one in enumerate(self.top[: max(1, self.content_size.height - 3)]):
            lines.append(prediction(one, width, first=at == 0))
        lines.append(Text(cut(safe(self.by), width), "dim"))
        if self.busy:
            lines.append(Text(cut("… " + safe(self.busy), width), THEME.accent or "yellow"))
        elif self.error:
            lines.append(Text(f"✗ {safe(self.error)}", THEME.error or "red"))
        elif self.note:
            lines.append(Text(cut(safe(self.note), width), "dim"))
        return Text("\n").join(lines)

    async def action_open(self) -> None:
        """Type a path."""
        await self.query_ancestor(PhotoPane).action_type_path()

    async def on_click(self) -> None:
        """A click does the same."""
        await self.action_open()


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
    ]

    chosen: reactive[Mapping[str, Any] | None] = reactive(None)
    """What classifies, as the session takes it; `None`: the selected run."""

    def __init__(self, *, session: SessionClient | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._given = session
        self._samples: dict[str, Mapping[str, Any]] = {}
        self._path = ""
        self._last: Mapping[str, Any] | None = None

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
            return f"by {by['model']}"
        if self.chosen is not None or self.view is None:
            return f"by {by.get('name', Path(by['run']).name)}, best"
        if self.view.status is Status.QUEUED or not (
            self.view.heartbeat.get("best") or self.view.evaluations
        ):
            return f"by {self.view.name}"
        best = self.view.heartbeat.get("best") or {}
        epoch = best.get("epoch")
        return f"by {self.view.name}, best" + (f" of epoch {epoch}" if epoch is not None else "")

    async def action_type_path(self) -> None:
        """Open the line for a path or a URL."""
        finder = Finder(
            files(ENDINGS), value=self._path, hint="a picture's path or URL; tab completes", point_first=False,
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
        self._last = {"path": source}
        self._show_and_ask(source)

    def classify_sample(self, sample: Mapping[str, Any]) -> None:
        """Say what is on one of the session's samples."""
        self._last = {"png": sample["png"]}
        name = f"test sample {sample['index']}: {sample['class']}"
        self.query_one(Picture).image = open_picture(base64.b64decode(sample["png"]))
        self._ask_about(self._last, name)

    @work(group="classify", exclusive=True)
    async def _show_and_ask(self, source: str) -> None:
        self.answer.error, self.answer.busy = "", f"opening {source}"
        try:
            path, image = await asyncio.to_thread(_open, source)
        except BadInput as error:
            self.answer.busy, self.answer.error = "", str(error)
            return
        self.query_one(Picture).image = image
        name = source.rpartition("/")[2] or source
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
        asked = {key: value for key, value in by.items() if key != "name"}
        try:
            found = await self.session.request("classify", self._progress, by=asked, top=TOP, **what)
        except SessionError as error:
            answer.busy, answer.error = "", str(error)
            return
        answer.busy = ""
        answer.caption, answer.top = caption, tuple(found["top"])
        answer.note = "; ".join([f"{found['ms']:.0f} ms on {found['device']}", *found.get("notices", ())])

    def _progress(self, progress: Mapping[str, Any]) -> None:
        shown = size if progress.get("unit") == "bytes" else str
        total = f" of {shown(progress['total'])}" if progress.get("total") else ""
        self.answer.busy = f"{progress.get('what', '')} {shown(progress.get('done', 0))}{total}"

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
        elif models.find(name).weights_here():
            self.chosen = {"model": name}
        else:
            self.app.push_screen(
                Chooser(f"Weights of {name}", of_weights(name)), lambda file: self._take_weights(name, file)
            )
            return
        self._again()

    def _take_weights(self, name: str, file: str | None) -> None:
        if file is not None:
            self.chosen = {"model": name, "weights": file} if file else {"model": name}
            self._again()

    def _again(self) -> None:
        """What is shown is classified by the new choice."""
        if self._last is None:
            return
        if "path" in self._last:
            self.classify(str(self._last["path"]))
        else:
            self._ask_about(self._last, self.answer.caption)


def _open(source: str) -> tuple[Path, Image.Image]:
    path = fetch_picture(source) if "://" in source else given(source).absolute()
    return path, open_picture(path)


def prediction(one: Mapping[str, Any], width: int, first: bool = False) -> Text:
    """A class with its bar and probability, in `width` cells."""
    value = float(one["probability"])
    number = f"{one['index']:>4} " if width >= 44 else ""
    bar = max(4, min(20, width // 4))
    room = max(4, min(28, width - len(number) - bar - 7))
    line = Text(no_wrap=True, end="").append(number, "dim")
    line.append(pad(safe(one["label"]), room) + " ", "bold" if first else "")
    line.append(pad(blocks(value, bar), bar), "bold" if first else "dim")
    return line.append(f" {fraction(value):>5}", "bold" if first else "")


def blocks(value: float, width: int) -> str:
    """A bar for 0 to 1, in eighths of a cell."""
    eighths = round(8 * width * max(0.0, min(1.0, value)))
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]


def _hints(width: int) -> list[Text]:
    lines = []
    for key, what in (("enter", "a picture's path or URL"), ("f", "test samples"), ("m", "what classifies")):
        text = Text(no_wrap=True, end="").append(key, "bold").append(f" {what}", "dim")
        text.truncate(width, overflow="ellipsis")
        lines.append(text)
    return lines


def _sample_row(sample: Mapping[str, Any]) -> Row:
    return Row(str(sample["index"]), (f"{sample['index']:>5}", str(sample["class"]), str(sample["name"])))
